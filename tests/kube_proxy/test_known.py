"""Every difference that is put down as known still is one, or its line would hide another."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.kube_proxy import test_flows, test_tables, test_virtual_servers
from tests.kube_proxy.asking import family_of
from tests.kube_proxy.dumps import recorded_ipvs, recorded_rules
from tests.kube_proxy.known import Known, known
from tests.kube_proxy.recorded import cases, names
from tests.kube_proxy.test_dumps import recorded_verdict


def dump(name: str) -> list[str]:
    rules = recorded_rules(name, family_of(cases()[name]["settings"]))
    return [f"{name}: {recorded_verdict(name, rules)}"]


def ipvs_dump(name: str) -> list[str]:
    rules = recorded_ipvs(name, family_of(cases()[name]["settings"]))
    return [f"{name}: {recorded_verdict(name, rules)}"]


ASKED: dict[str, tuple[list[str], Callable[[str], list[str]]]] = {
    "flow": (test_flows.WITH_FLOWS, test_flows.by_svccs_rules),
    "dump": (names("sync", mode="iptables"), dump),
    "ipvs dump": (names("sync", mode="ipvs"), ipvs_dump),
    "topology": (names("categorize"), test_tables.topology),
    "virtual servers": (names("sync", mode="ipvs"), test_virtual_servers.differences),
}


@pytest.mark.parametrize("item", known(), ids=lambda item: f"{item.kind} {item.pattern.pattern}")
def test_it_still_differs(item: Known) -> None:
    everything, ask = ASKED[item.kind]
    named = [
        word for word in re.findall(r"Test\w+", item.pattern.pattern) if word in str(everything)
    ]
    asked = [name for name in everything if not named or any(word in name for word in named)]
    assert any(item.pattern.search(text) for name in asked for text in ask(name))
