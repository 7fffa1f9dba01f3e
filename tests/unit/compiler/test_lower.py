"""The rule programs as a whole: well formed, bounded, deterministic, proved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from svcc.compiler.lower.iptables.lowering import lower
from svcc.compiler.lower.shared.chains import Branches
from svcc.compiler.lower.shared.depth import BRANCHES, GOOD_DEPTH, MAX_DEPTH, TooDeepError
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.resolve.forwarding import Backend, Forwarding, ServicePort
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_network
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.program import Comment, Goto, Jump, Program, Rule, Table
from svcc.grammar.iptables.ruleset import load
from svcc.grammar.iptables.write import write
from svcc.verify.prepare.loaded import LoadedRules
from tests.support.clusters.random_objects import random_objects, random_settings
from tests.support.effort import LONG
from tests.support.kernel.namespace import missing, namespace
from tests.support.proofs import verify

SEEDS = range(200) if LONG else (0, 1, 2, 3, 4, 6, 7, 8)
"""5 alone takes longer than all of them together."""
BASE = {
    "nat": {"PREROUTING", "OUTPUT", "POSTROUTING"},
    "filter": {"INPUT", "FORWARD", "OUTPUT"},
}
NODE = NodeSettings(
    node_name="node-a", pods=PodDetection({Family.IPV4: parse_network("10.244.0.0/16")})
)
PORT = ServicePort(
    family=Family.IPV4,
    label="shop/web:http",
    protocol=6,
    cluster_ip=(10 << 24) + (96 << 16) + 10,
    port=80,
    external_addresses=(),
    balancer_addresses=(),
    node_port=0,
    everywhere=(Backend(0x0AF40105, 8080),),
    here=(),
    usable=True,
    internal_local=False,
    external_local=False,
    affinity_timeout=None,
    allowed_sources=None,
)


def forwarding(*ports: ServicePort, settings: NodeSettings = NODE) -> Forwarding:
    return Forwarding(settings, ports, (), ())


def random_programs(seed: int, services: int, *, comments: bool = True) -> dict[Family, Program]:
    random = Random(seed)
    objects = random_objects(random, services)
    return compile_objects(objects, random_settings(random), comments=comments).programs


def rules_of(table: Table) -> Iterator[Rule]:
    for rule in table.commands:
        assert isinstance(rule, Rule)
        yield rule


def depth(table: Table) -> int:
    """Chains on the longest way from a base chain, the base chain not counted."""
    below: dict[str, set[str]] = {}
    for rule in rules_of(table):
        if isinstance(rule.target, Goto | Jump):
            below.setdefault(rule.chain, set()).add(rule.target.chain)

    def of(chain: str) -> int:
        return 1 + max((of(child) for child in below.get(chain, ())), default=0)

    return max(of(chain) for chain in BASE[table.name]) - 1


def targets(table: Table) -> set[str]:
    return {rule.target.chain for rule in rules_of(table) if isinstance(rule.target, Goto | Jump)}


# -- form ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_programs_are_well_formed(seed: int) -> None:
    for family, program in random_programs(seed, 60).items():
        assert program.family is family
        assert list(program.tables) == ["filter", "nat"], "refusals are loaded first"
        for name, table in program.tables.items():
            own = set(table.chains)
            assert all(chain.startswith("SVCC-") and len(chain) <= 28 for chain in own)
            assert targets(table) <= own
            roots = {"SVCC-SERVICES", "SVCC-NODEPORTS"} if name == "nat" else set()
            assert own - targets(table) <= roots
            assert {rule.chain for rule in rules_of(table)} <= own | BASE[name]
            assert depth(table) <= GOOD_DEPTH


@pytest.mark.parametrize("family", list(Family))
def test_nothing_to_forward_leaves_the_base(family: Family) -> None:
    program = lower(forwarding())[family]
    assert set(program.tables["nat"].chains) == {
        "SVCC-SERVICES",
        "SVCC-NODEPORTS",
        "SVCC-POSTROUTING",
        "SVCC-HAIRPIN",
    }
    for name, table in program.tables.items():
        jumps = [rule for rule in rules_of(table) if rule.chain in BASE[name]]
        assert {rule.chain for rule in jumps} == BASE[name]


def test_comments_can_be_left_out() -> None:
    def without(program: Program) -> list[Rule]:
        found = []
        for table in program.tables.values():
            for rule in rules_of(table):
                matches = tuple(m for m in rule.matches if not isinstance(m, Comment))
                found.append(replace(rule, matches=matches))
        return found

    spoken, silent = random_programs(3, 20), random_programs(3, 20, comments=False)
    assert "--comment" in write(spoken[Family.IPV4])
    for family in Family:
        assert "--comment" not in write(silent[family])
        assert without(spoken[family]) == without(silent[family])


def test_a_new_service_changes_few_chains() -> None:
    ports = [
        replace(PORT, label=f"shop/s{n}", cluster_ip=PORT.cluster_ip + 7 * n) for n in range(500)
    ]
    before = chains_of(lower(forwarding(*ports[:-1])))
    after = chains_of(lower(forwarding(*ports)))
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    assert len(changed) <= len(after) / 10


def chains_of(programs: dict[Family, Program]) -> dict[tuple[str, str], list[Rule]]:
    found: dict[tuple[str, str], list[Rule]] = {}
    for name, table in programs[Family.IPV4].tables.items():
        for rule in rules_of(table):
            found.setdefault((name, rule.chain), []).append(rule)
    return found


# -- size and depth ------------------------------------------------------------------------


def test_ten_thousand_services_are_few_rules() -> None:
    ports = [
        replace(
            PORT,
            label=f"shop/s{n}",
            cluster_ip=PORT.cluster_ip + 13 * n,
            everywhere=tuple(Backend(0x0A800000 + 5 * n + i, 8080) for i in range(5)),
        )
        for n in range(10_000)
    ]
    program = lower(forwarding(*ports))[Family.IPV4]
    assert sum(len(table.commands) for table in program.tables.values()) <= 73_400
    assert depth(program.tables["nat"]) <= 10


def crowd() -> list[ServicePort]:
    """Lopsided addresses, one with very many ports, one port with very many backends."""
    lopsided = {(1 << 31) | ((1 << n) - 1) << (23 - n) for n in range(23)}
    lopsided |= {(1 << 31) + (5 << n) + m for n in range(20) for m in range(40)}
    ports = [replace(PORT, label=f"shop/s{address:x}", cluster_ip=address) for address in lopsided]
    ports += [
        replace(PORT, label=f"shop/p{number}", port=number) for number in range(1000, 9000, 3)
    ]
    ranges = (parse_network("10.0.0.0/8"),)
    ports.append(
        replace(
            PORT,
            label="shop/big",
            balancer_addresses=(min(lopsided) ^ 1,),
            allowed_sources=ranges,
            everywhere=tuple(Backend(0x0A800000 + n, 8080) for n in range(5000)),
        )
    )
    return ports


def test_depth_is_bounded() -> None:
    for table in lower(forwarding(*crowd()))[Family.IPV4].tables.values():
        assert depth(table) <= MAX_DEPTH


def test_wider_nodes_are_tried_before_giving_up(monkeypatch: pytest.MonkeyPatch) -> None:
    thin = Branches(2, 2, 2)
    monkeypatch.setattr("svcc.compiler.lower.shared.depth.BRANCHES", (thin, BRANCHES[-1]))
    wide = lower(forwarding(*crowd()))
    monkeypatch.setattr("svcc.compiler.lower.shared.depth.BRANCHES", BRANCHES[-1:])
    assert lower(forwarding(*crowd())) == wide
    monkeypatch.setattr("svcc.compiler.lower.shared.depth.BRANCHES", (thin,))
    with pytest.raises(TooDeepError):
        lower(forwarding(*crowd()))


# -- meaning -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_random_objects_are_proved(seed: int) -> None:
    random = Random(seed)
    objects, settings = random_objects(random, random.choice((1, 3, 5))), random_settings(random)
    prove(objects, settings)


@pytest.mark.slow
def test_trees_are_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a list for few Services is proved as the tree that it is for many."""
    monkeypatch.setattr("svcc.compiler.lower.shared.dispatch.LINEAR", 2)
    monkeypatch.setattr("svcc.compiler.lower.shared.dispatch.LEAF_PORTS", 1)
    monkeypatch.setattr("svcc.compiler.lower.shared.hairpin.LEAF_PORTS", 1)
    monkeypatch.setattr("svcc.compiler.lower.shared.balance.LINEAR_BACKENDS", 3)
    monkeypatch.setattr("svcc.compiler.lower.shared.balance.LEAF_BACKENDS", 2)
    random = Random(21)
    prove(random_objects(random, 12), random_settings(random))


def prove(objects: Objects, settings: NodeSettings) -> None:
    loaded = {}
    for family, program in compile_objects(objects, settings).programs.items():
        read = parse(write(program), family=family, source=family.label)
        assert read == program
        loaded[family] = LoadedRules(load(read), family.label)
    report = verify(objects, settings, loaded)
    assert report.verdict == "proved", report.to_text()


# -- the kernel ----------------------------------------------------------------------------


@pytest.mark.kernel
@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_kernel_takes_the_deepest_and_the_oddest(variant: str) -> None:
    reason = missing()
    if reason:
        pytest.skip(reason)
    programs = [lower(forwarding(*crowd()))]
    programs += [random_programs(seed, 60) for seed in range(3)]
    for each in programs:
        with namespace() as node:
            for family, program in each.items():
                command = f"{'iptables' if family is Family.IPV4 else 'ip6tables'}-{variant}"
                node.run(f"{command}-restore", text=write(program))
                saved = load(parse(node.run(f"{command}-save"), family=family, source=command))
                wanted = load(program)
                assert all(saved.tables[t] == wanted.tables[t] for t in ("filter", "nat"))
