"""Numbers for Services: ``svcc allocate``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from svcc.api.errors import bad_input
from svcc.api.inputs import Note, read_lock_file
from svcc.grammar.errors import InputError, Position, Problem

if TYPE_CHECKING:
    from svcc.compiler.allocate.claims import Remark
    from svcc.compiler.allocate.ranges import Ranges
    from svcc.compiler.model.objects import Objects, Service


class Allocated:
    """Services with their numbers, and the lock file that says so.

    ``text`` is what the file should have; ``is_changed`` tells whether it has something else.
    """

    def __init__(self, services: tuple[Service, ...], path: str, text: str, before: str) -> None:
        self.services = services
        self.path = path
        self.text = text
        self.is_changed = text != before

    def write(self) -> None:
        """Write the lock file, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        path = Path(self.path)
        new = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            new.write_text(self.text, encoding="utf-8")
            if path.exists():
                new.chmod(path.stat().st_mode & 0o777)
            new.replace(path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise bad_input(self.path, f"cannot write: {error.strerror}") from None


def allocate(
    objects: Objects,
    lock: str | os.PathLike[str],
    ranges: Mapping[str, str] | None = None,
    *,
    note: Note | None = None,
) -> Allocated:
    """Give Services the numbers that they lack, and none of those that have some another.

    Args:
        objects: all that share the ranges, from :func:`svcc.api.load` without a lock.
        lock: the lock file's path; there need not be one yet.
        ranges: by the names of kube-apiserver's flags (``service-cluster-ip-range``,
            ``service-node-port-range``), and ``load-balancer-ip-range``. What is not named is as
            the lock file has it, else as kubeadm has it.
        note: is told what lies outside of its range.

    Raises:
        InputError: the lock file cannot be read, a range is none, two Services have one number,
            or there is no number left.
    """
    from svcc.compiler.allocate import allocator
    from svcc.compiler.allocate.lock import write_lock

    before = read_lock_file(lock, missing_ok=True)
    wanted = _with_ranges(before.ranges, ranges or {})
    others = [address for node in objects.nodes for address in node.addresses]
    found = allocator.allocate(objects.services, before, wanted, others)
    problems = _problems(objects, found.remarks)
    if any(problem.severity == "error" for problem in problems):
        raise InputError(problems)
    if note is not None:
        for problem in problems:
            note(str(problem))
    path = Path(lock)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return Allocated(found.services, os.fspath(lock), write_lock(found.lock), text)


def _with_ranges(before: Ranges, given: Mapping[str, str]) -> Ranges:
    from svcc.compiler.allocate.ranges import with_range

    found = before
    for name, text in given.items():
        try:
            found = with_range(found, name, text)
        except ValueError as error:
            raise bad_input(f"--{name}", str(error)) from None
    return found


def _problems(objects: Objects, remarks: tuple[Remark, ...]) -> list[Problem]:
    from svcc.api.manifests import Manifests

    manifests = Manifests(objects)
    origins = [item.where for item in remarks if not isinstance(item.where, Position)]
    manifests.look_up(origins)
    found = []
    for item in remarks:
        where = item.where
        if not isinstance(where, Position):
            where = manifests.position(where) or Position(where.file)
        found.append(Problem(where, item.message, item.severity))
    return sorted(dict.fromkeys(found))
