"""What ipvs mode compiles to, loaded with the tools themselves and tried with real packets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from svcc.compiler.configuration import Overrides, load_configuration, node_settings
from svcc.compiler.load import load as load_objects
from svcc.compiler.pipeline import Compiled, compile_objects
from svcc.grammar.address import parse_address
from tests.support import ipvs
from tests.support.cases import BehaviourCase, case_names, read_case
from tests.support.outcomes import Drop, Refuse, Serve, Untouched
from tests.support.probing import check, probe_of
from tests.support.testbed import Testbed, Variant

pytestmark = pytest.mark.ipvs


def compiled_case(case: BehaviourCase, folder: Path) -> Compiled:
    """The case's objects in ipvs mode."""
    objects_file, config = case.write(folder)
    objects = load_objects([str(objects_file)])
    settings, _ = node_settings(
        objects,
        load_configuration(str(config)),
        Overrides(proxy_mode="ipvs"),
        Overrides(),
        hostname="none",
    )
    return compile_objects(objects, settings)


@pytest.mark.parametrize("name", case_names())
def test_packets_see_what_they_must(
    name: str, testbed: Testbed, variant: Variant, tmp_path: Path
) -> None:
    case = read_case(name)
    compiled = compiled_case(case, tmp_path)
    ipvs.load(testbed, variant, compiled)
    wrong = send_all(testbed, case, compiled)
    if wrong:
        for command in (["ipvsadm", "-Sn"], ["ipset", "save"], ["ip", "address"]):
            wrong.append(testbed.node.run(*command))
        wrong.append(testbed.node.run(f"iptables-{variant}-save"))
    assert not wrong, "\n".join(wrong)


def send_all(testbed: Testbed, case: BehaviourCase, compiled: Compiled) -> list[str]:
    """Send every packet of a case; what went wrong."""
    assert compiled.ipvs is not None
    virtual = {a for addresses in compiled.ipvs.addresses.values() for a in addresses}
    wrong = []
    for packet in case.packets:
        wanted = packet.wanted
        if isinstance(wanted, Untouched) and _value(packet.destination) in virtual:
            wanted = Refuse()
        if packet.sender != "node" and packet.source and _value(packet.source) in virtual:
            # The kernel takes no packet from outside with one of its own addresses as source.
            wanted = Drop()
        probe = probe_of(
            testbed, packet.sender, packet.source, packet.destination, packet.port, packet.protocol
        )
        from_virtual = packet.sender == "node" and _value(probe.flow.source) in virtual
        if from_virtual and isinstance(wanted, Serve):
            # No backend could answer a virtual IP.
            wanted = replace(wanted, masquerade=True)
        if found := check(testbed, probe, wanted):
            wrong.append(f"{packet.text}: {found}")
    return wrong


def _value(text: str) -> int:
    return parse_address(text).value
