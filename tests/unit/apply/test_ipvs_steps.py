"""Where the steps of ipvs mode stand among those of the iptables rules."""

from __future__ import annotations

from svcc.apply.iptables.plan import OLD_PREFIX
from svcc.apply.iptables.read import TABLES, Tables, TableState, is_nat_mode, read_table
from svcc.apply.ipvs.commands import DestroySet
from svcc.apply.ipvs.plan import Place, Stage
from svcc.apply.ipvs.servers import NO_REUSE, settings_for
from svcc.apply.ipvs.steps import Change, ServerSteps
from svcc.apply.steps import Load, Step, make_steps
from svcc.compiler.bundle import sysctls
from svcc.grammar.address import Family
from svcc.grammar.ipvs.state import Ipvs

RULES_MODE = {"nat": ["-A PREROUTING -j SVCC-SERVICES", "-A SVCC-SERVICES -j RETURN"]}
IPVS_MODE = {
    "mangle": ["-A PREROUTING -j SVCC-DENY", "-A SVCC-DENY -p tcp -j DROP"],
    "nat": ["-A PREROUTING -j SVCC-SERVICES", "-A SVCC-SERVICES -m ipvs --ipvs -j RETURN"],
}
OTHER_MARKS = {**IPVS_MODE, "mangle": ["-A PREROUTING -j SVCC-DENY", "-A SVCC-DENY -j DROP"]}


def tables(lines: dict[str, list[str]]) -> Tables:
    return {name: read_table("\n".join(lines.get(name, []))) for name in TABLES}


def marker(name: str) -> Change:
    return Change(Stage(Place.LAST, name, (DestroySet(name),)), 0)


def all_places() -> ServerSteps:
    return ServerSteps(
        [marker("before")], [marker("before nat")], [marker("behind nat")], [marker("after")],
        [marker("last")],
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


def test_mangle_rules_alone_are_loaded_once() -> None:
    assert names(planned(IPVS_MODE, OTHER_MARKS, None)) == ["mangle"]


def test_modes_are_told_by_the_nat_rules() -> None:
    assert is_nat_mode(tables(RULES_MODE))
    assert not is_nat_mode(tables(IPVS_MODE))
    assert not is_nat_mode({name: TableState() for name in TABLES})


def test_apply_sets_what_a_bundle_lists() -> None:
    for strict in (False, True):
        wanted = Ipvs(strict_arp=strict)
        found = settings_for(wanted)
        listed = {name.replace(".", "/"): value for name, value in sysctls(wanted).items()}
        assert listed.items() <= found.items()
        assert found.keys() - listed.keys() <= NO_REUSE.keys()
    assert settings_for(None) == {}
