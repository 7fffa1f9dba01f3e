"""Lines on logarithmic axes, as SVG that is legible on light and on dark ground."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple
from xml.etree import ElementTree as Xml

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BELOW = 760, 250, 70, 20, 34, 44
_LEGEND_ROW = 20
_STYLE = """
text { font: 12px sans-serif; fill: #333 }
.title { font-weight: bold }
.grid { stroke: #8884; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
.nobody { stroke: #777; fill: #777 } .kube-proxy { stroke: #c2540a; fill: #c2540a }
.svcc { stroke: #1668c9; fill: #1668c9 }
path.line { fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #ddd }
.nobody { stroke: #aaa; fill: #aaa } .kube-proxy { stroke: #ff9b54; fill: #ff9b54 }
.svcc { stroke: #6db3ff; fill: #6db3ff }
path.line { fill: none }
}
"""


class Line(NamedTuple):
    """Points above zero; ``colour`` is a class of the style, ``dashes`` a stroke-dasharray."""

    name: str
    colour: str
    dashes: str
    points: Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """Lines on axes of their own."""

    title: str
    lines: Sequence[Line]


class _Axis:
    """Logarithmic, from one screen coordinate to another."""

    def __init__(self, values: Iterable[float], start: float, end: float) -> None:
        found = list(values)
        self.low, self.high = min(found), max(found)
        if self.low == self.high:
            self.low, self.high = self.low / 2, self.high * 2
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self._start + share * (self._end - self._start), 1)

    def ticks(self) -> Iterator[float]:
        """1, 2 and 5 times powers of ten, or the powers alone where that is many."""
        decades = math.log10(self.high / self.low)
        for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1):
            for factor in (1, 2, 5) if decades < 3 else (1,):
                value = factor * 10.0**power
                if self.low <= value <= self.high:
                    yield value


def drawn(panels: Sequence[Panel], *, across: str) -> str:
    """Panels one below the other, and one legend for all of them, a column for each colour.

    Raises:
        ValueError: a panel has no points.
    """
    columns = [list(of) for _, of in groupby(panels[0].lines, key=lambda line: line.colour)]
    legend = max(map(len, columns)) * _LEGEND_ROW + 16
    height = len(panels) * _HEIGHT + legend
    attributes = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {_WIDTH} {height}"}
    root = Xml.Element("svg", attributes)
    Xml.SubElement(root, "style").text = _STYLE
    for number, panel in enumerate(panels):
        group = Xml.SubElement(root, "g", transform=f"translate(0 {number * _HEIGHT})")
        _draw(group, panel, across)
    _legend(root, columns, len(panels) * _HEIGHT + 12)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"


def _draw(group: Xml.Element, panel: Panel, across: str) -> None:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BELOW
    points = [point for line in panel.lines for point in line.points]
    x = _Axis((point[0] for point in points), _LEFT, right)
    y = _Axis((point[1] for point in points), bottom, _TOP)
    _text(group, _LEFT, 18, panel.title, kind="title")
    for value in y.ticks():
        _stroke(group, "grid", f"M{_LEFT} {y.at(value)}H{right}")
        _text(group, _LEFT - 8, y.at(value) + 4, f"{value:,g}", anchor="end")
    for value in sorted({point[0] for point in points}):
        _stroke(group, "grid", f"M{x.at(value)} {_TOP}V{bottom}")
        _text(group, x.at(value), bottom + 18, f"{value:,.0f}", anchor="middle")
    _text(group, (_LEFT + right) / 2, bottom + 34, across, anchor="middle")
    for line in panel.lines:
        way = "L".join(f"{x.at(a)} {y.at(b)}" for a, b in line.points)
        drawing = _stroke(group, f"line {line.colour}", f"M{way}", line.dashes)
        Xml.SubElement(drawing, "title").text = line.name
        for a, b in line.points:
            Xml.SubElement(
                group, "circle", {"class": line.colour}, cx=f"{x.at(a)}", cy=f"{y.at(b)}", r="3"
            )


def _legend(root: Xml.Element, columns: Sequence[Sequence[Line]], top: int) -> None:
    for column, lines in enumerate(columns):
        left = _LEFT + column * ((_WIDTH - _LEFT) // len(columns))
        for row, line in enumerate(lines):
            middle = top + row * _LEGEND_ROW
            _stroke(root, f"line {line.colour}", f"M{left} {middle}h34", line.dashes)
            _text(root, left + 42, middle + 4, line.name)


def _stroke(parent: Xml.Element, kind: str, way: str, dashes: str = "") -> Xml.Element:
    made = Xml.SubElement(parent, "path", {"class": kind, "d": way})
    if dashes:
        made.set("stroke-dasharray", dashes)
    return made


def _text(
    parent: Xml.Element, x: float, y: float, text: str, *, anchor: str = "start", kind: str = ""
) -> None:
    made = Xml.SubElement(parent, "text", {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor})
    made.text = text
    if kind:
        made.set("class", kind)
