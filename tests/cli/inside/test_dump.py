"""svcc dump, as people type it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from svcc.cli import main
from tests.paths import ROOT
from tests.support.clusters.dumps import DUMPS
from tests.unit.verify.smt.test_script import answer

SHOP = ROOT / "examples" / "shop"
GIVEN = ["-f", str(SHOP), "--config", str(SHOP / "config.yaml")]
DUMP = DUMPS / "clusterip-3ep"
FOREIGN = [
    "-f", str(DUMP / "objects.yaml"), "--node", "node-a", "--node-ip", "192.168.7.10",
    "--cluster-cidr", "10.244.0.0/16", "--rules", str(DUMP / "iptables-save.txt"),
]  # fmt: skip


def dump(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code = main(["dump", *words])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def dump_json(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(dump(capsys, *words, "-o", "json"))
    return found


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code = main(["dump", *words])
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert len(shown.err.splitlines()) == 1
    return shown.err


def every_rule(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for rule in rules for each in (rule, *every_rule(rule.get("body", [])))]


# -- ir ------------------------------------------------------------------------------------


def test_ir(capsys: pytest.CaptureFixture[str]) -> None:
    text = dump(capsys, "ir", *GIVEN, "shop/checkout")
    assert text.startswith("shop/checkout:https TCP ipv4\n")
    assert "externalTrafficPolicy  Local" in text
    assert "203.0.113.11:443/TCP loadbalancer IP\n  from elsewhere than 192.168.7.0/24" in text
    assert "  everyone else: served; masqueraded: hairpins only\n           1  10.2" in text
    assert "node port 30444/TCP" in text
    assert text.count("1/2  10.244.2.13:8443") == 5


def test_ir_of_what_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "everyone: refused with an error (REJECT)" in dump(capsys, "ir", *GIVEN, "shop/returns")


def test_ir_json(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = dump_json(capsys, "ir", *GIVEN, "[fd00:96::107]:80/tcp")
    assert (found["service"], found["family"]) == ("shop/catalog:http", "ipv6")
    (frontend,) = found["frontends"]
    assert frontend["address"] == "fd00:96::107"
    (treatment,) = frontend["treatments"]
    assert treatment["masqueraded"] == "all but from fd00:244::/32, and hairpins"
    assert treatment["backends"] == [
        {"address": f"fd00:244:{node}::16", "port": 8080, "share": "1/2"} for node in (1, 2)
    ]


def test_ir_in_ipvs_mode_has_a_scheduler_and_no_shares(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = dump_json(capsys, "ir", *GIVEN, "--mode", "ipvs", "shop/cart")
    assert found["scheduler"] == "rr"
    assert "share" not in found["frontends"][0]["treatments"][0]["backends"][0]


def test_an_address_of_the_node_is_a_node_port(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = dump_json(capsys, "ir", *GIVEN, "192.168.7.10:30080")
    assert [each["kind"] for each in found["frontends"]] == ["node port"]


def test_a_family_alone(capsys: pytest.CaptureFixture[str]) -> None:
    both = dump_json(capsys, "ir", *GIVEN, "shop/catalog")
    assert [each["family"] for each in both] == ["ipv4", "ipv6"]
    assert dump_json(capsys, "ir", *GIVEN, "--family", "ipv6", "shop/catalog") == both[1:]


# -- slice and rules -----------------------------------------------------------------------


def test_slice(capsys: pytest.CaptureFixture[str]) -> None:
    text = dump(capsys, "slice", *GIVEN, "shop/cart")
    assert text.count("10.96.10.3:80/TCP (shop/cart:http), from ") == 2
    assert "  as it comes: nat PREROUTING, policy ACCEPT\n    iptables.rules:" in text
    # What every packet of the region fulfils is gone, what depends on the sender stays.
    assert "-d 10.96.10.3" not in text
    assert "! -s 10.244.0.0/16 -j MARK --set-xmark 0x4000/0x4000\n" in text
    assert "--probability 0.50000000000 -m recent --set --name" in text
    assert "-m bpf [source = destination]" in text or "-m bpf [destination = source]" in text


def test_slice_of_anybodys_rules_has_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = (DUMP / "iptables-save.txt").read_text().splitlines()
    found = dump_json(capsys, "slice", *FOREIGN, "shop/web:http")
    assert [each["packets"] for each in found] == ["from a wire", "from the node"]
    rules = [rule for each in found for c in each["chains"] for rule in every_rule(c["rules"])]
    assert len(rules) > 20
    for rule in rules:
        assert Path(rule["file"]) == DUMP / "iptables-save.txt"
        assert lines[rule["line"] - 1].startswith(f"-A {rule['chain']} ")
    ends = {rule["action"] for rule in rules if "DNAT" in rule["action"]}
    assert ends == {
        f"-j DNAT --to-destination {end}:8080" for end in ("10.244.1.5", "10.244.2.7", "10.244.3.9")
    }


def test_virtual_servers_are_in_slices(capsys: pytest.CaptureFixture[str]) -> None:
    text = dump(capsys, "slice", *GIVEN, "--mode", "ipvs", "shop/cart")
    assert "[IPVS: 10.244.1.12:8080 -w 1, 10.244.2.12:8080 -w 1, -p 600]" in text
    assert text.count("  through IPVS\n    ipvsadm:") == 2


def test_rules(capsys: pytest.CaptureFixture[str]) -> None:
    text = dump(capsys, "rules", *GIVEN, "shop/cart")
    rule = "-A SVCC-SERVICES -d 10.96.10.3/32 -p tcp -m comment --comment"
    assert text.startswith("10.96.10.3:80/TCP (shop/cart:http)\n  nat PREROUTING\n")
    assert f": {rule}" in text
    assert "      if ! -s 10.244.0.0/16\n" in text
    assert "10.96.10.2" not in text


def test_rules_are_those_of_the_slices(capsys: pytest.CaptureFixture[str]) -> None:
    for mode in ("iptables", "ipvs"):
        given = [*GIVEN, "--mode", mode, "shop/partners"]
        slices = dump_json(capsys, "slice", *given)
        kept = {
            (slice_["frontend"], chain["chain"], rule["rule"], tuple(rule["open"]))
            for slice_ in slices
            for chain in slice_["chains"]
            for rule in every_rule(chain["rules"])
        }
        shown = {
            (found["frontend"], hook["chain"], rule["rule"], tuple(each["open"]))
            for found in dump_json(capsys, "rules", *given)
            for hook in found["hooks"]
            for rule in hook["rules"]
            for each in rule["kept"]
        }
        assert shown == kept
        assert len(shown) > 10


# -- smt -----------------------------------------------------------------------------------


def test_smt_scripts_are_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "scripts"
    assert dump(capsys, "smt", *GIVEN, "shop/cart", "-o", str(folder)) == ""
    scripts = sorted(folder.iterdir())
    assert len(scripts) > 4
    assert {path.suffix for path in scripts} == {".smt2"}
    assert scripts[0].name == "ipv4-10.96.10.3-80-tcp-from-node-1.smt2"
    for path in scripts:
        text = path.read_text()
        assert text.startswith("; region    10.96.10.3:80/TCP (shop/cart:http), from ")
        assert "; unsat     no such packet exists\n" in text
        assert f"; Z3        {answer(text)}\n" in text


def test_printed_smt_is_one_script_for_a_solver(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump(capsys, "smt", *GIVEN, "shop/cart", "-o", str(tmp_path))
    printed = dump(capsys, "smt", *GIVEN, "shop/cart")
    parts = printed.split("(reset)\n")
    assert sorted(parts) == sorted(path.read_text() for path in tmp_path.iterdir())


def test_a_violation_can_be_met(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (DUMP / "iptables-save.txt").read_text()
    damaged = tmp_path / "rules"
    damaged.write_text(
        text.replace("--to-destination 10.244.2.7:8080", "--to-destination 9.9.9.9:1")
    )
    given = [*FOREIGN[:-1], str(damaged)]
    assert "; Z3        sat\n" in dump(capsys, "smt", *given, "shop/web")
    assert "; Z3        sat\n" not in dump(capsys, "smt", *FOREIGN, "shop/web")


def test_where_nothing_is_asked_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", "smt", *GIVEN, "shop/returns"]) == 0
    shown = capsys.readouterr()
    assert "note: nothing was asked about 10.96.10.11:80/TCP (shop/returns:http), from" in shown.err


# -- bad input -----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["ir", "rules", "slice", "smt"])
def test_an_unknown_name(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean shop/web?" in refused(capsys, what, *GIVEN, "shop/wbe")
    assert "did you mean shop/web:http?" in refused(capsys, what, *GIVEN, "shop/web:htp")
    assert "is no frontend on this node" in refused(capsys, what, *GIVEN, "10.96.10.1:81")
    assert "'10.96.10.1' has no port" in refused(capsys, what, *GIVEN, "10.96.10.1")
    assert "there are shop/api, " in refused(capsys, what, *GIVEN, "xyz/qqqqqqqq")


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    target = str(tmp_path / "file" / "below")
    assert "cannot write" in refused(capsys, "smt", *GIVEN, "shop/api", "-o", target)
