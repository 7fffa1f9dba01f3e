"""Files and folders that are watched: by inotify(7), and looked at from time to time besides.

What changes by a rename, as editors write files and the kubelet does ConfigMaps (a link ``..data``
that is swapped), is seen whole. A file that is half written cannot be read, so what was read
before stays until it can.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from svcc.agent.sources.documents import Document, Documents
from svcc.agent.sources.source import Tell
from svcc.compiler.api_names.kinds import LISTS, READ, slip
from svcc.compiler.load.inputs import read_inputs, source_of
from svcc.compiler.load.loader import load
from svcc.compiler.load.text import MAX_DEPTH, TextError
from svcc.grammar.errors import InputError, Position, Problem

PART = "files"
LOOK_SECONDS = 5.0
"""How often files are looked at though nothing was told of them: over a network nothing is."""
_CALM_MILLISECONDS = 50

Stamp = tuple[tuple[str, int, int, int], ...]


class Files:
    """The objects in files and folders."""

    parts = (PART,)

    def __init__(
        self, paths: Sequence[str], *, recursive: bool = False, exclude: Sequence[str] = ()
    ) -> None:
        """Paths and patterns as ``svcc -f`` takes them; standard input is none of them."""
        self._paths = tuple(paths)
        self._recursive = recursive
        self._exclude = tuple(exclude)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._stale_since: float | None = None
        self._said = ""

    @property
    def stale_since(self) -> float | None:
        """Since when the files cannot be read as they are."""
        return self._stale_since

    def start(self, documents: Documents, tell: Tell) -> None:
        """Begin to follow."""
        self._thread = threading.Thread(
            target=self._follow, args=(documents, tell), name=PART, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self, documents: Documents, tell: Tell) -> None:
        before: Stamp | None = None
        while not self._stop.is_set():
            # Looked at before they are read: what changes meanwhile is read again.
            stamp = self._stamp()
            if stamp != before or self._said:
                before = stamp
                self._read(documents, tell)
            self._wait()

    def _read(self, documents: Documents, tell: Tell) -> None:
        try:
            found = list(self._documents())
        except InputError as error:
            said = "\n".join(map(str, error.problems[:5]))
            if self._stale_since is None:
                self._stale_since = time.monotonic()
            if said != self._said:
                self._said = said
                for line in said.splitlines():
                    tell(f"error: {line}; what was read before stays")
            return
        if self._said:
            tell("note: the files can be read again")
        self._said, self._stale_since = "", None
        documents.replace(PART, found)

    def _documents(self) -> Iterator[Document]:
        """Every object in the files.

        Raises:
            InputError: something in them is none, stands there twice, or nothing is there.
        """
        problems: list[Problem] = []
        seen: set[tuple[object, ...]] = set()
        is_empty = True
        for item in read_inputs(self._paths, self._recursive, self._exclude, None, problems):
            try:
                values = source_of(item.name, item.data).documents()
            except (InputError, TextError):
                raise self._refused() from None
            for value in values:
                if value is None:
                    continue
                is_empty = False
                for document in _objects_in(value, 0):
                    if not _is_object(document):
                        raise self._refused()
                    if (document["kind"], document["apiVersion"]) not in READ:
                        continue
                    name = _name(document)
                    if name is None or (name[-1] and name in seen):
                        raise self._refused()
                    seen.add(name)
                    yield document
        if problems:
            raise InputError(problems)
        if is_empty:
            raise self._refused()

    def _refused(self) -> InputError:
        """What is wrong, with line and column."""
        try:
            load(self._paths, recursive=self._recursive, exclude=self._exclude)
        except InputError as error:
            return error
        # It was mended while it was looked at, and is read again.
        return InputError([Problem(Position(self._paths[0]), "changes while it is read")])

    def _stamp(self) -> Stamp:
        """What tells whether a file is another one than before."""
        found = []
        for path in self._files():
            with suppress(OSError):
                status = path.stat()
                found.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(sorted(found))

    def _files(self) -> Iterator[Path]:
        for name in self._paths:
            path = Path(name)
            if path.is_dir():
                # What a folder's objects are is the reader's business; any file may be one.
                yield from path.rglob("*") if self._recursive else path.glob("*")
            else:
                yield path

    def _wait(self) -> None:
        """Wait until something was told of a file, or for a while."""
        from watchfiles import watch

        folders = {path if path.is_dir() else path.parent for path in map(Path, self._paths)}
        try:
            for _ in watch(
                *(folder for folder in folders if folder.is_dir()),
                watch_filter=None,
                debounce=_CALM_MILLISECONDS * 4,
                step=_CALM_MILLISECONDS,
                stop_event=self._stop,
                rust_timeout=int(LOOK_SECONDS * 1000),
                yield_on_timeout=True,
                recursive=self._recursive,
            ):
                return
        except OSError:
            # No watch can be had: too many (inotify(7), max_user_watches), or the folder went.
            self._stop.wait(LOOK_SECONDS)


def _objects_in(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """The objects of a document, those of lists one by one."""
    if not isinstance(value, dict) or value.get("kind") not in LISTS or depth > MAX_DEPTH:
        yield value
        return
    items = value.get("items")
    for item in items if isinstance(items, list) else [] if items is None else [None]:
        if value["kind"] != "List" and isinstance(item, dict) and "kind" not in item:
            # The API leaves kind and apiVersion out in typed lists.
            kind = value["kind"].removesuffix("List")
            item = {"kind": kind, "apiVersion": value.get("apiVersion"), **item}
        yield from _objects_in(item, depth + 1)


def _is_object(document: Any) -> bool:
    """Whether it is an object of any kind, and its kind is no slip."""
    if not isinstance(document, dict):
        return False
    kind, version = document.get("kind"), document.get("apiVersion")
    if not (isinstance(kind, str) and isinstance(version, str) and kind and version):
        return False
    # The answer of an API server that failed is no object that may be passed over.
    return kind != "Status" and slip(kind, version) is None


def _name(document: dict[str, Any]) -> tuple[object, ...] | None:
    """Which object it is; None: it has no name."""
    kind, version, meta = (document.get(name) for name in ("kind", "apiVersion", "metadata"))
    if kind == "HostList":
        return kind, None
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
        return None
    namespace = "" if kind == "Node" else meta.get("namespace") or "default"
    return kind, version, namespace, meta["name"]
