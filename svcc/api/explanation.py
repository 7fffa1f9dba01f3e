"""What becomes of packets, and whether that is right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from svcc.api.errors import bad_input, needs_rules
from svcc.api.live import with_all_in_force
from svcc.api.own_rules import rules_or_own
from svcc.grammar.address import Address, Family
from svcc.verify.confirm.findings import Finding, VerdictName, worst
from svcc.verify.explain import EndlessError, Explainer
from svcc.verify.open_questions.every import open_questions
from svcc.verify.open_questions.question import OpenQuestion
from svcc.verify.questions.cluster import Cluster, Meaning
from svcc.verify.questions.senders import Destination, asked_packet, destination_of
from svcc.verify.questions.targets import AddressName, QuestionError
from svcc.verify.questions.why import labels_with
from svcc.verify.questions.wording import named
from svcc.verify.questions.words import Question, read_question
from svcc.verify.report.explanation import Explanation
from svcc.verify.spec.expectation import Frontend, expect
from svcc.verify.spec.properties import CAPTURES, FAIR, MASQUERADES, REACHES, REFUSES

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.api.rules import Rules
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.verify.prepare.loaded import LoadedRules

_OF_A_FRONTEND = (REACHES, FAIR, MASQUERADES, REFUSES)
_EXAMPLE = "from 10.1.2.3 to 10.96.0.12:80/tcp"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked, answered.

    ``said`` are sentences that stand ahead: what was asked for, where it has no frontends or is
    an endpoint. ``backend`` is the address and port (None: any) whose senders were asked for;
    ``explanations`` are then of frontends that send there, or should.
    """

    explanations: tuple[Explanation, ...] = ()
    said: tuple[str, ...] = ()
    backend: tuple[Address, int | None] | None = None

    @property
    def verdict(self) -> VerdictName:
        """The worst of all explanations; ``proved`` where there is nothing to be wrong."""
        return worst(item.verdict for item in self.explanations)


def explain(
    objects: Objects,
    settings: NodeSettings,
    what: str,
    rules: Rules | None = None,
    *,
    family: Family | None = None,
    note: Note | None = None,
) -> list[Explanation]:
    """The explanations that :func:`ask` gives; arguments as there.

    Returns:
        One explanation for each packet.

    Raises:
        InputError: as :func:`ask`, or nothing is sent to what was asked for.
    """
    answer = ask(objects, settings, what, rules, family=family, note=note)
    if not answer.explanations:
        raise bad_input("explain", "; ".join(answer.said))
    return list(answer.explanations)


def ask(
    objects: Objects,
    settings: NodeSettings,
    what: str,
    rules: Rules | None = None,
    *,
    family: Family | None = None,
    note: Note | None = None,
) -> Answer:
    """Explain a packet, every frontend of a Service or an address, or who sends to a backend.

    The verdicts are what :func:`svcc.api.verification.verify` says, of these packets.

    Args:
        objects: what is right by.
        settings: the node's.
        what: a Service (``shop/web``, ``web``, ``web.shop.svc.cluster.local``, ``shop/web:http``),
            an address (``10.96.0.12``, ``10.96.0.12:80/tcp``, one of a backend), a node port
            (``30080``), or packets from one sender to any of these: ``from pod to shop/web``,
            ``from 10.1.2.3 to 10.96.0.12:80/tcp``. docs/cli.md has all of it.
        rules: None: those that svcc compiles for the node.
        family: explain no other.
        note: is told what a person should know.

    Raises:
        InputError: nothing has this name, or a walk through the rules does not end.
    """
    if rules is not None:
        rules.must_be_of(settings.node_name)
    needs_rules(
        settings,
        "connections end at nginx, so there is no way of a packet to be shown; "
        "svcc verify says what becomes of them",
    )
    try:
        question = read_question(what.split())
    except QuestionError as error:
        raise bad_input("explain", f"{error}; for example: {_EXAMPLE}") from None
    loaded = rules_or_own(objects, settings, rules, family, note)
    explainers = _explainers(objects, settings, loaded)
    try:
        answer = _answered(objects, settings, question, explainers, family)
    except QuestionError as error:
        raise bad_input("explain", str(error)) from None
    found = list(answer.explanations)
    if rules is not None:
        found = [with_all_in_force(item, rules, objects, settings) for item in found]
    questions = list(
        open_questions(objects, settings, loaded, own_rules=rules is None, strict=False)
    )
    return replace(answer, explanations=tuple(_while_open(item, questions) for item in found))


