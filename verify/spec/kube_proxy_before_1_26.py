"""What kube-proxies before 1.26 do otherwise, and the marks that a kubelet of that age drops by.

They are told by their chains: KUBE-SVC-* or KUBE-SERVICES without KUBE-PROXY-FIREWALL, which
every kube-proxy since 1.26 has. What is accepted of them, and why, is in docs/semantics.md,
"Older kube-proxies". Source: kubernetes pkg/proxy/iptables/proxier.go 1.20 to 1.25,
pkg/kubelet/kubelet_network_linux.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from svcc.grammar.address import Family, Network
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.spec.expectation import Expectation, FrontendExpectation, pod_atom
from svcc.verify.spec.outcomes import Case, Discard, DroppedByMark, Outcome, Serve
from svcc.verify.spec.packet_conditions import DestinationIn, negation

DROP_MARK = 0x8000
"""What KUBE-MARK-DROP sets: the kubelet's --iptables-drop-bit 15."""


def is_older(rules: RuleSet) -> bool:
    """Whether a kube-proxy before 1.26 wrote the service chains, if there are any of its."""
    nat, filter_ = rules.tables.get("nat", {}), rules.tables.get("filter", {})
    return (
        "KUBE-SERVICES" in nat
        and "KUBE-MARK-DROP" in nat
        and "KUBE-FORWARD" in filter_
        and "KUBE-PROXY-FIREWALL" not in filter_
    )


def loosened(expectation: Expectation, rules: RuleSet) -> Expectation:
    """The expectation with what an older kube-proxy does accepted too."""
    if not is_older(rules):
        return expectation
    keeps_source = not any(name.startswith("KUBE-EXT-") for name in rules.tables["nat"])
    frontends = tuple(
        FrontendExpectation(
            item.frontend,
            tuple(_loosened(item, expectation, keeps_source)),
            item.may_be_local,
        )
        for item in expectation.frontends
    )
    return replace(expectation, frontends=frontends)


def _loosened(
    item: FrontendExpectation, expectation: Expectation, keeps_source: bool
) -> Iterable[Case]:
    kind, settings = item.frontend.kind, expectation.settings
    pod = pod_atom(settings, expectation.family)
    loopback = DestinationIn((Network(Family.IPV6, 1, 128),))
    for case in item.cases:
        allowed = case.allowed
        if kind != "cluster IP" and any(isinstance(outcome, Discard) for outcome in allowed):
            allowed = (*allowed, DroppedByMark(DROP_MARK))
        if kind == "external IP" and keeps_source and pod is not None:
            either = tuple(_either(outcome) for outcome in allowed)
            if either != allowed:
                yield Case((*case.condition, pod), either)
                yield Case((*case.condition, negation(pod)), allowed)
                continue
        if kind == "node port" and expectation.family is Family.IPV6 and loopback in case.condition:
            served = next((o for o in _all_outcomes(item) if isinstance(o, Serve)), None)
            if served is not None:
                yield from _on_loopback6(item, case)
                continue
        yield Case(case.condition, allowed)


def _all_outcomes(item: FrontendExpectation) -> Iterable[Outcome]:
    for case in item.cases:
        yield from case.allowed


def _on_loopback6(item: FrontendExpectation, case: Case) -> Iterable[Case]:
    """::1 is a local address like any other to them."""
    others = tuple(
        dict.fromkeys(
            replace(outcome, masquerade=None) if isinstance(outcome, Serve) else outcome
            for outcome in _all_outcomes(item)
        )
    )
    yield Case(
        case.condition, tuple(dict.fromkeys((*case.allowed, *others, DroppedByMark(DROP_MARK))))
    )


def _either(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Serve) and outcome.masquerade:
        return replace(outcome, masquerade=None)
    return outcome
