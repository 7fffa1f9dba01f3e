"""Where a Service stands in the files that were given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.model.terms import Locates, Origin
    from svcc.grammar.errors import Position
    from svcc.verify.confirm.findings import Finding
    from svcc.verify.report.report import Report


class Manifests:
    """Finds the lines of objects; each file is read again, once."""

    def __init__(self, objects: Objects) -> None:
        self._origins = {
            service.key: service.origin for service in (*objects.services, *objects.not_judged)
        }
        self._passed_over = objects.passed_over
        self._sources: dict[str, Locates | None] = dict(objects.sources)
        self._positions: dict[Origin, Position | None] = {}

    def place(self, finding: Finding) -> tuple[str, int] | None:
        """File and line; None for a finding of no Service, or where nobody can read it again."""
        origin = finding.place or self._origins.get(finding.service())
        return None if origin is None else self.of_origin(origin)

    def of_origin(self, origin: Origin) -> tuple[str, int] | None:
        """File and line of an object; None where nobody can read it again."""
        found = self.position(origin)
        return (found.file, found.line) if found is not None and found.line else None

    def position(self, origin: Origin) -> Position | None:
        """File, line and column of an object; None where nobody can read it again."""
        if origin not in self._positions:
            self.look_up([origin])
        return self._positions[origin]

    def look_up_for(self, reports: Sequence[Report]) -> None:
        """Find the lines of all Services that are not proved, and of what was passed over."""
        named = {
            finding.service()
            for report in reports
            for finding in report.findings
            if finding.verdict != "proved"
        }
        places = (finding.place for report in reports for finding in report.findings)
        self.look_up(
            [
                *(place for place in places if place is not None),
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
                self._positions.update(dict.fromkeys(wanted))
                continue
            found = source.locate((origin.document, origin.path) for origin in wanted)
            for origin in wanted:
                self._positions[origin] = found[origin.document, origin.path]

    def _source(self, file: str) -> Locates | None:
        from svcc.compiler.load.inputs import source_of

        if file not in self._sources:
            try:
                self._sources[file] = source_of(file, Path(file).read_bytes())
            except OSError:
                self._sources[file] = None
        return self._sources[file]
