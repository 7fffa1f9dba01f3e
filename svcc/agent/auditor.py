"""Whoever's rules there are, judged by the objects as they change; nothing is ever changed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from svcc.agent.events import Events, EventType
from svcc.agent.health import is_eligible
from svcc.agent.keeper import SettingsOf, Synced, SyncError, Tell
from svcc.agent.lasting import Lasting, News
from svcc.agent.log import Log
from svcc.agent.sources.documents import Changes, Key, in_order
from svcc.api.inputs import load
from svcc.api.live import live_rules, stamp
from svcc.api.verification import verify
from svcc.grammar.errors import InputError
from svcc.verify.report.grouping import Group, grouped
from svcc.verify.report.messages import message

if TYPE_CHECKING:
    from svcc.apply.iptables.tool import Variant
    from svcc.verify.confirm.findings import Finding
    from svcc.verify.report.report import Report

LOOK_SECONDS = 2.0
"""After which the rules are looked at again."""
LEAST_IDLE = 20
"""Times as long as a look takes nobody looks, where the rules have to be read for it."""
MOST_TOLD = 20
"""Groups of findings that are told at once; how many more there are is told, too."""


class Auditor:
    """Judges the rules of this network namespace."""

    def __init__(
        self,
        settings_of: SettingsOf,
        log: Log,
        *,
        settle: float,
        iptables: Variant | None = None,
        events: Events | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing known.

        Args:
            settings_of: is asked with each new state of the objects.
            log: is told what is found.
            settle: seconds that a proxy may need to follow a change.
            iptables: the variant to judge, as of :func:`svcc.api.live_rules`.
            events: is told of what is found of Services, too.
            clock: seconds.
        """
        self._settings_of = settings_of
        self._log = log
        self._iptables = iptables
        self._events = events
        self._clock = clock
        self._lasting = Lasting(settle)
        self._report: Report | None = None
        self._stamp: object = None
        self._stamp_seconds = 0.0
        self._eligible = True
        self._told: set[str] = set()

    def forget(self) -> None:
        """Judge anew."""
        self._report = None

    def sync(self, changes: Changes) -> Synced:
        """Judge, if anything has changed.

        Raises:
            SyncError: the objects or the rules cannot be read.
        """
        said: set[str] = set()

        def tell(text: str) -> None:
            said.add(text)
            if text not in self._told:
                self._log.tell(text)

        try:
            seconds = self._judge(changes, tell)
        except InputError as error:
            raise SyncError("input", "; ".join(map(str, error.problems[:5]))) from error
        if seconds is not None:
            self._told = said
        assert self._report is not None
        now = self._clock()
        look_again = max(LOOK_SECONDS, LEAST_IDLE * self._stamp_seconds)
        news = self._lasting.look(self._report.findings, now)
        self._tell_news(self._report, news)
        self._tell_events(changes, news)
        return Synced(
            "",
            self._eligible,
            (),
            (),
            len(self._report.services),
            is_full=seconds is not None,
            drifted=False,
            proof_seconds=seconds,
            codes=Counter(finding.code for finding in self._lasting.told),
            again=look_again if news.again is None else min(look_again, max(0.0, news.again - now)),
        )

    def _judge(self, changes: Changes, tell: Tell) -> float | None:
        """Judge; how long it took (seconds), None where nothing has changed."""
        # Taken before the rules are read: what changes meanwhile is read again.
        begin = time.monotonic()
        now = stamp(self._iptables)
        self._stamp_seconds = time.monotonic() - begin
        if self._report is not None and not changes.changed and now == self._stamp:
            return None
        objects = load(
            objects=[{"apiVersion": "v1", "kind": "List", "items": in_order(changes.documents)}],
            keep_going=True,
            note=tell,
        )
        settings = self._settings_of(objects, tell)
        self._eligible = is_eligible(changes.documents.get(Key("Node", "", settings.node_name)))
        rules = live_rules(iptables=self._iptables, note=tell)
        begin = time.monotonic()
        self._report = verify(objects, settings, rules, note=tell)
        self._stamp = now
        return time.monotonic() - begin

    def _tell_news(self, report: Report, news: News) -> None:
        groups = grouped(news.lasting)
        for group in groups[:MOST_TOLD]:
            self._tell_group(report, group)
        if len(groups) > MOST_TOLD:
            self._log.line("error", f"{len(groups) - MOST_TOLD} more findings of other causes")
        for finding in news.over[:MOST_TOLD]:
            self._log.line(
                "info",
                f"over: {finding.code} {finding.property}: {finding.sentence()}",
                **_values(finding),
            )
        if len(news.over) > MOST_TOLD:
            self._log.line("info", f"{len(news.over) - MOST_TOLD} more findings are over")

    def _tell_events(self, changes: Changes, news: News) -> None:
        if self._events is None:
            return
        told: set[tuple[str, str]] = set()
        kinds: tuple[EventType, ...] = ("Warning", "Normal")
        for kind, findings in zip(kinds, (news.lasting, news.over), strict=True):
            for finding in findings:
                name = finding.service()
                # Of a Service that goes wrong in many ways one event says enough.
                if name and (kind, name) not in told and len(told) < MOST_TOLD:
                    told.add((kind, name))
                    about = Key("Service", *name.split("/", 1))
                    over = "over: " if kind == "Normal" else ""
                    text = f"{over}{finding.code} {finding.property}: {finding.sentence()}"
                    self._events.tell(about, changes.documents.get(about), kind, text)

    def _tell_group(self, report: Report, group: Group) -> None:
        finding = group.findings[0]
        lines = message(report, group).splitlines()
        self._log.line(
            "error" if finding.verdict == "violated" else "warning",
            f"{finding.verdict}: {finding.code} {finding.property}: {'; '.join(lines)}",
            **_values(finding),
            also=group.others,
        )


def _values(finding: Finding) -> dict[str, str]:
    return {
        "code": finding.code,
        "property": finding.property,
        "frontend": finding.frontend,
        "verdict": finding.verdict,
        "service": finding.service(),
    }
