"""The rules of kube-proxies of several years are proved, and damage to them is found."""

from __future__ import annotations

import re
from random import Random

import pytest

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.verify.report.report import Report
from svcc.verify.rule_files import from_text
from tests.support.clusters.cases import case_names, case_objects
from tests.support.clusters.random_objects import random_objects, random_settings
from tests.support.layouts.kube_proxy_frame import LAYOUTS, Layout
from tests.support.layouts.kube_proxy_layouts import written
from tests.support.proofs import verify

pytestmark = pytest.mark.slow

REFUSES_A_BACKEND = {"backend-that-is-a-node-port", "balancer-address-that-is-its-backend"}
"""What kube-proxy gets wrong: its filter rules refuse or drop a packet that it translated."""


def judge(objects: Objects, settings: NodeSettings, texts: dict[Family, str]) -> Report:
    rules = {family: from_text(text, family, family.label) for family, text in texts.items()}
    return verify(objects, settings, rules)


def texts_of(layout: Layout, objects: Objects, settings: NodeSettings) -> dict[Family, str]:
    return {family: written(layout, objects, settings, family) for family in Family}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_behaviour_case_is_proved(layout: Layout) -> None:
    wrong = []
    for name in case_names():
        if name in REFUSES_A_BACKEND:
            continue
        objects, settings = case_objects(name)
        report = judge(objects, settings, texts_of(layout, objects, settings))
        if report.verdict != "proved":
            wrong.append(f"{name}\n{report.to_text()}")
    assert not wrong, "\n".join(wrong[:2])


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_generated_clusters_are_proved(layout: Layout) -> None:
    for seed in range(6):
        random = Random(seed)
        objects, settings = random_objects(random, 8), random_settings(random)
        report = judge(objects, settings, texts_of(layout, objects, settings))
        assert report.verdict == "proved", f"seed {seed}\n{report.to_text()}"


def test_a_refused_backend_is_found() -> None:
    for name in sorted(REFUSES_A_BACKEND):
        objects, settings = case_objects(name)
        assert (
            judge(objects, settings, texts_of(LAYOUTS[-1], objects, settings)).verdict == "violated"
        )


Edit = tuple[str, str, str]
"""A case's name, and a substitution in the first line that has the pattern."""

DAMAGE: tuple[Edit, ...] = (
    ("load-balancer", r"(-A KUBE-SERVICES -d 203\S+ .*)--dport 80 ", r"\1--dport 81 "),
    ("load-balancer", r"--to-destination 10.244.2.7:8080", "--to-destination 10.244.2.8:8080"),
    ("load-balancer", r"-A KUBE-SEP-\S+ -s .* -j KUBE-MARK-MASQ\n", ""),
    ("load-balancer", r"-A KUBE-MARK-MASQ .*\n", ""),
    ("load-balancer", r"-A KUBE-POSTROUTING .* MASQUERADE.*\n", ""),
    ("load-balancer", r"--probability 0.33\d+", "--probability 0.30000000019"),
    ("load-balancer", r"-A KUBE-FORWARD -m conntrack --ctstate INVALID .*\n", ""),
    ("external-local-none-here", r"-A .* -j (KUBE-MARK-DROP|DROP)\n", ""),
    ("external-local", r"(-A KUBE-(XLB|EXT)-\S+ )-s 10.244.0.0/16", r"\1-s 10.240.0.0/16"),
    ("external-local", r"-A KUBE-(XLB|EXT)-.*masquerade LOCAL.*\n", ""),
    ("external-local", r"-A KUBE-(XLB|EXT)-.*route LOCAL.*\n", ""),
    ("source-ranges", r"(-A KUBE-FW-\S+ )-s 203.0.113.0/24", r"\1-s 203.0.112.0/23"),
    ("affinity", r"(-A KUBE-SVC-.*)--rcheck --seconds \d+", r"\1--rcheck --seconds 7"),
    ("affinity", r"-m recent --set .* --rsource ", ""),
    ("no-endpoints", r"-A KUBE-SERVICES .* -j REJECT.*\n", ""),
    ("no-endpoints", r"-A KUBE-EXTERNAL-SERVICES .* -j REJECT.*\n", ""),
    ("cluster-ip", r"-A OUTPUT -m comment .*portals.*\n", ""),
    ("cluster-ip", r"-A KUBE-SVC-.*--probability.*\n", ""),
    ("cluster-ip", r"! -s 10.244.0.0/16", "-s 10.244.0.0/16"),
    ("external-ips", r"-A \S+ ! -s \S+ -d 198.51.100.\d+/32.*\n|-A KUBE-EXT-.*MASQ\n", ""),
    ("node-port", r"(-A KUBE-NODEPORTS .*--dport )30080(.*(SVC|EXT|XLB))", r"\g<1>30081\2"),
)  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_damage_is_found(layout: Layout) -> None:
    missed = []
    for name, pattern, replacement in DAMAGE:
        objects, settings = case_objects(name)
        text = written(layout, objects, settings, Family.IPV4)
        damaged = re.sub(pattern, replacement, text, count=1)
        if damaged == text:
            continue
        report = judge(objects, settings, {Family.IPV4: damaged})
        if report.verdict != "violated":
            missed.append(f"{name}: {pattern}: {report.verdict}")
        assert "internal error" not in report.to_text()
    assert not missed, "\n".join(missed)


def test_a_hand_written_guard_belongs_to_the_kubelet() -> None:
    """Where the kubelet's chains are there, what is missing of them is missing."""
    layout = next(item for item in LAYOUTS if item.name == "1.23")
    objects, settings = case_objects("node-port")
    texts = texts_of(layout, objects, settings)
    texts[Family.IPV4] = re.sub(r"-A KUBE-FIREWALL ! -s 127.*\n", "", texts[Family.IPV4])
    assert judge(objects, settings, texts).verdict == "violated"
