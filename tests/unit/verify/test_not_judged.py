"""Services that are wrong are not judged; what their packets see says nothing of the others."""

from __future__ import annotations

from typing import Literal

import pytest

import svcc.api
from svcc.api import Finding, Objects, Report, Rules
from svcc.verify.spec import codes

MODES: tuple[Literal["iptables", "ipvs"], ...] = ("iptables", "ipvs")
GOOD = """\
---
apiVersion: v1
kind: Service
metadata: {name: good}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: good}
subsets: [{addresses: [{ip: 10.244.1.5}, {ip: 10.244.1.6}], ports: [{port: 8080}]}]
"""
PAIR = """\
---
apiVersion: v1
kind: Service
metadata: {name: first}
spec: {type: LoadBalancer, clusterIP: 10.96.0.2, ports: [{port: 80, nodePort: 30001}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.77}]}}
---
apiVersion: v1
kind: Service
metadata: {name: second}
spec: {type: LoadBalancer, clusterIP: 10.96.0.3, ports: [{port: 80, nodePort: 30002}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: first}
subsets: [{addresses: [{ip: 10.244.1.7}, {ip: 10.244.1.8}], ports: [{port: 8080}]}]
"""
CLASH = PAIR.replace(
    "nodePort: 30002}]}\n",
    "nodePort: 30002}]}\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.77}]}}\n",
)


def judged(objects: Objects, rules: Rules | None, mode: str, *, paranoid: bool = False) -> Report:
    node = svcc.api.node_settings(
        objects, node="n", mode=mode, node_ip="192.168.1.1", cluster_cidr="10.244.0.0/16"
    )
    return svcc.api.verify(objects, node, rules, family=svcc.api.Family.IPV4, paranoid=paranoid)


def rules_of(text: str, mode: str) -> Rules:
    objects = svcc.api.load(text=text)
    node = svcc.api.node_settings(
        objects, node="n", mode=mode, node_ip="192.168.1.1", cluster_cidr="10.244.0.0/16"
    )
    texts = svcc.api.compile(objects, node).texts
    return svcc.api.read_rules(text={k: v for k, v in texts.items() if k != "bundle.json"})


def all_but_what_is_said_of_them_is_proved(report: Report) -> list[Finding]:
    """The proved findings; the one that is open says that the two were not judged."""
    (open_one,) = (finding for finding in report.findings if finding.verdict != "proved")
    assert open_one.code == codes.PASSED_OVER, report.to_text()
    assert report.verdict == "undecided"
    return [finding for finding in report.findings if finding is not open_one]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("paranoid", [False, True])
def test_rules_of_services_that_clash_are_nobodys_fault(mode: str, paranoid: bool) -> None:
    objects = svcc.api.load(text=GOOD + CLASH, keep_going=True)
    assert [service.name for service in objects.services] == ["good"]
    rules = rules_of(GOOD + PAIR, mode)
    report = judged(objects, rules, mode, paranoid=paranoid)
    named = {finding.frontend for finding in all_but_what_is_said_of_them_is_proved(report)}
    assert not [name for name in named if "first" in name or "second" in name]


@pytest.mark.parametrize("mode", MODES)
def test_what_is_wrong_with_the_others_is_found(mode: str) -> None:
    objects = svcc.api.load(text=GOOD + CLASH, keep_going=True)
    rules = rules_of((GOOD + PAIR).replace("10.244.1.6", "10.244.1.9"), mode)
    assert judged(objects, rules, mode).verdict == "violated"


@pytest.mark.parametrize("mode", MODES)
def test_a_frontend_that_nobody_claims_is_still_found(mode: str) -> None:
    objects = svcc.api.load(text=GOOD + CLASH, keep_going=True)
    rules = rules_of((GOOD + PAIR).replace("192.0.2.77", "192.0.2.78"), mode)
    assert judged(objects, rules, mode).verdict == "violated"


@pytest.mark.parametrize("mode", MODES)
def test_our_own_rules_without_them_are_proved(mode: str) -> None:
    objects = svcc.api.load(text=GOOD + CLASH, keep_going=True)
    assert all_but_what_is_said_of_them_is_proved(judged(objects, None, mode))
