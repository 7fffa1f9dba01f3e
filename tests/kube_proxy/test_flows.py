"""The packets that kube-proxy's tests send end where they expect, by svcc's rules and by its own.

kube-proxy's tracer walks all random choices at once: where one of several backends is masqueraded
for a hairpin it says that all are.
"""

from __future__ import annotations

from typing import Any

import pytest

from svcc.grammar.address import Family
from tests.kube_proxy.asking import Node, family_of, node_settings, ways
from tests.kube_proxy.dumps import recorded_rules
from tests.kube_proxy.known import unexplained
from tests.kube_proxy.recorded import cases, flows_of, names, objects_of

ENDS = {"REJECT": "rejected", "DROP": "dropped", "": "left alone", "ACCEPT": "left alone"}


def differs(flow: dict[str, Any], node: Node) -> str | None:
    """What becomes of the packet otherwise than kube-proxy's test says; None: nothing."""
    found = ways(node.explain(flow["sourceIP"], flow["destIP"], flow["destPort"], flow["protocol"]))
    wanted = {ENDS.get(word, word) for word in flow["output"].split(", ")}
    said = []
    if wanted != {way.end for way in found}:
        said.append(f"goes to {' | '.join(sorted({way.end for way in found}))}")
    if flow["output"] == "ACCEPT" and not any(way.accepted for way in found):
        said.append("no rule accepts it")
    masqueraded = [way for way in found if way.masqueraded]
    if bool(masqueraded) != flow["masq"]:
        said.append("is masqueraded" if masqueraded else "is not masqueraded")
    elif masqueraded and len(masqueraded) < len(found):
        hairpins = {
            w.end for w in found if w.end.rpartition(":")[0].strip("[]") == flow["sourceIP"]
        }
        if {way.end for way in masqueraded} != hairpins:
            said.append("is masqueraded to some")
    return ", ".join(said) or None


def differences(name: str, node: Node) -> list[str]:
    found = []
    for title, flow in flows_of(name):
        said = differs(flow, node)
        if said is not None:
            packet = f"{flow['protocol']} {flow['sourceIP']} -> {flow['destIP']}:{flow['destPort']}"
            wanted = f"{flow['output'] or 'left alone'}{', masqueraded' if flow['masq'] else ''}"
            found.append(f"{name} [{title}] {packet}: kube-proxy: {wanted}; svcc: {said}")
    return found


def by_svccs_rules(name: str) -> list[str]:
    case = cases()[name]
    settings = node_settings(case["settings"], case["mode"])
    return differences(name, Node(objects_of(name), settings, family_of(case["settings"])))


WITH_FLOWS = [name for name in names("sync", without="ipvs") if cases()[name]["flows"]]


@pytest.mark.parametrize("name", WITH_FLOWS)
def test_packets_through_svccs_rules_end_where_kube_proxy_expects(name: str) -> None:
    assert not unexplained("flow", by_svccs_rules(name))


@pytest.mark.parametrize(
    "name", [name for name in names("sync", "static", mode="iptables") if cases()[name]["flows"]]
)
def test_packets_through_kube_proxys_rules_end_where_it_expects(name: str) -> None:
    """The model of the kernel against kube-proxy's tracer."""
    case = cases()[name]
    settings = case["settings"]
    if case["kind"] == "static":
        settings = {
            "interfaceAddresses": case["tracerNodeIPs"],
            "ifLocal": ["-s", "10.0.0.0/8"],
        }
    family = family_of(settings)
    node = Node(
        objects_of(name), node_settings(settings, "iptables"), family, recorded_rules(name, family)
    )
    assert not unexplained("reading", differences(name, node))


def test_all_the_packets_are_asked_about() -> None:
    assert sum(len(list(flows_of(name))) for name in WITH_FLOWS) == 446
    assert Family.IPV6 in {family_of(cases()[name]["settings"]) for name in WITH_FLOWS}
