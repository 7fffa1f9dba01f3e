"""Objects that kube-proxies read otherwise until 1.35: their rules are right, svcc's are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from svcc.api.own_rules import read_back
from svcc.compiler.model.objects import EndpointSlice, Objects, Service
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.verify.explain import Explainer
from svcc.verify.rule_files import from_text
from tests.kube_proxy.asking import load_objects, verdict
from tests.kube_proxy.test_tables import on_node
from tests.support.layouts.kube_proxy_frame import LAYOUTS
from tests.support.layouts.kube_proxy_layouts import written
from tests.support.proofs import verify

OTHER_PROXY, HEADLESS = "service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"


def cluster(
    *endpoints: tuple[bool, bool], service: str | None = None, slice_label: str | None = None
) -> Objects:
    """A Service of one address, which endpoints with these (ready, terminating) share."""
    address = {"addresses": ["10.1.0.5"], "nodeName": "node-b"}
    labels = {"kubernetes.io/service-name": "web"} | ({slice_label: ""} if slice_label else {})
    return load_objects(
        [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web", "labels": {service: ""} if service else {}},
                "spec": {"clusterIP": "172.30.0.41", "ports": [{"port": 80}]},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": "IPv4",
                "metadata": {"name": "web-1", "labels": labels},
                "ports": [{"name": "", "port": 8080}],
                "endpoints": [
                    address | {"conditions": {"ready": r, "serving": r, "terminating": t}}
                    for r, t in endpoints
                ],
            },
        ]
    )


def without_endpoints(objects: Objects) -> Objects:
    return Objects(objects.services, [replace(s, endpoints=()) for s in objects.slices])


def without_labels(objects: Objects) -> Objects:
    def plain(item: Service | EndpointSlice) -> dict[str, str]:
        return {k: v for k, v in item.labels.items() if k not in (OTHER_PROXY, HEADLESS)}

    return Objects(
        [replace(s, labels=plain(s)) for s in objects.services],
        [replace(s, labels=plain(s)) for s in objects.slices],
    )


def without_services(objects: Objects) -> Objects:
    return Objects([], [])


ALIVE, GONE = (True, False), (False, True)
READ_OTHERWISE: dict[
    str, tuple[Objects, Callable[[Objects], Objects], Callable[[Objects], Objects]]
] = {
    # Objects, as they are read today, as they were read until 1.35.
    "an address used again": (cluster(GONE, ALIVE), without_labels, without_endpoints),
    "a Service labelled headless": (
        cluster(ALIVE, service=HEADLESS),
        without_labels,
        without_services,
    ),
    "a slice of another proxy": (
        cluster(ALIVE, slice_label=OTHER_PROXY),
        without_labels,
        without_endpoints,
    ),
}


def said(objects: Objects, settings: NodeSettings, texts: dict[Family, str]) -> str:
    rules = {family: from_text(text, family, "rules") for family, text in texts.items()}
    return verdict(verify(objects, settings, rules))


@pytest.mark.parametrize("name", READ_OTHERWISE)
def test_either_reading_is_right_of_kube_proxys_rules(name: str) -> None:
    objects, today, before = READ_OTHERWISE[name]
    settings, layout = on_node("node-a"), LAYOUTS[-1]
    for read in (today, before):
        text = written(layout, read(objects), settings, Family.IPV4)
        assert said(objects, settings, {Family.IPV4: text}) == "proved"
    mixed = cluster(ALIVE, ALIVE)
    other = replace(
        mixed.slices[0], endpoints=(replace(mixed.slices[0].endpoints[0], node_name="x"),)
    )
    wrong = written(
        layout, Objects(mixed.services, [replace(other, ports=())]), settings, Family.IPV4
    )
    assert said(mixed, settings, {Family.IPV4: wrong}).startswith("violated")


@pytest.mark.parametrize("name", READ_OTHERWISE)
def test_todays_reading_alone_is_right_of_svccs_rules(name: str) -> None:
    objects, today, before = READ_OTHERWISE[name]
    settings = on_node("node-a")
    for read, right in ((today, True), (before, False)):
        rules = read_back(compile_objects(read(objects), settings))
        report = verify(objects, settings, rules)
        assert (report.verdict == "proved") == right, verdict(report)


@pytest.mark.parametrize("name", READ_OTHERWISE)
def test_explain_says_the_same(name: str) -> None:
    objects, _, before = READ_OTHERWISE[name]
    settings = on_node("node-a")
    text = written(LAYOUTS[-1], before(objects), settings, Family.IPV4)
    explainer = Explainer(objects, settings, Family.IPV4, from_text(text, Family.IPV4, "rules"))
    assert not any(item.wrong for item in explainer.service("default/web"))
