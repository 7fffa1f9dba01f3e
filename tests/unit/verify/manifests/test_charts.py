"""Manifests of the shapes that public charts have: no false alarm, and the whole proof.

The files in ``tests/data/charts`` were written after those shapes: leaders that are chosen while
they run, Jobs that hooks start, Services for each Pod, operators that make the Pods.
"""

from __future__ import annotations

import pytest
import yaml

import svcc.api
from svcc.api import Family
from svcc.verify.manifests.every import mistakes
from svcc.verify.manifests.mistake import Mistake
from svcc.verify.selected_pods import selection_findings
from tests.paths import DATA

CHARTS = sorted((DATA / "charts").glob("*.yaml"))


def test_there_are_charts() -> None:
    assert len(CHARTS) >= 25


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.stem)
def test_nothing_is_wrong(chart: object) -> None:
    objects = svcc.api.load(str(chart), simulate=True)
    told = [*map(str, objects.problems), *(m.sentence() for m in alarms(objects))]
    assert told == []
    assert {f.verdict for f in selection_findings(objects)} <= {"proved"}


def alarms(objects: svcc.api.Objects) -> list[Mistake]:
    return [found for found in mistakes(objects) if found.severity != "note"]


def test_all_of_them_together_are_proved() -> None:
    """Each chart in a namespace of its own, in one cluster."""
    values = []
    for number, chart in enumerate(CHARTS):
        for value in yaml.safe_load_all(chart.read_text()):
            for item in value.get("items", [value]) if value else []:
                meta = item["metadata"]
                meta["namespace"] = f"c{number}-{meta.get('namespace', 'x')}"
                spec = item.get("spec") or {}
                for port in spec.get("ports", ()) if item["kind"] == "Service" else ():
                    port.pop("nodePort", None)
                if spec.get("clusterIP") not in (None, "None"):
                    del spec["clusterIP"]
                values.append(item)
    objects = svcc.api.load(objects=values, simulate=True)
    node = svcc.api.node_settings(objects, node="node-1", cluster_cidr="10.244.0.0/16")
    report = svcc.api.verify(objects, node, family=Family.IPV4)
    assert report.verdict == "proved", report.to_text()
    served = [s for s in objects.services if s.cluster_ips]
    assert len(served) > 30
    assert set(report.services) == {service.key for service in served}
