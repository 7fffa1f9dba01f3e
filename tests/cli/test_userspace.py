"""userspace mode on the command line: files, exit codes, and what it says of what it cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.paths import DATA
from tests.support.clusters.cases import read_case
from tests.support.command import svcc

FOLDER = DATA / "cases-userspace" / "shop"
GIVEN = ("-f", FOLDER / "objects.yaml", "--config", FOLDER / "config.yaml")


def test_a_folder_is_compiled_proved_and_guarded(tmp_path: Path) -> None:
    done = svcc("compile", *GIVEN, "-o", tmp_path)
    assert done.code == 0, done.err
    names = {path.name for path in tmp_path.iterdir()}
    batches = {"addresses.batch", "addresses-on-loopback.batch"}
    assert names == {"nginx.conf", "bundle.json", *batches}
    manifest = json.loads((tmp_path / "bundle.json").read_text())
    assert manifest["mode"] == "userspace"
    assert not manifest["route_localnet"]
    assert manifest["files"]["nginx.conf"]["servers"] == 14
    assert svcc("verify", *GIVEN, "--rules", tmp_path).code == 0
    conf = tmp_path / "nginx.conf"
    conf.write_text(conf.read_text() + "# changed\n")
    changed = svcc("verify", *GIVEN, "--rules", tmp_path)
    assert changed.code == 2
    assert "changed since svcc compile wrote it" in changed.err
    assert svcc("verify", *GIVEN, "--rules", conf).code == 0


def test_another_mode_takes_the_files_away(tmp_path: Path) -> None:
    assert svcc("compile", *GIVEN, "-o", tmp_path).code == 0
    assert svcc("compile", *GIVEN, "--mode", "iptables", "-o", tmp_path).code == 0
    assert not (tmp_path / "nginx.conf").exists()
    assert not (tmp_path / "addresses.batch").exists()


def test_what_is_printed_says_what_else_is_needed() -> None:
    done = svcc("compile", *GIVEN)
    assert done.code == 0
    assert "note: this is for nginx only; -o DIR writes the addresses" in done.err
    assert "does not keep the source" in done.err
    assert "externalTrafficPolicy Local of shop/away, shop/edge" in done.err
    assert "ip -batch addresses.batch" in done.out
    assert done.out == svcc("compile", *GIVEN).out


def test_what_cannot_hold_is_told_and_with_strict_undecided(tmp_path: Path) -> None:
    assert svcc("compile", *GIVEN, "-o", tmp_path).code == 0
    rules = ("--rules", tmp_path)
    limits = {"SVC080", "SVC081", "SVC082", "SVC083", "SVC084"}
    found = svcc("verify", *GIVEN, *rules, "-o", "json")
    assert found.code == 0
    assert limits <= {problem.get("code") for problem in found.json()["problems"]}
    for code in limits:
        assert code in found.err
    for more in ((), rules):
        strict = svcc("verify", *GIVEN, *more, "--strict", "-o", "json")
        assert strict.code == 3
        assert strict.codes() == limits


def test_limits_are_told_where_they_matter(tmp_path: Path) -> None:
    """A plain Service with masqueradeAll has none but that its address is the node's."""
    objects, config = read_case("masquerade-all").write(tmp_path)
    given = ("-f", objects, "--config", config, "--mode", "userspace")
    done = svcc("verify", *given, "--strict", "-o", "json")
    assert done.codes() == {"SVC084"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("apply", *GIVEN), "nginx -s reload"),
        (("apply", *GIVEN, "--dry-run"), "nginx -s reload"),
        (("diff", *GIVEN), "nginx -s reload"),
        (("explain", *GIVEN, "shop/web"), "svcc verify"),
        (("dump", "slice", *GIVEN, "shop/web"), "svcc dump ir"),
        (("dump", "smt", *GIVEN, "shop/web"), "svcc dump ir"),
        (("verify", *GIVEN, "--live", "--mode", "userspace"), "--rules"),
        (("verify", *GIVEN, "--paranoid"), "--paranoid"),
        (("get", "virtual-servers", *GIVEN, "--mode", "userspace"), "ipvs mode"),
    ],
)
def test_what_is_for_rules_of_the_kernel_is_refused(command: tuple[object, ...], said: str) -> None:
    done = svcc(*command)
    assert done.code == 2, done
    assert "error: " in done.err
    assert said in done.err
    assert "Traceback" not in done.err


