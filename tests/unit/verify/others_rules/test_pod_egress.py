"""Who masquerades pods on their way out of the pod network is no concern of the Services."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_address, parse_network
from svcc.verify.explain import Explainer
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.proof.prover import Prover
from svcc.verify.report.report import Report
from svcc.verify.rule_files import from_text
from tests.kube_proxy.asking import load_objects, verdict
from tests.support.layouts.kube_proxy_frame import LAYOUTS
from tests.support.layouts.kube_proxy_layouts import written
from tests.support.proofs import verify

PODS = "10.244.0.0/16"
SETTINGS = NodeSettings(
    node_name="node-a",
    addresses=(parse_address("192.168.7.10"),),
    pods=PodDetection({Family.IPV4: parse_network(PODS)}),
)
PROVER = Prover()


@cache
def objects() -> Objects:
    """A Service of pods that outside clients reach under Local policy, and one of a host."""
    services: dict[str, dict[str, Any]] = {
        "web": {
            "type": "LoadBalancer",
            "clusterIP": "10.96.0.10",
            "externalTrafficPolicy": "Local",
        },
        "host": {"clusterIP": "10.96.0.1"},
    }
    endpoints: dict[str, list[tuple[str, str | None]]] = {
        "web": [("10.244.1.5", "node-a"), ("10.244.2.7", "node-b")],
        "host": [("192.168.7.20", None)],
    }
    found: list[dict[str, Any]] = []
    for name, spec in services.items():
        found.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {
                    **spec,
                    "ports": [{"port": 443, "nodePort": 30443 if name == "web" else None}],
                },
                "status": {
                    "loadBalancer": {"ingress": [{"ip": "203.0.113.9"}] if name == "web" else []}
                },
            }
        )
        found.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": "IPv4",
                "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
                "ports": [{"port": 6443}],
                "endpoints": [{"addresses": [a], "nodeName": n} for a, n in endpoints[name]],
            }
        )
    return load_objects(found)


def beside(*egress: str) -> LoadedRules:
    """A kube-proxy's rules, and others in nat behind them."""
    text = written(LAYOUTS[-1], objects(), SETTINGS, Family.IPV4)
    head, nat, rest = text.partition("*nat\n")
    table, commit, behind = rest.partition("COMMIT\n")
    chains = sorted({line.split()[1] for line in egress} - {"POSTROUTING"})
    declared = "".join(f":{chain} - [0:0]\n" for chain in chains)
    lines = "".join(f"{line}\n" for line in egress)
    return from_text(head + nat + declared + table + lines + commit + behind, Family.IPV4, "rules")


def judged(*egress: str) -> Report:
    return verify(objects(), SETTINGS, {Family.IPV4: beside(*egress)}, prover=PROVER)


RIGHT = {
    "flannel": (
        f"-A POSTROUTING -s {PODS} -d {PODS} -j RETURN",
        f"-A POSTROUTING -s {PODS} ! -d 224.0.0.0/4 -j MASQUERADE",
        f"-A POSTROUTING ! -s {PODS} -d 10.244.1.0/24 -j RETURN",
        f"-A POSTROUTING ! -s {PODS} -d {PODS} -j MASQUERADE",
    ),
    "kubenet": (
        '-A POSTROUTING ! -d 10.0.0.0/8 -m comment --comment "kubenet: SNAT for outbound traffic" '
        "-m addrtype ! --dst-type LOCAL -j MASQUERADE",
    ),
    "OpenShift SDN": (
        "-A POSTROUTING -j OPENSHIFT-MASQUERADE",
        f"-A OPENSHIFT-MASQUERADE -s {PODS} -j OPENSHIFT-MASQUERADE-2",
        f"-A OPENSHIFT-MASQUERADE-2 -d {PODS} -j RETURN",
        "-A OPENSHIFT-MASQUERADE-2 -j MASQUERADE",
    ),
    "an admin's": (
        f"-A POSTROUTING -s {PODS} ! -d {PODS} -o eth0 -j SNAT --to-source 192.168.7.10",
    ),
    "by name": (
        "-A POSTROUTING -j FLANNEL-POSTRTG",
        f"-A FLANNEL-POSTRTG -s {PODS} -d {PODS} -j RETURN",
        "-A FLANNEL-POSTRTG ! -d 10.0.0.0/8 -j MASQUERADE",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_it_is_right_whoever_wrote_it(name: str) -> None:
    report = judged(*RIGHT[name])
    assert report.verdict == "proved", verdict(report)
    explainer = Explainer(objects(), SETTINGS, Family.IPV4, beside(*RIGHT[name]))
    for service in ("default/host", "default/web"):
        assert all(item.verdict == "proved" for item in explainer.service(service))


WRONG = {
    "pods to pods": (f"-A POSTROUTING -s {PODS} ! -d 224.0.0.0/4 -j MASQUERADE",),
    "outside clients": (f"-A POSTROUTING ! -s {PODS} -d {PODS} -j MASQUERADE",),
    "everybody": ("-A POSTROUTING -m addrtype ! --dst-type LOCAL -j MASQUERADE",),
    "outside clients, by name": (
        "-A POSTROUTING -j WEAVE",
        f"-A WEAVE ! -s {PODS} -d {PODS} -j MASQUERADE",
    ),
    "outside clients, in a tool's own chain": (
        "-A POSTROUTING -j FLANNEL-POSTRTG",
        f"-A FLANNEL-POSTRTG -d {PODS} -j MASQUERADE",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_who_rewrites_others_is_wrong_whatever_the_chain_is_called(name: str) -> None:
    report = judged(*WRONG[name])
    found = [f for f in report.findings if f.verdict == "violated"]
    assert any(f.code == "SVC007" for f in found), verdict(report)
    assert all("default/web" in f.frontend for f in found), verdict(report)


def test_what_the_service_rules_rewrite_beside_it_is_found() -> None:
    """Pods at a Service of a host are marked: kube-proxy's own rule rewrites, not the other."""
    rules = beside(*RIGHT["flannel"])
    for chain in rules.rules.tables["nat"].values():
        for rule in chain.rules:
            if rule.source is not None and rule.source.negated and rule.destination is not None:
                rule.source = None
    report = verify(objects(), SETTINGS, {Family.IPV4: rules}, prover=PROVER)
    wrong = [f.frontend for f in report.findings if f.code == "SVC007"]
    assert any("default/host" in frontend for frontend in wrong), verdict(report)
