"""Packets flow while backends come and go: none is lost, none goes astray."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from svcc.apply.engine import apply
from svcc.apply.iptables.tool import Iptables
from svcc.compiler.load.loader import load
from svcc.compiler.pipeline import Compiled, compile_objects
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_address, parse_network
from tests.support.effort import LONG
from tests.support.kernel import packets
from tests.support.kernel.packets import Flow
from tests.support.kernel.testbed import Sender, Sent, Testbed, Variant

pytestmark = pytest.mark.ipvs

OBJECTS = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.10
  externalTrafficPolicy: POLICY
  ports: [{port: 80, nodePort: 30080}]
status: {loadBalancer: {ingress: [{ip: 198.51.100.20}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [ENDPOINTS]
"""
SETTINGS = NodeSettings(
    node_name="node-a",
    addresses=(parse_address("192.168.7.10"),),
    mode="ipvs",
    pods=PodDetection({Family.IPV4: parse_network("10.244.0.0/16")}),
)
HERE, THERE = [f"10.244.1.{n}" for n in range(11, 16)], [f"10.244.2.{n}" for n in range(1, 6)]
PROBES: list[tuple[Sender, str, str, int]] = [
    ("pod0", "10.244.1.99", "10.96.0.10", 80),
    ("ext0", "203.0.113.7", "198.51.100.20", 80),
    ("pod0", "10.244.1.99", "198.51.100.20", 80),
    ("ext0", "203.0.113.7", "192.168.7.11", 30080),
    ("node", "192.168.7.10", "10.96.0.10", 80),
]


@dataclass
class Rounds:
    """Applies one state after the other in a thread of its own."""

    testbed: Testbed
    variant: Variant
    states: list[Compiled]
    done: int = 0
    failed: list[str] = field(default_factory=list)

    def run(self) -> None:
        with self.testbed.node.entered():
            for state in self.states:
                try:
                    apply(
                        state.programs,
                        route_localnet=False,
                        ipvs=state.ipvs,
                        drain=0,
                        tools=Iptables(self.variant),
                    )
                except Exception as error:
                    self.failed.append(repr(error))
                    return
                self.done += 1


@pytest.mark.parametrize(
    ("policy", "applies"),
    [("Cluster", 15), ("Local", 50)] if LONG else [("Cluster", 5), ("Local", 8)],
)
def test_no_packet_is_lost_or_misdirected(
    policy: str, applies: int, testbed: Testbed, variant: Variant, tmp_path: Path
) -> None:
    chance = random.Random(policy)
    chosen = [
        chance.sample(HERE, chance.randint(1, 4)) + chance.sample(THERE, chance.randint(1, 4))
        for _ in range(applies + 1)
    ]
    states = []
    for backends in chosen:
        path = tmp_path / "objects.yaml"
        endpoints = ", ".join(
            f"{{addresses: [{a}], nodeName: {'node-a' if a in HERE else 'node-b'}}}"
            for a in backends
        )
        path.write_text(OBJECTS.replace("POLICY", policy).replace("ENDPOINTS", endpoints))
        states.append(compile_objects(load([str(path)]), SETTINGS))
    first = Rounds(testbed, variant, states[:1])
    first.run()
    assert not first.failed, first.failed
    rounds = Rounds(testbed, variant, states[1:])
    thread = threading.Thread(target=rounds.run)
    thread.start()
    sent = 0
    wrong: list[str] = []
    while thread.is_alive() and len(wrong) < 5 and sent < 15_000:
        sender, source, destination, port = PROBES[sent % len(PROBES)]
        before = rounds.done
        flow = Flow(source, testbed.fresh_port(), destination, port, packets.TCP)
        outcome = testbed.send(sender, flow)
        sent += 1
        # The other thread needs the processor more, and no port may come round again.
        time.sleep(0.02)
        allowed = {a for backends in chosen[before : rounds.done + 2] for a in backends}
        if policy == "Local" and sender == "ext0":
            allowed &= set(HERE)
        if not isinstance(outcome, Sent) or outcome.flow.destination not in allowed:
            wrong.append(f"{flow} in round {before}: {outcome}")
    thread.join()
    assert not rounds.failed, rounds.failed
    assert not wrong, "\n".join(wrong)
    assert rounds.done == applies
    assert sent > applies
