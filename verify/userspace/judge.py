"""Frontends held against what a proxy does, for every address that can connect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from svcc.grammar.address import LOOPBACK, Address, Family
from svcc.grammar.nginx.directives import Directive
from svcc.verify.confirm.causes import Cause
from svcc.verify.confirm.findings import Counterexample, Finding
from svcc.verify.simulator.packet import EPHEMERAL_PORT, Packet, Step
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import Expectation, Frontend, FrontendExpectation
from svcc.verify.spec.outcomes import Case, Outcome, Serve, Untouched
from svcc.verify.spec.properties import FAIR, REACHES, REFUSES
from svcc.verify.userspace.evaluate import Closed, Evaluator, Result, Served, Unknown
from svcc.verify.userspace.model import ProxyModel
from svcc.verify.userspace.outcomes import Wrong, words, wrong
from svcc.verify.userspace.places import Places
from svcc.verify.userspace.senders import Sender, Senders, destinations, is_met


@dataclass(frozen=True, slots=True)
class _Shown:
    """What one sender sees, and what is wrong with that."""

    wrong: Wrong
    sender: Sender
    to: int
    result: Result
    wanted: Outcome


class FrontendJudge:
    """Judges the frontends of one family."""

    def __init__(self, model: ProxyModel, expectation: Expectation, places: Places) -> None:
        self._model = model
        self._expectation = expectation
        self._family = expectation.family
        self._places = places
        self._evaluator = Evaluator(model)
        self._senders = Senders(
            model, self._evaluator, self._family, sorted(places.own), places.virtual
        )

    def findings(self) -> Iterator[Finding]:
        """Three properties of each frontend."""
        for item in self._expectation.frontends:
            yield from self._of_frontend(item)

    def _of_frontend(self, item: FrontendExpectation) -> Iterator[Finding]:
        about, family = str(item.frontend), self._family
        if self._model.unknown:
            yield from _open(about, family, self._model.unknown[0])
            return
        found: dict[str, _Shown] = {}
        unknown: Unknown | None = None
        serves = False
        for to, cases in self._destinations(item):
            port, protocol = item.frontend.port, item.frontend.protocol
            listener = self._model.listener(family, to, protocol, port)
            for sender in self._senders.of(listener, cases, to):
                wanted = _allowed(cases, sender, to, family)
                result = self._evaluator.result(listener, Address(family, sender.source))
                serves = serves or isinstance(wanted[0], Serve)
                if isinstance(result, Unknown):
                    unknown = unknown or result
                    continue
                each = self._places.hindrance(item.frontend, to, wanted, result)
                each = each or wrong(wanted, result)
                if each is not None:
                    found.setdefault(each.property, _Shown(each, sender, to, result, wanted[0]))
        if unknown is not None:
            yield from _open(about, family, unknown.by)
            return
        for name in (REACHES, FAIR, REFUSES):
            if name in found:
                yield self._finding(item.frontend, name, found[name])
            elif name == REFUSES or serves:
                yield Finding(name, about, family, "proved")

    def _destinations(self, item: FrontendExpectation) -> Iterator[tuple[int, tuple[Case, ...]]]:
        """The addresses of a frontend, each with what its packets must see."""
        frontend = item.frontend
        if frontend.address is not None:
            yield frontend.address, item.cases
            return
        loopback = LOOPBACK[self._family]
        listened = self._model.addresses_of(self._family, frontend.protocol, frontend.port)
        known = {*self._places.own, loopback.value | 1}
        known |= {a for a in listened if loopback.holds(Address(self._family, a))}
        named = self._places.named(frontend)
        for to in sorted(known - named):
            yield to, item.cases
        if (self._family, None, frontend.protocol, frontend.port) in self._model.listeners:
            # A node port may answer on what else the node has, and need not.
            cases = tuple(
                Case(c.condition, tuple(dict.fromkeys((*c.allowed, Untouched()))))
                for c in item.cases
            )
            for to in destinations(item.cases, self._family, known | named | self._places.virtual):
                yield to, cases

    def _finding(self, frontend: Frontend, name: str, shown: _Shown) -> Finding:
        each = shown.wrong
        packet = Packet(
            self._family, shown.sender.from_node, shown.sender.source, EPHEMERAL_PORT, shown.to,
            frontend.port, frontend.protocol, shown.sender.in_interface,
        )  # fmt: skip
        verdict = each.verdict
        example = Counterexample(
            packet, tuple(trace(shown.result)), words(shown.wanted, self._family),
            words_of(shown.result, self._family),
        )  # fmt: skip
        at = each.directive
        cause = None
        if at is not None:
            cause = Cause(at.file, at.line, "", "", str(at), remedy=each.remedy)
        elif each.missing:
            cause = Cause(self._model.source, 0, "", "stream", "", missing=each.missing)
        return Finding(
            name, str(frontend), self._family, verdict,
            example if verdict == "violated" else None, each.reason, each.code, each.says,
            cause=cause,
        )  # fmt: skip


def _allowed(cases: Iterable[Case], sender: Sender, to: int, family: Family) -> tuple[Outcome, ...]:
    for case in cases:
        if is_met(case.condition, sender, to, family):
            return case.allowed
    raise ValueError(f"no case holds of {sender} to {to}")


def _open(about: str, family: Family, directive: Directive) -> Iterator[Finding]:
    place = f"{directive.file}:{directive.line}: " if directive.line else ""
    for name in (REACHES, FAIR, REFUSES):
        yield Finding(
            name, about, family, "undecided", code=codes.OUTSIDE_THE_MODEL,
            says="depends on a directive of nginx that is not known",
            reason=f"{place}{directive}",
        )  # fmt: skip


def trace(result: Result) -> Iterator[Step]:
    """The way of a connection through the configuration."""
    match result:
        case Served():
            listen = result.listener.directive
            yield Step("stream", f"{listen}", None, "accepted", file=listen.file)
            yield Step("stream", f"upstream {result.upstream.name}", None, result.upstream.method)
        case Closed():
            yield Step("stream", str(result.by), None, "closed", file=result.by.file)
        case _:
            return


def words_of(result: Result, family: Family) -> str:
    """A result in words."""
    match result:
        case Served():
            shown = [
                f"{each.directive.arguments[0]} {float(share):.3g}"
                for each, share in result.upstream.shares.items()
            ]
            return f"sent on by {result.upstream.method}: {', '.join(shown)}"
        case Closed():
            return f"accepted and closed by {result.by}"
        case _:
            return "nobody listens"
