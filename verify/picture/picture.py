"""What a picture of Services shows: values, as text where people read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from svcc.verify.confirm.findings import VerdictName, worst
from svcc.verify.questions.words import SenderKind

Action = Literal["serve", "refuse", "discard", "untouched", "marked for dropping"]
"""What becomes of a packet, as the outcomes of :mod:`svcc.verify.spec.outcomes`."""

Masquerade = Literal["always", "hairpins", "either", ""]
"""Whose source is rewritten; "" where packets are not served."""


@dataclass(frozen=True, slots=True)
class PicturedBackend:
    """An endpoint of a Service port, used or not.

    ``place`` is ``ADDRESS:PORT``; ``node`` and ``pod`` are "" where the slice does not say;
    ``state`` is ``ready``, ``not ready``, ``terminating`` or ``terminating, still serving``.
    """

    place: str
    node: str
    pod: str
    state: str


@dataclass(frozen=True, slots=True)
class Treatment:
    """What packets to a frontend must see that come from some senders.

    ``who`` says whose packets these are, a line each, any of which is enough; ``senders`` are
    the usual senders among them. ``or_else`` are outcomes in words that are right, too, since
    kube-proxies do that. ``backends`` are numbers of backends of the port that they are sent to;
    ``scheduler`` is the scheduler of IPVS that chooses among them by something else than turns,
    "" where each gets as many as another.
    """

    who: tuple[str, ...]
    senders: tuple[SenderKind, ...]
    action: Action
    masquerade: Masquerade = ""
    backends: tuple[int, ...] = ()
    scheduler: str = ""
    why: tuple[str, ...] = ()
    or_else: tuple[str, ...] = ()

    @property
    def share(self) -> Fraction | None:
        """The part of new connections that each of the backends gets; None if there are none, or
        a scheduler chooses.
        """
        is_known = self.backends and (not self.scheduler or len(self.backends) == 1)
        return Fraction(1, len(self.backends)) if is_known else None

    def words(self) -> str:
        """What becomes of the packets."""
        match self.action:
            case "serve":
                return f"served, {_SOURCE[self.masquerade]}"
            case "refuse":
                return "rejected"
            case "discard":
                return "dropped"
            case "untouched":
                return "left alone"
            case "marked for dropping":
                return "marked for being dropped"


_SOURCE = {
    "always": "masqueraded",
    "hairpins": "masqueraded only for a hairpin",
    "either": "masqueraded or not",
    "": "",
}


@dataclass(frozen=True, slots=True)
class WayStep:
    """One rule on a packet's way; ``place`` is ``FILE:LINE`` or "", ``rule`` "" for a policy."""

    table: str
    chain: str
    rule: str
    effect: str
    place: str


@dataclass(frozen=True, slots=True)
class PicturedFinding:
    """What is violated or undecided of a frontend; ``sender`` "" where no packet shows it."""

    verdict: VerdictName
    property: str
    code: str
    sentence: str
    reason: str = ""
    cause: str = ""
    sender: SenderKind | Literal[""] = ""
    packet: str = ""
    expected: str = ""
    got: str = ""
    way: tuple[WayStep, ...] = ()


@dataclass(frozen=True, slots=True)
class PicturedFrontend:
    """One place that clients connect to; ``place`` is ``ADDRESS:PORT`` or the number of a node
    port. ``verdict`` None: nobody has judged it.
    """

    kind: str
    place: str
    treatments: tuple[Treatment, ...]
    verdict: VerdictName | None = None
    findings: tuple[PicturedFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class PicturedPort:
    """One port of a Service in one family; ``name`` is "" where it has none."""

    name: str
    protocol: str
    family: str
    backends: tuple[PicturedBackend, ...]
    frontends: tuple[PicturedFrontend, ...]


@dataclass(frozen=True, slots=True)
class PicturedService:
    """A Service as one node treats it. ``affinity`` is in seconds, None without."""

    namespace: str
    name: str
    dns_name: str
    type: str
    internal_policy: str
    external_policy: str
    affinity: int | None
    ports: tuple[PicturedPort, ...]

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    def frontends(self) -> Iterator[PicturedFrontend]:
        """Those of all ports."""
        for port in self.ports:
            yield from port.frontends

    @property
    def verdict(self) -> VerdictName | None:
        """The worst of its frontends; None if none was judged."""
        known = [each.verdict for each in self.frontends() if each.verdict is not None]
        return worst(known) if known else None


@dataclass(frozen=True, slots=True)
class NodePicture:
    """What one node does. ``findings`` are those of no frontend that is drawn, each with what it
    is about; ``verdict`` None: nothing was judged.
    """

    node: str
    mode: str
    services: tuple[PicturedService, ...]
    verdict: VerdictName | None = None
    findings: tuple[tuple[str, PicturedFinding], ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is drawn. ``left_out`` are Services without frontends, and why."""

    nodes: tuple[NodePicture, ...]
    left_out: tuple[tuple[str, str], ...] = ()
