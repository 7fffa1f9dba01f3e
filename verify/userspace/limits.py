"""What a proxy in user space cannot do, and what its packets must see all the same.

A connection ends at the node and another one begins there: the source is the node's. What has no
listener is refused by the kernel, and what has one is accepted before anybody can look at it, so
that nothing is dropped without a word. Sources: docs of kube-proxy until 1.25, "User space proxy
mode"; nginx ngx_stream_access_module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from svcc.grammar.address import LOOPBACK
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import Expectation, FrontendExpectation
from svcc.verify.spec.outcomes import Case, Discard, Outcome, Refuse, Serve
from svcc.verify.spec.packet_conditions import Atom, DestinationIn


@dataclass(frozen=True, slots=True)
class Limit:
    """A property that cannot hold, and the Services (``namespace/name:port``) that it is of."""

    code: str
    says: str
    services: tuple[str, ...]


_SAYS = {
    codes.SOURCE_NOT_KEPT: "backends see an address of this node, not the client's",
    codes.LOCAL_WITHOUT_SOURCE: "externalTrafficPolicy Local chooses the endpoints, but the source "
    "is not kept",
    codes.NOT_DROPPED: "what must be dropped is refused, or accepted and closed at once",
    codes.AFFINITY_WITHOUT_END: "a client keeps its backend beyond the timeout, and may get "
    "another one when backends come or go",
    codes.OPEN_VIRTUAL_IPS: "virtual IPs are addresses of the node: what listens on all of the "
    "node's addresses is reached by them too, and pings are answered",
}


def limits(expectation: Expectation) -> Iterator[Limit]:
    """What cannot hold of one family's frontends, each with the Services that it matters for."""
    for code, says in _SAYS.items():
        found = tuple(dict.fromkeys(
            item.frontend.service for item in expectation.frontends if _concerns(code, item)
        ))  # fmt: skip
        if found:
            yield Limit(code, says, found)


def _concerns(code: str, item: FrontendExpectation) -> bool:
    # On loopback addresses nobody but the node can be, and its kernel drops the rest.
    cases = [c for c in item.cases if not any(_of_loopback(atom) for atom in c.condition)]
    outcomes = [outcome for case in cases for outcome in case.allowed[:1]]
    served = [outcome for outcome in outcomes if isinstance(outcome, Serve)]
    kept = any(outcome.masquerade is False for outcome in served)
    match code:
        case codes.SOURCE_NOT_KEPT:
            return kept and item.frontend.kind == "cluster IP"
        case codes.LOCAL_WITHOUT_SOURCE:
            return kept and item.frontend.kind != "cluster IP"
        case codes.NOT_DROPPED:
            return any(isinstance(outcome, Discard) for outcome in outcomes)
        case codes.AFFINITY_WITHOUT_END:
            return any(outcome.affinity_timeout is not None for outcome in served)
        case _:
            return item.frontend.address is not None


def _of_loopback(atom: Atom) -> bool:
    return (
        isinstance(atom, DestinationIn)
        and not atom.negated
        and all(network.overlaps(LOOPBACK[network.family]) for network in atom.networks)
    )


def accepting(expectation: Expectation) -> Expectation:
    """The expectation without what cannot hold."""
    return replace(
        expectation,
        frontends=tuple(
            replace(item, cases=tuple(map(_without_limits, item.cases)))
            for item in expectation.frontends
        ),
    )


def _without_limits(case: Case) -> Case:
    allowed: list[Outcome] = []
    for outcome in case.allowed:
        match outcome:
            case Serve():
                allowed.append(replace(outcome, masquerade=None))
            case Discard():
                allowed += (outcome, Refuse())
            case _:
                allowed.append(outcome)
    return Case(case.condition, tuple(dict.fromkeys(allowed)))
