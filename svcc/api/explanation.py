"""What becomes of a packet, or of all packets to a Service, and whether that is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from svcc.api.errors import bad_input
from svcc.api.live import with_all_in_force
from svcc.api.own_rules import rules_or_own
from svcc.grammar.address import Family
from svcc.verify.confirm.findings import Finding
from svcc.verify.explain import EndlessError, Explainer, Explanation
from svcc.verify.open_questions.every import open_questions
from svcc.verify.open_questions.question import OpenQuestion
from svcc.verify.packet_question import QuestionError, read_packet
from svcc.verify.spec.properties import CAPTURES, FAIR, MASQUERADES, REACHES, REFUSES

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.api.rules import Rules
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.verify.prepare.loaded import LoadedRules

_OF_A_FRONTEND = (REACHES, FAIR, MASQUERADES, REFUSES)
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
    loaded = rules_or_own(objects, settings, rules, family, note)
    found = _explained(objects, settings, what, loaded)
    if rules is not None:
        found = [with_all_in_force(item, rules, objects, settings) for item in found]
    questions = list(
        open_questions(objects, settings, loaded, own_rules=rules is None, strict=False)
    )
    return [_while_open(item, questions) for item in found]


def _explained(
    objects: Objects, settings: NodeSettings, what: str, loaded: Mapping[Family, LoadedRules]
) -> list[Explanation]:
    words = what.split()
    if not words:
        raise bad_input("explain", f"name a packet or a Service; for example: {_EXAMPLE}")
    explainers = _explainers(objects, settings, loaded)
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


def _while_open(item: Explanation, questions: Iterable[OpenQuestion]) -> Explanation:
    """An explanation as far as it holds whatever the answers are."""
    family = item.packet.family
    name = "everything else" if item.frontend is None else str(item.frontend)
    properties = (CAPTURES,) if item.frontend is None else _OF_A_FRONTEND
    right = [Finding(each, name, family, "proved") for each in properties]
    for question in questions:
        wrong = tuple(finding for finding in item.wrong if not question.leaves_open(finding))
        if item.verdict == "violated":
            is_open = len(wrong) < len(item.wrong)
        else:
            is_open = any(map(question.leaves_open, right))
        if is_open:
            reason = f"{question.code} {question.subject} {question.says}; {question.reason}"
            item = replace(
                item,
                verdict="violated" if wrong else "undecided",
                wrong=wrong,
                undecided=() if wrong else (reason, *item.undecided),
                worlds=item.worlds if wrong else (),
            )
    return item


def _explainers(
    objects: Objects, settings: NodeSettings, loaded: Mapping[Family, LoadedRules]
) -> dict[Family, Explainer]:
    try:
        return {
            family: Explainer(objects, settings, family, item) for family, item in loaded.items()
        }
    except EndlessError as endless:
        message = f"the walk through these rules does not end: {endless}"
        raise bad_input(endless.source, message) from None
