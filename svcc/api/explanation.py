"""What becomes of a packet, or of all packets to a Service, and whether that is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svcc.api.compilation import compiled_for
from svcc.api.errors import bad_input
from svcc.api.live import with_all_in_force
from svcc.api.own_rules import read_back
from svcc.grammar.address import Family
from svcc.verify.explain import EndlessError, Explainer, Explanation
from svcc.verify.packet_question import QuestionError, read_packet

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.api.rules import Rules
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings

_EXAMPLE = "from 10.1.2.3 to 10.96.0.12:80/tcp"


def explain(
    objects: Objects,
    settings: NodeSettings,
    what: str,
    rules: Rules | None = None,
    *,
    family: Family | None = None,
    note: Note | None = None,
) -> list[Explanation]:
    """Explain a packet, or every frontend of a Service for every kind of sender.

    The verdicts are what :func:`svcc.api.verification.verify` says, of these packets.

    Args:
        objects: what is right by.
        settings: the node's.
        what: a packet such as ``from 10.1.2.3 to 10.96.0.12:80/tcp``, or a Service
            (``NAMESPACE/NAME``, ``NAMESPACE/NAME:PORT``).
        rules: None: those that svcc compiles for the node.
        family: explain no other.
        note: is told what a person should know.

    Returns:
        One explanation for a packet.

    Raises:
        InputError: that is no packet and no Service with frontends, or a walk through the
            rules does not end.
    """
    found = _explained(objects, settings, what, rules, family, note)
    if rules is None:
        return found
    return [with_all_in_force(item, rules, objects, settings) for item in found]


def _explained(
    objects: Objects,
    settings: NodeSettings,
    what: str,
    rules: Rules | None,
    only: Family | None,
    note: Note | None,
) -> list[Explanation]:
    words = what.split()
    if not words:
        raise bad_input("explain", f"name a packet or a Service; for example: {_EXAMPLE}")
    explainers = _explainers(objects, settings, rules, only, note)
    if words[0] not in ("from", "to"):
        found = [item for each in explainers.values() for item in each.service(words[0])]
        if len(words) > 1 or not found:
            raise bad_input(
                "explain",
                f"{' '.join(words)!r} is no Service with frontends, no packet and no code; say for "
                f"example shop/web, {_EXAMPLE}, or SVC001",
            )
        return found
    family = Family.IPV6 if any("[" in word for word in words) else Family.IPV4
    try:
        packet = read_packet(words, settings.primary_address(family))
    except QuestionError as error:
        raise bad_input("explain", f"{error}; for example: {_EXAMPLE}") from None
    if packet.family not in explainers:
        label = packet.family.label
        raise bad_input("explain", f"there are no {label} rules; give them with --rules")
    return [explainers[packet.family].packet(packet)]


def _explainers(
    objects: Objects,
    settings: NodeSettings,
    rules: Rules | None,
    only: Family | None,
    note: Note | None,
) -> dict[Family, Explainer]:
    if rules is None:
        loaded = read_back(compiled_for(objects, settings, note=note))
    else:
        loaded = rules.of(None)
    try:
        return {
            family: Explainer(objects, settings, family, item)
            for family, item in loaded.items()
            if only in (None, family)
        }
    except EndlessError as endless:
        message = f"the walk through these rules does not end: {endless}"
        raise bad_input(endless.source, message) from None
