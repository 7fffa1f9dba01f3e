"""Nodes share a proof only if each alone has the same verdict for the same reasons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from svcc.api.own_rules import read_back
from svcc.compiler.model.objects import Node, Objects, Origin
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_address, parse_network
from svcc.verify.spec.node_kinds import NodeKinds
from tests.support.clusters.objects import Cluster, clusters
from tests.support.effort import examples
from tests.support.proofs import verify

pytestmark = pytest.mark.slow

NAMES = ("node-a", "node-b", "node-c", "stranger", "another")


def settings_of(name: str, address: str, like: NodeSettings) -> NodeSettings:
    return replace(like, node_name=name, addresses=(parse_address(address),), known_node=True)


@examples(6, 200)
@given(cluster=clusters())
def test_alike_nodes_have_the_same_rules_and_verdict(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> None:
    folder = tmp_path_factory.getbasetemp() / "alike"
    Path(folder).mkdir(exist_ok=True)
    objects, like = cluster.load(folder)
    kinds = NodeKinds(objects)
    known: dict[object, tuple[object, set[tuple[str, str]]]] = {}
    for number, name in enumerate(NAMES):
        node = settings_of(name, f"192.168.200.{number + 1}", like)
        compiled = compile_objects(objects, node)
        report = verify(objects, node, read_back(compiled))
        judged = {(f.frontend, f.property) for f in report.findings if f.verdict == "proved"}
        found = (compiled.programs, judged)
        assert known.setdefault(kinds.of(node), found) == found


def node(name: str, address: str) -> NodeSettings:
    pods = PodDetection({Family.IPV4: parse_network("10.244.0.0/16")})
    return NodeSettings(node_name=name, addresses=(parse_address(address),), pods=pods)


def test_what_tells_nodes_apart() -> None:
    origin = Origin("x")
    objects = Objects(nodes=[Node("a", origin), Node("b", origin)])
    kinds = NodeKinds(objects)
    assert kinds.of(node("a", "192.168.7.10")) == kinds.of(node("b", "192.168.7.11"))
    assert kinds.of(node("a", "192.168.7.10")) != kinds.of(node("b", "10.244.0.1"))
    ipvs = [replace(node(n, f"192.168.7.{i}"), mode="ipvs") for i, n in enumerate("ab")]
    assert kinds.of(ipvs[0]) != kinds.of(ipvs[1])
