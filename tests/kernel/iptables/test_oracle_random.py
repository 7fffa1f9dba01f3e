"""Generated objects, compiled and loaded: kernel, model and two readings of the objects agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from svcc.compiler.bundle import script
from svcc.compiler.pipeline import compile_objects
from svcc.grammar.address import Family
from tests.support.clusters.objects import Cluster, clusters
from tests.support.effort import examples
from tests.support.kernel.testbed import Testbed, Variant
from tests.support.readings.agreement import disagreements

pytestmark = pytest.mark.kernel


@examples(15, 2000)
@given(cluster=clusters())
def test_kernel_does_what_the_objects_ask(
    shared_testbed: Testbed,
    variant: Variant,
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
) -> None:
    objects, node = cluster.load(_folder(tmp_path_factory))
    compiled = compile_objects(objects, node)
    shared_testbed.reset(variant)
    shared_testbed.route_localnet(compiled.route_localnet)
    texts = {family: script(compiled, family) for family in Family}
    for family, text in texts.items():
        shared_testbed.restore(variant, int(family), text)
    wrong = disagreements(shared_testbed, objects, node, texts, strict=True)
    assert not wrong, "\n".join(wrong)


def _folder(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "clusters"
    folder.mkdir(exist_ok=True)
    return folder
