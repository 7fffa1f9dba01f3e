"""What changes cost ``svcc run`` in nftables mode: ``python -m bench.agent 10000x5 --changes 200``.

The loop's work without the loop: objects are put in as a source does, and a sync is measured from
the change to the rules in the kernel of a scratch network namespace, the proof and nft(8)
included. CPU seconds, and MB that the process holds.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.generate import CLUSTER_CIDR, NODE, generate
from bench.run import scratch_namespace

_INSIDE = "--inside"


def main() -> None:
    """Measure, in a namespace of its own."""
    parser = argparse.ArgumentParser(prog="python -m bench.agent", description=__doc__)
    parser.add_argument("size", help="SERVICESxENDPOINTS")
    parser.add_argument("--changes", type=int, default=200, help="of one endpoint (default: 200)")
    parser.add_argument("--burst", type=int, default=400, help="slices at once (default: 400)")
    parser.add_argument(_INSIDE, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.inside:
        with scratch_namespace() as prefix:
            command = [*prefix, sys.executable, "-m", "bench.agent", *sys.argv[1:], _INSIDE]
            sys.exit(subprocess.run(command, check=False).returncode)
    services, endpoints = map(int, given.size.split("x"))
    _measure(services, endpoints, given.changes, given.burst)


def _measure(services: int, endpoints: int, changes: int, burst: int) -> None:
    from svcc.agent.keeper import Keeper, Keeping
    from svcc.agent.sources.documents import Documents
    from svcc.api import NodeSettings, Objects, node_settings

    items = generate(services, endpoints)["items"]
    slices = [item for item in items if item["kind"] == "EndpointSlice"]
    documents = Documents(("bench",))
    documents.replace("bench", items)

    def settings_of(objects: Objects, _: Callable[[str], None]) -> NodeSettings:
        return node_settings(objects, node=NODE, cluster_cidr=CLUSTER_CIDR[4], mode="nftables")

    # The Node's address is nobody's in a scratch namespace.
    keeper = Keeper(settings_of, Keeping(force=True), lambda _: None)

    def sync(what: str, *, full: bool) -> tuple[float, float]:
        cpu, wall = _cpu(), time.monotonic()
        found = keeper.sync(documents.take())
        if found.is_full is not full or not found.said:
            sys.exit(f"{what}: everything was looked at: {found.is_full}; {found.said}")
        return _cpu() - cpu, time.monotonic() - wall

    def change(item: dict[str, Any], number: int) -> None:
        changed = copy.deepcopy(item)
        address = f"10.255.{number >> 8 & 255}.{number & 255}"
        random.choice(changed["endpoints"])["addresses"] = [address]
        documents.put("bench", changed)

    cost, wall = sync("all", full=True)
    _print("everything, at the start", cost, wall)
    found = []
    for number in range(changes):
        change(random.choice(slices), number)
        found.append(sync("one", full=False))
    costs, walls = zip(*found, strict=True)
    for name, pick in (("median", statistics.median), ("most", max)):
        _print(f"one endpoint, {name} of {changes}", pick(costs), pick(walls))
    for number, item in enumerate(random.sample(slices, min(burst, len(slices)))):
        change(item, changes + number)
    _print(f"{burst} endpoints of as many Services", *sync("burst", full=False))
    with open("/proc/self/status", encoding="ascii") as status:
        held = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    print(f"{'memory now, and at most':42} {held / 1024:7.0f} MB {_peak():7.0f} MB")


def _print(what: str, cpu: float, wall: float) -> None:
    print(f"{what:42} {cpu:7.3f} CPU s {wall:7.3f} s")


def _cpu() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("needs root for a network namespace")
    main()
