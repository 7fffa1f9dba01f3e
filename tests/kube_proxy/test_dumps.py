"""Rules that kube-proxy itself wrote are right: they are proved."""

from __future__ import annotations

import re

import pytest

from svcc.grammar.address import Family
from svcc.grammar.errors import InputError
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.rule_files import from_text, of_nftables
from tests.kube_proxy.asking import bad_input, family_of, judged, node_settings, verdict
from tests.kube_proxy.dumps import (
    real_ipvs,
    real_names,
    real_objects,
    real_settings,
    real_text,
    recorded_ipvs,
    recorded_rules,
)
from tests.kube_proxy.known import unexplained
from tests.kube_proxy.recorded import cases, names, objects_of
from tests.support.layouts.kube_proxy_ipvs import is_of_cluster_policies, written
from tests.support.proofs import verify

FILES = {Family.IPV4: "iptables-save.txt", Family.IPV6: "ip6tables-save.txt"}
VARIANTS = ("iptables-save.txt", "iptables-nft-save.txt")
LOCAL_POLICY = {
    "etp-local-with-local", "etp-local-without-local", "rich-affinity-ports",
    "rich-dual-everything", "rich-healthcheck", "rich-hints", "rich-itp", "rich-many-policies",
    "rich-sctp", "terminating",
}  # fmt: skip
"""Folders with a Service of Local policy, which kube-proxy's ipvs mode does not serve right."""


def recorded_verdict(name: str, rules: LoadedRules) -> str:
    case = cases()[name]
    family = family_of(case["settings"])
    settings = node_settings(case["settings"], case["mode"])
    try:
        return verdict(judged(objects_of(name), settings, {family: rules}))
    except InputError as error:
        return bad_input(error)


@pytest.mark.parametrize("name", names("sync", mode="iptables"))
def test_rules_of_kube_proxys_tests_are_proved(name: str) -> None:
    family = family_of(cases()[name]["settings"])
    said = recorded_verdict(name, recorded_rules(name, family))
    assert said == "proved" or not unexplained("dump", [f"{name}: {said}"])


@pytest.mark.parametrize("name", names("sync", mode="ipvs"))
def test_ipvs_state_of_kube_proxys_tests_is_proved(name: str) -> None:
    family = family_of(cases()[name]["settings"])
    said = recorded_verdict(name, recorded_ipvs(name, family))
    assert said == "proved" or not unexplained("ipvs dump", [f"{name}: {said}"])


@pytest.mark.parametrize("file", VARIANTS)
@pytest.mark.parametrize("name", real_names("iptables-save.txt"))
def test_rules_of_a_real_kube_proxy_are_proved(name: str, file: str) -> None:
    rules = {
        Family.IPV4: from_text(real_text(name, file), Family.IPV4, file),
        Family.IPV6: from_text(real_text(name, "ip6tables-save.txt"), Family.IPV6, "ip6tables"),
    }
    report = verify(real_objects(name), real_settings(name), rules)
    assert report.verdict == "proved", verdict(report)
    assert len(report.findings) > 5


@pytest.mark.parametrize("name", real_names("ipvs-ipvsadm.txt"))
def test_ipvs_state_of_a_real_kube_proxy_is_judged_right(name: str) -> None:
    report = verify(real_objects(name), real_settings(name, "ipvs"), real_ipvs(name))
    if name not in LOCAL_POLICY:
        assert report.verdict == "proved", verdict(report)
        return
    assert report.verdict == "violated"
    wrong = {f.frontend for f in report.findings if f.verdict != "proved"}
    assert all(_has_local_policy(name, frontend) for frontend in wrong), verdict(report)


def _has_local_policy(name: str, frontend: str) -> bool:
    return any(
        f"({service.key}:" in frontend or f"({service.key})" in frontend
        for service in real_objects(name).services
        if "Local" in (service.internal_traffic_policy, service.external_traffic_policy)
    )


@pytest.mark.parametrize("name", real_names("nft.txt"))
def test_nftables_rules_of_a_real_kube_proxy_are_proved(name: str) -> None:
    rules = of_nftables(real_text(name, "nft.txt"), "nft.txt")
    report = verify(real_objects(name), real_settings(name), rules)
    assert report.verdict == "proved", verdict(report)
    assert len(report.findings) > 5


CLUSTER_POLICIES = [
    name for name in real_names("ipvs-ipvsadm.txt") if is_of_cluster_policies(real_objects(name))
]


@pytest.mark.parametrize("name", CLUSTER_POLICIES)
def test_the_double_of_ipvs_mode_writes_what_a_real_one_wrote(name: str) -> None:
    """Or the tests would prove rules that nobody has."""
    settings = real_settings(name, "ipvs")
    texts = written(real_objects(name), settings)
    for family, file in FILES.items():
        real = real_text(name, f"ipvs-{file}")
        assert rule_lines(texts.iptables[family]) == rule_lines(real), file
    real_addresses = real_text(name, "ipvs-addresses.batch")
    assert sorted(texts.addresses.splitlines()) == sorted(real_addresses.splitlines()[1:])
    assert entries(texts.ipset) == entries(real_text(name, "ipvs-ipset.txt"))
    assert sorted(texts.ipvsadm.splitlines()) == sorted(
        real_text(name, "ipvs-ipvsadm.txt").splitlines()
    )


def rule_lines(text: str) -> dict[str, list[str]]:
    """The rules of each chain without comments, in their order."""
    chains: dict[str, list[str]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line
        if line.startswith("-A "):
            rule = re.sub(r'-m comment --comment ("[^"]*"|\S+) ', "", line)
            chains.setdefault(f"{table} {rule.split()[1]}", []).append(rule)
    return chains


def entries(text: str) -> dict[str, set[str]]:
    """What each set holds; its kind too."""
    sets: dict[str, set[str]] = {}
    for line in text.splitlines():
        word, name, rest = line.split(" ", 2)
        sets.setdefault(name, set()).add(rest if word == "add" else rest.split()[0])
    return sets
