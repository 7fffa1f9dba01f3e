"""A component's configuration in what people have: a file of its own, kubeadm's, a ConfigMap.

``kubectl -n kube-system get configmap kube-proxy -o yaml`` prints a ConfigMap whose data has the
configuration as text (kubeadm's ``config.conf``, EKS's ``config``); ``kubeadm config print``
prints several documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from svcc.compiler.load.document import Source
from svcc.compiler.load.not_objects import template
from svcc.compiler.load.text import KEY, Path, TextError
from svcc.grammar.errors import InputError, Position, Problem

MAX_KINDS_TOLD = 5


class ConfigurationKind(NamedTuple):
    """A kind of configuration file."""

    kind: str
    api_version: str


KUBE_PROXY = ConfigurationKind("KubeProxyConfiguration", "kubeproxy.config.k8s.io/v1alpha1")


class Document(NamedTuple):
    """A value of an input; ``path`` leads to it from the document's root."""

    source: Source
    number: int
    path: Path
    value: dict[str, Any]


def find_configuration(source: Source, wanted: ConfigurationKind = KUBE_PROXY) -> Document:
    """The one configuration of a kind in an input.

    Raises:
        InputError: there is none, or there are several.
    """
    every = list(_documents(source, wanted.kind))
    found = [document for document in every if document.value.get("kind") == wanted.kind]
    if len(found) == 1:
        return found[0]
    if not found and len(every) == 1 and "kind" not in every[0].value:
        # A file that was begun without its head: what is missing is said by the reader.
        return every[0]
    if found:
        _, number, path, _ = found[1]
        place = found[1].source.locate([(number, path)])[number, path]
        message = f"there are {len(found)} of kind {wanted.kind}; give the one of this node"
        raise InputError([Problem(place, message)])
    kinds = dict.fromkeys(str(document.value.get("kind", "unknown"))[:60] for document in every)
    there = ", ".join([kind for kind in kinds if kind.isalnum()][:MAX_KINDS_TOLD])
    message = f"this is no {wanted.kind} ({wanted.api_version}), and no ConfigMap that has one"
    if there:
        message += f"; it holds {there}"
    raise InputError([Problem(Position(source.name, 1, 1), message)])


def _documents(source: Source, kind: str) -> Iterator[Document]:
    """All objects of an input, those in lists and in the texts of ConfigMaps too."""
    try:
        values = source.documents()
    except TextError as error:
        error = template(source.text) or error
        place = Position(source.name, error.line, error.column)
        raise InputError([Problem(place, error.message)]) from None
    for number, value in enumerate(values):
        if isinstance(value, dict):
            yield from _expanded(Document(source, number, (), value), kind)
        elif value is not None:
            place = source.locate([(number, ())])[number, ()]
            raise InputError([Problem(place, f"this is no {kind}")])


def _expanded(document: Document, kind: str) -> Iterator[Document]:
    source, number, path, value = document
    items, data = value.get("items"), value.get("data")
    if value.get("kind") in ("List", "ConfigMapList") and isinstance(items, list):
        for index, item in enumerate(items):
            if isinstance(item, dict):
                yield from _expanded(Document(source, number, (*path, "items", index), item), kind)
    elif isinstance(data, dict) and value.get("kind") in (None, "ConfigMap"):
        for key, text in data.items():
            if isinstance(text, str) and kind in text:
                inside = _embedded(document, key, text)
                yield from (d for d in _documents(inside, kind) if d.value.get("kind") == kind)
    else:
        yield document


def _embedded(document: Document, key: str, text: str) -> Source:
    """A text in a field as an input, whose places are those of the file where that can be.

    A YAML block stands there line by line, indented: with its own lines, and as many empty ones
    before it as the file has, line and column are the file's.
    """
    source, number, path, _ = document
    where = (*path, "data", key, KEY)
    line = source.locate([(number, where)])[number, where].line
    lines = text.splitlines()
    block = source.text.splitlines()[line : line + len(lines)]
    if [item.strip() for item in block] == [item.strip() for item in lines] and not any(
        item.startswith(("---", "...")) for item in lines
    ):
        return Source(source.name, "\n" * line + "\n".join(block) + "\n")
    return Source(f"{source.name} (data: {key[:60]!r})", text)
