"""svcc verify --policy: exit codes, messages, JSON, nodes and modes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_contract import DUMP, NODE, SHOP
from tests.paths import ROOT
from tests.support.command import svcc

POLICIES = ROOT / "examples" / "policy"


def written(folder: Path, text: str) -> str:
    path = folder / "shop.policy"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
def test_verdicts(tmp_path: Path, mode: str) -> None:
    policy = written(
        tmp_path,
        "always pod -> service shop/web via >= 3 backends\n"
        "only 198.51.100.0/24, 192.168.7.0/24, 203.0.113.11, pod -> loadbalancer shop/checkout\n"
        "never external -> nodeport shop/search\n"
        "always external -> nodeport shop/web with source masqueraded\n",
    )
    done = svcc("verify", *SHOP, "--mode", mode, "--policy", policy)
    assert done.code == 0, done.out
    assert "policy                 4 proved " in done.out
    alone = svcc("verify", *SHOP, "--mode", mode, "--policy", policy, "--policy-only")
    assert alone.code == 0
    assert "reaches-exactly" not in alone.out


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
def test_json_names_statement_and_packet(tmp_path: Path, mode: str) -> None:
    policy = written(
        tmp_path,
        "# first\nnever external -> service shop/api\nalways pod -> any service via >= 9 backends\n"
        "always node -> clusterip shop/cart via only 10.244.1.0/24\n",
    )
    done = svcc("verify", *SHOP, "--mode", mode, "--policy", policy, "-o", "json")
    assert done.code == 1, done.err
    result = json.loads(done.out)
    found = [item for item in result["properties"] if item["property"] == "policy"]
    assert {item["verdict"] for item in result["properties"]} == {"proved", "violated"}
    first = found[0]
    assert first["frontend"] == f"{policy}:2: never external -> service shop/api"
    assert first["reason"] == "at 10.96.10.2:80/TCP (shop/api:http)"
    assert first["counterexample"]["packet"]["destination"] == "10.96.10.2"
    assert [(item["verdict"], item["family"]) for item in found] == [
        ("violated", "ipv4"),
        ("violated", "ipv4"),
        ("violated", "ipv4"),
        ("violated", "ipv6"),
    ]
    assert all(item["counterexample"]["trace"] for item in found)


def test_given_rules(tmp_path: Path) -> None:
    policy = written(tmp_path, "always pod -> any service via >= 3 backends\n")
    arguments = ["verify", "-f", str(DUMP / "objects.yaml"), *NODE, "--policy", policy]
    rules = DUMP / "iptables-save.txt"
    assert svcc(*arguments, "--rules", str(rules), "--family", "ipv4").code == 0
    broken = tmp_path / "iptables.rules"
    broken.write_text(rules.read_text().replace("-probability 0.50000000000", "-probability 1.0"))
    done = svcc(*arguments, "--rules", str(broken), "--policy-only")
    assert done.code == 1
    assert "to reach one of 3 or more backends" in done.out
    broken.write_text(
        "*raw\n-A PREROUTING -m limit --limit 3/min -j DROP\nCOMMIT\n" + rules.read_text()
    )
    assert svcc(*arguments, "--rules", str(broken), "--policy-only").code == 3


def test_every_node_is_judged(tmp_path: Path) -> None:
    nodes = (ROOT / "examples/shop/node.yaml").read_text()
    other = nodes.replace("node-a", "node-b").replace("192.168.7.10", "192.168.7.11")
    (tmp_path / "nodes.yaml").write_text(nodes + "---\n" + other)
    shop = ROOT / "examples" / "shop"
    inputs = ["-f", str(tmp_path / "nodes.yaml")]
    inputs += [word for name in ("services", "endpoints") for word in ("-f", f"{shop}/{name}.yaml")]
    cidr = ["--cluster-cidr", "10.244.0.0/16,fd00:244::/32", "--all-nodes", "-o", "json"]
    # Only node-b has an address of that kind and an endpoint of search.
    policy = written(
        tmp_path,
        "never external -> nodeport shop/search\nnever external -> address 192.168.7.11:30090\n",
    )
    done = svcc("verify", *inputs, *cidr, "--policy", policy)
    assert done.code == 1, done.err
    found = [p for p in json.loads(done.out)["properties"] if p["property"] == "policy"]
    assert [(p["node"], p["verdict"]) for p in found] == [
        ("node-a", "proved"),
        ("node-b", "violated"),
        ("node-b", "violated"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("never pods -> any service\n", ":1:7: error: 'pods' is not an IP address"),
        ("\n  never pod -> service a/b\n", ":2:3: error: service a/b is no frontend"),
    ],
)
def test_bad_statements(tmp_path: Path, text: str, message: str) -> None:
    policy = written(tmp_path, text)
    done = svcc("verify", *SHOP, "--policy", policy)
    assert (done.code, done.out) == (2, "")
    assert policy + message in done.err
    assert "Traceback" not in done.err


def test_bad_use(tmp_path: Path) -> None:
    done = svcc("verify", *SHOP, "--policy", str(tmp_path / "none"))
    assert done.code == 2
    assert "none: error: cannot read: No such file" in done.err
    done = svcc("verify", *SHOP, "--policy-only")
    assert done.code == 2
    assert "--policy-only: error: there are no statements" in done.err


def test_a_statement_that_may_match_nothing(tmp_path: Path) -> None:
    policy = written(tmp_path, "never pod -> service no/such if any\n")
    assert svcc("verify", *SHOP, "--policy", policy).code == 0
