"""What svcc explain says of given rules that send where the objects do not."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

from tests.support.clusters.dumps import DUMPS
from tests.support.command import Done, svcc

FOLDER = DUMPS / "clusterip-3ep"
GIVEN = ("-f", FOLDER / "objects.yaml", "--node", "node-a", "--node-ip", "192.168.7.10",
         "--cluster-cidr", "10.244.0.0/16")  # fmt: skip


def explain(rules: Path, *words: str) -> Done:
    return svcc("explain", *GIVEN, "--rules", rules, *words)


def moved(folder: Path, backend: str, to: str) -> Path:
    """The rules with one backend in the place of another."""
    text = (FOLDER / "iptables-save.txt").read_text()
    assert f"--to-destination {backend}" in text
    path = folder / "rules"
    path.write_text(text.replace(f"--to-destination {backend}", f"--to-destination {to}"))
    return path


def test_who_sends_to_a_pod_that_is_gone(tmp_path: Path) -> None:
    """No object knows the address, but the rules do."""
    rules = moved(tmp_path, "10.244.2.7:8080", "10.244.9.9:8080")
    for address in ("10.244.9.9", "10.244.9.9:8080"):
        done = explain(rules, address)
        assert done.code == 1
        assert (
            "no Service, endpoint or Node has the address 10.244.9.9; rules send there" in done.out
        )
        assert "10.96.0.10:80/TCP (shop/web:http)" in done.out
        assert "outside  wrong: SVC002" in done.out
        assert done.out.count("1/3 (33.3333%)  sent to 10.244.9.9:8080") == 3
    assert explain(rules, "10.244.9.9:81").code == 2
    assert "never  sent there" in explain(rules, "10.244.2.7").out


def test_shares_of_one_backend_are_added_up(tmp_path: Path) -> None:
    rules = moved(tmp_path, "10.244.2.7:8080", "10.244.1.5:8080")
    done = explain(rules, "shop/web")
    assert done.code == 1
    lines = [line.strip() for line in done.out.splitlines() if "sent to 10.244.1.5" in line]
    assert len([line for line in lines if line.startswith("2/3 (66.6667%)")]) == 3
    assert not [line for line in lines if line.startswith("1/3")]
    packet = explain(rules, "from pod to shop/web").out.splitlines()
    start = packet.index("2/3 (66.6667%)  sent to 10.244.1.5:8080, not masqueraded")
    ways = [line for line in packet[start:] if line.startswith("  by one way of 2, ")]
    assert ways == ["  by one way of 2, 1/3 (33.3333%)"] * 2
    shown = json.loads(explain(rules, "-o", "json", "from pod to shop/web").out)
    assert len(shown[0]["ways"]) == 3
    outcomes = {item["got"]: Fraction(item["share"]) for item in shown[0]["outcomes"]}
    assert len(outcomes) == 2
    assert sum(outcomes.values()) == 1
    assert round(float(outcomes["sent to 10.244.1.5:8080, not masqueraded"]), 6) == 0.666667


def test_a_family_without_rules_is_said() -> None:
    folder = DUMPS / "dual-stack"
    given = ("explain", "-f", folder / "objects.yaml", *GIVEN[2:], "--rules")
    done = svcc(*given, folder / "iptables-save.txt", "shop/web")
    assert done.code == 0
    assert done.out.startswith("not explained: what is sent there by ipv6, no rules of which")
    done = svcc(
        *given, folder / "iptables-save.txt", "--rules", folder / "ip6tables-save.txt", "web"
    )
    assert "not explained" not in done.out
