"""Without a pod network, what depends on it is open, and what the rules use is proposed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clusters.dumps import DUMPS
from tests.support.command import Done, svcc

NODE = ("--node", "node-a", "--node-ip", "192.168.7.10", "--family", "ipv4")


def verify(name: str, *more: object, text: str = "", folder: Path | None = None) -> Done:
    rules = DUMPS / name / "iptables-save.txt"
    if folder is not None:
        rules = folder / "rules.txt"
        rules.write_text(text)
    given = ("-f", DUMPS / name / "objects.yaml", *NODE, "--rules", rules)
    return svcc("verify", *given, *more)


@pytest.mark.parametrize(
    "name",
    ["clusterip-3ep", "etp-local-with-local", "etp-local-without-local", "itp-local-with-local",
     "lb-source-ranges", "terminating"],
)  # fmt: skip
def test_right_dumps_are_undecided(name: str) -> None:
    assert verify(name, "--cluster-cidr", "10.244.0.0/16").code == 0
    done = verify(name)
    assert done.code == 3
    assert "SVC036: pods are not known" in done.out
    assert "give --cluster-cidr 10.244.0.0/16" in done.out
    assert verify(name, "-o", "json").codes() == {"SVC036"}


def test_explain_says_the_same() -> None:
    rules = ("--rules", DUMPS / "clusterip-3ep" / "iptables-save.txt")
    given = ("-f", DUMPS / "clusterip-3ep" / "objects.yaml", *NODE, *rules)
    outside = svcc("explain", *given, "from 192.0.2.9 to 10.96.0.10:80")
    assert outside.code == 3
    assert "undecided: SVC036" in outside.out
    pod = svcc("explain", *given, "from 10.244.9.9 to 10.96.0.10:80")
    assert pod.code == 0


def test_only_what_depends_on_it_is_open() -> None:
    found = verify("nodeport", "-o", "json")
    assert found.verdicts("10.96.0.11:80") == {
        "reaches-exactly": ("proved", ""),
        "fair": ("proved", ""),
        "masquerades-exactly": ("undecided", "SVC036"),
    }
    assert {verdict for verdict, _ in found.verdicts("node port").values()} == {"proved"}


def test_other_violations_stay(tmp_path: Path) -> None:
    text = (DUMPS / "clusterip-3ep" / "iptables-save.txt").read_text()
    wrong = text.replace("10.244.1.5:8080", "10.244.1.6:8080")
    done = verify("clusterip-3ep", "-o", "json", text=wrong, folder=tmp_path)
    assert done.code == 1
    assert done.verdicts("10.96.0.10")["reaches-exactly"] == ("violated", "SVC002")


def test_rules_that_masquerade_everybody_are_wrong_whoever_is_a_pod() -> None:
    done = verify("masquerade-all", "-o", "json")
    assert done.code == 1
    assert done.codes() == {"SVC007"}
    assert verify("masquerade-all", "--masquerade-all").code == 0


@pytest.mark.parametrize(
    ("rules", "proposal"),
    [
        (
            "! -i cbr0",
            "--detect-local-mode BridgeInterface --pod-bridge-interface cbr0",
        ),
        (
            "! -i veth+",
            "--detect-local-mode InterfaceNamePrefix --pod-interface-name-prefix veth",
        ),
        ("! -s 10.0.0.0/8", "--cluster-cidr 10.0.0.0/8"),
    ],
)
def test_what_the_rules_use_is_proposed(rules: str, proposal: str, tmp_path: Path) -> None:
    text = (DUMPS / "clusterip-3ep" / "iptables-save.txt").read_text()
    old = "! -s 10.244.0.0/16 -d 10.96.0.10/32"
    assert old in text
    new = f"-d 10.96.0.10/32 {rules}" if "-i" in rules else f"{rules} -d 10.96.0.10/32"
    text = text.replace(old, new)
    done = verify("clusterip-3ep", text=text, folder=tmp_path)
    assert done.code == 3
    assert f"give {proposal} " in done.out
    again = verify("clusterip-3ep", *proposal.split(), text=text, folder=tmp_path)
    assert again.code == 0


def test_the_pod_network_of_the_node_is_proposed(tmp_path: Path) -> None:
    node = tmp_path / "node.yaml"
    node.write_text(
        "apiVersion: v1\nkind: Node\nmetadata: {name: node-a}\nspec: {podCIDR: 10.244.0.0/16}\n"
        "status: {addresses: [{type: InternalIP, address: 192.168.7.10}]}\n"
    )
    done = verify("clusterip-3ep", "-f", node)
    assert done.code == 3
    assert "give --detect-local-mode NodeCIDR " in done.out


def test_own_rules_are_proved_and_a_note_says_what_follows() -> None:
    objects = DUMPS / "etp-local-with-local" / "objects.yaml"
    for command in ("compile", "verify"):
        done = svcc(command, "-f", objects, *NODE)
        assert done.code == 0
        assert "note: no cluster CIDR of ipv4 is known (--cluster-cidr" in done.err
        assert "externalTrafficPolicy Local" in done.err
    done = svcc("compile", "-f", objects, *NODE, "--cluster-cidr", "10.244.0.0/16")
    assert done.err == ""


def test_the_note_is_of_families_with_frontends() -> None:
    objects = DUMPS / "dual-stack" / "objects.yaml"
    given = ("-f", objects, "--node", "node-a", "--node-ip", "192.168.7.10", "--cluster-cidr")
    assert "of ipv6 is known" in svcc("compile", *given, "10.244.0.0/16").err
    assert "is known" not in svcc("compile", *given, "10.244.0.0/16,fd00:244::/56").err


def test_the_note_is_told_once_for_all_nodes(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes.yaml"
    nodes.write_text(
        "---\n".join(f"apiVersion: v1\nkind: Node\nmetadata: {{name: n{n}}}\n" for n in range(3))
    )
    objects = DUMPS / "clusterip-3ep" / "objects.yaml"
    done = svcc("verify", "-f", objects, "-f", nodes, "--all-nodes")
    assert done.code == 0
    assert done.err.count("no cluster CIDR") == 1
