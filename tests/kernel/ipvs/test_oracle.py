"""Generated objects in ipvs mode: kernel, model and two readings of the objects agree."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from svcc.compiler.pipeline import compile_objects
from svcc.grammar.address import Family, parse_address
from svcc.grammar.write import write
from tests.support import ipvs
from tests.support.agreement import disagreements
from tests.support.objects import Cluster, clusters
from tests.support.testbed import LOCAL, Testbed, Variant

pytestmark = pytest.mark.ipvs

LONG = bool(os.environ.get("SVCC_LONG"))


@settings(
    max_examples=400 if LONG else 25,
    derandomize=not LONG,
    phases=(Phase.generate,),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(cluster=clusters())
def test_kernel_does_what_the_objects_ask(
    shared_testbed: Testbed,
    variant: Variant,
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "clusters"
    Path(folder).mkdir(exist_ok=True)
    objects, node = cluster.load(folder)
    # What apply adds on a node: an external IP that is the node's own stays where it is.
    local = {parse_address(text) for text in LOCAL} - set(node.addresses)
    node = replace(node, mode="ipvs", addresses=(*node.addresses, *sorted(local)))
    compiled = compile_objects(objects, node)
    shared_testbed.reset(variant)
    ipvs.unload(shared_testbed)
    ipvs.load(shared_testbed, variant, compiled)
    texts = {family: write(compiled.programs[family]) for family in Family}
    wrong = disagreements(shared_testbed, objects, node, texts, strict=True, ipvs=compiled.ipvs)
    assert not wrong, "\n".join(wrong)
