"""The virtual servers of kube-proxy's tests of ipvs mode: svcc's rules send outsiders there too."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from svcc.grammar.errors import InputError
from tests.kube_proxy.asking import Node, bad_input, family_of, node_settings
from tests.kube_proxy.dumps import place
from tests.kube_proxy.known import unexplained
from tests.kube_proxy.recorded import cases, names, objects_of


def _sender(objects: list[dict[str, Any]], target: str) -> str:
    """Somebody outside, whom the source ranges of that balancer address let in."""
    for item in objects:
        ingress = ((item.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        ranges = (item.get("spec") or {}).get("loadBalancerSourceRanges")
        if ranges and any(each.get("ip") == target for each in ingress):
            return str(ipaddress.ip_network(ranges[0].strip())[77])
    return "2001:db8:ffff::1" if ":" in target else "203.0.113.2"


@pytest.mark.parametrize("name", names("sync", mode="ipvs"))
def test_virtual_servers(name: str) -> None:
    assert not unexplained("virtual servers", differences(name))


def differences(name: str) -> list[str]:
    case = cases()[name]
    objects = objects_of(name)
    try:
        node = Node(objects, node_settings(case["settings"], "ipvs"), family_of(case["settings"]))
    except InputError as error:
        return [f"{name}: {bad_input(error)}"]
    differing = []
    for server in case["extra"]["virtualServers"]:
        target, port, protocol = server["address"], server["port"], server["protocol"]
        wanted = sorted(
            place(r["address"], r["port"]) for r in server["realServers"] if r["weight"]
        )
        got = node.ends(_sender(objects, target), target, port, protocol)
        if got != wanted and (wanted or got not in (["rejected"], ["dropped"])):
            front = f"{place(target, port)}/{protocol}"
            found = f"kube-proxy: {' | '.join(wanted) or 'none'}; svcc: {' | '.join(got)}"
            differing.append(f"{name} {front}: {found}")
    return differing
