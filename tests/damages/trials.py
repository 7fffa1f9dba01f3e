"""What is tried: changes of kube-proxy's rules and of svcc's own of both modes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from svcc.compiler.bundle import NFTABLES, render, script
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.verify.confirm.findings import Finding
from svcc.verify.report.report import Report
from svcc.verify.rule_files import from_text, of_nftables
from tests.damages.blame import Damaged, damaged, damaged_tables
from tests.kube_proxy.dumps import real_objects, real_settings, real_text
from tests.support.clusters.cases import case_objects
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.support.damage import (
    dump_damage,
    ipvs_damage,
    nft_damage,
    own_damage,
    own_nft_damage,
)
from tests.support.damage.edits import Change
from tests.support.proofs import verify, verify_with_causes

Wanted = Literal["violated", "proved", "undecided"]
RULES = {
    "kube-proxy": "kube-proxy's rules",
    "iptables": "svcc's own rules, iptables mode",
    "ipvs": "svcc's own rules, ipvs mode",
    "kube-proxy-nftables": "kube-proxy's rules, nftables mode",
    "nftables": "svcc's own rules, nftables mode",
}
_WITHOUT_PACKET = {"cycle of jumps", "an address too many"}
"""What no packet shows: walks that do not end, and addresses of the node."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One change, and the verdict that it must get."""

    rules: str
    wanted: Wanted
    change: Change

    @property
    def name(self) -> str:
        """What the change is called."""
        return self.change.name

    @property
    def base(self) -> str:
        """Whose rules are changed."""
        return self.change.base


@dataclass(frozen=True, slots=True)
class Tried:
    """What the verifier said. ``text`` is the changed IPv4 script, "" in ipvs mode."""

    trial: Trial
    report: Report
    objects: Objects | None = None
    settings: NodeSettings | None = None
    text: str = ""
    damaged: Damaged | None = None

    @property
    def right(self) -> bool:
        """The verdict is the wanted one, and every violation has a packet that was replayed."""
        if self.report.verdict != self.trial.wanted:
            return False
        if any("internal error" in finding.reason for finding in self.report.findings):
            return False
        found = self.violations()
        shown = [finding for finding in found if finding.counterexample is not None]
        if self.trial.name in _WITHOUT_PACKET:
            return bool(found)
        return self.trial.wanted != "violated" or len(shown) == len(found) > 0

    def blamed(self) -> list[bool]:
        """Of each thing that is found to be wrong, whether its cause is the damaged line."""
        damaged = self.damaged
        if damaged is None:
            return []
        return [
            isinstance(cause := group.get("cause"), dict) and damaged.is_named_by(cause)
            for group in self.report.groups_json()
            if group["verdict"] == "violated"
        ]

    def violations(self) -> list[Finding]:
        """What is violated."""
        return [finding for finding in self.report.findings if finding.verdict == "violated"]


def trials() -> Iterator[Trial]:
    """All of them."""
    lists: tuple[tuple[str, Wanted, Sequence[Change]], ...] = (
        ("kube-proxy", "violated", dump_damage.DAMAGE),
        ("kube-proxy", "proved", dump_damage.HARMLESS),
        ("kube-proxy", "undecided", dump_damage.UNDECIDED),
        ("iptables", "violated", own_damage.DAMAGE),
        ("iptables", "proved", own_damage.HARMLESS),
        ("iptables", "undecided", own_damage.UNDECIDED),
        ("ipvs", "violated", ipvs_damage.DAMAGE),
        ("ipvs", "proved", ipvs_damage.HARMLESS),
        ("kube-proxy-nftables", "violated", nft_damage.DAMAGE),
        ("kube-proxy-nftables", "proved", nft_damage.HARMLESS),
        ("kube-proxy-nftables", "undecided", nft_damage.UNDECIDED),
        ("nftables", "violated", own_nft_damage.DAMAGE),
        ("nftables", "proved", own_nft_damage.HARMLESS),
        ("nftables", "undecided", own_nft_damage.UNDECIDED),
    )
    for rules, wanted, changes in lists:
        for change in changes:
            yield Trial(rules, wanted, change)


@cache
def run(trial: Trial, *, causes: bool = True) -> Tried:
    """Make the change and judge the rules, once in a process; tables of nftables without looking
    for ``causes``, if that is said.
    """
    change = trial.change
    if trial.rules == "ipvs":
        before = ipvs_damage.files(change.base)[change.file]
        report = ipvs_damage.judge(change.base, change)
        return Tried(trial, report, damaged=damaged(before, change.of(before), change.file))
    if trial.rules in ("kube-proxy-nftables", "nftables"):
        objects, settings, before = tables_of(trial)
        text = change.of(before)
        judge = verify_with_causes if causes else verify
        report = judge(objects, settings, of_nftables(text, "changed"))
        return Tried(
            trial, report, objects, settings, text, damaged_tables(before, text, "changed")
        )
    if trial.rules == "kube-proxy":
        objects, settings = dump_objects(change.base), dump_settings(change.base)
        text = (DUMPS / change.base / "iptables-save.txt").read_text()
    else:
        objects, settings = case_objects(change.base)
        text = script(compile_objects(objects, settings), Family.IPV4)
    before, text = text, change.of(text)
    loaded = {Family.IPV4: from_text(text, Family.IPV4, "changed")}
    report = verify_with_causes(objects, settings, loaded)
    return Tried(trial, report, objects, settings, text, damaged(before, text, "changed"))


def tables_of(trial: Trial) -> tuple[Objects, NodeSettings, str]:
    """Objects, and the tables of nftables that are changed, IPv4's first."""
    base = trial.base
    if trial.rules == "kube-proxy-nftables":
        return real_objects(base), real_settings(base), real_text(base, "nft.txt")
    objects, settings = case_objects(base, "nftables")
    text = render(compile_objects(objects, settings))[NFTABLES]
    # What is before makes a table anew when the file is loaded.
    return objects, settings, text[text.index("table ip svcc {") :]
