"""Sets that rules fill are taken to have room, as long as they have as much as iptables' lists."""

from __future__ import annotations

import pytest

from svcc.compiler.bundle import NFTABLES, render
from svcc.compiler.pipeline import compile_objects
from svcc.verify.nftables.sets import LEAST_ROOM
from svcc.verify.rule_files import of_nftables
from tests.kube_proxy.dumps import real_objects, real_settings, real_text
from tests.support.clusters.cases import case_objects
from tests.support.proofs import verify


@pytest.mark.parametrize(
    ("size", "verdict"),
    [(1, "undecided"), (LEAST_ROOM - 1, "undecided"), (LEAST_ROOM, "proved")],
)
def test_affinity_is_proved_where_there_is_room_for_clients(size: int, verdict: str) -> None:
    case = "affinity-clientip"
    text = real_text(case, "nft.txt").replace("size 65535", f"size {size}")
    report = verify(real_objects(case), real_settings(case), of_nftables(text, "ruleset"))
    assert report.verdict == verdict, report.to_text()


FULL = """\
table ip guard {{
	set seen {{
		type ipv4_addr
		size {size}
		flags dynamic
	}}
	chain forward {{
		type filter hook forward priority 10; policy accept;
		{operation} @seen {{ ip saddr }} accept
		ip daddr 10.244.0.0/16 drop
	}}
}}
"""


@pytest.mark.parametrize("operation", ["add", "update"])
@pytest.mark.parametrize(("size", "verdict"), [(5, "undecided"), (65535, "proved")])
def test_a_full_set_ends_the_rule(operation: str, size: int, verdict: str) -> None:
    objects, settings = case_objects("cluster-ip", "nftables")
    text = render(compile_objects(objects, settings))[NFTABLES]
    text = text[text.index("table ip svcc {") :] + FULL.format(operation=operation, size=size)
    report = verify(objects, settings, of_nftables(text, "ruleset"))
    assert report.verdict == verdict, report.to_text()
