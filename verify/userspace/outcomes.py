"""Whether a result is one of the outcomes that are allowed, and what is wrong if not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from svcc.grammar.address import Family
from svcc.grammar.nginx.directives import Directive
from svcc.grammar.numbers import TRANSPORTS
from svcc.verify.confirm.findings import VerdictName
from svcc.verify.simulator.packet import endpoint_text
from svcc.verify.spec import codes
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.outcomes import Discard, Outcome, Refuse, Serve, Untouched
from svcc.verify.spec.properties import FAIR, REACHES, REFUSES
from svcc.verify.userspace.evaluate import Closed, Refused, Result, Served


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong: the property, code and words of a finding, and what it is due to."""

    property: str
    code: str
    says: str
    directive: Directive | None = None
    missing: str = ""
    remedy: str = ""
    reason: str = ""
    verdict: VerdictName = "violated"


def wrong(allowed: Sequence[Outcome], result: Result) -> Wrong | None:
    """What is wrong with a result by the first outcome; None if it is one of those allowed."""
    if any(_fits(outcome, result) for outcome in allowed):
        for outcome in allowed:
            if isinstance(outcome, Serve) and isinstance(result, Served):
                return next(_served_wrongly(outcome, result), None)
        return None
    first = allowed[0]
    match first, result:
        case Serve(), Served():
            return next(_served_wrongly(first, result), None)
        case Serve(), Closed():
            return Wrong(REACHES, codes.LOST, "is closed where it must be served", result.by)
        case Serve(), _:
            return Wrong(
                REACHES, codes.NOT_TRANSLATED, "has nobody who listens",
                missing="a server that listens there",
            )  # fmt: skip
        case ((Refuse() | Discard()), Served()):
            return Wrong(
                REFUSES, codes.NOT_REFUSED, "is served where no backend may be reached",
                result.listener.directive,
            )  # fmt: skip
        case _, Closed():
            return Wrong(
                REFUSES, codes.OTHER_REFUSAL,
                "is accepted and closed where nobody must listen", result.by,
            )  # fmt: skip
        case _, Served():
            return Wrong(
                REFUSES, codes.CAPTURED, "answers where the node port must not",
                result.listener.directive,
            )  # fmt: skip
        case _:
            return Wrong(REFUSES, codes.OTHER_REFUSAL, "is not what it must be")


def _fits(outcome: Outcome, result: Result) -> bool:
    match outcome:
        case Serve():
            return isinstance(result, Served) and not any(_reached_wrongly(outcome, result))
        case Discard():
            return isinstance(result, Closed)
        case Refuse() | Untouched():
            return isinstance(result, Refused)
        case _:
            return False


def _served_wrongly(wanted: Serve, result: Served) -> Iterator[Wrong]:
    yield from _reached_wrongly(wanted, result)
    yield from _shared_wrongly(wanted, result)


def _reached_wrongly(wanted: Serve, result: Served) -> Iterator[Wrong]:
    upstream, family = result.upstream, result.listener.family
    shares = upstream.shares
    able = {each.backend: each for each in shares if each.family is family}
    for each in upstream.servers:
        # Backups get connections when nobody else answers.
        is_other = each.family is not family or each.backend not in wanted.backends
        if is_other and not each.down:
            yield Wrong(
                REACHES, codes.WRONG_BACKEND,
                f"is sent to {each.directive.arguments[0]}, which is not selected",
                each.directive, remedy="leave it out",
            )  # fmt: skip
    for backend in wanted.backends:
        if backend in able:
            continue
        name = _text(family, backend)
        there = next((s for s in upstream.servers if s.backend == backend), None)
        if there is None:
            yield Wrong(
                REACHES, codes.NEVER_REACHED, f"never reaches {name}", upstream.directive,
                remedy=f"add server {name} max_fails=0;",
            )  # fmt: skip
            continue
        word = "down" if there.down else "backup"
        yield Wrong(
            REACHES, codes.NEVER_REACHED, f"never reaches {name}, which is marked {word}",
            there.directive, remedy=f"without {word}",
        )  # fmt: skip


def _shared_wrongly(wanted: Serve, result: Served) -> Iterator[Wrong]:
    upstream, listener = result.upstream, result.listener
    if len(upstream.servers) == 1:
        # Of a single one neither weights nor failures say anything.
        return
    by_backend: dict[Backend, Fraction] = {}
    for each, share in upstream.shares.items():
        by_backend[each.backend] = by_backend.get(each.backend, Fraction()) + share
    # The one that is unlike the others is what somebody wrote.
    counts = Counter(by_backend.values())
    unlike = sorted(by_backend.items(), key=lambda item: (counts[item[1]], -item[1]))
    for backend, share in unlike:
        if share != Fraction(1, len(wanted.backends)):
            at = next(s.directive for s in upstream.servers if s.backend == backend)
            yield Wrong(
                FAIR, codes.UNFAIR,
                f"gives {_text(listener.family, backend)} {share} of new connections, not "
                f"1/{len(wanted.backends)}", at,
            )  # fmt: skip
    failing = next((each for each in upstream.shares if each.fails), None)
    if failing is not None:
        yield Wrong(
            FAIR, codes.PASSIVE_HEALTH_CHECKS,
            f"leaves out {failing.directive.arguments[0]} for a while after "
            f"{failing.fails} failed connection{'s' * (failing.fails > 1)}",
            failing.directive, remedy="max_fails=0",
        )  # fmt: skip
    yield from _remembered_wrongly(wanted, result)


def _remembered_wrongly(wanted: Serve, result: Served) -> Iterator[Wrong]:
    upstream, listener = result.upstream, result.listener
    method = next(
        (d for d in upstream.directive.block or () if d.name in ("hash", "random")),
        upstream.directive,
    )
    is_asked = wanted.affinity_timeout is not None
    match upstream.method:
        case "constant":
            yield Wrong(FAIR, codes.UNFAIR, "sends everybody to one backend", method)
        case "by client":
            if not is_asked:
                yield Wrong(
                    FAIR, codes.NOT_REMEMBERED,
                    "sends a client to the same backend always, though no affinity is asked for",
                    method, remedy="leave it out",
                )  # fmt: skip
        case _:
            if is_asked:
                yield Wrong(
                    FAIR, codes.NOT_REMEMBERED, "forgets which backend a client had", method,
                    remedy="add hash $remote_addr;",
                )  # fmt: skip
            if listener.protocol == TRANSPORTS["udp"] and not listener.by_worker:
                yield Wrong(
                    FAIR, codes.FLOW_SPLIT,
                    "may send datagrams of one flow to several backends, a worker each",
                    listener.directive, remedy="reuseport",
                )  # fmt: skip


def words(outcome: Outcome, family: Family) -> str:
    """An outcome in words."""
    match outcome:
        case Serve():
            names = ", ".join(_text(family, backend) for backend in outcome.backends)
            again = "" if outcome.affinity_timeout is None else ", a client always to the same"
            return f"sent to each of {names} alike{again}"
        case Refuse():
            return "refused: nobody listens"
        case Discard():
            return "dropped, closed or refused"
        case _:
            return "left alone: nobody listens"


def _text(family: Family, backend: Backend) -> str:
    return endpoint_text(family, backend.address, backend.port)
