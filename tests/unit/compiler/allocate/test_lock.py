"""The lock file: its text, what is wrong with one, and merges of branches."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given

from svcc.compiler.allocate.allocator import allocate
from svcc.compiler.allocate.lock import HEADING, Lock, read_lock, write_lock
from svcc.compiler.model.objects import Service
from svcc.grammar.errors import InputError
from tests.support.effort import examples
from tests.unit.compiler.allocate.test_allocator import DUAL, SMALL, clusters, service

GOOD = "given shop/web cluster-ip ipv4 10.96.0.5"


def test_the_text_is_sorted_and_read_back() -> None:
    services = [service("web", "LoadBalancer", external_traffic_policy="Local"), service("db")]
    first = allocate(services, Lock(source="svcc.lock"), DUAL).lock
    lock = allocate(services[:1], first, DUAL).lock
    text = write_lock(lock)
    assert text.startswith(HEADING)
    body = text.removeprefix(HEADING).splitlines()
    assert body == sorted(body)
    assert [line.split()[0] for line in body].count("freed") == 1
    assert read_lock(text, source="svcc.lock") == lock
    assert read_lock("\n".join(reversed(body)), source="svcc.lock") == lock


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("took a b", "l:1:1: error: 'took' is no word"),
        ("given web cluster-ip ipv4 10.0.0.1", "l:1:7: error: 'web' is no Service"),
        ("given shop/web ip 10.0.0.1", "l:1:16: error: 'ip' is not known"),
        ("given shop/web cluster-ip ipv5 10.0.0.1", "l:1:27: error: 'ipv5' is no family"),
        ("given shop/web cluster-ip ipv6 10.0.0.1", "l:1:32: error: this is no ipv6 address"),
        ("given shop/web cluster-ip ipv4 10.0.0.300", "l:1:32: error: '10.0.0.300' is not"),
        ("given shop/web cluster-ip ipv4", "l:1:31: error: a number is missing"),
        ("given shop/web cluster-ip", "l:1:26: error: ipv4 or ipv6 missing"),
        ("given shop/web", "l:1:15: error: write: given"),
        (f"{GOOD} 10.96.0.6", "l:1:42: error: the line ends before this"),
        ("given shop/web node-port 80 70000", "l:1:29: error: '70000' is not a port"),
        ("given shop/web node-port 80 0", "l:1:29: error: 0 is no port"),
        ("given shop/web node-port http 30080", "l:1:26: error: 'http' is not a number"),
        ("range pods 10.0.0.0/8", "l:1:7: error: 'pods' is no range"),
        ("range service-node-port-range 5", "l:1:31: error: '5' is no range of ports"),
        (
            "range service-node-port-range 1-90\nrange service-node-port-range 1-91",
            "l:2:7: error: line 1 has another service-node-port-range",
        ),
        (f"{GOOD}\n{GOOD[:-1]}6", "l:2:7: error: shop/web cluster-ip ipv4 stands here for the"),
        (
            f"{GOOD}\n\ngiven shop/db cluster-ip ipv4 10.96.0.5",
            "l:3:1: error: address 10.96.0.5 is given to shop/db (cluster-ip), and in line 1 to "
            "shop/web (cluster-ip); remove one",
        ),
        (
            "given a/b health-check-node-port 30001\ngiven a/c node-port 80 30001",
            "l:2:1: error: port 30001 is given to a/c (node-port), and in line 1 to a/b",
        ),
        (f"<<<<<<< HEAD\n{GOOD}", "l:1:1: error: a merge conflict"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_lock(text, source="l")
    assert str(caught.value).startswith(message)


@examples(40, 2000)
@given(clusters(), clusters(), clusters())
def test_branches_merge_line_by_line(
    base: list[Service],
    ours: list[Service],
    theirs: list[Service],
) -> None:
    """A merge is a valid lock, names both Services of a number, or is a conflict of git's."""
    lock = allocate(base, Lock(), SMALL).lock
    branches = [allocate(services, lock, SMALL).lock for services in (ours, theirs)]
    merged = _merged(branches[0], lock, branches[1])
    try:
        found = read_lock(merged, source="svcc.lock")
    except InputError as error:
        message = str(error)
        if "<<<<<<<" in merged:
            assert "a merge conflict" in message
        else:
            assert "is given to" in message
        return
    assert "<<<<<<<" not in merged
    for slot, number in found.given.items():
        assert number in [branch.given.get(slot) for branch in branches]
    numbers = list(found.given.values())
    assert len(set(numbers)) == len(numbers)


def test_branches_that_add_services_far_apart_merge() -> None:
    base = [service(name) for name in ("b", "d", "f", "h", "j")]
    lock = allocate(base, Lock(), DUAL).lock
    ours, theirs = (allocate([*base, service(name)], lock, DUAL).lock for name in ("a", "k"))
    merged = _merged(ours, lock, theirs)
    both = allocate([*base, service("a"), service("k")], lock, DUAL).lock
    assert merged == write_lock(both)


def _merged(ours: Lock, base: Lock, theirs: Lock) -> str:
    with TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("ours", "base", "theirs")]
        for file, lock in zip(files, (ours, base, theirs), strict=True):
            file.write_text(write_lock(lock))
        command = ["git", "merge-file", "-p", *map(str, files)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
