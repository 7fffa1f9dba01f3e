"""svcc graph, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.support.command import svcc

SHOP = ("-f", "examples/shop", "--config", "examples/shop/config.yaml")
DATA = Path("tests/data/kube-proxy/clusterip-3ep")
NODE = ("--node", "node-a", "--node-ip", "192.168.7.10", "--cluster-cidr", "10.244.0.0/16")


def test_mermaid_is_what_is_printed() -> None:
    done = svcc("graph", *SHOP, "shop/web")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("flowchart LR\n")
    assert done.out.count("subgraph") == 1
    assert "#60;br" not in done.out
    assert svcc("graph", *SHOP, "-n", "shop", "web").out == done.out


def test_without_a_name_all_are_drawn() -> None:
    done = svcc("graph", *SHOP, "--no-verify")
    assert done.out.count("subgraph") == 11
    assert "proved" not in done.out
    assert svcc("graph", *SHOP, "--no-verify", "-n", "shop").out == done.out


@pytest.mark.parametrize("mode", ["iptables", "ipvs", "nftables"])
def test_every_mode_is_judged(mode: str) -> None:
    (node,) = json.loads(svcc("graph", *SHOP, "--mode", mode, "-o", "json").out)["nodes"]
    assert (node["mode"], node["verdict"]) == (mode, "proved")
    assert {service["verdict"] for service in node["services"]} == {"proved"}


def test_a_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "shop.html"
    done = svcc("graph", *SHOP, "-o", "html", "--output-file", path)
    assert (done.code, done.out) == (0, "")
    assert path.read_text().startswith("<!doctype html>")
    done = svcc("graph", *SHOP, "-o", "dot", "--output-file", tmp_path / "none" / "x.dot")
    assert done.code == 2
    assert "cannot write: No such file or directory" in done.err


def test_the_verdict_does_not_decide_the_exit_code(tmp_path: Path) -> None:
    text = (ROOT / DATA / "iptables-save.txt").read_text()
    rules = tmp_path / "damaged.rules"
    rules.write_text(text.replace("10.244.2.7:8080", "10.244.2.8:8080"))
    done = svcc("graph", "-f", DATA / "objects.yaml", *NODE, "--rules", rules, "shop/web")
    assert done.code == 0
    assert "violated: SVC002" in done.out
    assert f"{rules}:" in done.out


def test_all_nodes() -> None:
    more = ("-f", "tests/data/graph/node-b.yaml", "--all-nodes")
    found = json.loads(svcc("graph", *SHOP, *more, "-o", "json").out)
    assert [node["node"] for node in found["nodes"]] == ["node-a", "node-b"]
    assert {node["verdict"] for node in found["nodes"]} == {"proved"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("shop/wob",), "graph: error: there is no Service shop/wob; did you mean shop/web?"),
        (("database",), "graph: error: there is nothing to draw: shop/database: headless"),
        (("from", "pod"), "unrecognized arguments"),
        (("-n", "nowhere"), "-n: error: there is no Service in the namespace nowhere"),
        (("--no-verify", "--rules", "x"), "--no-verify: error: not with rules to judge"),
        (("-o", "svg"), "invalid choice"),
        (("--mode", "userspace"), "--mode userspace: error: is not drawn"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], said: str) -> None:
    done = svcc("graph", *SHOP, *arguments)
    assert done.code == 2
    assert said in done.err


def test_the_cluster_domain_is_in_names() -> None:
    done = svcc("graph", *SHOP, "shop/web", "--no-verify", "--cluster-domain", "example.org")
    assert "web.shop.svc.example.org" in done.out


def test_each_node_has_rules_of_its_own(tmp_path: Path) -> None:
    more = ("-f", "tests/data/graph/node-b.yaml", "--all-nodes")
    assert svcc("compile", *SHOP, *more, "-o", tmp_path / "rules").code == 0
    rules = tmp_path / "rules" / "node-b" / "iptables.rules"
    rules.write_text(rules.read_text().replace("10.244.3.10:8080", "10.244.3.99:8080"))
    done = svcc("graph", *SHOP, *more, "--rules", tmp_path / "rules", "-o", "json")
    found = {node["node"]: node for node in json.loads(done.out)["nodes"]}
    assert {name: node["verdict"] for name, node in found.items()} == {
        "node-a": "proved",
        "node-b": "violated",
    }
    wrong = {s["name"] for s in found["node-b"]["services"] if s["verdict"] != "proved"}
    assert wrong == {"web"}
    # A folder that is not as it was written proves nothing of the one that was.
    assert done.code == 2
    assert "iptables.rules" in done.err
