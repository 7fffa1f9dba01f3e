"""Schedulers act: what svcc writes chooses as its name says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import SCHEDULERS
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import IpvsSettings, NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_address, parse_network
from tests.support.kernel import packets
from tests.support.kernel.packets import Flow
from tests.support.kernel.testbed import Sent, Testbed, Variant
from tests.support.programs import random_ipvs as ipvs

pytestmark = pytest.mark.ipvs

OBJECTS = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: {svcc/ipvs-scheduler: SCHEDULER}}
spec: {clusterIP: 10.96.0.10, sessionAffinity: AFFINITY, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [10.244.2.1]}, {addresses: [10.244.2.2]}, {addresses: [10.244.2.3]}]
"""
BACKENDS = {"10.244.2.1", "10.244.2.2", "10.244.2.3"}
SETTINGS = NodeSettings(
    node_name="node-a",
    addresses=(parse_address("192.168.7.10"),),
    mode="ipvs",
    pods=PodDetection({Family.IPV4: parse_network("10.244.0.0/16")}),
    ipvs=IpvsSettings(scheduler="sh"),
)


def loaded(
    testbed: Testbed, variant: Variant, folder: Path, scheduler: str, affinity: str = "None"
) -> None:
    path = folder / "objects.yaml"
    path.write_text(OBJECTS.replace("SCHEDULER", scheduler).replace("AFFINITY", affinity))
    ipvs.load(testbed, variant, compile_objects(load([str(path)]), SETTINGS))


def backend(testbed: Testbed, source: str) -> str:
    flow = Flow(source, testbed.fresh_port(), "10.96.0.10", 80, packets.TCP)
    outcome = testbed.send("pod0", flow)
    assert isinstance(outcome, Sent), outcome
    return outcome.flow.destination


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_each_is_there_and_serves(
    scheduler: str, testbed: Testbed, variant: Variant, tmp_path: Path
) -> None:
    loaded(testbed, variant, tmp_path, scheduler)
    assert f"-A -t 10.96.0.10:80 -s {scheduler}\n" in testbed.node.run("ipvsadm", "-Sn")
    assert {backend(testbed, f"10.244.1.{n}") for n in range(10, 40)} <= BACKENDS


def test_rr_alternates(testbed: Testbed, variant: Variant, tmp_path: Path) -> None:
    loaded(testbed, variant, tmp_path, "rr")
    seen = [backend(testbed, "10.244.1.9") for _ in range(12)]
    assert set(seen[:3]) == BACKENDS
    assert seen == seen[:3] * 4


def test_sh_sticks_to_the_source(testbed: Testbed, variant: Variant, tmp_path: Path) -> None:
    loaded(testbed, variant, tmp_path, "sh")
    by_source = {
        source: {backend(testbed, source) for _ in range(5)}
        for source in (f"10.244.1.{n}" for n in range(10, 40))
    }
    assert all(len(found) == 1 for found in by_source.values())
    assert set.union(*by_source.values()) == BACKENDS


def test_weights_count(testbed: Testbed, variant: Variant, tmp_path: Path) -> None:
    loaded(testbed, variant, tmp_path, "wrr")
    testbed.node.run("ipvsadm", "-e", "-t", "10.96.0.10:80", "-r", "10.244.2.1:80", "-m", "-w", "4")
    testbed.node.run("ipvsadm", "-e", "-t", "10.96.0.10:80", "-r", "10.244.2.3:80", "-m", "-w", "0")
    seen = Counter(backend(testbed, "10.244.1.9") for _ in range(20))
    assert seen == {"10.244.2.1": 16, "10.244.2.2": 4}


def test_affinity_wins_over_rr(testbed: Testbed, variant: Variant, tmp_path: Path) -> None:
    loaded(testbed, variant, tmp_path, "rr", "ClientIP")
    by_source = [{backend(testbed, f"10.244.1.{n}") for _ in range(4)} for n in range(10, 16)]
    assert all(len(found) == 1 for found in by_source)
    assert set.union(*by_source) == BACKENDS