def _answered(
    objects: Objects,
    settings: NodeSettings,
    question: Question,
    explainers: Mapping[Family, Explainer],
    only: Family | None,
) -> Answer:
    """The answer, whatever else may touch the packets.

    Raises:
        QuestionError: nothing is named, or nobody can send such packets.
    """
    of_packets = question.sender is not None
    frontends = _frontends(objects, settings, explainers)
    cluster = Cluster(objects, settings, frontends)
    meaning = cluster.meaning(question.target, of_packets=of_packets)
    places = [
        *(destination_of(f) for f in frontends if f in meaning.frontends),
        *meaning.destinations,
    ]
    if of_packets:
        found = list(_packets(settings, question, meaning, places, explainers))
    else:
        found = list(_every_sender(meaning, explainers))
    if places and not found:
        labels = named(sorted({place.family.label for place in places}), "and")
        raise QuestionError(f"there are no {labels} rules; give them with --rules")
    said = [*meaning.said, *_without_rules(places, explainers, only)]
    if meaning.backend is None:
        return Answer(tuple(found), tuple(said))
    address, port = meaning.backend.address, meaning.backend.port
    if address.family in explainers:
        found = list(_senders_to(explainers[address.family], objects, settings, meaning.backend))
    if not said and not found:
        raise QuestionError(f"{meaning.nothing}; no rule sends there")
    said = said or [f"{meaning.nothing}; rules send there"]
    return Answer(tuple(found), tuple(said), (address, port))


def _frontends(
    objects: Objects, settings: NodeSettings, explainers: Mapping[Family, Explainer]
) -> list[Frontend]:
    """Those of every family, with rules or without."""
    found = []
    for family in Family:
        if family in explainers:
            found += explainers[family].frontends
        else:
            found += [item.frontend for item in expect(objects, settings, family).frontends]
    return found


def _packets(
    settings: NodeSettings,
    question: Question,
    meaning: Meaning,
    places: Iterable[Destination],
    explainers: Mapping[Family, Explainer],
) -> Iterator[Explanation]:
    """One packet to each place that the sender can reach.

    Raises:
        QuestionError: it can reach none.
    """
    refusals, found = [], 0
    for place in places:
        if place.address is None and meaning.at is not None:
            place = replace(place, address=meaning.at.value)
        try:
            packet = asked_packet(settings, question, place)
        except QuestionError as error:
            refusals.append(error)
            continue
        found += 1
        if place.family in explainers:
            yield _with_why(explainers[place.family].packet(packet), meaning)
    if refusals and not found:
        raise refusals[0]


def _every_sender(
    meaning: Meaning, explainers: Mapping[Family, Explainer]
) -> Iterator[Explanation]:
    for explainer in explainers.values():
        yield from explainer.every_sender(lambda f: f in meaning.frontends, meaning.at)
    for place in meaning.destinations:
        if place.family in explainers:
            for item in explainers[place.family].to(place):
                yield _with_why(item, meaning)


def _with_why(item: Explanation, meaning: Meaning) -> Explanation:
    """An explanation of a packet to no frontend says why it is none."""
    if item.frontend is not None or not meaning.why:
        return item
    return replace(item, why=(meaning.why,))


def _without_rules(
    places: Iterable[Destination], explainers: Mapping[Family, Explainer], only: Family | None
) -> list[str]:
    missing = sorted({place.family for place in places if place.family not in explainers})
    if only is not None:
        return []
    return [
        f"not explained: what is sent there by {family.label}, no rules of which were given"
        for family in missing
    ]


def _senders_to(
    explainer: Explainer, objects: Objects, settings: NodeSettings, backend: AddressName
) -> Iterator[Explanation]:
    """Every sender of the frontends that send to a backend, by the objects or by the rules."""
    address, port = backend.address, backend.port
    wanted = set(labels_with(objects, settings, address, port))
    by_rules = explainer.leading_to(address.value, port)
    found = explainer.every_sender(lambda f: f in by_rules or (f.service, f.protocol) in wanted)
    for frontend, items in groupby(found, key=lambda item: item.frontend):
        shown = list(items)
        assert frontend is not None
        if (frontend.service, frontend.protocol) in wanted or any(
            way.leads_to(address.value, port) for item in shown for way in item.ways
        ):
            yield from shown


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
