"""Loading objects from files, folders and standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from svcc.compiler import validate
from svcc.compiler.claims import conflicts
from svcc.compiler.document import MAX_DEPTH, Complaint, Source, TextError, problems_of
from svcc.compiler.document import Path as FieldPath
from svcc.compiler.errors import InputError, Position, Problem
from svcc.compiler.fields import Fields, Report, shorten
from svcc.compiler.objects import Objects, Origin

SUFFIXES = (".yaml", ".yml", ".json")
STANDARD_INPUT = "<stdin>"
MAX_PROBLEMS = 200

_LISTS = {"List", "ServiceList", "EndpointsList", "EndpointSliceList", "NodeList"}


def load(
    paths: Sequence[str], *, recursive: bool = False, stdin: BinaryIO | None = None
) -> Objects:
    """Load all objects.

    Args:
        paths: files, folders (their *.yaml, *.yml and *.json, sorted) or ``-``.
        recursive: look into subfolders too.
        stdin: what ``-`` reads, ``sys.stdin`` by default.

    Raises:
        InputError: everything that is wrong with the input.
    """
    loader = _Loader()
    for name, read in _inputs(paths, recursive, stdin, loader.problems):
        loader.source(name, read)
    return loader.finish()


def read_source(name: str, data: bytes) -> Source:
    """The text of an input.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - before.rfind(b"\n")
        message = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise InputError([Problem(Position(name, line, column), message)]) from None


def _inputs(
    paths: Sequence[str], recursive: bool, stdin: BinaryIO | None, problems: list[Problem]
) -> Iterator[tuple[str, bytes]]:
    for text in paths:
        if text == "-":
            yield STANDARD_INPUT, (stdin or sys.stdin.buffer).read()
            continue
        path = Path(text)
        try:
            files = _files(path, recursive)
            if not files:
                wanted = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
                deeper = "" if recursive else "; -R looks into subfolders"
                problems.append(Problem(Position(text), f"no {wanted} in this folder{deeper}"))
            for file in files:
                yield str(file), file.read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            problems.append(Problem(Position(text), f"cannot read: {reason}"))


def _files(path: Path, recursive: bool) -> list[Path]:
    if not path.is_dir():
        return [path]
    entries = path.rglob("*") if recursive else path.iterdir()
    return sorted(e for e in entries if e.suffix in SUFFIXES and e.is_file())


class _Loader:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._objects = Objects()
        self._complaints: list[Complaint] = []
        self._seen: dict[tuple[str, str, str], tuple[Source, Origin]] = {}
        self._sources: dict[str, Source] = {}

    def source(self, name: str, data: bytes) -> None:
        """Load one input."""
        try:
            source = read_source(name, data)
        except InputError as error:
            self.problems.extend(error.problems)
            return
        self._sources[name] = source
        try:
            documents = source.documents()
        except TextError as error:
            self.problems.append(Problem(Position(name, error.line, error.column), error.message))
            return
        for number, value in enumerate(documents):
            if value is not None:
                self._value(value, (), 0, Report(source, number, self._complaints))

    def finish(self) -> Objects:
        """The objects, if nothing was wrong."""
        if not self._complaints and not self.problems:
            for origin, message in conflicts(self._objects, self._position):
                source = self._sources[origin.file]
                self._complaints.append(Complaint(source, origin.document, origin.path, message))
        problems = self.problems + problems_of(self._complaints[:MAX_PROBLEMS])
        if problems:
            raise InputError(list(dict.fromkeys(problems)))
        return self._objects

    def _position(self, origin: Origin) -> Position:
        key = (origin.document, origin.path)
        return self._sources[origin.file].locate([key])[key]

    def _value(self, value: Any, path: FieldPath, depth: int, report: Report) -> None:
        if not isinstance(value, dict):
            report.wrong(path, "this is no Kubernetes object; it needs apiVersion and kind")
            return
        kind, version = value.get("kind"), value.get("apiVersion")
        if not isinstance(kind, str) or not isinstance(version, str) or not kind or not version:
            missing = "kind" if not isinstance(kind, str) or not kind else "apiVersion"
            report.wrong(path, f"{missing} is missing; every object needs apiVersion and kind")
            return
        if kind in _LISTS:
            self._list(value, path, depth, report)
            return
        origin = Origin(report.source.name, report.document, path)
        self._object(kind, version, Fields(value, path, report), origin, report)

    def _list(self, value: dict[str, Any], path: FieldPath, depth: int, report: Report) -> None:
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
        key = (kind, namespace if isinstance(namespace, str) and kind != "Node" else "", name)
        before = self._seen.setdefault(key, (report.source, origin))[1]
        if before is origin:
            return True
        shown = name if kind == "Node" else f"{key[1] or 'default'}/{name}"
        fields.wrong(
            None,
            f"{kind} {shorten(shown)} stands here for the second time, first at "
            f"{self._position(before)}; leave one out",
        )
        return False


_KINDS = {
    ("Service", "v1"),
    ("Endpoints", "v1"),
    ("Node", "v1"),
    ("EndpointSlice", "discovery.k8s.io/v1"),
}
