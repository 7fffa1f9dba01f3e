"""The contract of the command line: flags, files, exit codes, JSON."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import DATA, ROOT
from tests.support.command import svcc, svcc_process
from tests.support.kernel.namespace import Namespace, missing, namespace

CLASSIC = ROOT / "examples" / "classic"
SHOP = ["-f", str(ROOT / "examples" / "shop"), "--config", str(ROOT / "examples/shop/config.yaml")]
DUMP = DATA / "kube-proxy" / "clusterip-3ep"
NODE = ["--node", "node-a", "--node-ip", "192.168.7.10", "--cluster-cidr", "10.244.0.0/16"]


def test_compile_to_a_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        done = svcc_process("compile", *SHOP, "-o", str(tmp_path / name))
        assert (done.code, done.out) == (0, "")
        files = sorted((tmp_path / name).iterdir())
        assert [f.name for f in files] == ["bundle.json", "ip6tables.rules", "iptables.rules"]
        contents.append([f.read_bytes() for f in files])
    assert contents[0] == contents[1]


def test_bundle_is_proved_as_rules(tmp_path: Path) -> None:
    assert svcc("compile", *SHOP, "-o", str(tmp_path)).code == 0
    assert svcc("verify", *SHOP, "--rules", str(tmp_path)).code == 0
    damaged = tmp_path / "iptables.rules"
    text = damaged.read_text()
    damaged.write_text(text.replace("-destination 10.244.1.10:8080", "-destination 10.244.1.9:1"))
    done = svcc("verify", *SHOP, "--rules", str(tmp_path), "-o", "json")
    assert done.code == 1
    result = json.loads(done.out)
    assert result["verdict"] == "violated"
    assert {"properties", "rules", "seconds"} <= result.keys()
    violated = [p for p in result["properties"] if p["verdict"] == "violated"]
    assert violated
    for finding in violated:
        assert {"property", "frontend", "counterexample"} <= finding.keys()
        example = finding["counterexample"]
        assert {"packet", "trace", "expected", "got"} <= example.keys()
        assert example["packet"]["destination_port"] in (80, 30080)
        assert any(step.get("line") for step in example["trace"])


def test_standard_input() -> None:
    text = (CLASSIC / "clusterip.yaml").read_text()
    done = svcc_process("compile", "-f", "-", text=text)
    assert done.code == 0
    assert "10.99.10.103/32" in done.out
    assert "note: no Node among the objects" in done.err


def test_no_comments() -> None:
    done = svcc("compile", *SHOP, "--no-comments")
    assert done.code == 0
    assert "--comment" not in done.out


def test_exit_2_and_where_the_mistake_is(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text((CLASSIC / "clusterip.yaml").read_text().replace("10.99.10.103", "10.99"))
    for command in ("compile", "verify", "apply", "diff"):
        done = svcc(command, "-f", str(bad))
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"{bad}:6:14: error: spec.clusterIP: ")


def test_exit_2_for_a_mode_that_there_is_not() -> None:
    done = svcc("compile", *SHOP, "--mode", "kernelspace")
    assert done.code == 2
    assert "write iptables or ipvs or nftables" in done.err


def test_nftables_mode_is_printed_and_proved(tmp_path: Path) -> None:
    done = svcc("compile", *SHOP, "--mode", "nftables")
    assert done.code == 0
    assert "table ip svcc {" in done.out
    rules = tmp_path / "rules.nft"
    rules.write_text(done.out)
    assert svcc("verify", *SHOP, "--mode", "nftables", "--rules", rules).code == 0
    assert svcc("verify", *SHOP, "--mode", "nftables").code == 0
    wrong = done.out.replace("chain refuse {\n\t\treject", "chain refuse {\n\t\taccept")
    assert wrong != done.out
    rules.write_text(wrong)
    assert svcc("verify", *SHOP, "--mode", "nftables", "--rules", rules).code == 1


def test_exit_3_for_a_rule_outside_the_model(tmp_path: Path) -> None:
    lines = (DUMP / "iptables-save.txt").read_text().splitlines()
    entry = next(i for i, line in enumerate(lines) if "-d 10.96.0.10/32" in line)
    lines.insert(entry, "-A KUBE-SERVICES -m time --timestart 01:00 --timestop 02:00 -j ACCEPT")
    rules = tmp_path / "iptables.txt"
    rules.write_text("\n".join(lines) + "\n")
    done = svcc("verify", "-f", str(DUMP / "objects.yaml"), *NODE, "--rules", str(rules))
    assert done.code == 3
    assert f"{rules}:{entry + 1}: {lines[entry]}" in done.out


def test_every_family_with_frontends_must_be_given() -> None:
    dual = DUMP.with_name("dual-stack")
    arguments = ["verify", "-f", str(dual / "objects.yaml"), *NODE]
    one = ["--rules", str(dual / "iptables-save.txt")]
    both = [*one, "--rules", str(dual / "ip6tables-save.txt")]
    assert svcc(*arguments, *one).code == 2
    assert svcc(*arguments, *one, "--family", "ipv4").code == 0
    assert svcc(*arguments[:-1], "10.244.0.0/16,fd00:244::/32", *both).code == 0


def test_all_nodes(tmp_path: Path) -> None:
    nodes = (ROOT / "examples/shop/node.yaml").read_text()
    other = nodes.replace("node-a", "node-b").replace("192.168.7.10", "192.168.7.11")
    (tmp_path / "nodes.yaml").write_text(nodes + "---\n" + other)
    shop = ROOT / "examples" / "shop"
    inputs = ["-f", str(tmp_path)]
    inputs += [word for name in ("services", "endpoints") for word in ("-f", f"{shop}/{name}.yaml")]
    cidr = ["--cluster-cidr", "10.244.0.0/16,fd00:244::/32"]
    done = svcc("verify", *inputs, *cidr, "--all-nodes", "-o", "json")
    assert done.code == 0
    result = json.loads(done.out)
    assert [node["node"] for node in result["nodes"]] == ["node-a", "node-b"]
    assert {found["node"] for found in result["properties"]} == {"node-a", "node-b"}


@pytest.fixture
def node() -> Iterator[Namespace]:
    if reason := missing():
        pytest.skip(reason)
    with namespace() as made:
        yield made


@pytest.mark.kernel
@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_apply_diff_verify_cleanup(node: Namespace, variant: str) -> None:
    which = ["--iptables", variant]
    save = f"iptables-{variant}-save"
    before = node.run(save)
    dry = svcc("apply", *SHOP, *which, "--dry-run", inside=node)
    assert dry.code == 0
    assert "-A SVCC-SERVICES" in dry.out
    assert "SVCC" not in node.run(save)
    assert svcc("diff", *SHOP, *which, inside=node).code == 1
    assert svcc("apply", *SHOP, *which, inside=node).code == 0
    loaded = node.run(save)
    assert "-A SVCC-SERVICES" in loaded
    again = svcc("apply", *SHOP, *which, inside=node)
    assert (again.code, again.out[:13]) == (0, "nothing to do")
    same = svcc("diff", *SHOP, *which, inside=node)
    assert (same.code, same.out) == (0, "")
    assert svcc("verify", *SHOP, *which, "--live", inside=node).code == 0
    node.run(f"iptables-{variant}", "-t", "nat", "-I", "PREROUTING", "1", "-j", "ACCEPT")
    assert svcc("verify", *SHOP, *which, "--live", inside=node).code == 1
    node.run(f"iptables-{variant}", "-t", "nat", "-D", "PREROUTING", "1")
    assert svcc("cleanup", *which, inside=node).code == 0
    assert "SVCC" not in node.run(save)
    assert "SVCC" not in before


def test_configuration_from_standard_input() -> None:
    shop = ["-f", str(ROOT / "examples" / "shop")]
    text = (ROOT / "examples/shop/config.yaml").read_text()
    done = svcc("compile", *shop, "--config", "-", text=text)
    assert (done.code, done.out) == (0, svcc("compile", *SHOP).out)
    done = svcc("compile", "-f", "-", "--config", "-", text=text)
    assert done.code == 2
    assert done.err == "--config: error: standard input has the objects (-f -); name a file\n"


def test_an_empty_node_name_is_refused() -> None:
    done = svcc("compile", *SHOP, "--node", "")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("--node: error: the name of the node is empty")


def test_packed_rules_are_read(tmp_path: Path) -> None:
    assert svcc("compile", *SHOP, "-o", str(tmp_path)).code == 0
    rules = []
    for name in ("iptables", "ip6tables"):
        path = tmp_path / f"{name}.rules.gz"
        path.write_bytes(gzip.compress((tmp_path / f"{name}.rules").read_bytes()))
        rules += ["--rules", str(path)]
    assert svcc("verify", *SHOP, *rules).code == 0
    path.write_bytes(path.read_bytes()[:-9])
    done = svcc("verify", *SHOP, *rules)
    assert done.code == 2
    assert done.err == f"{path}: error: cannot read: gzip: the file is cut off\n"
