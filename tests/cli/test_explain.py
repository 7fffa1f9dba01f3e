"""svcc explain, as people type it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from svcc.cli import main
from svcc.verify.report.explanation import share_text
from svcc.verify.spec.codes import CODES
from tests.support.clusters.dumps import DUMPS

FOLDER = DUMPS / "clusterip-3ep"
GIVEN = [
    "-f", str(FOLDER / "objects.yaml"), "--node", "node-a", "--node-ip", "192.168.7.10",
    "--cluster-cidr", "10.244.0.0/16",
]  # fmt: skip
RULES = ["--rules", str(FOLDER / "iptables-save.txt")]


def explain(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["explain", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.mark.parametrize("number", sorted(CODES))
def test_codes(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = explain(capsys, number.lower())
    assert code == 0
    assert text.startswith(f"{number}: ")
    assert "how to mend it" in text


def test_a_code_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, error = explain(capsys, "SVC999")
    assert (code, text) == (2, "")
    assert "SVC001" in error


@pytest.mark.parametrize("rules", [[], RULES], ids=["own", "kube-proxy"])
def test_a_packet(rules: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = explain(capsys, *GIVEN, *rules, "from", "10.1.2.3", "to", "10.96.0.10:80/tcp")
    assert code == 0, text
    assert text.count("1/3 (33.3333%)") == 3
    for backend in ("10.244.1.5", "10.244.2.7", "10.244.3.9"):
        assert f"sent to {backend}:8080, masqueraded" in text
    assert text.endswith("right\n")
    assert "[DNAT]" in text


def test_a_packet_that_is_treated_wrongly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (FOLDER / "iptables-save.txt").read_text()
    rules = tmp_path / "rules"
    rules.write_text(text.replace("-A FORWARD", "-A FORWARD -d 10.244.2.7 -j DROP\n-A FORWARD", 1))
    code, shown, _ = explain(
        capsys, *GIVEN, "--rules", str(rules), "from 10.1.2.3 to 10.96.0.10:80"
    )
    assert code == 1
    assert "wrong: SVC004 10.96.0.10:80/TCP (shop/web:http) does not serve this packet" in shown
    assert "1/3 (33.3333%)  dropped" in shown


def test_the_node_itself_and_no_frontend(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = explain(capsys, *GIVEN, "from node to 10.96.0.10:81/udp port 999 mark 0x10")
    assert code == 0
    assert "udp 192.168.7.10:999 -> 10.96.0.10:81 from the node itself mark 0x10" in text
    assert "for       no frontend" in text


def test_a_service(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("shop/web", "shop/web:http"):
        code, text, _ = explain(capsys, *GIVEN, *RULES, name)
        assert code == 0
        assert [line.split()[0] for line in text.splitlines() if "; expected" in line] == [
            "outside", "pod", "node",
        ]  # fmt: skip
        assert text.count("right") == 3


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = explain(capsys, *GIVEN, "-o", "json", "shop/web")
    assert code == 0
    found = json.loads(text)
    assert {item["sender"] for item in found} == {"outside", "pod", "node"}
    for item in found:
        total = sum(Fraction(way["share"]) for way in item["ways"])
        assert total == 1


@pytest.mark.parametrize(
    "words",
    ["", "from", "from 1.2.3.4", "to", "to 10.96.0.10:80/icmp", "to 10.96.0.10:99999", "70000",
     "to 10.96.0.10:80 mark x", "to 10.96.0.10:80 then", "shop/web then", "from x to shop/web",
     "to shop/web to shop/web", "10.96.0", "[fd00::1", "[10.96.0.10/tcp", "shop/web/http", "shop/",
     "a.b.c", "shop/web.shop", "web.shop.svc:"],
)  # fmt: skip
def test_what_is_not_understood(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, error = explain(capsys, *GIVEN, words)
    assert (code, text) == (2, "")
    assert "error: " in error
    assert "10.96.0.12" in error


def test_no_objects(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = explain(capsys, "shop/web")
    assert code == 2
    assert "-f" in error


def test_shares_as_text() -> None:
    assert share_text(Fraction(1)) == "always"
    assert share_text(Fraction(715827883, 1 << 31)) == "1/3 (33.3333%)"
    assert share_text(Fraction(1, 4)) == "1/4 (25.0000%)"
