"""Medians, spreads and ratios of what was measured, as text and as a plot."""

from __future__ import annotations

import math
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.packets.plot import Line, Panel, drawn
from bench.packets.variants import NO_RULES, REFERENCES, TRACKED, Variant

Way = Literal["output", "forwarded", "connections"]
WAYS: tuple[Way, ...] = ("output", "forwarded", "connections")
_TITLES: dict[Way, str] = {
    "output": "First packet sent by the node (OUTPUT), µs of processor time",
    "forwarded": "First packet of a pod (forwarded), µs of processor time",
    "connections": "TCP connections of a pod per second of processor time",
}
_DASHES = {"legacy": "7 4", "nft": "2 3", "ipvs": "9 3 2 3"}


@dataclass(slots=True)
class Measured:
    """Seconds of processor time by size, variant and way, one figure a round."""

    variants: Sequence[Variant]
    seconds: dict[tuple[int, str, Way], list[float]] = field(default_factory=dict)

    def add(self, size: int, variant: str, way: Way, seconds: float) -> None:
        """One more round."""
        self.seconds.setdefault((size, variant, way), []).append(seconds)

    @property
    def sizes(self) -> list[int]:
        """Numbers of Services."""
        return sorted({size for size, _, _ in self.seconds})

    @property
    def reference(self) -> str:
        """The variant that others are compared with."""
        names = {variant.name for variant in self.variants}
        return next(name for name in REFERENCES if name in names)

    def median(self, size: int, variant: str, way: Way) -> float:
        """The median of all rounds."""
        return statistics.median(self.seconds[size, variant, way])

    def spread(self, size: int, variant: str, way: Way) -> float:
        """Half of the distance between the quartiles; 0 of a single round."""
        rounds = self.seconds[size, variant, way]
        if len(rounds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(rounds, n=4, method="inclusive")
        return (high - low) / 2

    def ratio(self, size: int, variant: str, way: Way) -> float:
        """What a variant costs over no rules, in parts of what the reference does.

        The median of the rounds' ratios: whatever else the machine was doing in a round slowed all
        variants down alike. Of connections it is the ratio of the rates.
        """
        own, reference, without = (
            self.seconds[size, name, way] for name in (variant, self.reference, NO_RULES)
        )
        if way == "connections":
            return statistics.median(r / o for o, r in zip(own, reference, strict=True))
        return statistics.median(
            (o - w) / (r - w) if r != w else math.inf
            for o, r, w in zip(own, reference, without, strict=True)
        )


def tables(measured: Measured) -> str:
    """A table for each way, in Markdown: variants down, sizes across."""
    return "\n".join(_table(measured, way) for way in WAYS)


def _table(measured: Measured, way: Way) -> str:
    sizes = measured.sizes
    heads = [f"{size:,} Services" for size in sizes]
    rows = [[_TITLES[way], *heads], ["---", *("---:" for _ in sizes)]]
    for variant in measured.variants:
        cells = [_cell(measured, size, variant.name, way) for size in sizes]
        rows.append([variant.name, *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(measured: Measured, size: int, variant: str, way: Way) -> str:
    median = measured.median(size, variant, way)
    spread = measured.spread(size, variant, way)
    if way == "connections":
        shown = f"{1 / median:,.0f} ± {spread / median**2:,.0f}"
    else:
        shown = f"{median * 1e6:.1f} ± {spread * 1e6:.1f}"
    if variant in (NO_RULES, TRACKED):
        return shown
    return f"{shown} ({measured.ratio(size, variant, way):.2f})"


def plot(measured: Measured) -> str:
    """The same as SVG."""
    panels = [
        Panel(_TITLES[way], [_line(measured, variant, way) for variant in measured.variants])
        for way in WAYS
    ]
    return drawn(panels, across="Services")


def _line(measured: Measured, variant: Variant, way: Way) -> Line:
    points = []
    for size in measured.sizes:
        median = measured.median(size, variant.name, way)
        points.append((size, 1 / median if way == "connections" else median * 1e6))
    kind = variant.name.rpartition("-")[2].rpartition(" ")[2]
    dashes = _DASHES["nft"] if variant.name == TRACKED else _DASHES.get(kind, "")
    return Line(variant.name, variant.whose, dashes, points)


def machine() -> str:
    """What it was measured on; no names of hosts."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processor = model[1] if model else platform.machine()
    kernel = platform.release().partition("-")[0]
    return ", ".join([f"{os.cpu_count()} cores ({processor})", f"Linux {kernel}", *_versions()])


def _versions() -> Iterator[str]:
    for tool, name in (("nft", "nft"), ("iptables-nft", "iptables")):
        done = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True)
        if found := re.search(r" v([0-9.]+)", done.stdout):
            yield f"{name} {found[1]}"


def replaced(document: str, name: str, block: str) -> str:
    """A document with ``block`` between its marks for ``name``.

    Raises:
        ValueError: the marks are not there.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = document.partition(begin)
    _, also_found, after = rest.partition(end)
    if not found or not also_found:
        raise ValueError(f"there is no <!-- {name} --> in the document")
    return f"{before}{begin}{block}{end}{after}"
