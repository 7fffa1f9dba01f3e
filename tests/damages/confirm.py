"""Counterexamples sent through the kernel: the damaged rules do there what the verifier says."""

from __future__ import annotations

from svcc.grammar.address import Address, Family
from svcc.verify.confirm.findings import Finding
from svcc.verify.spec.expectation import expect
from tests.damages.trials import Tried
from tests.support.kernel.probing import check, probe_of
from tests.support.kernel.testbed import Sender, Testbed, TestbedError, Variant
from tests.support.readings.agreement import expected_outcomes

_NOT_BY_ONE_PACKET = {
    "time": ("too short", "too soon", "too long", "never ends", "too early", "not renewed"),
    "shares": ("a little off", "wrong order", "stands twice", "probability turned around"),
    "two frontends": ("two ports share",),
}


def confirm(testbed: Testbed, variant: Variant, tried: Tried) -> str:
    """What the kernel does: of tables of nftables, or of rules of one variant of iptables.

    Returns:
        ``yes`` if the kernel does to the packet what must not be, ``–`` and why it cannot be seen,
    or ``no``."""
    for reason, names in _NOT_BY_ONE_PACKET.items():
        if any(part in tried.trial.name for part in names):
            return f"– ({reason})"
    found = [f for f in tried.violations() if f.counterexample is not None]
    if not found:
        return "– (no packet)"
    if all(f.property == "lets-through" for f in found):
        return "– (not a first packet)"
    testbed.reset(variant)
    if tried.trial.rules.endswith("nftables"):
        return _confirm_tables(testbed, tried, found)
    testbed.restore(variant, 4, "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")
    testbed.route_localnet(True)
    testbed.restore(variant, 4, tried.text)
    return _seen(testbed, tried, found)


def _confirm_tables(testbed: Testbed, tried: Tried, found: list[Finding]) -> str:
    testbed.route_localnet(True)
    testbed.node.run("nft", "flush", "ruleset")
    testbed.node.run("nft", "-f", "-", text=tried.text)
    try:
        return _seen(testbed, tried, found)
    finally:
        testbed.node.run("nft", "flush", "ruleset")


def _seen(testbed: Testbed, tried: Tried, found: list[Finding]) -> str:
    try:
        return "yes" if any(_wrong(testbed, tried, f) for f in found) else "no"
    except TestbedError:
        return "– (breaks the testbed's own packets too)"


def _wrong(testbed: Testbed, tried: Tried, finding: Finding) -> bool:
    assert finding.counterexample is not None
    assert tried.objects is not None
    assert tried.settings is not None
    packet = finding.counterexample.packet
    destination = str(Address(Family.IPV4, packet.destination))
    source = str(Address(Family.IPV4, packet.source))
    sender: Sender = "node"
    if not packet.from_node:
        sender = "pod0" if packet.in_interface == "pod0" else "ext0"
    probe = probe_of(testbed, sender, source, destination, packet.destination_port, packet.protocol)
    expectation = expect(tried.objects, tried.settings, Family.IPV4)
    return all(
        check(testbed, probe, wanted) is not None
        for wanted in expected_outcomes(expectation, probe)
    )
