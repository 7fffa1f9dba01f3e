"""Applies that go back by themselves: what is loaded, and their watchdogs."""

from __future__ import annotations

import os
import select
from dataclasses import dataclass

from svcc.apply.reverting import confirmation
from svcc.apply.reverting.confirmation import Confirmation
from svcc.apply.system import sysctl
from tests.support.kernel.foreign_rules import saved
from tests.support.kernel.namespace import Namespace

LONG = "100h"
"""Until then no test has to wait."""
SHORT = "10ms"


@dataclass(frozen=True, slots=True)
class State:
    """All that apply may touch outside of ipvs mode, everybody's."""

    legacy: tuple[str, ...]
    nft: tuple[str, ...]
    tables: str
    route_localnet: bool | None


def state(node: Namespace) -> State:
    """What is there now."""
    # The rules of iptables-nft are in tables of nftables, too; a table that was used once stays.
    tables = node.run("nft", "-s", "list", "tables").splitlines()
    own = [table for table in tables if not table.endswith((" nat", " filter", " mangle"))]
    return State(
        tuple(saved(node, "legacy")),
        tuple(saved(node, "nft")),
        "".join(node.run("nft", "-s", "list", *table.split()) for table in sorted(own)),
        sysctl.read(sysctl.ROUTE_LOCALNET),
    )


def record() -> Confirmation:
    """What is noted of the last apply."""
    found = confirmation.read()
    assert found is not None
    return found


def wait_for_watchdog() -> Confirmation:
    """Wait until nobody goes back any more; what is noted then."""
    wait_for_end_of(record().watchdog)
    return record()


def wait_for_end_of(number: int) -> None:
    """Wait until a process has ended."""
    try:
        process = os.pidfd_open(number)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.poll()
    finally:
        os.close(process)
