"""The cases that were recorded from kube-proxy's own unit tests (tests/data/kube-proxy-tests)."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.paths import DATA

FOLDER = DATA / "kube-proxy-tests"
Case = dict[str, Any]


@cache
def cases() -> dict[str, Case]:
    """Every case by its name."""
    found = {}
    with tarfile.open(FOLDER / "cases.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                name = member.name.rpartition("/")[2].removesuffix(".json")
                found[name] = json.load(file)
    return dict(sorted(found.items()))


def names(*kinds: str, mode: str | None = None, without: str | None = None) -> list[str]:
    """The names of the cases of some kinds, and of one proxy mode or of all but one.

    A sync that failed has nothing to say.
    """
    return [
        name
        for name, case in cases().items()
        if case["kind"] in kinds
        and mode in (None, case.get("mode"))
        and (without is None or case.get("mode") != without)
        and case.get("sync") != "failed"
    ]


def objects_of(name: str) -> list[dict[str, Any]]:
    """A case's objects, to be changed at will."""
    copied: list[dict[str, Any]] = json.loads(json.dumps(cases()[name]["objects"]))
    return copied


def flows_of(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A case's packets, each with a name."""
    for flow in cases()[name]["flows"] or ():
        yield f"{flow['test']}: {flow['name']}", flow
