"""Where the steps of ipvs mode stand among those of the iptables rules."""

from __future__ import annotations

import pytest

from svcc.apply.iptables.plan import OLD_PREFIX
from svcc.apply.iptables.read import (
    TABLES,
    Tables,
    TableState,
    is_nat_mode,
    read_table,
    rewritten_to,
)
from svcc.apply.ipvs.commands import DestroySet
from svcc.apply.ipvs.plan import Place, Stage
from svcc.apply.ipvs.steps import Change, ServerSteps
from svcc.apply.steps import (
    Load,
    Step,
    has_loopback_guard,
    make_steps,
    own_rules,
)
from svcc.apply.system.route_localnet import SetRouteLocalnet
from svcc.grammar.address import Family, parse_address

RULES_MODE = {"nat": ["-A PREROUTING -j SVCC-SERVICES", "-A SVCC-SERVICES -j RETURN"]}
IPVS_MODE = {
    "mangle": ["-A PREROUTING -j SVCC-DENY", "-A SVCC-DENY -p tcp -j DROP"],
    "nat": ["-A PREROUTING -j SVCC-SERVICES", "-A SVCC-SERVICES -m ipvs --ipvs -j RETURN"],
}
OTHER_RULES = {"nat": ["-A PREROUTING -j SVCC-SERVICES", "-A SVCC-SERVICES -p tcp -j RETURN"]}
OTHER_MARKS = {**IPVS_MODE, "mangle": ["-A PREROUTING -j SVCC-DENY", "-A SVCC-DENY -j DROP"]}


def tables(lines: dict[str, list[str]]) -> Tables:
    return {name: read_table("\n".join(lines.get(name, []))) for name in TABLES}


def marker(name: str) -> Change:
    return Change(Stage(Place.LAST, name, (DestroySet(name),)), 0)


def all_places() -> ServerSteps:
    return ServerSteps(
        before_rules=[marker("before")], before_nat=[marker("before nat")],
        behind_nat=[marker("behind nat")], after_rules=[marker("after")], last=[marker("last")],
    )  # fmt: skip


def names(steps: list[Step]) -> list[str]:
    return [
        step.table if isinstance(step, Load) else step.stage.title
        for step in steps
        if isinstance(step, (Load, Change))
    ]


def planned(
    now: dict[str, list[str]], wanted: dict[str, list[str]], servers: ServerSteps | None
) -> list[Step]:
    family = Family.IPV4
    return make_steps({family: tables(now)}, {family: tables(wanted)}, None, servers)


def test_into_ipvs_mode() -> None:
    steps = planned(RULES_MODE, IPVS_MODE, all_places())
    assert names(steps) == [
        "before", "mangle", "before nat", "nat", "behind nat", "after", "last"
    ]  # fmt: skip


def test_out_of_ipvs_mode_the_mangle_rules_go_late() -> None:
    steps = planned(IPVS_MODE, RULES_MODE, all_places())
    assert names(steps) == [
        "before", "before nat", "nat", "behind nat", "after", "mangle", "last"
    ]  # fmt: skip


def test_old_and_new_mangle_rules_are_there_while_virtual_servers_change() -> None:
    steps = planned(IPVS_MODE, OTHER_MARKS, all_places())
    assert names(steps) == [
        "before", "mangle", "before nat", "behind nat", "after", "mangle", "last"
    ]  # fmt: skip
    first, second = (step.delta for step in steps if isinstance(step, Load))
    assert f"-A {OLD_PREFIX}0 -p tcp -j DROP" in first.script
    assert "-A SVCC-DENY -j DROP" in first.script
    assert f"-X {OLD_PREFIX}0" in second.script


FILTER = {"filter": ["-A INPUT -j SVCC-REFUSE", "-A SVCC-REFUSE -d 10.96.0.10/32 -j DROP"]}
IPVS_FILTER = {
    "filter": [
        "-A INPUT -j SVCC-REFUSE",
        "-A SVCC-REFUSE -m ipvs --ipvs -j RETURN",
        "-A SVCC-REFUSE -m set --match-set SVCC-REFUSED dst,dst -j DROP",
    ]
}
GUARD = "-A SVCC-REFUSE -d 127.0.0.0/8 ! -i lo -j DROP"


