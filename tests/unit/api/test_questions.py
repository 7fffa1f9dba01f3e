"""Whatever a Service is called by, the answer is the same."""

from __future__ import annotations

import pytest

import svcc.api
from svcc.grammar.address import Family
from tests.support.clusters.cases import case_names, case_objects
from tests.support.effort import some

ALL = case_names()
NAMES = some(ALL, 10)


def endpoint(address: object, port: int, family: Family) -> str:
    return f"[{address}]:{port}" if family is Family.IPV6 else f"{address}:{port}"


def shown(answer: svcc.api.Answer) -> dict[str, set[tuple[str, str, str]]]:
    """What is said of each frontend's senders."""
    found: dict[str, set[tuple[str, str, str]]] = {}
    for item in answer.explanations:
        found.setdefault(str(item.frontend), set()).add((item.sender, item.verdict, item.expected))
    return found


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
@pytest.mark.parametrize("name", NAMES)
def test_names_addresses_and_ports_say_the_same(name: str, mode: str) -> None:
    objects, settings = case_objects(name, mode)
    service = next((s for s in objects.services if s.cluster_ips and s.ports), None)
    if service is None:
        return
    whole = svcc.api.ask(objects, settings, service.key)
    frontends = shown(whole)
    for dns in (f"{service.name}.{service.namespace}", f"{service.name}.{service.namespace}.svc"):
        assert shown(svcc.api.ask(objects, settings, dns)) == frontends
    if not whole.explanations:
        assert whole.said
        return
    port = service.ports[0]
    address = service.cluster_ips[0]
    end = endpoint(address, port.port, address.family)
    asked = svcc.api.ask(objects, settings, f"{end}/{port.protocol.lower()}")
    ((frontend, said),) = shown(asked).items()
    assert frontend.startswith(f"{end}/{port.protocol} (")
    assert said == frontends[frontend]
    assert asked.verdict == "proved"


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
@pytest.mark.parametrize("name", NAMES)
def test_backends_are_found_from_either_end(name: str, mode: str) -> None:
    """A frontend that sends to a backend is among those that the backend is asked for."""
    objects, settings = case_objects(name, mode)
    service = next((s for s in objects.services if s.cluster_ips and s.ports), None)
    if service is None:
        return
    asked: set[str] = set()
    for item in svcc.api.ask(objects, settings, service.key).explanations:
        for _, text, ways in item.together():
            result = ways[0].result
            backend = text.removeprefix("sent to ").partition(", ")[0]
            if not result.translated or f"{item.frontend} {backend}" in asked:
                continue
            asked.add(f"{item.frontend} {backend}")
            answer = svcc.api.ask(objects, settings, backend, family=item.packet.family)
            assert str(item.frontend) in shown(answer), backend
            assert answer.backend is not None
            assert answer.backend[0].value == result.destination
            break


def test_services_that_are_not_judged_are_told() -> None:
    text = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{name: a, port: 80}, {name: b, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {clusterIP: 10.96.0.11, ports: [{port: 80}]}
"""
    objects = svcc.api.load(text=text, keep_going=True)
    assert [service.key for service in objects.not_judged] == ["shop/web"]
    settings = svcc.api.node_settings(objects, node="node-a")
    answer = svcc.api.ask(objects, settings, "web")
    assert answer.said == ("shop/web: not judged, for what is wrong with it",)
    assert not answer.explanations
    with pytest.raises(svcc.api.InputError, match="not judged"):
        svcc.api.explain(objects, settings, "web")
