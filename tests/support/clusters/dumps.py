"""The dumps of a real kube-proxy in ``tests/data/kube-proxy``, with the objects it was given."""

from __future__ import annotations

from functools import lru_cache

from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import parse_address, parse_network
from tests.paths import DATA

DUMPS = DATA / "kube-proxy"


@lru_cache(maxsize=32)
def dump_objects(name: str) -> Objects:
    """The objects of a dump."""
    return load([str(DUMPS / name / "objects.yaml")])


def dump_settings(name: str) -> NodeSettings:
    """The node that kube-proxy ran on."""
    values = dict(
        line.split(": ", 1)
        for line in (DUMPS / name / "node.yaml").read_text().splitlines()
        if not line.startswith("#")
    )
    networks = [parse_network(text) for text in values["cluster-cidr"].split(",")]
    return NodeSettings(
        node_name=values["node-name"],
        addresses=tuple(parse_address(text) for text in values["node-ip"].split(",")),
        pods=PodDetection({network.family: network for network in networks}),
        masquerade_all=name == "masquerade-all",
    )
