"""Medians, ratios and the plot of figures that are given."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

import pytest

from bench.packets import plot, report
from bench.packets.variants import NO_RULES, Variant

PEER, OWN = "kube-proxy, nftables", "svcc, nftables"
SVG = "{http://www.w3.org/2000/svg}"


def measured() -> report.Measured:
    """Two sizes; in the last round of the larger the machine was busy and all took twice as long.

    Own rules cost half of the peer's, and own connections take 20/25 of the time.
    """

    def nothing(stage: object, inputs: object) -> None:
        raise AssertionError

    made = report.Measured(
        [
            Variant(NO_RULES, "nobody", nothing),
            Variant(PEER, "kube-proxy", nothing),
            Variant(OWN, "svcc", nothing),
        ]
    )
    for size in (100, 1000):
        for slower in (1, 1, 2 if size == 1000 else 1):
            for way in ("output", "forwarded"):
                made.add(size, NO_RULES, way, 2e-6 * slower)
                made.add(size, PEER, way, 6e-6 * slower)
                made.add(size, OWN, way, 4e-6 * slower)
            made.add(size, NO_RULES, "connections", 10e-6 * slower)
            made.add(size, PEER, "connections", 25e-6 * slower)
            made.add(size, OWN, "connections", 20e-6 * slower)
    return made


@pytest.mark.parametrize("size", [100, 1000])
def test_ratios_are_of_what_rules_cost_over_none(size: int) -> None:
    found = measured()
    assert found.ratio(size, OWN, "output") == pytest.approx(0.5)
    assert found.ratio(size, PEER, "forwarded") == pytest.approx(1)
    assert found.ratio(size, OWN, "connections") == pytest.approx(1.25)


def test_a_busy_round_is_spread_and_no_median() -> None:
    found = measured()
    assert found.median(1000, OWN, "output") == pytest.approx(4e-6)
    assert found.spread(1000, OWN, "output") == pytest.approx(1e-6)
    assert found.spread(100, OWN, "output") == 0


def test_ratios_are_taken_round_by_round() -> None:
    """A drift that all share does not count."""
    found = report.Measured(measured().variants)
    for drift in (1, 3, 9):
        for name, cost in ((NO_RULES, 1), (PEER, 3), (OWN, 4)):
            found.add(10, name, "output", cost * drift * 1e-6)
    assert found.ratio(10, OWN, "output") == pytest.approx(1.5)


def test_the_table() -> None:
    head, line, *rows = report.tables(measured()).splitlines()[:5]
    assert head.endswith("| 100 Services | 1,000 Services |")
    assert line == "| --- | ---: | ---: |"
    assert rows == [
        "| no rules | 2.0 ± 0.0 | 2.0 ± 0.5 |",
        "| kube-proxy, nftables | 6.0 ± 0.0 (1.00) | 6.0 ± 1.5 (1.00) |",
        "| svcc, nftables | 4.0 ± 0.0 (0.50) | 4.0 ± 1.0 (0.50) |",
    ]
    assert "| svcc, nftables | 50,000 ± 0 (1.25) |" in report.tables(measured())


def test_more_is_higher_and_further_right() -> None:
    root = Xml.fromstring(report.plot(measured()))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    panels = root.findall(f"{SVG}g")
    assert len(panels) == len(report.WAYS)
    ends = {}
    for path in panels[0].iter(f"{SVG}path"):
        if (title := path.find(f"{SVG}title")) is not None:
            numbers = [float(word) for word in re.findall(r"[\d.]+", path.attrib["d"])]
            left, first, right, last = numbers
            assert 0 < left < right < width
            assert 0 < first < height
            assert first == last
            ends[title.text] = last
    assert ends[NO_RULES] > ends[OWN] > ends[PEER]


def test_one_size_is_a_plot_too() -> None:
    panel = plot.Panel("alone", [plot.Line("one", "svcc", "", [(10, 3.0)])])
    assert "<circle" in plot.drawn([panel], across="Services")


def test_what_stands_around_a_block_stays() -> None:
    document = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n"
    assert report.replaced(document, "x", "new\n") == document.replace("old", "new")
    with pytest.raises(ValueError, match="no <!-- y -->"):
        report.replaced(document, "y", "new\n")


def test_the_machine_is_told_without_its_name() -> None:
    assert re.match(r"\d+ cores \(.+\), Linux [\d.]+", report.machine())