def test_refusals_of_iptables_mode_are_never_there_beside_ipvs() -> None:
    """They would refuse what IPVS serves, which has had no translation."""
    nat, ipvs = RULES_MODE | FILTER, IPVS_MODE | IPVS_FILTER
    into = planned(nat, ipvs, all_places())
    assert names(into) == [
        "before", "mangle", "filter", "before nat", "filter", "nat", "behind nat", "after", "last"
    ]  # fmt: skip
    both, wanted = (s.delta for s in into if isinstance(s, Load) and s.table == "filter")
    assert both.after.chains[f"{OLD_PREFIX}0"]
    assert wanted.after.chains == tables(ipvs)["filter"].chains
    out = planned(ipvs, nat, all_places())
    assert names(out) == [
        "before", "before nat", "nat", "behind nat", "filter", "after", "mangle", "last"
    ]  # fmt: skip
    within = planned(nat, RULES_MODE | {"filter": [*FILTER["filter"], GUARD], "nat": []}, None)
    assert names(within) == ["filter", "nat", "filter"]


def with_guard(lines: dict[str, list[str]]) -> dict[str, list[str]]:
    return lines | {"filter": [*lines["filter"], GUARD]}


@pytest.mark.parametrize(
    ("start", "end"),
    [(RULES_MODE | FILTER, IPVS_MODE | IPVS_FILTER), (IPVS_MODE | IPVS_FILTER, RULES_MODE | FILTER),
     (RULES_MODE | FILTER, OTHER_RULES | FILTER)],
)  # fmt: skip
@pytest.mark.parametrize("on", [True, False])
def test_loopback_is_guarded_while_it_is_routed(
    start: dict[str, list[str]], end: dict[str, list[str]], on: bool
) -> None:
    now, wanted = (start, with_guard(end)) if on else (with_guard(start), end)
    family = Family.IPV4
    current = {family: tables(now)}
    routed, guarded = not on, not on
    for step in make_steps(current, {family: tables(wanted)}, on, None):
        match step:
            case SetRouteLocalnet(value):
                routed = value
            case Load(table="filter", delta=change):
                guarded = has_loopback_guard(own_rules(change.after))
            case _:
                pass
        assert guarded or not routed
    assert (routed, guarded) == (on, on)


def test_mangle_rules_alone_are_loaded_once() -> None:
    assert names(planned(IPVS_MODE, OTHER_MARKS, None)) == ["mangle"]


def test_modes_are_told_by_the_nat_rules() -> None:
    assert is_nat_mode(tables(RULES_MODE))
    assert not is_nat_mode(tables(IPVS_MODE))
    assert not is_nat_mode({name: TableState() for name in TABLES})


def test_the_address_of_node_ports_is_told_by_the_nat_rules() -> None:
    rules = [
        "-A PREROUTING -j SVCC-SERVICES",
        "-A SVCC-NODEPORTS -m set --match-set SVCC-NP-SERVED dst,dst -j DNAT --to-destination {}",
        "-A SVCC-SVC-A -p tcp -j DNAT --to-destination 10.244.1.5:8080",
        "-A SVCC-SVC-A -p tcp -j DNAT --to-destination [fd00::5]:8080",
        "-A SVCC-POSTROUTING -m ipvs --ipvs -j RETURN",
    ]
    four, six = (
        tables({"nat": [line.format(address) for line in rules]})
        for address in ("192.168.7.10", "fd00:7::10")
    )
    found = rewritten_to({Family.IPV4: four, Family.IPV6: six})
    assert found == {parse_address("192.168.7.10"), parse_address("fd00:7::10")}
    assert not rewritten_to({Family.IPV4: tables({"nat": rules[:-1]})})
