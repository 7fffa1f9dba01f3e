"""The order of ipvs mode's commands: every state on the way, on random states of the node."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.apply.ipvs.commands import (
    AddAddress,
    AddServer,
    EditReal,
    RemoveReal,
    RemoveServer,
    SetTimeouts,
    WaitForConnections,
)
from svcc.apply.ipvs.compare import own_difference
from svcc.apply.ipvs.model import run_on
from svcc.apply.ipvs.plan import Device, Place, is_empty, stages
from svcc.apply.ipvs.sets import PENDING
from svcc.apply.system.errors import ApplyError
from svcc.grammar.address import Family, Network
from svcc.grammar.ipvs.ipset import PortOf, Set, host
from svcc.grammar.ipvs.ipvsadm import RealKey, RealServer, Scheduling, VirtualKey, VirtualServer
from svcc.grammar.ipvs.state import Ipvs
from tests.support.effort import examples

FRONTENDS = [
    (Family.IPV4, 10 << 24 | 1, 6, 80),
    (Family.IPV4, 10 << 24 | 1, 17, 80),
    (Family.IPV4, 10 << 24 | 2, 6, 80),
    (Family.IPV6, 0xFD << 120 | 1, 6, 80),
    (Family.IPV6, 0xFD << 120 | 2, 132, 80),
]
MARKS = {index: 0x53000001 + index for index in range(len(FRONTENDS))}
NETWORKS = {
    Family.IPV4: [Network(Family.IPV4, n << 24, 8) for n in (1, 2, 3)],
    Family.IPV6: [Network(Family.IPV6, n << 120, 8) for n in (1, 2, 3)],
}


@st.composite
def server(draw: st.DrawFn, family: Family) -> VirtualServer:
    base = 0 if family is Family.IPV4 else 0xFD << 120
    reals = draw(st.sets(st.integers(1, 4), min_size=1))
    scheduling = Scheduling(scheduler=draw(st.sampled_from(("rr", "sh"))))
    return VirtualServer(scheduling, {RealKey(base + n, 8080): RealServer() for n in sorted(reals)})


@st.composite
def nodes(draw: st.DrawFn) -> Ipvs:
    made = Ipvs(addresses=dict.fromkeys(Family, ()))
    for index, frontend in enumerate(FRONTENDS):
        kind = draw(st.sampled_from(("absent", "served", "guarded", "marked", "refused")))
        if kind != "absent":
            _enter(draw, made, index, frontend, kind)
    for item in made.sets.values():
        item.max_entries = max(len(item.entries), draw(st.sampled_from((1, 2, 8))))
    return made


def _enter(
    draw: st.DrawFn, made: Ipvs, index: int, frontend: tuple[Family, int, int, int], kind: str
) -> None:
    family, address, protocol, port = frontend
    prefix = "SVCC-" if family is Family.IPV4 else "SVCC-6-"
    parts = (host(family, address), PortOf(protocol, port))

    def put(purpose: str, *more: Network, kind: str = "hash:ip,port", mark: int = 0) -> None:
        name = f"{prefix}{purpose}"
        item = made.sets.setdefault(
            name, Set(name=name, kind=kind, family=family, maps_marks=bool(mark))
        )
        item.add(*parts, *more, mark=(mark, 0xFFFFFFFF) if mark else None)

    put("FRONTENDS")
    made.addresses[family] = tuple(sorted({*made.addresses[family], address}))
    if kind == "refused":
        put("REFUSED")
        return
    made.servers[VirtualKey(family, protocol, address, port)] = draw(server(family))
    if kind == "guarded":
        put("GUARDED")
        for network in sorted(draw(st.sets(st.sampled_from(NETWORKS[family])))):
            put("ALLOWED", network, kind="hash:ip,port,net")
    elif kind == "marked":
        put("FWMARK", mark=MARKS[index])
        made.servers[VirtualKey(family, 0, MARKS[index], 0)] = draw(server(family))


def same(left: Ipvs, right: Ipvs) -> bool:
    return own_difference(left, right) is None


def serving(servers: VirtualServer) -> set[RealKey]:
    return {real for real, options in servers.servers.items() if options.weight}


def check(state: Ipvs, old: Ipvs, new: Ipvs) -> None:
    for key, found in state.servers.items():
        sides = [side.servers[key] for side in (old, new) if key in side.servers]
        assert sides
        assert serving(found) <= set().union(*(serving(side) for side in sides))
        if len(sides) == 2:
            assert serving(found)
    assert old.servers.keys() & new.servers.keys() <= state.servers.keys()
    for name, item in state.sets.items():
        if not name.startswith("SVCC-TMP-") and name not in PENDING.values():
            check_set(name, state, old, new)
        if "FWMARK" in name:
            for entry in item.entries.values():
                assert entry.mark is not None
                assert item.family is not None
                assert serving(state.servers[VirtualKey(item.family, 0, entry.mark[0], 0)])
    assert all(name in state.sets for name in old.sets.keys() & new.sets.keys()), (
        "a set that rules refer to is gone"
    )


def check_set(name: str, state: Ipvs, old: Ipvs, new: Ipvs) -> None:
    sides = [side.sets[name].entries if name in side.sets else {} for side in (old, new)]
    there = state.sets[name].entries
    assert there.items() <= sides[0].items() | sides[1].items()
    if not state.sets[name].maps_marks and name in old.sets and name in new.sets:
        assert sides[0].keys() & sides[1].keys() <= there.keys()
    if "GUARDED" in name and not is_empty(new):
        for guarded in there:
            assert any(
                guarded in (side.sets[name].entries if name in side.sets else ())
                and allowed(side, name, guarded) <= allowed(state, name, guarded)
                for side in (old, new)
            )


def allowed(side: Ipvs, name: str, guarded: tuple[object, ...]) -> set[object]:
    item = side.sets.get(name.replace("GUARDED", "ALLOWED"))
    return {parts[2] for parts in item.entries if parts[:2] == guarded} if item else set()


@examples(150, 5000)
@given(nodes(), nodes(), st.booleans())
def test_every_state_on_the_way(old: Ipvs, new: Ipvs, drain: bool) -> None:
    state = deepcopy(old)
    for stage in stages(old, new, drain=drain):
        for command in stage.commands:
            run_on(state, command)
            check(state, old, new)
    assert same(state, new)
    assert not stages(state, new, drain=drain)


@examples(40, 2000)
@given(nodes(), nodes(), nodes(), st.booleans())
def test_from_every_state_on_the_way_to_any_other(
    old: Ipvs, new: Ipvs, other: Ipvs, drain: bool
) -> None:
    state = deepcopy(old)
    listed = [command for stage in stages(old, new, drain=drain) for command in stage.commands]
    for number, command in enumerate(listed):
        run_on(state, command)
        for target in (old, new, other) if number % 5 == 0 else ():
            there = deepcopy(state)
            for stage in stages(there, target):
                for step in stage.commands:
                    run_on(there, step)
            assert same(there, target)


def key(address: int = 10 << 24 | 1, protocol: int = 6) -> VirtualKey:
    return VirtualKey(Family.IPV4, protocol, address, 80)


def one(*reals: int, protocol: int = 6, weight: int = 1) -> Ipvs:
    servers = {RealKey(n, 8080): RealServer(weight) for n in reals}
    made = Ipvs({key(protocol=protocol): VirtualServer(Scheduling(scheduler="rr"), servers)})
    made.addresses = {Family.IPV4: (10 << 24 | 1,), Family.IPV6: ()}
    return made


def commands(live: Ipvs, wanted: Ipvs | None, **options: bool) -> list[object]:
    return [c for stage in stages(live, wanted, **options) for c in stage.commands]  # type: ignore[arg-type]


def test_tcp_drains() -> None:
    gone = RealKey(2, 8080)
    assert commands(one(1, 2), one(1)) == [
        EditReal(key(), gone, RealServer(0)),
        WaitForConnections(((key(), gone),)),
        RemoveReal(key(), gone),
    ]
    assert commands(one(1, 2), one(1), drain=False) == [RemoveReal(key(), gone)]


def test_udp_does_not_drain() -> None:
    listed = commands(one(1, 2, protocol=17), one(1, protocol=17))
    assert RemoveReal(key(protocol=17), RealKey(2, 8080)) in listed
    assert not any(isinstance(c, (EditReal, WaitForConnections)) for c in listed)


def test_a_kill_while_draining_heals() -> None:
    assert commands(one(1, weight=0), one(1)) == [EditReal(key(), RealKey(1, 8080), RealServer(1))]


def test_nothing_waits_for_a_virtual_ip_that_goes() -> None:
    other = Ipvs({key(11 << 24): one(1).servers[key()]})
    other.addresses = {Family.IPV4: (11 << 24,), Family.IPV6: ()}
    assert not any(isinstance(c, WaitForConnections) for c in commands(one(1), other))
    assert any(isinstance(c, WaitForConnections) for c in commands(one(1), None))


def test_addresses_come_before_nat_rules_go() -> None:
    places = {
        c: stage.place
        for before in (True, False)
        for stage in stages(
            Ipvs(), one(1), addresses_before_nat=frozenset({Family.IPV4} if before else ())
        )
        for c in stage.commands
        if isinstance(c, AddAddress) and (stage.place is Place.BEFORE_NAT) == before
    }
    assert len(places) == 1
    assert isinstance(commands(Ipvs(), one(1))[0], AddServer)


def test_what_is_odd_about_the_device_goes() -> None:
    odd = Device(exists=True, is_up=False, odd_addresses=((Family.IPV4, 5, 24),))
    listed = [c for stage in stages(one(1), one(1), device=odd) for c in stage.commands]
    assert [type(c).__name__ for c in listed] == ["RaiseDevice", "RemoveAddress"]
    gone = [c for stage in stages(Ipvs(), None, device=odd) for c in stage.commands]
    assert [type(c).__name__ for c in gone] == ["RemoveDevice"]


def test_timeouts() -> None:
    live, wanted = one(1), one(1)
    live.timeouts, wanted.timeouts = (900, 120, 300), (0, 60, 300)
    assert commands(live, wanted) == [SetTimeouts((0, 60, 300))]
    run_on(live, SetTimeouts((0, 60, 300)))
    assert live.timeouts == (900, 60, 300)
    assert commands(live, wanted) == []


def test_a_set_cannot_become_one_of_another_type() -> None:
    live, wanted = Ipvs(), one(1)
    live.sets["SVCC-X"] = Set(name="SVCC-X", kind="hash:ip", family=Family.IPV4)
    wanted.sets["SVCC-X"] = Set(name="SVCC-X", kind="hash:ip,port", family=Family.IPV4)
    with pytest.raises(ApplyError, match="SVCC-X is a hash:ip of ipv4"):
        stages(live, wanted)


def test_a_model_refuses_what_the_kernel_refuses() -> None:
    refused = (
        RemoveServer(key(5)),
        RemoveReal(key(), RealKey(9, 9)),
        AddServer(key(), Scheduling()),
    )
    for command in refused:
        with pytest.raises(ValueError, match="the kernel would refuse"):
            run_on(one(1), command)
