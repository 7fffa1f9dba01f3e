"""Generated clusters are proved in ipvs mode, whatever their policies, ranges and addresses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from svcc.api.own_rules import read_back
from svcc.compiler.pipeline import compile_objects
from tests.support.clusters.objects import Cluster, clusters
from tests.support.effort import examples
from tests.support.proofs import verify

pytestmark = pytest.mark.slow


@examples(25, 1000, shrink=False)
@given(cluster=clusters())
def test_generated_clusters_are_proved(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> None:
    folder = tmp_path_factory.getbasetemp() / "ipvs-clusters"
    Path(folder).mkdir(exist_ok=True)
    objects, node = cluster.load(folder)
    compiled = compile_objects(objects, replace(node, mode="ipvs"))
    if any("cannot serve" in note for note in compiled.notes):
        # Said at compile time; whether the proof fails depends on which frontend it is.
        return
    report = verify(objects, compiled.settings, read_back(compiled))
    assert report.verdict == "proved", report.to_text()
