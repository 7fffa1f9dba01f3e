"""What a packet must see, and whether what became of it is that."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from tests.support.kernel.packets import Flow
from tests.support.kernel.testbed import (
    ADDRESSES,
    LOCAL,
    Delivered,
    Lost,
    Outcome,
    Refused,
    Sender,
    Sent,
)
from tests.support.kernel.testbed import Wire as Wire

Backend = tuple[str, int]
"""Address and port."""

_OWN_PODS = (ipaddress.ip_network("10.244.1.0/24"), ipaddress.ip_network("fd00:244:1::/64"))
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@dataclass(frozen=True, slots=True)
class Probe:
    """The first packet of a connection, and the wire that it comes from."""

    sender: Sender
    flow: Flow

    def __str__(self) -> str:
        return f"{self.flow} from {self.sender}"


@dataclass(frozen=True, slots=True)
class Serve:
    """Sent to one of the backends. Hairpins are masqueraded whatever ``masquerade`` says."""

    backends: frozenset[Backend]
    masquerade: bool
    sticky: bool = False
    hairpin: bool = True
    """False: ``masquerade`` is all there is to say."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Told "port unreachable"."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Dropped without a word."""


@dataclass(frozen=True, slots=True)
class Untouched:
    """As if there were no Services."""


@dataclass(frozen=True, slots=True)
class Received:
    """Left to the node's own sockets, though the address is one that ipvs mode made its own."""


Wanted = Serve | Refuse | Drop | Untouched | Received


def is_loopback(address: str) -> bool:
    """Whether the address lies in 127.0.0.0/8 or is ::1."""
    return any(ipaddress.ip_address(address) in network for network in _LOOPBACK)


def is_local(address: str) -> bool:
    """Whether the address is one of the node's own."""
    return address in LOCAL or is_loopback(address)


def wire_to(address: str) -> Wire:
    """The wire on which the node reaches an address that is not its own."""
    own_pod = any(ipaddress.ip_address(address) in network for network in _OWN_PODS)
    return "pod0" if own_pod else "ext0"


def undisturbed(probe: Probe) -> Outcome:
    """What the node's kernel does with a packet by itself."""
    flow = probe.flow
    if not is_local(flow.destination):
        return Sent(wire_to(flow.destination), flow)
    if probe.sender != "node" and is_loopback(flow.destination):
        # RFC 1122, 3.2.1.3. Rules that need route_localnet must see to it themselves.
        return Lost()
    return Delivered(flow)


def mismatch(probe: Probe, outcome: Outcome, wanted: Wanted) -> str | None:
    """What is wrong with an outcome, None if it is as wanted."""
    if isinstance(wanted, Refuse):
        return None if outcome == Refused() else f"must be refused, but: {show(outcome)}"
    if isinstance(wanted, Drop):
        return None if outcome == Lost() else f"must be dropped, but: {show(outcome)}"
    if isinstance(wanted, Untouched):
        natural = undisturbed(probe)
        if outcome == natural:
            return None
        return f"must be left alone ({show(natural)}), but: {show(outcome)}"
    if isinstance(wanted, Received):
        here = Delivered(probe.flow)
        return None if outcome == here else f"must reach the node, but: {show(outcome)}"
    return _not_served(probe, outcome, wanted)


def _not_served(probe: Probe, outcome: Outcome, wanted: Serve) -> str | None:
    names = ", ".join(f"{address} port {port}" for address, port in sorted(wanted.backends))
    if isinstance(outcome, Refused | Lost):
        return f"must reach one of {names}, but: {show(outcome)}"
    reached = (outcome.flow.destination, outcome.flow.destination_port)
    if reached not in wanted.backends:
        return f"must reach one of {names}, but: {show(outcome)}"
    if isinstance(outcome, Sent) != (not is_local(reached[0])) or (
        isinstance(outcome, Sent) and outcome.wire != wire_to(reached[0])
    ):
        return f"took the wrong way: {show(outcome)}"
    before = (probe.flow.source, probe.flow.source_port)
    after = (outcome.flow.source, outcome.flow.source_port)
    masquerade = wanted.masquerade or (wanted.hairpin and probe.flow.source == reached[0])
    if isinstance(outcome, Delivered):
        # A packet from a wire does not pass POSTROUTING; on loopback its own source will do.
        masquerade = masquerade and probe.sender == "node"
        return None if masquerade or before == after else f"source rewritten: {show(outcome)}"
    own = {a for a in ADDRESSES[outcome.wire] if (":" in a) == (probe.flow.version == 6)}
    if masquerade:
        # The same port again would be chance, where the address says nothing.
        if after[0] in own and (before[0] in own or before != after):
            return None
        return f"must be masqueraded, but: {show(outcome)}"
    return None if before == after else f"must keep its source, but: {show(outcome)}"


def show(outcome: Outcome) -> str:
    """An outcome in words."""
    if isinstance(outcome, Sent):
        return f"{outcome.flow} left on {outcome.wire}"
    if isinstance(outcome, Delivered):
        return f"{outcome.flow} reached the node's own sockets"
    return "refused" if isinstance(outcome, Refused) else "dropped"
