"""Apply on a real kernel: what changes, what does not, and what survives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from svcc.apply.engine import apply, diff
from svcc.apply.iptables.tool import Iptables, Variant
from svcc.apply.outcome import Outcome
from svcc.apply.removal import cleanup
from svcc.apply.steps import Load
from svcc.apply.system import lock, sysctl
from svcc.apply.system.errors import ApplyError
from svcc.apply.system.tools import Result, run_tool
from svcc.grammar.address import Family
from svcc.grammar.iptables.write import write
from tests.support.kernel.foreign_rules import load_foreign, own, saved
from tests.support.kernel.namespace import Namespace
from tests.support.readings.wanted import Programs, wanted

pytestmark = pytest.mark.kernel

A, B, C = "10.96.0.10 53", "10.96.0.11 53", "10.96.0.12 53"
A6 = "fd00:96::a 53"
OLD: Programs = {
    Family.IPV4: wanted({A: ["10.128.0.9:53", "10.128.0.16:53"], B: ["10.128.0.9:53"]}, [C]),
    Family.IPV6: wanted({A6: ["[fd00:128::9]:53"]}, family=Family.IPV6),
}
NEW: Programs = {
    Family.IPV4: wanted({A: ["10.128.0.9:53"], C: ["10.128.0.9:53"]}, [B]),
    Family.IPV6: wanted({}, [A6], family=Family.IPV6),
}


def run(programs: Programs, tools: Iptables, *, route_localnet: bool = False) -> Outcome:
    return apply(programs, route_localnet=route_localnet, tools=tools, wait=None)


def scripts(outcome: Outcome) -> list[str]:
    return [step.delta.script for step in outcome.steps if isinstance(step, Load)]


def test_second_run_has_nothing_to_do(node: Namespace, variant: Variant, tools: Iptables) -> None:
    first = run(OLD, tools)
    assert first.changed
    before = saved(node, variant)
    assert len(own(before)) == len(before)
    assert diff(OLD, route_localnet=False, tools=tools) == ""
    second = run(OLD, tools)
    assert not second.changed
    assert second.summary().startswith("nothing to do")
    assert saved(node, variant) == before


def test_every_rule_is_loaded(node: Namespace, variant: Variant, tools: Iptables) -> None:
    run(OLD, tools)
    text = "".join(write(program) for program in OLD.values())
    rules = [line for line in text.splitlines() if line.startswith("-A ")]
    loaded = [line for line in saved(node, variant) if line.startswith("-A ")]
    assert sorted(loaded) == sorted(rules)
    assert len(rules) > 30


def test_order_of_the_steps(tools: Iptables) -> None:
    run(OLD, tools)
    outcome = run(NEW, tools)
    loads = [
        (step.family, step.table, step.purpose) for step in outcome.steps if isinstance(step, Load)
    ]
    both = (Family.IPV4, Family.IPV6)
    assert loads == [
        *((family, "filter", "old and new refusals") for family in both),
        *((family, "nat", "services") for family in both),
        *((family, "filter", "wanted refusals") for family in both),
    ]


def test_foreign_rules_survive(node: Namespace, variant: Variant, tools: Iptables) -> None:
    load_foreign(node, variant)
    node.run("nft", "add", "table", "inet", "mine")
    node.run(
        "nft", "add", "chain", "inet", "mine", "input", "{ type filter hook input priority 0; }"
    )
    before, mine = saved(node, variant), node.run("nft", "list", "table", "inet", "mine")
    for programs in (OLD, NEW, OLD):
        run(programs, tools)
        now = saved(node, variant)
        assert [line for line in now if line not in own(now)] == before
        assert set(own(now))
    cleanup(tools=tools)
    assert saved(node, variant) == before
    assert node.run("nft", "list", "table", "inet", "mine") == mine


def test_jumps_go_to_the_head_and_stay_where_others_push_them(
    node: Namespace, variant: Variant, tools: Iptables
) -> None:
    load_foreign(node, variant)
    run(OLD, tools)
    inputs = [line for line in saved(node, variant) if line.startswith("-A INPUT ")]
    assert inputs[0] == "-A INPUT -j SVCC-INPUT"
    node.run(f"iptables-{variant}", "-I", "INPUT", "1", "-i", "eth7", "-j", "ACCEPT")
    assert not run(OLD, tools).changed


def test_only_what_changed_is_loaded(tools: Iptables) -> None:
    run(OLD, tools)
    frontends = {A: ["10.128.0.9:53", "10.128.0.17:53"], B: ["10.128.0.9:53"]}
    outcome = run({**OLD, Family.IPV4: wanted(frontends, [C])}, tools)
    nat = [script for script in scripts(outcome) if script.startswith("*nat")]
    assert [re.findall(r"^:(\S+)", script, re.MULTILINE) for script in nat] == [["SVCC-SVC-0"]]
    others = [script for script in scripts(outcome) if script.startswith("*filter")]
    assert all(re.findall(r"^:(\S+)", s, re.MULTILINE) == ["SVCC-UNFINISHED"] for s in others)


def test_dry_run_changes_nothing(node: Namespace, variant: Variant, tools: Iptables) -> None:
    run(OLD, tools)
    before = saved(node, variant)
    outcome = apply(NEW, route_localnet=True, tools=tools, wait=None, dry_run=True)
    assert saved(node, variant) == before
    assert sysctl.read(sysctl.ROUTE_LOCALNET) is False
    assert "-A SVCC-REFUSE -d 10.96.0.11/32" in outcome.scripts()
    assert outcome.summary().startswith("planned, not done: ipv4 filter")


def test_diff_shows_own_chains_and_the_sysctl(tools: Iptables) -> None:
    run(OLD, tools)
    text = diff(NEW, route_localnet=True, tools=tools)
    assert "--- ipv4 nat (loaded)\n+++ ipv4 nat (wanted)\n" in text
    assert "-A SVCC-SVC-0 -p udp -j DNAT --to-destination 10.128.0.9:53" in text
    assert "+net.ipv4.conf.all.route_localnet = 1\n" in text
    assert "--- ipv6 nat (loaded)" in text


@pytest.mark.parametrize(
    "damage",
    [
        ["-t", "nat", "-A", "PREROUTING", "-j", "SVCC-SERVICES"],
        ["-t", "nat", "-I", "OUTPUT", "1", "-p", "tcp", "-j", "SVCC-SERVICES"],
        ["-t", "nat", "-D", "POSTROUTING", "-j", "SVCC-POSTROUTING"],
        ["-t", "nat", "-F", "SVCC-SVC-0"],
        ["-t", "nat", "-D", "SVCC-T-0", "1"],
        ["-t", "nat", "-I", "SVCC-T-0", "1", "-m", "string", "--string", "x", "--algo", "bm"],
        ["-t", "nat", "-N", "SVCC-STRAY"],
        ["-t", "nat", "-F"],
        ["-F", "INPUT"],
        ["-I", "SVCC-REFUSE", "1", "-j", "RETURN"],
        ["-I", "INPUT", "1", "-m", "ttl", "--ttl-eq", "7", "-g", "SVCC-REFUSE"],
    ],
    ids=" ".join,
)
def test_damage_is_mended(
    node: Namespace, variant: Variant, tools: Iptables, damage: list[str]
) -> None:
    run(OLD, tools)
    good = saved(node, variant)
    node.run(f"iptables-{variant}", *damage)
    assert saved(node, variant) != good
    assert run(OLD, tools).changed
    assert saved(node, variant) == good


def test_own_rules_elsewhere_are_removed(
    node: Namespace, variant: Variant, tools: Iptables
) -> None:
    load_foreign(node, variant)
    before = saved(node, variant)
    run(OLD, tools)
    node.run(f"iptables-{variant}", "-A", "DOCKER-USER", "-p", "tcp", "-j", "SVCC-REFUSE")
    node.run(f"iptables-{variant}", "-t", "nat", "-N", "SVCC-OLD-7")
    run(OLD, tools)
    now = saved(node, variant)
    assert [line for line in now if line not in own(now)] == before
    assert not any("OLD" in line or "DOCKER-USER -p" in line for line in now)


def test_cleanup_of_both_variants(node: Namespace) -> None:
    for variant in ("legacy", "nft"):
        run(OLD, Iptables(variant))
    warned = run(OLD, Iptables("nft")).warnings
    assert any("iptables-legacy too" in warning for warning in warned)
    planned = cleanup(tools=Iptables("nft"), dry_run=True)
    assert saved(node, "legacy")
    assert saved(node, "nft")
    outcome = cleanup(tools=Iptables("nft"))
    assert outcome.summary() == planned.summary().replace("planned, not done: ", "")
    assert saved(node, "legacy") == []
    assert saved(node, "nft") == []
    assert not cleanup(tools=Iptables("nft")).changed


def test_legacy_tables_are_not_made_by_looking(node: Namespace) -> None:
    run(OLD, Iptables("nft"))
    cleanup(tools=Iptables("nft"))
    assert node.run("cat", "/proc/net/ip_tables_names") == ""


def test_route_localnet_is_on_only_behind_the_guard(node: Namespace, variant: Variant) -> None:
    del node
    guarded = {**OLD, Family.IPV4: wanted({A: ["10.128.0.9:53"]}, guard=True)}
    seen: list[tuple[bool | None, bool]] = []

    def watch(arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
        loaded = Iptables(variant).save(Family.IPV4, ["filter"])["filter"]
        seen.append((sysctl.read(sysctl.ROUTE_LOCALNET), "-d 127.0.0.0/8 ! -i lo" in loaded))
        return run_tool(arguments, text, keep_open)

    tools = Iptables(variant, run=watch)
    outcome = run(guarded, tools, route_localnet=True)
    assert "sysctl net.ipv4.conf.all.route_localnet = 1\n" in outcome.summary()
    assert sysctl.read(sysctl.ROUTE_LOCALNET) is True
    assert not run(guarded, tools, route_localnet=True).changed
    run(OLD, tools)
    assert sysctl.read(sysctl.ROUTE_LOCALNET) is False
    run(guarded, tools, route_localnet=True)
    cleanup(tools=tools)
    assert sysctl.read(sysctl.ROUTE_LOCALNET) is False
    assert (True, False) not in seen


def test_route_localnet_of_others_is_left_alone(node: Namespace, tools: Iptables) -> None:
    node.run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    run(OLD, tools)
    cleanup(tools=tools)
    assert sysctl.read(sysctl.ROUTE_LOCALNET) is True


def test_route_localnet_that_kube_proxy_guards_too_stays(
    node: Namespace, variant: Variant, tools: Iptables
) -> None:
    guard = "-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP"
    node.run(
        f"iptables-{variant}-restore",
        "--noflush",
        text=f"*filter\n:KUBE-FIREWALL - [0:0]\n{guard}\nCOMMIT\n",
    )
    guarded = {**OLD, Family.IPV4: wanted({A: ["10.128.0.9:53"]}, guard=True)}
    run(guarded, tools, route_localnet=True)
    cleanup(tools=tools)
    assert sysctl.read(sysctl.ROUTE_LOCALNET) is True


def test_forwarding_is_checked_and_left_alone(node: Namespace, tools: Iptables) -> None:
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
    warnings = run(OLD, tools).warnings
    assert [warning.split(" is 0")[0] for warning in warnings] == [
        "net.ipv4.ip_forward",
        "net.ipv6.conf.all.forwarding",
    ]
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    assert run(OLD, tools).warnings == ()


def test_lock_held_by_another(node: Namespace, variant: Variant, tools: Iptables) -> None:
    with lock.held(None), pytest.raises(ApplyError, match=r"another svcc \(process \d+: "):
        apply(OLD, route_localnet=False, tools=tools, wait=0.2)
    assert saved(node, variant) == []
    run(OLD, tools)


def test_missing_tools_are_named(
    node: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del node
    monkeypatch.setattr("svcc.apply.system.tools._SYSTEM_FOLDERS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ApplyError, match="iptables-save is not installed"):
        run(OLD, Iptables())
    with pytest.raises(ApplyError, match="iptables-save is not installed"):
        cleanup(tools=Iptables())


def test_a_table_that_iptables_cannot_print(node: Namespace) -> None:
    tools = Iptables("nft")
    run(OLD, tools)
    rule = "ip daddr { 192.0.2.8, 192.0.2.9 } counter dnat to 192.0.2.7"
    node.run("nft", "add", "rule", "ip", "nat", "PREROUTING", rule)
    before = node.run("nft", "list", "ruleset")
    with pytest.raises(ApplyError, match="cannot print table nat"):
        run(NEW, tools)
    with pytest.raises(ApplyError, match="cannot print table nat"):
        cleanup(tools=tools)
    assert node.run("nft", "list", "ruleset") == before


def test_chains_that_iptables_cannot_print_survive(node: Namespace) -> None:
    hook = "{ type nat hook prerouting priority -50; }"
    node.run("nft", "add", "table", "ip", "nat")
    node.run("nft", "add", "chain", "ip", "nat", "mine", hook)
    before = node.run("nft", "list", "chain", "ip", "nat", "mine")
    tools = Iptables("nft")
    for programs in (OLD, NEW):
        run(programs, tools)
        assert not run(programs, tools).changed
    cleanup(tools=tools)
    assert node.run("nft", "list", "chain", "ip", "nat", "mine") == before
