"""What is tried: changes of kube-proxy's rules and of svcc's own of both modes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import load
from svcc.verify.confirm.findings import Finding
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.report.report import Report
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.support.damage import dump_damage, ipvs_damage, own_damage
from tests.support.damage.dump_damage import Change
from tests.support.proofs import verify

Wanted = Literal["violated", "proved", "undecided"]
RULES = {
    "kube-proxy": "kube-proxy's rules",
    "iptables": "svcc's own rules, iptables mode",
    "ipvs": "svcc's own rules, ipvs mode",
}
_WITHOUT_PACKET = {"cycle of jumps", "an address too many"}
"""What no packet shows: walks that do not end, and addresses of the node."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One change, and the verdict that it must get."""

    rules: str
    name: str
    base: str
    wanted: Wanted
    change: Change | ipvs_damage.Change


@dataclass(frozen=True, slots=True)
class Tried:
    """What the verifier said. ``text`` is the changed IPv4 script, "" in ipvs mode."""

    trial: Trial
    report: Report
    objects: Objects | None = None
    settings: NodeSettings | None = None
    text: str = ""

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

    def violations(self) -> list[Finding]:
        """What is violated."""
        return [finding for finding in self.report.findings if finding.verdict == "violated"]


def trials() -> Iterator[Trial]:
    """All of them."""
    lists: tuple[tuple[str, Wanted, tuple[Change, ...]], ...] = (
        ("kube-proxy", "violated", dump_damage.DAMAGE),
        ("kube-proxy", "proved", dump_damage.HARMLESS),
        ("kube-proxy", "undecided", dump_damage.UNDECIDED),
        ("iptables", "violated", own_damage.DAMAGE),
        ("iptables", "proved", own_damage.HARMLESS),
        ("iptables", "undecided", own_damage.UNDECIDED),
    )
    for rules, wanted, changes in lists:
        for change in changes:
            yield Trial(rules, change.name, change.dump, wanted, change)
    for edit in ipvs_damage.DAMAGE:
        yield Trial("ipvs", edit.what, edit.case, "violated", edit)
    for edit in ipvs_damage.HARMLESS:
        yield Trial("ipvs", edit.what, edit.case, "proved", edit)


def run(trial: Trial) -> Tried:
    """Make the change and judge the rules."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        change = trial.change
        if isinstance(change, ipvs_damage.Change):
            report = ipvs_damage.judge(change.case, folder, change.file, change.edit)
            return Tried(trial, report)
        if trial.rules == "kube-proxy":
            objects, settings = dump_objects(change.dump), dump_settings(change.dump)
            lines = (DUMPS / change.dump / "iptables-save.txt").read_text().splitlines()
        else:
            objects, settings, lines = own_damage.compiled(change.dump, folder)
        edited = change.edit(lines)
        assert edited != lines, f"{change.name} changes nothing"
        text = "\n".join(edited) + "\n"
        rules = load(parse(text, family=Family.IPV4, source="changed"))
        loaded = {Family.IPV4: LoadedRules(rules, "changed")}
        return Tried(trial, verify(objects, settings, loaded), objects, settings, text)
