"""What speaks against an apply, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

import svcc.api
from svcc.api.applying import guards
from svcc.api.applying.guards import Machine, dangers
from svcc.apply.loaded import Loaded
from svcc.grammar.address import parse_address

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"clusterIP": "10.96.0.10", "ports": [{"port": 80}]},
}
SLICE: dict[str, Any] = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "labels": {"kubernetes.io/service-name": "web"},
    },
    "addressType": "IPv4",
    "ports": [{"port": 8080}],
    "endpoints": [{"addresses": ["10.244.1.5"], "nodeName": "node-c"}],
}
HEADLESS = {**SERVICE, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}
NOTHING_LOADED = Loaded()
SERVING = Loaded(serves=True, will_serve=True)


def node(name: str, *addresses: str) -> dict[str, Any]:
    listed = [{"type": "InternalIP", "address": address} for address in addresses]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"addresses": listed},
    }


A, B = node("node-a", "192.168.7.10", "fd00:7::10"), node("node-b", "192.168.7.11")


@pytest.fixture(autouse=True)
def _nobody_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "kube_proxy_at_work", lambda _: None)
    monkeypatch.setattr(guards, "svcc_at_work", lambda: None)


def found(
    *documents: dict[str, Any],
    here: tuple[str, ...] = (),
    host: str = "some-host",
    loaded: Loaded = NOTHING_LOADED,
    **flags: Any,
) -> list[str]:
    objects = svcc.api.load(objects=list(documents))
    settings = svcc.api.node_settings(objects, **{"node": "node-a", **flags})
    machine = Machine(tuple(map(parse_address, here)), host)
    return list(dangers(objects, settings, machine, loaded))


def test_the_usual_is_fine() -> None:
    assert found(SERVICE, SLICE, A, B, here=("192.168.7.10", "172.17.0.1")) == []
    # One address of several is enough: another family may be off, or added later.
    assert found(SERVICE, SLICE, A, here=("fd00:7::10",)) == []
    assert found(SERVICE, SLICE, here=("192.168.7.10",)) == []


def test_services_without_any_slice() -> None:
    (reason,) = found(SERVICE, loaded=SERVING)
    assert "no EndpointSlice among the objects" in reason
    assert "shop/web" in reason
    assert "kubectl get services,endpointslices,nodes -A -o yaml" in reason
    empty = {**SLICE, "endpoints": []}
    assert found(SERVICE, empty, loaded=SERVING) == []
    assert found(HEADLESS, loaded=SERVING) == []
    # One that has no say was given all the same.
    headless = {"service.kubernetes.io/headless": "", **SLICE["metadata"]["labels"]}
    labelled = {**SLICE, "metadata": {**SLICE["metadata"], "labels": headless}}
    assert found(SERVICE, labelled, loaded=SERVING) == []
    nobodys = {**SLICE, "metadata": {"name": "x", "namespace": "shop"}}
    assert found(SERVICE, nobodys, loaded=SERVING) == []
    # Where nothing is served nothing can be taken away.
    assert found(SERVICE) == []


def test_everything_would_go() -> None:
    loses = Loaded(serves=True)
    for documents in ((), (HEADLESS,)):
        (reason,) = found(*documents, loaded=loses)
        assert "no Service with frontends is among the objects" in reason
        assert "svcc cleanup" in reason
    assert found() == []


def test_another_nodes_name() -> None:
    (reason,) = found(SERVICE, SLICE, A, B, here=("192.168.7.11",))
    assert "not node node-a: it has 192.168.7.11, an address of node node-b" in reason
    assert "--node node-b" in reason
    (reason,) = found(SERVICE, SLICE, A, B, here=("192.168.7.99",))
    assert "no interface has an address of it (192.168.7.10, fd00:7::10)" in reason


def test_the_hosts_name_is_another_nodes() -> None:
    here = ("192.168.7.99",)
    (reason,) = found(SERVICE, SLICE, here=here, host="node-c")
    assert "the host's name is node-c, which is a node among the objects" in reason
    assert found(SERVICE, SLICE, here=here, host="node-c", node="node-c") == []
    # Where an address says that it is right, a name does not matter.
    assert found(SERVICE, SLICE, A, B, here=("192.168.7.10",), host="node-b") == []


def test_what_cannot_be_told_is_no_reason() -> None:
    """A namespace without addresses may be anybody's."""
    assert found(SERVICE, SLICE, A, B) == []
    assert found(SERVICE, SLICE, A, B, host="node-b") == []
    assert found(SERVICE, SLICE, host="node-c") == []
    assert found(SERVICE, SLICE, here=("192.168.7.99",)) == []


def test_a_node_ip_that_no_interface_has() -> None:
    (reason,) = found(SERVICE, SLICE, here=("192.168.7.99",), node_ip="192.168.7.98")
    assert "no interface has 192.168.7.98, which --node-ip says" in reason
    (reason,) = found(SERVICE, SLICE, node_ip="192.168.7.98")
    assert "192.168.7.98" in reason
    (reason,) = found(
        SERVICE, SLICE, here=("192.168.7.99",), node_ip=["192.168.7.99", "fd00:7::98"]
    )
    assert "no interface has fd00:7::98," in reason
    assert found(SERVICE, SLICE, A, here=("192.168.7.99",), node_ip="192.168.7.99") == []


def test_somebody_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "kube_proxy_at_work", lambda chains: "kube-proxy" * len(chains))
    monkeypatch.setattr(guards, "svcc_at_work", lambda: "another svcc")
    beside = Loaded(foreign_chains=frozenset({"KUBE-SERVICES"}))
    proxy, other = found(SERVICE, SLICE, loaded=beside)
    assert "kube-proxy is at work here" in proxy
    assert "another svcc is at work here with a lock of its own" in other
