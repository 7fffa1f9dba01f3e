"""Kubernetes objects, from files, texts and Python objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from svcc.api.errors import bad_input

if TYPE_CHECKING:
    from svcc.compiler.allocate.lock import Lock
    from svcc.compiler.load.document import Source
    from svcc.compiler.model.objects import Objects

Note = Callable[[str], None]
"""Is told what a person should know, a line each: ``note: …`` or ``warning: …``."""

TEXT = "<text>"
"""What messages call a text without a name."""


def load(
    *paths: str | os.PathLike[str],
    text: str | Mapping[str, str] = "",
    objects: Iterable[Mapping[str, Any]] = (),
    recursive: bool = False,
    exclude: Sequence[str] = (),
    stdin: BinaryIO | None = None,
    keep_going: bool = False,
    first_claims: bool = False,
    note: Note | None = None,
    notes: bool = False,
    simulate: bool | Sequence[str] = False,
    lock: str | os.PathLike[str] | None = None,
    documents: bool = False,
) -> Objects:
    """The Services, EndpointSlices, Endpoints, Pods and Nodes of all that is given, as one input.

    Services that select Pods and have no slices get those that a cluster would make.

    Args:
        paths: files, folders (their ``*.yaml``, ``*.yml`` and ``*.json``, sorted) or ``-`` for
            standard input, as ``svcc -f`` takes them.
        text: YAML or JSON, or several such texts by the names that messages call them.
        objects: as the API has them, lists of them included: dicts with ``apiVersion`` and
            ``kind`` and the API's own field names (camelCase). Of the official Python client
            that is what ``ApiClient().sanitize_for_serialization(answer)`` gives.
        recursive: look into subfolders too, and pass over files that hold no object.
        exclude: patterns of files and folders to leave out of folders, by name or path.
        stdin: what ``-`` reads; ``sys.stdin`` by default.
        keep_going: load what is right although Services are wrong by themselves or claim one
            frontend: ``not_judged`` has those, ``problems`` what is wrong with them.
        first_claims: of Services that claim one frontend only those after the first are wrong.
        note: is told each of ``problems``.
        notes: have the files that were passed over among them, too.
        simulate: the objects are manifests that no cluster has seen: Deployments and their like
            stand for the Pods that they would make, Services get addresses and ports, and where
            there is no Node there are two. A sequence has the networks of Pods (CIDRs), one of
            each family.
        lock: a lock file of ``svcc allocate``: Services that have no cluster IPs, node ports and
            so on themselves have those that it gave.
        documents: keep the objects as they were given, in ``documents``.

    Returns:
        What was read, in input order; ``passed_over`` tells what has no say, and why.

    Raises:
        InputError: all that is wrong with the input.
    """
    from svcc.compiler.load.loader import load as load_all

    sources = list(_sources(text, objects))
    found = load_all(
        [os.fspath(p) for p in paths],
        recursive=recursive,
        exclude=exclude,
        stdin=stdin,
        sources=sources,
        keep_going=keep_going,
        first_claims=first_claims,
        notes=notes,
        simulate=simulate is not False,
        lock=None if lock is None else read_lock_file(lock),
        documents=documents,
    )
    if simulate is not False:
        _simulate(found, () if simulate is True else simulate)
    if note is not None:
        for problem in found.problems:
            note(str(problem))
    return found


def read_lock_file(path: str | os.PathLike[str], *, missing_ok: bool = False) -> Lock:
    """A lock file of ``svcc allocate``; an empty one where there is none and that is all right.

    Raises:
        InputError: it cannot be read, or is none.
    """
    from svcc.compiler.allocate.lock import Lock, read_lock
    from svcc.compiler.load.inputs import source_of

    name = os.fspath(path)
    try:
        data = Path(name).read_bytes()
    except FileNotFoundError:
        if missing_ok:
            return Lock(source=name)
        raise bad_input(name, "there is no such file; svcc allocate writes it") from None
    except (OSError, ValueError) as error:
        raise bad_input(name, f"cannot read: {getattr(error, 'strerror', error)}") from None
    return read_lock(source_of(name, data).text, source=name)


def simulated_pod_networks(given: Sequence[str] = ()) -> list[str]:
    """The networks (CIDRs) of simulated Pods: those given, else one of each family."""
    from svcc.compiler.simulate.simulation import POD_NETWORKS

    return list(given) or [str(network) for network in POD_NETWORKS]


def _simulate(objects: Objects, networks: Sequence[str]) -> None:
    from svcc.compiler.load.addresses import network
    from svcc.compiler.simulate.simulation import simulate

    try:
        found = list(map(network, simulated_pod_networks(networks)))
    except ValueError as error:
        raise bad_input("--pod-cidr", str(error)) from None
    if len({item.family for item in found}) < len(found):
        raise bad_input("--pod-cidr", "two networks of one family; give one of each")
    simulate(objects, found)


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


def once(note: Note | None) -> Note | None:
    """Tells everything once, be there ever so many nodes."""
    if note is None:
        return None
    told: set[str] = set()

    def tell(text: str) -> None:
        if text not in told:
            told.add(text)
            note(text)

    return tell