def test_policies_are_refused(tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_text("never external -> service shop/web\n")
    done = svcc("verify", *GIVEN, "--policy", policy)
    assert done.code == 2
    assert "--policy: error" in done.err


def test_a_folder_is_not_applied(tmp_path: Path) -> None:
    assert svcc("compile", *GIVEN, "-o", tmp_path).code == 0
    done = svcc("apply", *GIVEN, "--rules", tmp_path)
    assert done.code == 2
    assert "nginx -s reload" in done.err


def test_what_was_decided_is_shown() -> None:
    done = svcc("dump", "ir", *GIVEN, "shop/web")
    assert done.code == 0, done.err
    assert "10.244.2.7:8080" in done.out


def test_rules_of_the_other_kind_are_told(tmp_path: Path) -> None:
    svcc("compile", *GIVEN, "-o", tmp_path / "proxy")
    svcc("compile", *GIVEN, "--mode", "iptables", "-o", tmp_path / "kernel")
    proxy = ("--rules", tmp_path / "proxy" / "nginx.conf")
    kernel = ("--rules", tmp_path / "kernel" / "iptables.rules")
    done = svcc("verify", *GIVEN, "--mode", "nftables", *proxy)
    assert done.code == 2
    assert "give --mode userspace" in done.err
    done = svcc("verify", *GIVEN, *kernel)
    assert done.code == 2
    assert "a configuration of nginx is judged" in done.err
    done = svcc("verify", *GIVEN, *proxy, *kernel)
    assert done.code == 2
    assert "neither a configuration of nginx nor addresses" in done.err
    done = svcc("verify", *GIVEN, *proxy, "--rules", tmp_path / "proxy")
    assert done.code == 2
    assert "one configuration of nginx" in done.err
    done = svcc("verify", *GIVEN, "--rules", tmp_path / "nothing")
    assert done.code == 2


def test_one_family(tmp_path: Path) -> None:
    svcc("compile", *GIVEN, "-o", tmp_path)
    conf = tmp_path / "nginx.conf"
    conf.write_text(conf.read_text().replace("[fd00:244:2::7]:8080", "[fd00:244:2::8]:8080"))
    assert svcc("verify", *GIVEN, "--rules", conf).code == 1
    assert svcc("verify", *GIVEN, "--rules", conf, "--family", "ipv4").code == 0
    assert svcc("verify", *GIVEN, "--rules", conf, "--family", "ipv6").code == 1


def test_every_format_has_the_violation_with_its_place(tmp_path: Path) -> None:
    svcc("compile", *GIVEN, "-o", tmp_path)
    conf = tmp_path / "nginx.conf"
    text = conf.read_text().replace("10.244.2.7:8080 max", "10.244.2.7:8080 weight=2 max")
    conf.write_text(text)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "weight=2" in row)
    shown = svcc("verify", *GIVEN, "--rules", conf)
    assert f"{conf}:{line}: server 10.244.2.7:8080 weight=2 max_fails=0;" in shown.out
    assert "10.244.2.7:8080 1/2 of new connections, not 1/3" in shown.out
    traced = svcc("verify", *GIVEN, "--rules", conf, "--trace").out
    assert "upstream shop_web_http.all" in traced
    sarif = json.loads(svcc("verify", *GIVEN, "--rules", conf, "-o", "sarif").out)
    regions = [
        location["physicalLocation"]["region"]["startLine"]
        for result in sarif["runs"][0]["results"]
        if result["ruleId"] == "SVC005"
        for location in result["locations"]
    ]
    assert regions == [line]
    assert "SVC005" in svcc("verify", *GIVEN, "--rules", conf, "-o", "junit").out
    assert f"line={line}" in svcc("verify", *GIVEN, "--rules", conf, "-o", "github").out


def test_all_nodes(tmp_path: Path) -> None:
    """Each node has a proxy of its own: one node's is not taken for another's."""
    objects = tmp_path / "objects.yaml"
    objects.write_text(
        (FOLDER / "objects.yaml").read_text()
        + "---\napiVersion: v1\nkind: Node\nmetadata: {name: node-b}\n"
        + "status: {addresses: [{type: InternalIP, address: 192.168.7.20}]}\n"
    )
    config = tmp_path / "config.yaml"
    text = (FOLDER / "config.yaml").read_text()
    config.write_text(text.replace("hostnameOverride: node-a\n", ""))
    given = ("-f", objects, "--config", config)
    out = tmp_path / "out"
    assert svcc("compile", *given, "--all-nodes", "-o", out).code == 0
    assert svcc("verify", *given, "--all-nodes").code == 0
    assert svcc("verify", *given, "--all-nodes", "--rules", out).code == 0
    other = out / "node-b" / "nginx.conf"
    done = svcc("verify", *given, "--node", "node-a", "--rules", other, "-o", "json")
    assert done.code == 1
    assert {"SVC003", "SVC011"} <= done.codes()


def test_names_that_are_served(tmp_path: Path) -> None:
    """What names answer is held against what was proved of the proxy."""
    zones = tmp_path / "zones"
    assert svcc("compile", *GIVEN, "--target", "dns", "-o", zones).code == 0
    zone = ("--dns-zone", zones / "cluster.local.zone")
    assert svcc("verify", *GIVEN, *zone).code == 0
    svcc("compile", *GIVEN, "-o", tmp_path / "out")
    conf = tmp_path / "out" / "nginx.conf"
    conf.write_text(conf.read_text().replace("listen 10.96.0.13:80", "listen 10.96.0.13:81"))
    done = svcc("verify", *GIVEN, "--rules", conf, *zone, "-o", "json")
    assert done.code == 1
    assert "SVC072" in done.codes()
