"""Generated objects in nftables mode: the kernel does what a plain reading of them says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.compiler.bundle import nftables_script
from svcc.compiler.model.eligibility import is_forwarded
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import parse_address, parse_network
from tests.support.clusters.objects import Cluster, clusters
from tests.support.effort import examples
from tests.support.kernel.probes import probes
from tests.support.kernel.probing import check
from tests.support.kernel.testbed import Testbed
from tests.support.readings.outcomes import Drop, Probe, Refuse, Untouched
from tests.support.readings.plain_reading import Reading, read

pytestmark = pytest.mark.kernel

RANGES = (parse_network("10.96.0.0/12"), parse_network("fd00:96::/108"))
"""Where the clusters' cluster IPs are taken from."""


@examples(15, 2000)
@given(cluster=clusters(), range_is_known=st.booleans())
def test_kernel_does_what_the_objects_ask(
    shared_testbed: Testbed,
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
    range_is_known: bool,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "nftables-clusters"
    folder.mkdir(exist_ok=True)
    objects, settings = cluster.load(folder)
    settings = replace(in_mode(settings), service_networks=RANGES if range_is_known else ())
    compiled = compile_objects(objects, settings)
    assert compiled.tables is not None
    shared_testbed.reset("legacy")
    shared_testbed.route_localnet(compiled.route_localnet)
    script = "flush ruleset\n" + nftables_script(compiled, compiled.tables)
    shared_testbed.node.run("nft", "-f", "-", text=script)
    wrong = []
    for probe in probes(shared_testbed, objects):
        reading = in_tables(read(objects, settings, probe), objects, settings, probe)
        results = [check(shared_testbed, probe, wanted) for wanted in reading.own]
        if all(results):
            wrong.append(results[0])
    assert not wrong, "\n".join(map(str, wrong))


def in_mode(settings: NodeSettings) -> NodeSettings:
    return replace(settings, mode="nftables")


def in_tables(reading: Reading, objects: Objects, settings: NodeSettings, probe: Probe) -> Reading:
    """What a packet must see in this mode: that to a port of a cluster IP that no Service has, and
    that to a cluster IP that nobody has, too.
    """
    address = parse_address(probe.flow.destination)
    cluster_ips = {
        ip for service in objects.services if is_forwarded(service) for ip in service.cluster_ips
    }
    if reading.strict == Untouched() and address in cluster_ips:
        return Reading(Refuse())
    if reading.strict == Untouched() and any(n.holds(address) for n in settings.service_networks):
        return Reading(Drop())
    return reading
