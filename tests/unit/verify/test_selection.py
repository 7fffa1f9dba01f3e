"""Slices are held to the Pods: what svcc makes is proved, and each damage to it is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import svcc.api
from svcc.api import Finding, Objects
from svcc.api.compilation import compiled_for
from svcc.api.loading import prove_wanted
from svcc.api.own_rules import wanted_of
from svcc.compiler.model.objects import Endpoint, EndpointSlice
from svcc.grammar.address import Address
from svcc.verify.report.junit import junit
from svcc.verify.selected_pods import selection_findings
from svcc.verify.spec import codes
from tests.support.clusters.random_pods import Document, clusters
from tests.support.effort import examples

MANIFEST = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.10, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {nodeName: node-a}
status: {phase: Running, podIP: 10.244.1.5, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api-1, namespace: shop, labels: {app: api}}
spec: {nodeName: node-a}
status: {phase: Running, podIP: 10.244.1.6, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: job-1, namespace: shop, labels: {app: web}}
spec: {nodeName: node-a}
status: {phase: Succeeded, podIP: 10.244.1.7}
---
"""  # noqa: E501
SLICE = """\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-a, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
"""
RIGHT = "- {addresses: [10.244.1.5], nodeName: node-a}\n"


def wrong(objects: Objects) -> list[Finding]:
    return [finding for finding in selection_findings(objects) if finding.verdict != "proved"]


def read(endpoints: str, head: str = SLICE, pods: str = MANIFEST) -> Objects:
    return svcc.api.load(text=pods + head + endpoints)


def test_what_the_selector_selects_is_proved() -> None:
    (finding,) = selection_findings(read(RIGHT))
    assert (finding.verdict, finding.service()) == ("proved", "shop/web")


OTHER = "- {addresses: [%s], nodeName: node-a}\n"
NOTHING = "  []\n"


@pytest.mark.parametrize(
    ("endpoints", "code", "address", "says"),
    [
        (
            RIGHT + OTHER % "10.244.1.9",
            codes.ENDPOINT_STALE,
            "10.244.1.9",
            "is in a slice, but nothing has this address",
        ),
        (
            RIGHT + OTHER % "10.244.1.6",
            codes.ENDPOINT_STALE,
            "10.244.1.6",
            "is in a slice, but the selector does not select Pod shop/api-1",
        ),
        (
            RIGHT + OTHER % "10.244.1.7",
            codes.ENDPOINT_STALE,
            "10.244.1.7",
            "is in a slice, but Pod shop/job-1 has ended",
        ),
        (
            NOTHING,
            codes.ENDPOINT_MISSING,
            "10.244.1.5",
            "is in no slice, but the selector selects Pod shop/web-1",
        ),
        (
            RIGHT.replace("node-a", "node-b"),
            codes.ENDPOINT_DIFFERS,
            "10.244.1.5",
            "is on node-b in its slice, but Pod shop/web-1 is on node-a",
        ),
        (
            RIGHT.replace("}", ", conditions: {ready: false}}"),
            codes.ENDPOINT_DIFFERS,
            "10.244.1.5",
            "is not ready in its slice, but Pod shop/web-1 is ready",
        ),
    ],
)
def test_each_kind_of_difference(endpoints: str, code: str, address: str, says: str) -> None:
    (found,) = wrong(read(endpoints))
    assert (found.code, found.says) == (code, says)
    assert found.frontend == f"endpoint {address}:8080/TCP (http) (shop/web)"


def test_a_wrong_port_is_two_findings() -> None:
    found = wrong(read(RIGHT, SLICE.replace("8080", "8081")))
    assert [finding.code for finding in found] == [codes.ENDPOINT_MISSING, codes.ENDPOINT_STALE]
    assert "has not this port" in found[1].says


def test_endpoints_are_held_to_the_ready_pods() -> None:
    head = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: web, namespace: shop}\nsubsets:\n"
    right = "- addresses: [{ip: 10.244.1.5, nodeName: node-a}]\n  ports: [{name: http, port: 8080}]"
    assert wrong(read(right, head)) == []
    found = wrong(read(right.replace("1.5", "1.6"), head))
    assert [f.code for f in found] == [codes.ENDPOINT_MISSING, codes.ENDPOINT_STALE]
    waiting = MANIFEST.replace('[{type: Ready, status: "True"}]', "[]", 1)
    assert [f.code for f in wrong(read(right, head, waiting))] == [codes.ENDPOINT_STALE]
    assert wrong(read(NOTHING, head, waiting)) == []


@pytest.mark.parametrize(
    "changed",
    [
        # Nothing is known of the Pods of that namespace.
        (MANIFEST.replace("-1, namespace: shop", "-1, namespace: other"), SLICE),
        # Somebody else adds addresses of their own.
        (
            MANIFEST.replace("app: web}\nspec", "app: none}\nspec"),
            SLICE.replace("web}}", "web, endpointslice.kubernetes.io/managed-by: me}}"),
        ),
        (MANIFEST.replace("selector: {app: web}, ", ""), SLICE),
    ],
)
def test_what_is_not_held_to_pods(changed: tuple[str, str]) -> None:
    pods, head = changed
    assert wrong(read("- {addresses: [10.244.1.9]}\n", head, pods)) == []


