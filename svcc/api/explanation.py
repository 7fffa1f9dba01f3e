"""What becomes of a packet, or of all packets to a Service, and whether that is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svcc.api.compilation import compiled_for
from svcc.api.errors import bad_input
from svcc.api.own_rules import read_back
from svcc.grammar.address import Family
from svcc.verify.explain import Explainer, Explanation, QuestionError, read_packet
from svcc.verify.prepare.termination import check_ends

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
    note: Note | None = None,
) -> list[Explanation]:
    """Explain a packet, or every frontend of a Service for every kind of sender.

    Args:
        objects: what is right by.
        settings: the node's.
        what: a packet such as ``from 10.1.2.3 to 10.96.0.12:80/tcp``, or a Service
            (``NAMESPACE/NAME``, ``NAMESPACE/NAME:PORT``).
        rules: None: those that svcc compiles for the node.
        note: is told what a person should know.

    Returns:
        One explanation for a packet.

    Raises:
        InputError: that is no packet and no Service with frontends, or a walk through the
            rules does not end.
        UndecidableError: a packet meets a rule outside the model.
    """
    words = what.split()
    if not words:
        raise bad_input("explain", f"name a packet or a Service; for example: {_EXAMPLE}")
    explainers = _explainers(objects, settings, rules, note)
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
    objects: Objects, settings: NodeSettings, rules: Rules | None, note: Note | None
) -> dict[Family, Explainer]:
    if rules is None:
        loaded = read_back(compiled_for(objects, settings, note=note))
    else:
        loaded = rules.of(None)
    for item in loaded.values():
        for endless in check_ends(item.rules):
            message = f"the walk through these rules does not end: {endless.reason}"
            raise bad_input(item.source, message)
    return {family: Explainer(objects, settings, family, item) for family, item in loaded.items()}
