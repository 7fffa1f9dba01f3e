"""``tests/data/behaviour`` in userspace mode: compiled, proved, and tried with a real nginx.

What userspace mode does otherwise than iptables mode: the source is the node's; what is dropped is
refused or closed; ports of a virtual IP that no Service has are refused; node ports answer on
127.0.0.1 and not on all of loopback (docs/userspace.md).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.userspace.cases import (
    NOT_SERVED,
    endpoints,
    is_all_loopback,
    sources,
    virtual_addresses,
    why_not,
)
from tests.support.clusters.cases import BehaviourCase, PacketCase, case_names, read_case
from tests.support.command import svcc
from tests.support.kernel.proxying import (
    OWN,
    Answer,
    Closed,
    ProxyTestbed,
    Refused,
    Result,
    Where,
)
from tests.support.readings.outcomes import Drop, Refuse, Serve, Untouched, is_loopback

pytestmark = pytest.mark.kernel

TRIES = 40
"""Connections for each backend until one is said to be never reached. Workers take turns each for
itself, so that a few would do."""
AGAIN = 12
NODE_IPS = [word for address in OWN for word in ("--node-ip", address)]

EXPRESSED = [name for name in case_names() if name not in NOT_SERVED]


@pytest.mark.parametrize("name", EXPRESSED)
def test_connections_see_what_they_must(
    name: str, proxy_testbed: ProxyTestbed, tmp_path: Path
) -> None:
    case = read_case(name)
    objects, config = case.write(tmp_path)
    out = tmp_path / "out"
    given = ["-f", objects, "--config", config, "--mode", "userspace", *NODE_IPS]
    compiled = svcc("compile", *given, "-o", out)
    assert compiled.code == 0, compiled.err
    proved = svcc("verify", *given, "--rules", out)
    assert proved.code == 0, proved
    virtual = virtual_addresses(out)
    backends = set(endpoints(name))
    far = {*sources(case), *(address for address, _, _ in backends)} - virtual
    with (
        proxy_testbed.others(far),
        proxy_testbed.backends(e for e in backends if e[0] not in virtual),
        proxy_testbed.proxy(out),
    ):
        wrong = list(filter(None, (_try(proxy_testbed, p, virtual) for p in case.packets)))
    assert not wrong, "\n".join([*wrong, (out / "nginx.conf").read_text()])
    assert any(why_not(packet, virtual) is None for packet in case.packets)


@pytest.mark.parametrize("name", sorted(NOT_SERVED))
def test_what_cannot_be_expressed_is_not_proved(name: str, tmp_path: Path) -> None:
    """compile says why, and the proof fails."""
    objects, config = read_case(name).write(tmp_path)
    given = ["-f", objects, "--config", config, "--mode", "userspace"]
    done = svcc("verify", *given, "-o", "json")
    assert done.code == 1, done
    assert done.codes() & {"SVC085", "SVC001"}
    compiled = svcc("compile", *given)
    assert compiled.code == 0
    words = ("is not served", "cannot be served", "a proxy cannot see")
    assert any(word in compiled.err for word in words), compiled.err


def _try(testbed: ProxyTestbed, packet: PacketCase, virtual: frozenset[str]) -> str | None:
    """What goes wrong with connections as a packet begins them; None if nothing does."""
    if why_not(packet, virtual) is not None:
        return None
    wanted = packet.wanted
    if isinstance(wanted, Serve) and not is_all_loopback(packet):
        return _not_served(testbed, packet, wanted)
    found = _connect(testbed, packet)
    match wanted:
        case Drop():
            right = isinstance(found, Refused | Closed)
        case Refuse() | Serve():
            right = isinstance(found, Refused)
        case Untouched() if packet.destination in virtual or is_loopback(packet.destination):
            right = isinstance(found, Refused)
        case Untouched():
            itself = (packet.destination, packet.port)
            right = not isinstance(found, Answer) or (found.address, found.port) == itself
        case _:
            raise AssertionError(wanted)
    return None if right else f"{packet.text}: wanted {wanted}, got {found}"


def _not_served(testbed: ProxyTestbed, packet: PacketCase, wanted: Serve) -> str | None:
    left = set(wanted.backends)
    first: Answer | None = None
    for number in range(TRIES * len(wanted.backends)):
        found = _connect(testbed, packet)
        if not isinstance(found, Answer) or (found.address, found.port) not in wanted.backends:
            return f"{packet.text}: wanted one of {wanted.backends}, got {found}"
        if found.client not in OWN and not is_loopback(found.client):
            return f"{packet.text}: {found} saw no address of the node"
        first = first or found
        if wanted.sticky and (found.address, found.port) != (first.address, first.port):
            return f"{packet.text}: {first}, then {found}"
        left.discard((found.address, found.port))
        if (not left and number >= len(wanted.backends)) or (wanted.sticky and number > AGAIN):
            return None
    return f"{packet.text}: never reached {left}"


def _connect(testbed: ProxyTestbed, packet: PacketCase) -> Result:
    where: Where = "node" if packet.sender == "node" else "far"
    return testbed.connect(where, packet.source, packet.destination, packet.port, packet.protocol)


def test_every_case_is_one_or_the_other() -> None:
    assert set(NOT_SERVED) <= set(case_names())
    cases: list[BehaviourCase] = [read_case(name) for name in EXPRESSED]
    assert len(cases) > 50
