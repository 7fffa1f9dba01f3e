"""Compiled rules, read as frontends again, say what was compiled; in each mode, of each case."""

from __future__ import annotations

import pytest

from svcc.api.own_rules import wanted_of
from svcc.api.seen import names_of
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
