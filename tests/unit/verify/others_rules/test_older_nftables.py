"""kube-proxy's nftables mode before 1.36: what a real 1.30 wrote, and what changed since.

The forms of the versions between are made of those of 1.30, by what their release notes and pull
requests tell (docs/semantics.md).
"""

from __future__ import annotations

import re
from functools import cache

import pytest

from svcc.verify.report.report import Report
from svcc.verify.rule_files import of_nftables
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.support.proofs import verify

pytestmark = pytest.mark.slow

NAMES = sorted(path.parent.name for path in DUMPS.glob("*/nft.txt"))
WRONG = {
    "etp-local-without-local": "the node's own packets to external addresses are dropped",
    "masquerade-all": "nothing is masqueraded that would not be without the setting",
}


@cache
def dump(name: str) -> str:
    """What nft listed."""
    return (DUMPS / name / "nft.txt").read_text()


def judge(name: str, text: str) -> Report:
    return verify(dump_objects(name), dump_settings(name), of_nftables(text, "nft.txt"))


def changed(text: str, *changes: tuple[str, str]) -> str:
    """A text with changes, each of which must find its place."""
    for pattern, by in changes:
        text, count = re.subn(pattern, by, text, flags=re.MULTILINE)
        assert count, pattern
    return text


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(WRONG)))
def test_what_1_30_wrote_is_right(name: str) -> None:
    report = judge(name, dump(name))
    assert report.verdict == "proved", report.to_text()


def test_1_30_drops_what_the_node_sends_to_external_addresses() -> None:
    """kubernetes#131765: they are asked for local endpoints before they are translated."""
    report = judge("etp-local-without-local", dump("etp-local-without-local"))
    wrong = [f for f in report.findings if f.verdict == "violated"]
    assert wrong
    for finding in wrong:
        assert finding.counterexample is not None
        assert finding.counterexample.packet.from_node


CHECKED_BEHIND = (
    (r"(chain filter-(?:input|forward) \{\n.*)priority -110", r"\1priority filter"),
    (
        r"\tchain filter-output \{\n(.*)\n(.*service-endpoints-check)\n(.*firewall-check)\n\t\}\n",
        r"\tchain filter-output-pre-dnat {\n\1\n\3\n\t}\n\n"
        r"\tchain filter-output {\n\t\ttype filter hook output priority filter; policy accept;\n"
        r"\2\n\t}\n",
    ),
    (r"chain filter-prerouting \{", "chain filter-prerouting-pre-dnat {"),
)
"""1.34, and 1.33 from some patch release on: kubernetes#132456."""


@pytest.mark.parametrize(
    "name", ["etp-local-without-local", "lb-source-ranges", "no-endpoints", "nodeport"]
)
def test_checks_behind_the_translation_are_right(name: str) -> None:
    report = judge(name, changed(dump(name), *CHECKED_BEHIND))
    assert report.verdict == "proved", report.to_text()


def test_1_30_did_not_masquerade_all() -> None:
    """Its tables are those without the setting."""
    report = judge("masquerade-all", dump("masquerade-all"))
    assert {f.property for f in report.findings if f.verdict == "violated"} == {
        "masquerades-exactly"
    }
    assert dump("masquerade-all") == dump("clusterip-3ep")
    mark = (
        r"^(\t\tip daddr 10\.96\.0\.10 tcp dport 80) ip saddr != 10\.244\.0\.0/16 jump",
        r"\1 jump",
    )
    report = judge("masquerade-all", changed(dump("masquerade-all"), mark))
    assert report.verdict == "proved", report.to_text()


OTHER_FORMS = {
    "1.29 leaves undeclared ports alone": ("clusterip-3ep", (
        (r"^\t\tip daddr @cluster-ips reject.*\n", ""),)),
    "1.36 marks without a jump": ("nodeport", (
        (r"jump mark-for-masquerade", "meta mark set meta mark | 0x00004000"),)),
    "the mark is left": ("nodeport", (
        (r"meta mark & 0x00004000 == 0x00000000 return\n.*\n.*masquerade fully-random",
         "meta mark & 0x00004000 != 0x00000000 masquerade fully-random"),)),
    "one endpoint is translated without a map": ("etp-local-with-local", (
        (r"numgen random mod 1 vmap \{ 0 : (goto \S+) \}", r"\1"),)),
}  # fmt: skip


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_forms_of_other_versions_are_right(form: str) -> None:
    name, changes = OTHER_FORMS[form]
    report = judge(name, changed(dump(name), *changes))
    assert report.verdict == "proved", report.to_text()
