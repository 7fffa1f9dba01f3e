"""What a kube-proxy in nftables mode does otherwise, and what svcc does as it in this mode.

It is told by its table. Node ports are served on the primary address, or on those that
``nodePortAddresses`` selects, never on loopback; only endpoints of this node are in the set of
hairpins; ports of a cluster IP that are no frontend are refused; packets of no connection are let
through, and nothing is accepted, as an acceptance binds no other table. Source: kubernetes
pkg/proxy/nftables/proxier.go (setupNFTables, syncProxyRules).
"""

from __future__ import annotations

from dataclasses import replace

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Network
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
    expectation = replace(expectation, may_refuse=cluster_ips)
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


def _names(rules: RuleSet) -> set[str]:
    """The tables of nftables."""
    return {nft_table_of(table).partition(" ")[2] for table in rules.tables} - {""}
