"""Every step of an apply in ipvs mode is safe, and a wrong order is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest

from svcc.api.apply_order import check
from svcc.apply.engine import _target
from svcc.apply.iptables.read import TABLES, Tables, TableState, served_by_nat
from svcc.apply.ipvs.plan import Device
from svcc.apply.ipvs.read import Live
from svcc.apply.ipvs.steps import server_steps
from svcc.apply.moments import Moment, moments
from svcc.apply.steps import Step, make_steps
from svcc.compiler.pipeline import Compiled
from svcc.grammar.address import Family, parse_address
from svcc.grammar.ipvs.ipvsadm import RealKey, RealServer, VirtualServer
from svcc.grammar.ipvs.state import Ipvs
from svcc.verify.simulator.matching import UndecidableError
from tests.kernel.ipvs.apply.shop import NEW, OLD, compiled

ADDRESSES = tuple(map(parse_address, ("192.168.7.10", "192.168.7.11", "fd00:7::10")))
NOTHING = {family: {table: TableState() for table in TABLES} for family in Family}


def tables_of(what: Compiled | None) -> dict[Family, Tables]:
    if what is None:
        return NOTHING
    return {family: _target(program) for family, program in what.programs.items()}


def ipvs_of(what: Compiled | None) -> Ipvs:
    return Ipvs() if what is None or what.ipvs is None else what.ipvs


def planned(old: Compiled | None, new: Compiled | None) -> list[Step]:
    device = Device(bool(any(ipvs_of(old).addresses.values())), True)
    live = Live(ipvs_of(old), device)
    current = tables_of(old)
    served = served_by_nat(current)
    servers = server_steps(live, ipvs_of(new), {}, served_by_nat=served, drain=0)
    return make_steps(current, tables_of(new), None, servers)


def walked(old: Compiled | None, new: Compiled | None) -> list[Moment]:
    return list(moments(planned(old, new), tables_of(old), ipvs_of(old)))


def problems(found: Sequence[Moment]) -> list[str]:
    return check(found, ADDRESSES)


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
