"""Where results stand, for tools that want a file and a line for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from svcc.compiler.model.objects import Origin
from svcc.grammar.errors import Position
from svcc.verify.confirm.findings import Finding
from svcc.verify.report.grouping import Group
from svcc.verify.report.report import Report
from svcc.verify.simulator.packet import Step
from svcc.verify.spec.properties import ANSWERED, NAMES

FileLine = tuple[str, int]
"""File and line (1-based)."""

STANDARD_INPUT = "stdin"
"""The name of what has no file, as a relative path."""


@dataclass(frozen=True, slots=True)
class Places:
    """Finds a place for everything.

    ``root``: the folder that paths are told relative to. ``inputs``: what was given, the first of
    which is the place of what has none. ``manifest`` finds the Service of a finding, ``origin``
    an object.
    """

    root: Path
    inputs: tuple[str, ...]
    manifest: Callable[[Finding], FileLine | None]
    origin: Callable[[Origin], FileLine | None]

    def path(self, file: str) -> str:
        """A file's path from the root, with ``/``; absolute if it is not below it."""
        if file in ("-", "") or file.startswith("<"):
            return STANDARD_INPUT
        whole = Path.cwd() / file
        try:
            return whole.resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            return whole.as_posix()

    def nowhere(self) -> FileLine:
        """The place of what has none."""
        return (self.inputs[0] if self.inputs else STANDARD_INPUT), 1

    def of_group(self, report: Report, group: Group) -> FileLine:
        """The line to blame: the cause's, that of a rule that may decide, else the Service's."""
        finding = group.findings[0]
        source = report.sources.get(finding.family, "")
        if finding.property in (NAMES, ANSWERED) and group.cause is not None:
            return group.cause.file, group.cause.line or 1
        if report.in_files:
            if group.cause is not None and group.cause.file:
                return group.cause.file, group.cause.line or 1
            for rule in finding.rules:
                if rule.line:
                    return source, rule.line
        return self.manifest(finding) or ((source, 1) if report.in_files else self.nowhere())

    def of_origin(self, origin: Origin) -> FileLine:
        """Where an object stands."""
        return self.origin(origin) or (origin.file, 1)

    def of_position(self, position: Position) -> FileLine:
        """Where a problem is; one with an option or a setting has no place."""
        if position.file.startswith(("-", "SVCC_")) and not position.line:
            return self.nowhere()
        return position.file, position.line or 1


def line_of(step: Step) -> int:
    """The line of a step's rule or virtual server, 0 if it has none."""
    return 0 if step.rule is None else step.rule.line


def uri(path: str) -> str:
    """A path as a URI reference (RFC 3986): relative, or of scheme ``file``."""
    return f"file://{quote(path)}" if path.startswith("/") else quote(path)
