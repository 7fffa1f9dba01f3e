"""Compiled rules, read as frontends again, say what was compiled; in each mode, of each case."""

from __future__ import annotations

import pytest

from svcc.api import load, node_settings
from svcc.api.loaded.seen import names_of
from svcc.api.own_rules import wanted_of
from svcc.apply.engine import _target
from svcc.apply.frontends import Backend, Key
from svcc.apply.held import Held
from svcc.apply.seen.changes import changes, frontends_of
from svcc.compiler.pipeline import Compiled, compile_objects
from svcc.compiler.resolve.forwarding import ServicePort
from tests.support.clusters.cases import case_names, case_objects

MODES = ("iptables", "ipvs", "nftables")


def held(compiled: Compiled) -> Held:
    """As if it were loaded."""
    if compiled.tables is not None:
        return Held((compiled.tables,))
    rules = {family: _target(program) for family, program in compiled.programs.items()}
    return Held(rules=(rules,), ipvs=() if compiled.ipvs is None else (compiled.ipvs,))


def keys_of(port: ServicePort) -> dict[Key, bool]:
    """The frontends of a service port; whether each is one for clients from outside."""
    family, protocol = port.family, port.protocol
    found = {Key(family, protocol, port.cluster_ip, port.port): False}
    for address in (*port.external_addresses, *port.balancer_addresses):
        found[Key(family, protocol, address, port.port)] = True
    if port.node_port:
        found[Key(family, protocol, None, port.node_port)] = True
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", case_names())
def test_what_is_read_is_what_was_compiled(name: str, mode: str) -> None:
    compiled = compile_objects(*case_objects(name, mode))
    names = names_of(wanted_of(compiled))
    found = frontends_of(held(compiled), names)
    expected: dict[Key, tuple[ServicePort, bool]] = {}
    for port in compiled.forwarding.service_ports:
        for key, outside in keys_of(port).items():
            expected[key] = (port, outside)
    assert set(found) == set(expected)
    for key, (port, outside) in expected.items():
        item = found[key]
        assert item.label == port.label
        assert item.kind
        assert item.rules
        everywhere = {Backend(b.address, b.port) for b in port.everywhere}
        here = {Backend(b.address, b.port) for b in port.here}
        backends = item.backends
        if not port.usable:
            assert not backends
        elif not outside:
            assert backends == (here if port.internal_local else everywhere)
        elif port.external_local:
            # Pods and the node itself reach all backends at such an address.
            assert here <= backends <= here | everywhere
        else:
            assert backends == everywhere


@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("after", MODES)
@pytest.mark.parametrize("name", ["cluster-ip", "node-port", "dual-stack"])
def test_the_same_in_two_modes_is_no_change(name: str, before: str, after: str) -> None:
    if name not in case_names():
        pytest.skip("no such case")
    old, new = (compile_objects(*case_objects(name, mode)) for mode in (before, after))
    assert changes(held(old), held(new), names_of(wanted_of(new))) == []


SHOP = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  internalTrafficPolicy: POLICY
  clusterIP: 10.96.0.10
  allocateLoadBalancerNodePorts: false
  ports: [{port: 80}]
status: {loadBalancer: {ingress: [{ip: 198.51.100.20}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 80}]
endpoints:
- {addresses: [10.244.1.5], nodeName: node-a}
- {addresses: [10.244.2.5], nodeName: node-b}
"""


@pytest.mark.parametrize("mode", MODES)
def test_what_changes_at_one_frontend_only_is_told_with_it(mode: str) -> None:
    made = []
    for policy in ("Local", "Cluster"):
        objects = load(text=SHOP.replace("POLICY", policy))
        settings = node_settings(
            objects, node="node-a", mode=mode, node_ip=["192.168.7.10"],
            cluster_cidr="10.244.0.0/16",
        )  # fmt: skip
        made.append(compile_objects(objects, settings))
    (change,) = changes(held(made[0]), held(made[1]), names_of(wanted_of(made[1])))
    assert change.to_text() == "shop/web: at 10.96.0.10:80/TCP +10.244.2.5:80"
    (back,) = changes(held(made[1]), held(made[0]), names_of(wanted_of(made[1])))
    assert back.to_text() == "shop/web: at 10.96.0.10:80/TCP -10.244.2.5:80"
