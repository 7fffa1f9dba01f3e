"""Generated objects in ipvs mode: kernel, model and two readings of the objects agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from svcc.compiler.pipeline import compile_objects
from svcc.grammar.address import Family
from svcc.grammar.iptables.write import write
from tests.support.clusters.ipvs_cases import with_own
from tests.support.clusters.objects import Cluster, clusters
from tests.support.effort import examples
from tests.support.kernel.testbed import Testbed, Variant
from tests.support.programs import random_ipvs as ipvs
from tests.support.readings.agreement import disagreements

pytestmark = pytest.mark.ipvs


@examples(6, 300, shrink=False)
@given(cluster=clusters())
def test_kernel_does_what_the_objects_ask(
    variant: Variant, tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> None:
    folder = tmp_path_factory.getbasetemp() / "clusters"
    Path(folder).mkdir(exist_ok=True)
    objects, node = cluster.load(folder)
    node = replace(node, mode="ipvs", addresses=with_own(node.addresses))
    compiled = compile_objects(objects, node)
    texts = {family: write(compiled.programs[family]) for family in Family}
    # A node for each: IPVS keeps connections, and ports come round again.
    with Testbed() as testbed:
        ipvs.load(testbed, variant, compiled)
        wrong = disagreements(testbed, objects, node, texts, strict=True, ipvs=compiled.ipvs)
        if wrong:
            for command in ("ipvsadm -Sn", "ipset save", f"iptables-{variant}-save -c"):
                wrong.append(testbed.node.run(*command.split()))
    assert not wrong, "\n".join(wrong)
