"""Every step of an apply in ipvs mode is safe, and a wrong order is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest

from svcc.api.applying.order import check
from svcc.apply.engine import _target
from svcc.apply.iptables.plan import union
from svcc.apply.iptables.read import TABLES, Tables, TableState, served_by_nat
from svcc.apply.ipvs.plan import Device
from svcc.apply.ipvs.read import Live
from svcc.apply.ipvs.steps import server_steps
from svcc.apply.loaded import translated_to
from svcc.apply.moments import Moment, moments
from svcc.apply.steps import Step, make_steps
from svcc.compiler.pipeline import Compiled, compile_objects
from svcc.grammar.address import Address, Family, parse_address
from svcc.grammar.ipvs.ipvsadm import RealKey, RealServer, VirtualServer
from svcc.grammar.ipvs.state import Ipvs
from svcc.verify.simulator.matching import UndecidableError
from tests.kernel.ipvs.apply.shop import NEW, OLD, compiled
from tests.support.clusters.cases import case_names, case_objects
from tests.support.clusters.ipvs_cases import with_own

ADDRESSES = tuple(map(parse_address, ("192.168.7.10", "192.168.7.11", "fd00:7::10")))
NOTHING = {family: {table: TableState() for table in TABLES} for family in Family}


def tables_of(what: Compiled | None) -> dict[Family, Tables]:
    if what is None:
        return NOTHING
    return {family: _target(program) for family, program in what.programs.items()}


def ipvs_of(what: Compiled | None) -> Ipvs:
    return Ipvs() if what is None or what.ipvs is None else what.ipvs


def planned(old: Compiled | None, new: Compiled | None, drain: float = 0) -> list[Step]:
    device = Device(bool(any(ipvs_of(old).addresses.values())), True)
    live = Live(ipvs_of(old), device)
    current = tables_of(old)
    served = served_by_nat(current)
    servers = server_steps(
        live,
        ipvs_of(new),
        {},
        served_by_nat=served,
        drain=drain,
        behind_nat=translated_to(current) | translated_to(tables_of(new)),
    )
    return make_steps(current, tables_of(new), None, servers)


def walked(old: Compiled | None, new: Compiled | None, drain: float = 0) -> list[Moment]:
    return list(moments(planned(old, new, drain), tables_of(old), ipvs_of(old)))


def problems(found: Sequence[Moment], addresses: tuple[Address, ...] = ADDRESSES) -> list[str]:
    return check(found, addresses)


def case_in_mode(name: str, mode: str) -> tuple[Compiled, tuple[Address, ...]]:
    objects, settings = case_objects(name, mode)
    settings = replace(settings, addresses=with_own(settings.addresses))
    return compile_objects(objects, settings), settings.addresses


MODES = ("iptables", "ipvs", None)


def state(documents: list[dict[str, object]], mode: str | None) -> Compiled | None:
    return None if mode is None else compiled(documents, mode)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"), [pair for pair in product(MODES, MODES) if "ipvs" in pair]
)
def test_every_moment_is_safe(before: str | None, after: str | None) -> None:
    found = walked(state(OLD, before), state(NEW, after))
    assert len(found) > 20
    wrong = problems(found)
    assert not wrong, "\n".join(wrong[:10])


@pytest.mark.slow
@pytest.mark.parametrize("name", case_names())
@pytest.mark.parametrize(("start", "end"), [("iptables", "ipvs"), ("ipvs", "iptables")])
def test_every_moment_between_the_modes_is_safe(name: str, start: str, end: str) -> None:
    before, addresses = case_in_mode(name, start)
    after, _ = case_in_mode(name, end)
    found = walked(before, after, drain=15)
    assert len(found) > 5
    wrong = problems(found, addresses)
    assert not wrong, "\n".join(wrong[:10])


@pytest.mark.parametrize(("start", "end"), [("iptables", "ipvs"), ("ipvs", "iptables")])
def test_refusals_of_iptables_mode_beside_ipvs_are_found(start: str, end: str) -> None:
    """Its refusals know only what rules have translated, and IPVS leaves that to nobody."""
    name = "balancer-address-that-is-its-backend"
    (before, addresses), (after, _) = case_in_mode(name, start), case_in_mode(name, end)
    found = walked(before, after)
    first, last = found[0], found[-1]
    ipvs, rules = (first, last) if start == "ipvs" else (last, first)
    both = {
        family: {**ipvs.tables[family], "filter": union(
            rules.tables[family]["filter"], ipvs.tables[family]["filter"]
        )}
        for family in Family
    }  # fmt: skip
    wrong = problems([first, Moment("both refuse", both, ipvs.ipvs), last], addresses)
    assert any("dropped; before: sent to 192.168.7.11 port 6443" in text for text in wrong), wrong


def test_marks_beyond_the_nat_rules_of_iptables_mode_are_found() -> None:
    """A packet with a mark goes to the virtual server of the mark, whatever rules made of it."""
    (before, addresses), (after, _) = (case_in_mode("external-local", m) for m in MODES[1::-1])
    found = walked(before, after)
    first, last = found[0], found[-1]
    servers = {
        key: server if key.protocol else VirtualServer(server.scheduling, {})
        for key, server in first.ipvs.servers.items()
    }
    tables = {f: {**last.tables[f], "mangle": first.tables[f]["mangle"]} for f in Family}
    gone = Moment("marked yet", tables, replace(first.ipvs, servers=servers))
    assert any(
        "rejected; before: sent to" in text for text in problems([first, gone, last], addresses)
    )


def test_a_backend_that_is_a_virtual_server_is_found() -> None:
    """What nat rules send to a node port's address, IPVS sends on from there."""
    (before, addresses), (after, _) = (
        case_in_mode("backend-that-is-a-node-port", mode) for mode in MODES[:2]
    )
    found = walked(before, after)
    first, last = found[0], found[-1]
    both = Moment("nat rules ahead of virtual servers", first.tables, last.ipvs)
    wrong = problems([first, both, last], addresses)
    told = "sent to 10.244.2.7 port 8080; before: sent to 192.168.7.10 port 30080"
    assert any(told in text for text in wrong), wrong


