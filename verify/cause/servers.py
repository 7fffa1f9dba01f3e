"""Virtual servers and addresses as they might have been meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from svcc.grammar.address import Address
from svcc.grammar.ipvs.ipvsadm import (
    RealKey,
    RealServer,
    Scheduling,
    VirtualKey,
    VirtualServer,
    endpoint,
    key_words,
    server_words,
    service_words,
)
from svcc.grammar.ipvs.state import Ipvs
from svcc.verify.cause.changes import Bench, Change
from svcc.verify.cause.walks import Walks
from svcc.verify.confirm.causes import DUMMY_DEVICE, Cause
from svcc.verify.spec.outcomes import Serve

Declared = Callable[[int | None, int, int], bool]
"""Whether an address (None: a node port), protocol and port are a frontend."""


def other_servers(bench: Bench, walks: Walks, declared: Declared) -> Iterator[Change]:
    """The virtual servers that the packet comes to, or should, changed in one place."""
    ipvs = bench.rules.ipvs
    if ipvs is None:
        return
    serve = next((o for o in walks.retry.wanted if isinstance(o, Serve)), None)
    hit = list(dict.fromkeys(step.virtual for step in walks.steps if step.virtual is not None))
    for key in hit:
        server = ipvs.servers[key]
        if serve is not None:
            yield from _of_reals(ipvs, key, server, serve)
            yield from _of_scheduling(ipvs, key, server, serve)
        rest = {k: s for k, s in ipvs.servers.items() if k != key}
        yield _of_server(ipvs, key, server, rest, "right without it")
    if serve is None:
        return
    wanted = {RealKey(b.address, b.port) for b in serve.backends}
    for key in _keys(walks):
        if key in ipvs.servers:
            continue
        for other, server in ipvs.servers.items():
            usual = other.protocol and not declared(other.address, other.protocol, other.port)
            if usual and set(server.servers) == wanted:
                rest = {k: s for k, s in ipvs.servers.items() if k != other}
                remedy = f"right as {key_words(key)}"
                yield _of_server(ipvs, other, server, {**rest, key: server}, remedy)
        known = not key.protocol or any(o.address == key.address for o in ipvs.servers)
        if not known and not declared(key.address, key.protocol, key.port):
            continue
        scheduling = Scheduling(scheduler="rr", persistence=serve.affinity_timeout)
        server = VirtualServer(scheduling, {real: RealServer() for real in wanted})
        yield Change(
            cause=partial(
                Cause, ipvs.files.get("ipvsadm", ""), 0, "", key_words(key), "",
                "a virtual server of its own",
            ),
            ipvs=replace(ipvs, servers={**ipvs.servers, key: server}),
        )  # fmt: skip


def _keys(walks: Walks) -> Iterator[VirtualKey]:
    """What virtual servers the packet may be looked up by."""
    packet = walks.retry.packet
    places = {(packet.destination, packet.destination_port): None}
    places |= {(r.destination, r.destination_port): None for r in walks.results}
    for address, port in places:
        yield VirtualKey(packet.family, packet.protocol, address, port)
    for mark in {result.mark: None for result in walks.results}:
        if mark:
            yield VirtualKey(packet.family, 0, mark, 0)
    for step in walks.steps:
        if step.effect.startswith("mark 0x") and step.effect != "mark 0x0":
            yield VirtualKey(packet.family, 0, int(step.effect.split()[1], 16), 0)


def _of_reals(ipvs: Ipvs, key: VirtualKey, server: VirtualServer, serve: Serve) -> Iterator[Change]:
    wanted = [RealKey(b.address, b.port) for b in serve.backends]
    absent = [real for real in wanted if real not in server.servers]
    weights = [each.weight for each in server.servers.values() if each.weight] or [1]
    usual = max(set(weights), key=weights.count)
    for real, how in server.servers.items():
        rest = {k: r for k, r in server.servers.items() if k != real}
        for other in absent if real not in wanted else ():
            remedy = f"right with -r {endpoint(key.family, other.address, other.port)}"
            yield _of_real(ipvs, key, server, real, {**rest, other: how}, remedy)
        yield _of_real(ipvs, key, server, real, rest, "right without it")
        if how.weight != usual:
            changed = {**server.servers, real: replace(how, weight=usual)}
            yield _of_real(ipvs, key, server, real, changed, f"right with -w {usual}")
    if not any(each.weight for each in server.servers.values()) and server.servers:
        changed = {real: replace(how, weight=1) for real, how in server.servers.items()}
        first = next(iter(server.servers))
        yield _of_real(ipvs, key, server, first, changed, "right if one had a weight")
    for other in absent:
        yield Change(
            cause=partial(
                Cause, ipvs.files.get("ipvsadm", ""), server.line, "", key_words(key), "",
                f"the real server {endpoint(key.family, other.address, other.port)}",
            ),
            ipvs=_with_reals(ipvs, key, server, {**server.servers, other: RealServer(usual)}),
        )  # fmt: skip


def _with_reals(
    ipvs: Ipvs, key: VirtualKey, server: VirtualServer, reals: dict[RealKey, RealServer]
) -> Ipvs:
    return replace(ipvs, servers={**ipvs.servers, key: replace(server, servers=reals)})


def _of_real(
    ipvs: Ipvs,
    key: VirtualKey,
    server: VirtualServer,
    real: RealKey,
    reals: dict[RealKey, RealServer],
    remedy: str,
) -> Change:
    def cause() -> Cause:
        text = f"-a {server_words(key, real, server.servers[real])}"
        line = server.lines.get(real, server.line)
        name = key_words(key)
        return Cause(ipvs.files.get("ipvsadm", ""), line, "", name, text, remedy=remedy)

    return Change(cause=cause, ipvs=_with_reals(ipvs, key, server, reals))


def _of_scheduling(
    ipvs: Ipvs, key: VirtualKey, server: VirtualServer, serve: Serve
) -> Iterator[Change]:
    now = server.scheduling
    for other, remedy in (
        (
            replace(now, persistence=serve.affinity_timeout),
            "right without -p"
            if serve.affinity_timeout is None
            else f"right with -p {serve.affinity_timeout}",
        ),
        (replace(now, scheduler="rr"), "right with -s rr"),
    ):
        if other != now:
            changed = replace(server, scheduling=other)
            yield _of_server(ipvs, key, server, {**ipvs.servers, key: changed}, remedy)


def _of_server(
    ipvs: Ipvs,
    key: VirtualKey,
    server: VirtualServer,
    servers: dict[VirtualKey, VirtualServer],
    remedy: str,
) -> Change:
    return Change(
        cause=lambda: server_cause(ipvs, key, server, remedy), ipvs=replace(ipvs, servers=servers)
    )


def server_cause(ipvs: Ipvs, key: VirtualKey, server: VirtualServer, remedy: str = "") -> Cause:
    """A virtual server that is at fault, or decides."""
    text = f"-A {service_words(key, server.scheduling)}"
    file = ipvs.files.get("ipvsadm", "")
    return Cause(file, server.line, "", key_words(key), text, remedy=remedy)


# -- addresses -----------------------------------------------------------------------------


def other_addresses(bench: Bench, walks: Walks) -> Iterator[Change]:
    """The packet's destination as an address of the dummy device, or not."""
    ipvs, packet = bench.rules.ipvs, walks.retry.packet
    if ipvs is None:
        return
    is_local = walks.retry.world.is_local(packet.destination)
    address = Address(packet.family, packet.destination)
    file = ipvs.files.get("addresses", "")
    line = ipvs.address_lines.get(packet.family, {}).get(packet.destination, 0)
    if is_local and line:
        cause = Cause(file, line, "", DUMMY_DEVICE, str(address), remedy="right without it")
    elif not is_local and file:
        cause = Cause(file, 0, "", DUMMY_DEVICE, "", f"the address {address}")
    else:
        return
    yield Change(cause=lambda: cause, local={packet.destination: not is_local})
