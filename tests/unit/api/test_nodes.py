"""The rules of several nodes, from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import svcc.api
from tests.paths import DATA

SHOP = DATA / "reports" / "questions" / "shop.yaml"


def test_several_nodes(tmp_path: Path) -> None:
    objects = svcc.api.load(SHOP)
    nodes = svcc.api.all_node_settings(objects, cluster_cidr="10.244.0.0/16,fd00:244::/32")
    written = svcc.api.compile_nodes(objects, nodes, tmp_path)
    assert len(written) == 7
    rules = svcc.api.read_node_rules(tmp_path)
    assert sorted(rules) == ["node-a", "node-b"]
    reports = svcc.api.verify_nodes(objects, nodes, rules)
    assert [(r.node, r.verdict) for r in reports] == [("node-a", "proved"), ("node-b", "proved")]
    with pytest.raises(svcc.api.InputError, match="no rules of node-b"):
        svcc.api.verify_nodes(objects, nodes, {"node-a": rules["node-a"]})
    with pytest.raises(svcc.api.InputError, match="rules of one node, and 2"):
        svcc.api.verify_nodes(objects, nodes, rules["node-a"])
    with pytest.raises(svcc.api.InputError, match="not of node-b"):
        svcc.api.verify(objects, nodes[1], rules["node-a"])
    with pytest.raises(svcc.api.InputError, match="not of node-a"):
        svcc.api.explain(objects, nodes[0], "web", rules["node-b"])
    by_path = svcc.api.read_node_rules({"node-b": [tmp_path / "node-b"]})
    assert svcc.api.verify(objects, nodes[1], by_path["node-b"]).verdict == "proved"
    assert not by_path["node-b"].problems