def test_a_pod_on_an_unknown_node_may_be_left_out() -> None:
    node = "apiVersion: v1\nkind: Node\nmetadata: {name: node-b}\n---\n"
    assert wrong(read(NOTHING, pods=node + MANIFEST)) == []
    assert wrong(read(RIGHT, pods=node + MANIFEST)) == []


def test_the_verdict_and_its_place(tmp_path: Path) -> None:
    pods, slices = tmp_path / "pods.yaml", tmp_path / "slices.yaml"
    pods.write_text(MANIFEST)
    slices.write_text(SLICE + RIGHT + "- {addresses: [10.244.1.9], nodeName: node-a}\n")
    objects = svcc.api.load(pods, slices)
    node = svcc.api.node_settings(objects, node="node-a", cluster_cidr="10.244.0.0/16")
    report = svcc.api.verify(objects, node)
    assert report.verdict == "violated"
    text = report.to_text()
    assert (
        "violated: SVC041 selects-exactly: endpoint 10.244.1.9:8080/TCP (http) (shop/web) is in a "
        f"slice, but nothing has this address\n  {slices}:8:3\n"
    ) in text


def test_junit_has_the_same_cases_whatever_the_verdict() -> None:
    def cases(endpoints: str) -> dict[tuple[str, str], str]:
        objects = read(endpoints)
        node = svcc.api.node_settings(objects, node="node-a", cluster_cidr="10.244.0.0/16")
        found = ElementTree.fromstring(junit([svcc.api.verify(objects, node)]))
        return {
            (case.get("classname", ""), case.get("name", "")): case[0].tag if len(case) else ""
            for case in found.iter("testcase")
        }

    before, after = cases(RIGHT), cases(OTHER % "10.244.1.8" + OTHER % "10.244.1.9")
    assert before.keys() == after.keys()
    failed = {case for case, outcome in after.items() if outcome == "failure"}
    assert failed == {("svcc.selects-exactly", "endpoints (shop/web)")}


def test_apply_proves_what_was_made_alone() -> None:
    """Slices that were given are taken as they are; the cluster's may lag behind."""
    for objects in (read(OTHER % "10.244.1.9"), svcc.api.load(text=MANIFEST)):
        node = svcc.api.node_settings(objects, node="node-a", cluster_cidr="10.244.0.0/16")
        prove_wanted(objects, wanted_of(compiled_for(objects, node)))
    objects.slices[0] = replace(objects.slices[0], endpoints=())
    with pytest.raises(svcc.api.NotProvedError) as raised:
        prove_wanted(objects, wanted_of(compiled_for(objects, node)))
    bad = [f.code for f in raised.value.report.findings if f.verdict != "proved"]
    assert bad == [codes.ENDPOINT_MISSING]


def test_services_of_a_namespace_without_pods_have_no_known_endpoints() -> None:
    """Slices were made of the Pods of one namespace; of the other nothing was given."""
    other = "apiVersion: v1\nkind: Service\nmetadata: {name: page, namespace: staff}\n"
    other += "spec: {clusterIP: 10.96.0.11, selector: {app: page}, ports: [{port: 80}]}\n"
    objects = svcc.api.load(text=MANIFEST + other)
    node = svcc.api.node_settings(objects, node="node-a", cluster_cidr="10.244.0.0/16")
    told: list[str] = []
    report = svcc.api.verify(objects, node, note=told.append)
    assert report.verdict == "proved"
    assert any("EndpointSlices of staff/page were not given, nor Pods" in text for text in told)
    report = svcc.api.verify(objects, node, strict=True)
    assert report.services == {"shop/web": "proved", "staff/page": "undecided"}
    assert {f.code for f in report.findings if f.verdict != "proved"} == {codes.NO_ENDPOINTS_GIVEN}


def _without_it(item: EndpointSlice, number: int) -> EndpointSlice:
    rest = item.endpoints[:number] + item.endpoints[number + 1 :]
    return replace(item, endpoints=rest)


def _changed(**changes: Callable[[Endpoint], Any]) -> Callable[[EndpointSlice, int], EndpointSlice]:
    def damage(item: EndpointSlice, number: int) -> EndpointSlice:
        endpoint = item.endpoints[number]
        changed = replace(endpoint, **{name: of(endpoint) for name, of in changes.items()})
        return replace(
            item, endpoints=(*item.endpoints[:number], changed, *item.endpoints[number + 1 :])
        )

    return damage


DAMAGES = (
    _without_it,
    _changed(address=lambda e: Address(e.address.family, e.address.value + 1000)),
    _changed(ready=lambda e: not e.ready, serving=lambda e: not e.ready),
    _changed(node_name=lambda e: f"{e.node_name}-2"),
)


@examples(60, 3000)
@given(clusters(), st.data())
def test_random_clusters_are_proved_and_their_damage_is_found(
    documents: list[Document], data: st.DataObject
) -> None:
    objects = svcc.api.load(objects=documents)
    assert wrong(objects) == []
    filled = [number for number, item in enumerate(objects.slices) if item.endpoints]
    assume(filled)
    number = data.draw(st.sampled_from(filled))
    item = objects.slices[number]
    victim = data.draw(st.integers(0, len(item.endpoints) - 1))
    objects.slices[number] = data.draw(st.sampled_from(DAMAGES))(item, victim)
    assume(item.endpoints[victim].node_name is not None)
    assert {finding.family for finding in wrong(objects)} == {item.family}
