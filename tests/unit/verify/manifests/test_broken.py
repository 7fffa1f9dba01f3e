"""Manifests with a value that does not belong there: told, never a traceback."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

import svcc.api
from svcc.grammar.errors import InputError
from svcc.verify.manifests.every import findings_of, mistakes
from svcc.verify.selected_pods import selection_findings
from tests.paths import DATA
from tests.support.effort import examples

DOCUMENTS = [
    json.loads(json.dumps(list(yaml.safe_load_all(chart.read_text()))))
    for chart in sorted((DATA / "charts").glob("*.yaml"))
]
HOSTS = {
    "apiVersion": "svcc.io/v1",
    "kind": "HostList",
    "metadata": {"namespace": "default"},
    "hosts": [
        {"name": "a", "ip": "192.0.2.1", "labels": {"app": "shop"}, "ports": [{"name": "http"}]}
    ],
}
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    (None, True, 0, -1, 70000, 1.5, "", "x", "http", "None", "10.0.0.1", [], {}, [{}], {"a": 1})
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below: dict[Any, Any] = value if isinstance(value, dict) else {}
    if isinstance(value, list):
        below = dict(enumerate(value))
    return [path, *(found for key, item in below.items() for found in places(item, (*path, key)))]


@examples(60, 20000, shrink=False)
@given(st.data())
def test_a_value_that_does_not_belong_there(data: st.DataObject) -> None:
    documents = copy.deepcopy([*data.draw(st.sampled_from(DOCUMENTS)), HOSTS])
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from([p for p in places(documents) if p]))
        below = documents
        for key in way:
            below = below[key]
        below[last] = data.draw(JUNK)
    try:
        objects = svcc.api.load(
            text=yaml.safe_dump_all(documents),
            simulate=data.draw(st.booleans()),
            keep_going=data.draw(st.booleans()),
        )
    except InputError:
        return
    found = list(mistakes(objects))
    assert len(list(findings_of(objects, found, strict=True))) >= len(objects.services)
    assert {finding.verdict for finding in selection_findings(objects)} <= {"proved"}
