"""Where a Service stands in the files that were given."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svcc.compiler.model.objects import Objects, Origin
    from svcc.verify.confirm.findings import Finding

_SERVICE = re.compile(r"\((\S+/[^\s:)]+)(?::[^\s)]*)?\)$")


class Manifests:
    """Finds the line of a finding's Service; each file is read again, once."""

    def __init__(self, objects: Objects) -> None:
        self._origins = {service.key: service.origin for service in objects.services}
        self._lines: dict[str, tuple[str, int] | None] = {}

    def place(self, finding: Finding) -> tuple[str, int] | None:
        """File and line; None for a finding of no Service, or what came from standard input."""
        named = _SERVICE.search(finding.frontend)
        if named is None or named[1] not in self._origins:
            return None
        if named[1] not in self._lines:
            self._lines[named[1]] = _place(self._origins[named[1]])
        return self._lines[named[1]]


def _place(origin: Origin) -> tuple[str, int] | None:
    from svcc.compiler.load.inputs import source_of

    try:
        data = Path(origin.file).read_bytes()
    except OSError:
        return None
    wanted = (origin.document, origin.path)
    return origin.file, source_of(origin.file, data).locate([wanted])[wanted].line
