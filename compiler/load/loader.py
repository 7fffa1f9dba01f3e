"""Loading objects from files, folders and standard input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

from svcc.compiler.load import validate
from svcc.compiler.load.document import Complaint, Place, Source, problems_of
from svcc.compiler.load.fields import Fields, Report
from svcc.compiler.load.frontend_conflicts import Conflict, conflicts
from svcc.compiler.load.inputs import read_inputs, source_of
from svcc.compiler.load.text import MAX_DEPTH, Path, TextError, shorten
from svcc.compiler.model.objects import Objects, Origin
from svcc.grammar.errors import InputError, Position, Problem

MAX_PROBLEMS = 200
MAX_KIND = 63

_LISTS = {"List", "ServiceList", "EndpointsList", "EndpointSliceList", "NodeList"}


def load(
    paths: Sequence[str],
    *,
    recursive: bool = False,
    stdin: BinaryIO | None = None,
    sources: Iterable[Source] = (),
) -> Objects:
    """Load all objects.

    Args:
        paths: files, folders (their *.yaml, *.yml and *.json, sorted) or ``-``.
        recursive: look into subfolders too.
        stdin: what ``-`` reads, ``sys.stdin`` by default.
        sources: inputs besides, each of a name of its own.

    Raises:
        InputError: everything that is wrong with the input.
    """
    loader = _Loader()
    for name, data in read_inputs(paths, recursive, stdin, loader.problems):
        loader.read(name, data)
    for source in sources:
        loader.add(source)
    return loader.finish()


class _Loader:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._objects = Objects()
        self._complaints: list[Complaint] = []
        self._seen: dict[tuple[str, str, str], Origin] = {}
        self._sources: dict[str, Source] = {}
        self._is_empty = True

    def read(self, name: str, data: bytes) -> None:
        """Load one input."""
        try:
            source = source_of(name, data)
        except InputError as error:
            self.problems.extend(error.problems)
        else:
            self.add(source)

    def add(self, source: Source) -> None:
        """Load one input whose text is known."""
        name = source.name
        if name in self._sources:
            message = "this input is given twice; leave one out"
            self.problems.append(Problem(Position(name), message))
            return
        self._sources[name] = source
        try:
            documents = source.documents()
        except TextError as error:
            self.problems.append(Problem(Position(name, error.line, error.column), error.message))
            return
        for number, value in enumerate(documents):
            if value is not None:
                self._is_empty = False
                self._value(value, (), 0, Report(source, number, self._complaints))

    def finish(self) -> Objects:
        """The objects, if nothing was wrong."""
        if self._is_empty and not self.problems and self._sources:
            # Most likely the command before the pipe failed; no rules would come of it.
            message = "no object in this input; an empty List (items: []) says there is none"
            self.problems.append(Problem(Position(next(iter(self._sources))), message))
        for found in conflicts(self._objects):
            if found.owner.name and found.claimant.name:
                self._conflict(found)
        complaints = list(dict.fromkeys(self._complaints))
        more = len(complaints) - MAX_PROBLEMS
        problems = self.problems + problems_of(complaints[:MAX_PROBLEMS])
        if more > 0:
            name = complaints[MAX_PROBLEMS].place.source.name
            message = f"{more} more problems, not listed; mend the first {MAX_PROBLEMS}"
            problems.append(Problem(Position(name), message))
        if problems:
            raise InputError(list(dict.fromkeys(problems)))
        return self._objects

    def _conflict(self, found: Conflict) -> None:
        owner, claimant = found.owner, found.claimant
        self._complaints.append(
            Complaint(
                self._place(claimant.origin),
                f"Services {owner.key} and {claimant.key} both claim {found.frontend}; "
                f"{owner.key} stands at ",
                self._place(owner.origin),
                "; change one of them",
            )
        )

    def _place(self, origin: Origin) -> Place:
        return Place(self._sources[origin.file], origin.document, origin.path)

    def _value(self, value: Any, path: Path, depth: int, report: Report) -> None:
        if not isinstance(value, dict):
            report.wrong(path, "this is no Kubernetes object; it needs apiVersion and kind")
            return
        kind, version = value.get("kind"), value.get("apiVersion")
        if not isinstance(kind, str) or not isinstance(version, str) or not kind or not version:
            missing = "kind" if not isinstance(kind, str) or not kind else "apiVersion"
            report.wrong(path, f"{missing} is missing; every object needs apiVersion and kind")
            return
        if not (len(kind) <= MAX_KIND and kind.isascii() and kind.isalnum()):
            report.wrong((*path, "kind"), f"kind: {shorten(kind)} is no kind of object")
            return
        if kind in _LISTS:
            self._list(value, path, depth, report)
            return
        origin = Origin(report.source.name, report.document, path)
        self._object(kind, version, Fields(value, path, report), origin, report)

    def _list(self, value: dict[str, Any], path: Path, depth: int, report: Report) -> None:
        items = value.get("items")
        if items is None:
            return
        if not isinstance(items, list) or depth > MAX_DEPTH:
            report.wrong((*path, "items"), "items: this must be a list of objects")
            return
        for index, item in enumerate(items):
            if value["kind"] != "List" and isinstance(item, dict) and "kind" not in item:
                # The API leaves kind and apiVersion out in typed lists.
                item = {
                    "kind": value["kind"].removesuffix("List"),
                    "apiVersion": value["apiVersion"],
                    **item,
                }
            self._value(item, (*path, "items", index), depth + 1, report)

    def _object(
        self, kind: str, version: str, fields: Fields, origin: Origin, report: Report
    ) -> None:
        objects = self._objects
        if kind == "EndpointSlice" and version == "discovery.k8s.io/v1beta1":
            fields.wrong(
                "apiVersion", "discovery.k8s.io/v1beta1 is not read; ask for discovery.k8s.io/v1"
            )
            return
        if (kind, version) not in _KINDS:
            objects.skipped_kinds[kind] = objects.skipped_kinds.get(kind, 0) + 1
            return
        if not self._first(kind, fields, origin, report):
            return
        if kind == "Service":
            objects.services.append(validate.service(fields, origin))
        elif kind == "Node":
            objects.nodes.append(validate.node(fields, origin))
        elif kind == "Endpoints":
            objects.slices.extend(validate.endpoints(fields, origin))
        else:
            found = validate.endpoint_slice(fields, origin)
            if found is not None:
                objects.slices.append(found)

    def _first(self, kind: str, fields: Fields, origin: Origin, report: Report) -> bool:
        """Note an object's name; False if the same object was there before."""
        meta = fields.raw("metadata")
        if not isinstance(meta, dict):
            return True
        namespace, name = meta.get("namespace"), meta.get("name")
        if not isinstance(name, str):
            return True
        if kind == "Node":
            namespace = ""
        elif not isinstance(namespace, str) or not namespace:
            namespace = validate.DEFAULT_NAMESPACE
        key = (kind, namespace, name)
        before = self._seen.setdefault(key, origin)
        if before is origin:
            return True
        shown = name if kind == "Node" else f"{namespace}/{name}"
        report.wrong(
            origin.path,
            f"{kind} {shorten(shown)} stands here for the second time, first at ",
            self._place(before),
            "; leave one out",
        )
        return False


_KINDS = {
    ("Service", "v1"),
    ("Endpoints", "v1"),
    ("Node", "v1"),
    ("EndpointSlice", "discovery.k8s.io/v1"),
}
