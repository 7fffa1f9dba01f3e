"""What a kube-proxy in ipvs mode does otherwise.

It is told by its chains and sets. Node ports are served on the addresses that it found on the
node, never on 127.0.0.1; packets to them are marked on all local addresses, served or not; only
endpoints of this node are in the set of hairpins; packets of no connection are let through
(kubernetes#74839 was mended in iptables mode only), and health checks of all Services on all
virtual IPs. Source: kubernetes pkg/proxy/ipvs/proxier.go (syncProxyRules,
writeIptablesRules).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, Network
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.spec.expectation import Expectation, Frontend, FrontendExpectation, pod_atom
from svcc.verify.spec.outcomes import Case, Discard, Serve, Untouched
from svcc.verify.spec.packet_conditions import FromNode, SourceIn, negation


def is_ipvs_proxy(rules: RuleSet) -> bool:
    """Whether a kube-proxy in ipvs mode wrote the service chains."""
    return "KUBE-SERVICES" in rules.tables.get("nat", {}) and (
        "KUBE-IPVS-FILTER" in rules.tables.get("filter", {})
        or (rules.ipvs is not None and "KUBE-LOOP-BACK" in rules.ipvs.sets)
    )


def settings_for(settings: NodeSettings, rules: RuleSet) -> NodeSettings:
    """The settings as this kube-proxy takes them."""
    if not is_ipvs_proxy(rules):
        return settings
    networks = settings.node_port_networks
    if networks is None:
        networks = tuple(Network(a.family, a.value, a.family.bits) for a in settings.addresses)
    return replace(settings, node_port_networks=networks, localhost_node_ports=False)


def accepting(expectation: Expectation, rules: RuleSet, objects: Objects) -> Expectation:
    """The expectation with what this kube-proxy does accepted too."""
    if not is_ipvs_proxy(rules):
        return expectation
    others = elsewhere(objects, expectation.settings, expectation.family)
    untouched = Untouched(True, _masqueraded_sources(expectation))
    return replace(
        expectation,
        frontends=tuple(_accepting(item, others, untouched) for item in expectation.frontends),
        untouched=untouched,
        drops_invalid=False,
        health_checks_anywhere=True,
    )


def elsewhere(objects: Objects, settings: NodeSettings, family: Family) -> frozenset[int]:
    """The addresses of endpoints that do not run on this node."""
    return frozenset(
        endpoint.address.value
        for item in objects.slices
        for endpoint in item.endpoints
        if endpoint.address.family is family
        and not (settings.known_node and endpoint.node_name == settings.node_name)
    )


def _masqueraded_sources(expectation: Expectation) -> tuple[Network, ...]:
    """Where pods cannot be told it masquerades by the source: what comes from a cluster IP."""
    family, settings = expectation.family, expectation.settings
    if settings.masquerade_all or pod_atom(settings, family) is not None:
        return ()
    found = {
        item.frontend.address
        for item in expectation.frontends
        if item.frontend.kind == "cluster IP" and item.frontend.address is not None
    }
    return tuple(Network(family, address, family.bits) for address in sorted(found))


def _accepting(
    item: FrontendExpectation, others: frozenset[int], untouched: Untouched
) -> FrontendExpectation:
    sources = untouched.masqueraded_sources
    cases = [part for case in item.cases for part in _from_elsewhere(item, case, sources)]
    cases = [part for case in cases for part in of_hairpins(item, case, others)]
    if item.frontend.kind == "loadbalancer IP":
        cases = [part for case in cases for part in _unfiltered(item, case)]
    if item.frontend.kind == "node port":
        served = [o for case in cases for o in case.allowed if isinstance(o, Serve)]
        cases = [
            Case(
                case.condition,
                tuple(
                    dict.fromkeys(
                        [
                            *(untouched if isinstance(o, Untouched) else o for o in case.allowed),
                            *served,
                        ]
                    )
                ),
            )
            if any(isinstance(o, Untouched) for o in case.allowed)
            else case
            for case in cases
        ]
    return FrontendExpectation(item.frontend, tuple(cases), item.may_be_local)


def _from_elsewhere(
    item: FrontendExpectation, case: Case, sources: tuple[Network, ...]
) -> Iterator[Case]:
    """What the node sends from one virtual IP to another may be masqueraded or not."""
    by_source = any(isinstance(atom, SourceIn) and not atom.negated for atom in case.condition)
    if not sources or item.frontend.kind != "cluster IP" or not by_source:
        yield case
        return
    assert item.frontend.address is not None
    family = item.frontend.family
    itself = SourceIn((Network(family, item.frontend.address, family.bits),))
    yield Case((*case.condition, itself), case.allowed)
    free = tuple(replace(o, masquerade=None) if isinstance(o, Serve) else o for o in case.allowed)
    yield Case((*case.condition, negation(itself)), free)


def of_hairpins(item: FrontendExpectation, case: Case, others: frozenset[int]) -> Iterator[Case]:
    """Who runs elsewhere and reaches itself keeps its source."""
    family = item.frontend.family
    hosts = {
        backend.address
        for outcome in case.allowed
        if isinstance(outcome, Serve) and outcome.masquerade is False
        for backend in outcome.backends
    } & others
    if not hosts:
        yield case
        return
    themselves = SourceIn(tuple(Network(family, host, family.bits) for host in sorted(hosts)))
    free = tuple(
        replace(o, masquerade=None) if isinstance(o, Serve) and o.masquerade is False else o
        for o in case.allowed
    )
    yield Case((*case.condition, themselves), free)
    yield Case((*case.condition, negation(themselves)), case.allowed)


def _from_the_address_itself(frontend: Frontend, case: Case) -> Iterator[Case]:
    """The node sends from the balancer's address to itself: dropped (KUBE-IPVS-OUT-FILTER) unless
    a range holds an address of the node, though one may hold the balancer's.
    """
    assert frontend.address is not None
    itself = SourceIn((Network(frontend.family, frontend.address, frontend.family.bits),))
    yield Case((*case.condition, FromNode(negated=True)), case.allowed)
    yield Case((*case.condition, FromNode(), negation(itself)), case.allowed)
    yield Case((*case.condition, FromNode(), itself), (*case.allowed, Discard()))


def _unfiltered(item: FrontendExpectation, case: Case) -> Iterator[Case]:
    """Source ranges do not stop what the node itself sends: OUTPUT does not ask for them."""
    served = tuple(
        replace(o, masquerade=None)
        for other in item.cases
        for o in other.allowed
        if isinstance(o, Serve)
    )
    guarded = any(o == Discard() for other in item.cases for o in other.allowed)
    if not served or not guarded or item.frontend.address is None:
        yield case
        return
    if not any(isinstance(o, Discard) for o in case.allowed):
        yield from _from_the_address_itself(item.frontend, case)
        return
    if not any(isinstance(atom, FromNode) and not atom.negated for atom in case.condition):
        yield Case((*case.condition, FromNode(negated=True)), case.allowed)
    own = (*case.condition, FromNode())
    yield Case(own, tuple(dict.fromkeys((*case.allowed, *served))))
