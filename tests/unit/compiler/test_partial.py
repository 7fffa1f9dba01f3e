"""Tables with some Services otherwise are those that a fresh compile makes."""

from __future__ import annotations

from random import Random

import pytest

from svcc.compiler.lower.nftables import lowering
from svcc.compiler.lower.nftables.partial import patched
from svcc.compiler.resolve.forwarding import Forwarding, ServicePort
from svcc.compiler.resolve.resolver import resolve
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from tests.support.clusters.changing import ChangingCluster
from tests.support.clusters.random_objects import random_settings
from tests.support.effort import LONG


def ports_of(forwarding: Forwarding, name: str) -> list[ServicePort]:
    return [port for port in forwarding.service_ports if port.label.partition(":")[0] == name]


def holds(forwarding: Forwarding, but_for: set[str]) -> set[tuple[Family, int]]:
    return {
        (port.family, backend.address)
        for port in forwarding.service_ports
        if port.label.partition(":")[0] not in but_for
        for backend in (*port.everywhere, *port.here)
    }


@pytest.mark.parametrize("seed", range(200 if LONG else 8))
def test_each_change_leads_where_a_fresh_compile_does(seed: int) -> None:
    random = Random(seed)
    settings: NodeSettings = random_settings(random)
    cluster = ChangingCluster(random, random.choice((1, 3, 8)))
    forwarding = resolve(cluster.objects(), settings)
    tables = lowering.lower(forwarding)
    for _ in range(30):
        number = random.randrange(10)
        before_that = cluster.key(number)
        if random.random() < 0.3:
            cluster.remove(number)
        else:
            cluster.change(number)
        names = {name for name in (before_that, cluster.key(number)) if name is not None}
        now = resolve(cluster.objects(), settings)
        used = holds(now, names)
        old = [port for name in names for port in ports_of(forwarding, name)]
        new = [port for name in names for port in ports_of(now, name)]

        def is_used(family: Family, address: int, used: set[tuple[Family, int]] = used) -> bool:
            return (family, address) in used

        before = repr(tables)
        found = patched(tables, now, old, new, is_used)
        assert repr(tables) == before
        assert found == lowering.lower(now)
        forwarding, tables = now, found
