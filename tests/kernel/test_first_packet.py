"""The measure of first packets runs, and refuses to measure what is not what it says. No times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from bench import first_packet
from bench.packets.report import WAYS
from bench.packets.stage import NODE_IP, POD_IP, Burst, Frontend, Stage, StageError, stage
from bench.packets.variants import Variant, variants
from bench.run import generated
from tests.support.kernel.namespace import missing

pytestmark = pytest.mark.kernel

PACKETS = [Frontend("10.96.0.10", 80)] * 300
QUICK = ["12", "30", "--rounds=2", "--packets=400", "--connections=40", "--endpoints=2"]
DOCUMENT = "<!-- {0} -->\nold\n<!-- end of {0} -->\nbelow\n"


@pytest.fixture(autouse=True)
def _tools() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture
def node() -> Iterator[Stage]:
    with stage() as made:
        made.to_sink()
        yield made


def test_every_variant_has_a_figure_for_every_size(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "performance.md"
    document.write_text("".join(map(DOCUMENT.format, ("first-packet", "first-packet-ipvs"))))
    monkeypatch.setattr(first_packet, "DOCUMENT", document)
    monkeypatch.setattr(first_packet, "FOLDER", tmp_path / "performance")
    first_packet.main([*QUICK, "--write"])
    printed = capsys.readouterr().out
    names = [variant.name for variant in variants()]
    assert {"svcc, iptables-legacy", "kube-proxy, iptables-legacy", "no rules"} <= set(names)
    figure = r"[\d,.]+ ± [\d,.]+( \(-?[\d.]+\))?"
    for name in names:
        row = rf"^\| {re.escape(name)} \| {figure} \| {figure} \|$"
        assert len(re.findall(row, printed, re.MULTILINE)) == len(WAYS), name
    written = document.read_text()
    assert printed.strip() in written
    assert written.count("below") == 2
    assert written.count("old\n") == 1
    (picture,) = (tmp_path / "performance").iterdir()
    assert f"(performance/{picture.name})" in written
    titles = [title.text for title in Xml.parse(picture).iter("{http://www.w3.org/2000/svg}title")]
    assert titles == names * len(WAYS)


def test_packets_that_do_not_leave_the_node_are_not_measured(node: Stage) -> None:
    node.node.run("iptables-legacy", "-A", "FORWARD", "-p", "tcp", "--sport", "1026", "-j", "DROP")
    node.burst(node.node, Burst(NODE_IP, PACKETS))
    with pytest.raises(StageError, match="1 of 300 packets did not leave the node"):
        node.burst(node.client, Burst(POD_IP, PACKETS))


def test_what_is_not_translated_is_no_variant(node: Stage, tmp_path: Path) -> None:
    traffic = first_packet.Traffic(generated(5, 1, tmp_path), 200, 1)
    idle = Variant("svcc, in vain", "svcc", lambda stage, inputs: None)
    # Connections are tracked, so that there is a list of them to look at.
    node.node.run("iptables-legacy", "-t", "nat", "-A", "OUTPUT", "-d", "192.0.2.9", "-j", "ACCEPT")
    with pytest.raises(StageError, match="svcc, in vain: 0 of 200 packets are translated, not 200"):
        first_packet.check(idle, node, traffic)
