"""Kubernetes objects, from files, texts and Python objects."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from svcc.compiler.load.document import Source
    from svcc.compiler.model.objects import Objects

TEXT = "<text>"
"""What messages call a text without a name."""


def load(
    *paths: str | os.PathLike[str],
    text: str | Mapping[str, str] = "",
    objects: Iterable[Mapping[str, Any]] = (),
    recursive: bool = False,
    stdin: BinaryIO | None = None,
) -> Objects:
    """The Services, EndpointSlices, Endpoints and Nodes of all that is given, as one input.

    Args:
        paths: files, folders (their ``*.yaml``, ``*.yml`` and ``*.json``, sorted) or ``-`` for
            standard input, as ``svcc -f`` takes them.
        text: YAML or JSON, or several such texts by the names that messages call them.
        objects: as the API has them, lists of them included: dicts with ``apiVersion`` and
            ``kind`` and the API's own field names (camelCase). Of the official Python client
            that is what ``ApiClient().sanitize_for_serialization(answer)`` gives.
        recursive: look into subfolders too.
        stdin: what ``-`` reads; ``sys.stdin`` by default.

    Returns:
        What was read, in input order; ``skipped_kinds`` counts objects of other kinds.

    Raises:
        InputError: all that is wrong with the input.
    """
    from svcc.compiler.load.loader import load as load_all

    sources = list(_sources(text, objects))
    return load_all(
        [os.fspath(p) for p in paths], recursive=recursive, stdin=stdin, sources=sources
    )


def _sources(
    text: str | Mapping[str, str], objects: Iterable[Mapping[str, Any]]
) -> Iterator[Source]:
    from svcc.compiler.load.document import Source
    from svcc.compiler.load.python_objects import python_objects

    for name, content in named_texts(text):
        yield Source(name, content)
    # A list of objects may be empty, a text that is empty is most likely a mistake.
    found = python_objects(objects)
    if found.values:
        yield found


def named_texts(text: str | Mapping[str, str]) -> list[tuple[str, str]]:
    """Texts with what messages call them."""
    if isinstance(text, str):
        return [(TEXT, text)] if text else []
    return list(text.items())
