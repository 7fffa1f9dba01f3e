"""Where a Service stands in the files that were given."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svcc.compiler.load.document import Source
    from svcc.compiler.model.objects import Objects, Origin
    from svcc.verify.confirm.findings import Finding
    from svcc.verify.report.report import Report


class Manifests:
    """Finds the lines of objects; each file is read again, once."""

    def __init__(self, objects: Objects) -> None:
        self._origins = {
            service.key: service.origin for service in (*objects.services, *objects.not_judged)
        }
        self._passed_over = objects.passed_over
        self._sources: dict[str, Source | None] = {}
        self._lines: dict[Origin, tuple[str, int] | None] = {}

    def place(self, finding: Finding) -> tuple[str, int] | None:
        """File and line; None for a finding of no Service, or what came from standard input."""
        origin = self._origins.get(finding.service())
        return None if origin is None else self.of_origin(origin)

    def of_origin(self, origin: Origin) -> tuple[str, int] | None:
        """File and line of an object; None for what came from standard input."""
        if origin not in self._lines:
            self.look_up([origin])
        return self._lines[origin]

    def look_up_for(self, reports: Iterable[Report]) -> None:
        """Find the lines of all Services that are not proved, and of what was passed over."""
        named = {
            finding.service()
            for report in reports
            for finding in report.findings
            if finding.verdict != "proved"
        }
        self.look_up(
            [
                *(origin for key, origin in self._origins.items() if key in named),
                *(item.origin for item in self._passed_over),
            ]
        )

    def look_up(self, origins: Iterable[Origin]) -> None:
        """Find the lines of many objects at once: each look into a file takes as long."""
        by_file: dict[str, list[Origin]] = {}
        for origin in dict.fromkeys(origins):
            by_file.setdefault(origin.file, []).append(origin)
        for file, wanted in by_file.items():
            source = self._source(file)
            if source is None:
                self._lines.update(dict.fromkeys(wanted))
                continue
            found = source.locate((origin.document, origin.path) for origin in wanted)
            for origin in wanted:
                self._lines[origin] = file, found[origin.document, origin.path].line

    def _source(self, file: str) -> Source | None:
        from svcc.compiler.load.inputs import source_of

        if file not in self._sources:
            try:
                self._sources[file] = source_of(file, Path(file).read_bytes())
            except OSError:
                self._sources[file] = None
        return self._sources[file]
