"""Sending many packets at once through the testbed's node."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from svcc.grammar.address import Family
from tests.support.kernel import packets
from tests.support.kernel.packets import Flow, Seen
from tests.support.kernel.testbed import (
    Delivered,
    Ear,
    Outcome,
    Refused,
    Sender,
    Sent,
    Testbed,
    Variant,
    on_one_processor,
)
from tests.support.readings.outcomes import is_loopback

Shot = tuple[Sender, Flow]
_READ_EVERY = 64
"""Packets after which the sockets are emptied, so that none overflows."""


class Wires(Testbed):
    """A testbed for bursts of packets.

    Packets of one burst are handled in their order, as a sentinel of each sender that comes
    after them shows.
    """

    def burst(self, shots: Sequence[Shot]) -> list[frozenset[Outcome]]:
        """Send packets; what came of each.

        Raises:
            TestbedError: a sentinel got lost.
        """
        tokens = {next(self._tokens): number for number in range(len(shots))}
        found: list[set[Outcome]] = [set() for _ in shots]
        with on_one_processor():
            self._drain()
            for number, (token, (sender, flow)) in enumerate(zip(tokens, shots, strict=True)):
                self._try(sender, flow, token)
                if number % _READ_EVERY == _READ_EVERY - 1:
                    for ear, seen in self._listen_for(0):
                        _note(ear, seen, tokens, found)
            for ear, seen in self._until_sentinels({(s, flow.version) for s, flow in shots}):
                _note(ear, seen, tokens, found)
        return [frozenset(outcomes) for outcomes in found]

    def _try(self, sender: Sender, flow: Flow, token: int) -> None:
        try:
            self._write(sender, flow, packets.build(flow, token))
        except OSError:
            # No route from a loopback source to where DNAT in OUTPUT sends the packet.
            if not is_loopback(flow.source):
                raise

    def load(self, variant: Variant, family: Family, text: str) -> str | None:
        """Load a whole rule set; what iptables-restore complains about, None if nothing."""
        prefix = "iptables" if family is Family.IPV4 else "ip6tables"
        path = shutil.which(f"{prefix}-{variant}-restore")
        assert path is not None
        with self.node.entered():
            done = subprocess.run(
                [path, "-w"], input=text, capture_output=True, text=True, check=False
            )
        return done.stderr.strip() or "failed" if done.returncode else None

    def forget(self) -> None:
        """Take all connections away."""
        with self.node.entered():
            subprocess.run(["conntrack", "-F"], capture_output=True, check=True)


def _note(ear: Ear, seen: Seen, tokens: dict[int, int], found: list[set[Outcome]]) -> None:
    """Whatever is heard of a packet belongs to its outcomes."""
    if seen.token is not None and (number := tokens.get(seen.token)) is not None:
        found[number].add(_outcome(ear.wire, seen))


def _outcome(wire: str | None, seen: Seen) -> Outcome:
    if seen.refusal is not None:
        return Refused()
    if wire is None:
        return Delivered(seen.flow)
    return Sent("pod0" if wire == "pod0" else "ext0", seen.flow)
