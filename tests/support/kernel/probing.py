"""Sending enough packets to tell where a kind of packet goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.support.kernel.packets import Flow
from tests.support.kernel.testbed import Delivered, Outcome, Sender, Sent, Testbed
from tests.support.readings.outcomes import Probe, Serve, Wanted, mismatch, show

_TRIES_PER_BACKEND = 30
"""A backend is missed by chance less than once in 10**12 (n * (1 - 1/n)**(30 * n))."""
_RETURNS = 4


def check(testbed: Testbed, probe: Probe, wanted: Wanted) -> str | None:
    """Send packets like ``probe`` until all that they must see was seen; what is wrong, or None."""

    def judge(packet: Probe, outcome: Outcome) -> str | None:
        return mismatch(packet, outcome, wanted)

    reached: set[tuple[str, int]] = set()
    backends = wanted.backends if isinstance(wanted, Serve) else frozenset()
    tries = _TRIES_PER_BACKEND * len(backends) or 1
    for number in range(tries):
        packet = probe
        if isinstance(wanted, Serve) and wanted.sticky and probe.sender != "node":
            packet = replace(packet, flow=_neighbour(packet.flow, number, wanted))
        packet, outcome, wrong = send_judged(testbed, packet, judge)
        if wrong:
            return f"{packet}: {wrong}"
        if not isinstance(wanted, Serve):
            return None
        flow = getattr(outcome, "flow", None)
        assert isinstance(flow, Flow)
        place = (flow.destination, flow.destination_port)
        if wanted.sticky:
            wrong = _strays(testbed, packet, place)
            if wrong:
                return wrong
            if probe.sender == "node":
                # All its packets have one source address.
                return None
        reached.add(place)
        if reached == backends and number + 1 >= 2 * len(backends):
            return None
    return f"{probe}: {tries} packets, and none reached {sorted(backends - reached)}"


def send_judged(
    testbed: Testbed, probe: Probe, judge: Callable[[Probe, Outcome], str | None]
) -> tuple[Probe, Outcome, str | None]:
    """Send a packet from a fresh port: the packet, what became of it, and what is wrong with that.

    The kernel changes the port of any connection where a masqueraded one has it already. That
    is chance, so a packet that is wrong in its source port alone is tried again.
    """
    for _ in range(3):
        flow = replace(probe.flow, source_port=testbed.fresh_port())
        packet = replace(probe, flow=flow)
        outcome = testbed.send(packet.sender, flow)
        wrong = judge(packet, outcome)
        if wrong is None or not isinstance(outcome, Sent | Delivered):
            break
        if outcome.flow.source != flow.source or outcome.flow.source_port == flow.source_port:
            break
    return packet, outcome, wrong


def _neighbour(flow: Flow, number: int, wanted: Serve) -> Flow:
    """Another client of the same network, none of them a backend."""
    first, separator, last = flow.source.rpartition(":" if flow.version == 6 else ".")
    taken = {address for address, _ in wanted.backends} | {flow.source}
    if number == 0:
        return flow
    base = int(last, 16 if flow.version == 6 else 10) if last else 0
    candidates = (
        f"{first}{separator}{value:x}" if flow.version == 6 else f"{first}{separator}{value}"
        for value in range(base + 1, base + 1000)
        if flow.version == 6 or value < 255
    )
    free = [address for address in candidates if address not in taken]
    return replace(flow, source=free[number % len(free)]) if free else flow


def _strays(testbed: Testbed, probe: Probe, place: tuple[str, int]) -> str | None:
    for _ in range(_RETURNS):
        flow = replace(probe.flow, source_port=testbed.fresh_port())
        outcome = testbed.send(probe.sender, flow)
        again = getattr(outcome, "flow", None)
        if again is None or (again.destination, again.destination_port) != place:
            return f"{probe}: must come back to {place}, but: {show(outcome)}"
    return None


def probe_of(
    testbed: Testbed,
    sender: Sender,
    source: str | None,
    destination: str,
    port: int,
    protocol: int,
) -> Probe:
    """A probe; ``source`` None: the address that the node's kernel chooses."""
    if source is None:
        source = testbed.natural_source(destination)
        assert source is not None, f"no route to {destination}"
    return Probe(sender, Flow(source, 0, destination, port, protocol))
