"""What becomes of a packet, what must, and what is wrong with that."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from svcc.verify.confirm.findings import Finding, VerdictName
from svcc.verify.confirm.judge import describe_result
from svcc.verify.simulator.packet import PROTOCOL_NAME, Packet, Result, endpoint_text
from svcc.verify.spec.expectation import Frontend
from svcc.verify.spec.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Way:
    """One thing that can become of the packet, with its exact probability."""

    share: Fraction
    result: Result

    def leads_to(self, address: int, port: int | None) -> bool:
        """Whether the packet is translated to an address and port (None: any)."""
        result = self.result
        return (
            result.verdict == "passed"
            and result.translated
            and result.destination == address
            and port in (None, result.destination_port)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What becomes of a packet, what must, and what is wrong with that.

    ``ways`` are what the rules do, in the world in which it is wrong if it is in some; ``worlds``
    says what that world is, in words. ``notes`` are what a reader must know besides.
    """

    packet: Packet
    frontend: Frontend | None
    expected: str
    ways: tuple[Way, ...]
    verdict: VerdictName
    wrong: tuple[Finding, ...] = ()
    undecided: tuple[str, ...] = ()
    worlds: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: str
    """The name of the text that the rules were read from."""
    sender: str = ""
    """``outside``, ``pod`` or ``node`` where a Service was asked for; ``other``: a packet that
    fares worse than those of all these."""

    allowed: tuple[Outcome, ...] = ()
    """What must become of it, of which one is enough."""
    why: tuple[str, ...] = ()
    """Why that must become of it, where the objects do not say so plainly."""

    @property
    def name(self) -> str:
        """The frontend, or where the packet is sent that is for none."""
        if self.frontend is not None:
            return str(self.frontend)
        packet = self.packet
        place = endpoint_text(packet.family, packet.destination, packet.destination_port)
        return f"{place}/{PROTOCOL_NAME[packet.protocol].upper()}, no frontend"

    def outcomes(self) -> list[tuple[Fraction, str]]:
        """All that can become of the packet: exact share, and what in words."""
        return [(share, text) for text, share in self._shares().items()]

    def together(self) -> list[tuple[Fraction, str, list[Way]]]:
        """The same, each with all the ways that lead there."""
        ways: dict[str, list[Way]] = {}
        for way in self.ways:
            ways.setdefault(describe_result(self.packet, way.result), []).append(way)
        return [(share, text, ways[text]) for text, share in self._shares().items()]

    def _shares(self) -> dict[str, Fraction]:
        found: dict[str, Fraction] = {}
        for way in self.ways:
            text = describe_result(self.packet, way.result)
            found[text] = found.get(text, Fraction(0)) + way.share
        return found


def share_text(share: Fraction) -> str:
    """``1/3 (33.3333%)``: the nearest simple fraction, as the kernel rounds to 2**-31."""
    if share == 1:
        return "always"
    simple = share.limit_denominator(10_000)
    near = abs(simple - share) < Fraction(1, 1 << 28)
    fraction = f"{simple}" if near else f"{float(share):.6f}"
    return f"{fraction} ({float(share):.4%})"