def test_what_is_dropped_before_and_afterwards_is_dropped_all_the_time() -> None:
    (before, addresses), (after, _) = (case_in_mode("source-ranges", m) for m in MODES[1::-1])
    found = walked(before, after)
    first, last = found[0], found[-1]
    assert not problems([first, first, last], addresses)
    open_to_all = {f: {**first.tables[f], "mangle": TableState()} for f in Family}
    wrong = problems(
        [first, Moment("nothing is dropped", open_to_all, first.ipvs), last], addresses
    )
    assert any("before: dropped; afterwards: dropped" in text for text in wrong)


def test_a_wrong_order_is_found() -> None:
    """What goes has gone before what comes has come."""
    old, new = compiled(OLD), compiled(NEW)
    found = walked(old, new)
    first, last = found[0], found[-1]
    servers = {
        key: VirtualServer(server.scheduling, {})
        for key, server in first.ipvs.servers.items()
        if key in last.ipvs.servers
    }
    empty = Moment(
        "no real server yet", first.tables, Ipvs(servers, first.ipvs.sets, first.ipvs.addresses)
    )
    assert any("rejected" in text for text in problems([first, empty, last]))
    unbound = Moment("no address yet", first.tables, replace(first.ipvs, addresses={}))
    assert any("left alone" in text for text in problems([first, unbound, last]))
    other = {
        key: VirtualServer(server.scheduling, {RealKey(8, 8): RealServer()})
        for key, server in first.ipvs.servers.items()
    }
    astray = Moment("somebody else's real server", first.tables, replace(first.ipvs, servers=other))
    assert any("0.0.0.8 port 8" in text for text in problems([first, astray, last]))
    nothing = Moment("no rules", last.tables, replace(first.ipvs, sets={}))
    with pytest.raises(UndecidableError):
        problems([first, nothing, last])
