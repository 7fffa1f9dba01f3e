"""What a kube-proxy in nftables mode does otherwise, and what svcc does as it in this mode.

It is told by its table. Node ports are served on the primary address, or on those that
``nodePortAddresses`` selects, never on loopback; only endpoints of this node are in the set of
hairpins; ports of a cluster IP that are no frontend are refused; packets of no connection are let
through, and nothing is accepted, as an acceptance binds no other table. Source: kubernetes
pkg/proxy/nftables/proxier.go (setupNFTables, syncProxyRules).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Network
from svcc.grammar.iptables.program import Comment, Verdict
from svcc.grammar.iptables.ruleset import RuleSet, nft_table_of
from svcc.verify.spec.expectation import Expectation, FrontendExpectation
from svcc.verify.spec.kube_proxy_ipvs import elsewhere, of_hairpins

TABLE = "kube-proxy"
OWN_TABLE = "svcc"


def is_nftables_proxy(rules: RuleSet) -> bool:
    """Whether a kube-proxy in nftables mode wrote the service rules."""
    return TABLE in _names(rules)


def settings_for(settings: NodeSettings, rules: RuleSet) -> NodeSettings:
    """The settings as this kube-proxy takes them."""
    if not is_nftables_proxy(rules):
        return settings
    networks = settings.node_port_networks
    if networks is None:
        primary = settings.primary_address(rules.family)
        others = tuple(
            Network(a.family, a.value, a.family.bits)
            for a in settings.addresses
            if a.family is not rules.family
        )
        own = () if primary is None else (Network(rules.family, primary.value, rules.family.bits),)
        networks = (*own, *others)
    return replace(settings, node_port_networks=networks, localhost_node_ports=False)


def accepting(expectation: Expectation, rules: RuleSet, objects: Objects) -> Expectation:
    """The expectation with what rules of this mode do accepted too."""
    names = _names(rules)
    if not names & {TABLE, OWN_TABLE}:
        return expectation
    cluster_ips = frozenset(
        item.frontend.address
        for item in expectation.frontends
        if item.frontend.kind == "cluster IP" and item.frontend.address is not None
    )
    expectation = replace(
        expectation,
        may_refuse=cluster_ips,
        may_drop=tuple(_of_services(rules, objects, expectation.settings, cluster_ips)),
    )
    if TABLE not in names:
        return expectation
    others = elsewhere(objects, expectation.settings, expectation.family)
    frontends = tuple(
        FrontendExpectation(
            item.frontend,
            tuple(part for case in item.cases for part in of_hairpins(item, case, others)),
            item.may_be_local,
        )
        for item in expectation.frontends
    )
    return replace(expectation, frontends=frontends, drops_invalid=False)


def _of_services(
    rules: RuleSet, objects: Objects, settings: NodeSettings, cluster_ips: frozenset[int]
) -> Iterator[Network]:
    """The networks that service rules drop packets to, as far as they can be those that cluster
    IPs are taken from: one is in them, or a setting says so, and no pod, node or other address of
    a Service is.
    """
    family = rules.family
    taken = [network for of, network in settings.pods.networks.items() if of is family]
    others = [address for node in objects.nodes for address in node.addresses]
    others += settings.addresses
    others += [e.address for item in objects.slices for e in item.endpoints]
    others += [a for s in objects.services for a in (*s.external_ips, *s.ingress)]
    for network in dict.fromkeys(_dropped(rules)):
        holds = network.holds
        if (
            (
                network in settings.service_networks
                or any(holds(Address(family, value)) for value in cluster_ips)
            )
            and not any(network.overlaps(other) for other in taken)
            and not any(holds(address) for address in others)
        ):
            yield network


def _dropped(rules: RuleSet) -> Iterator[Network]:
    """The networks that rules of a service proxy drop packets to, whatever else they are."""
    for table, chains in rules.tables.items():
        if nft_table_of(table).partition(" ")[2] not in (TABLE, OWN_TABLE):
            continue
        for chain in chains.values():
            for rule in chain.rules:
                asked = rule.destination
                if rule.target != Verdict("DROP") or asked is None or asked.negated:
                    continue
                only = all(isinstance(match, Comment) for match in rule.matches)
                length = asked.mask.bit_count()
                network = Network(rules.family, asked.address & asked.mask, length)
                if only and rule.protocol is None and network.mask == asked.mask:
                    yield network


def _names(rules: RuleSet) -> set[str]:
    """The tables of nftables."""
    return {nft_table_of(table).partition(" ")[2] for table in rules.tables} - {""}
