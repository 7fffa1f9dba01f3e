"""Regions with equal signatures have equal schemas, in right rules and in damaged ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Literal

import pytest

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, parse_address
from svcc.grammar.errors import InputError
from svcc.verify.model.rules import index_rules
from svcc.verify.prepare.prepare import prepare
from svcc.verify.rule_files import of_nftables
from svcc.verify.slicing.regions import Regions
from svcc.verify.spec.expectation import Expectation
from svcc.verify.spec.for_rules import expectations_of
from tests.fuzz.compare import read_rules
from tests.fuzz.rules import RuleMaker
from tests.kube_proxy.dumps import real_names, real_objects, real_settings, real_text
from tests.support.clusters.random_objects import random_objects, random_settings
from tests.support.damage.random_edits import edited_iptables, edited_nftables
from tests.support.effort import LONG
from tests.unit.verify.signatures.comparing import (
    compare,
    damaged,
    like,
    moved_endpoint,
    read,
    regions_of,
    texts,
)
from tests.unit.verify.test_sharing import frontends

pytestmark = pytest.mark.slow


def clusters(random: Random) -> Iterator[tuple[Objects, NodeSettings]]:
    for _ in range(40 if LONG else 4):
        objects = like(random_objects(random, random.choice((2, 4, 8))), 6)
        yield objects, random_settings(random)


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_schemas_of_own_rules(mode: str) -> None:
    random = Random(f"signatures {mode}")
    shared = signatures = 0
    for objects, settings in clusters(random):
        for right in texts(objects, settings, mode):
            tried = [right]
            while len(tried) < 4:
                tried.append(damaged(random, tried[-1]))
            for text in tried:
                try:
                    loaded = read(text, mode)
                except InputError:
                    continue
                for item in loaded.values():
                    rules = prepare(item.rules, settings).rules
                    for expectation in expectations_of(objects, settings, rules):
                        found = compare(regions_of(rules, expectation))
                        shared, signatures = shared + found[0], signatures + found[1]
    assert shared > 200
    assert signatures > 200


def stale(random: Random, objects: Objects) -> Objects:
    """Objects of which one is not as it was when the rules were made."""
    found = Objects(nodes=objects.nodes)
    found.services, found.slices = list(objects.services), list(objects.slices)
    number = random.randrange(len(found.services))
    service = found.services[number]
    match random.randrange(5):
        case 0:
            del found.services[number]
        case 1:
            policy = service.external_traffic_policy
            other: Literal["Cluster", "Local"] = "Cluster" if policy == "Local" else "Local"
            found.services[number] = replace(service, external_traffic_policy=other)
        case kind:
            number = random.randrange(len(found.slices))
            item = found.slices[number]
            kept = list(item.endpoints)
            if kept:
                place = random.randrange(len(kept))
                if kind == 2:
                    del kept[place]
                elif kind == 3:
                    kept[place] = moved_endpoint(kept[place], 1)
                else:
                    kept[place] = replace(kept[place], ready=not kept[place].ready)
            found.slices[number] = replace(item, endpoints=tuple(kept))
    return found


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_schemas_of_edited_rules(mode: str) -> None:
    """Rules that are about some of many like Services, left out, twice, exchanged and new; and
    objects that have changed since.
    """
    random = Random(f"edited {mode}")
    edited = edited_nftables if mode == "nftables" else edited_iptables
    tried = shared = 0
    for _ in range(400 if LONG else 6):
        objects = like(random_objects(random, random.choice((1, 2, 4))), random.choice((3, 5)))
        settings = random_settings(random)
        for right in texts(objects, settings, mode):
            text = right
            for _ in range(8):
                changed = edited(random, text)
                try:
                    loaded = read(changed, mode)
                except InputError:
                    continue
                text = changed if random.random() < 0.5 else right
                now = stale(random, objects) if random.random() < 0.5 else objects
                for item in loaded.values():
                    rules = prepare(item.rules, settings).rules
                    for expectation in expectations_of(now, settings, rules):
                        # Chains that lead round are judged before any region is cut.
                        with suppress(RecursionError):
                            shared += compare(regions_of(rules, expectation))[0]
                            tried += 1
    assert tried > 20
    assert shared > 400


@pytest.mark.parametrize("name", real_names("nft.txt"))
def test_schemas_of_kube_proxy(name: str) -> None:
    random = Random(f"signatures {name}")
    objects, settings = real_objects(name), real_settings(name, "nftables")
    text = real_text(name, "nft.txt")
    for number in range(30 if LONG else 2):
        try:
            loaded = of_nftables(damaged(random, text) if number else text, "x")
        except InputError:
            continue
        for item in loaded.values():
            rules = prepare(item.rules, settings).rules
            for expectation in expectations_of(objects, settings, rules):
                compare(regions_of(rules, expectation))


@pytest.mark.parametrize("shortest", [2, 16])
@pytest.mark.parametrize("family", list(Family), ids=lambda family: family.label)
def test_schemas_of_random_rules(
    family: Family, shortest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("slicing.plain_runs", "slicing.slicer", "signatures.rows"):
        monkeypatch.setattr(f"svcc.verify.{module}.SHORTEST", shortest)
    random = Random(f"signatures {family.label}")
    maker = RuleMaker(random, family)
    node = "192.168.7.10" if family is Family.IPV4 else "fd00:7::10"
    settings = NodeSettings(node_name="node-a", addresses=(parse_address(node),))
    shared = 0
    for _ in range(600 if LONG else 40):
        rules = read_rules(maker.make().text().replace("@", "0"), family)
        places = frontends(random, family)
        apart = frozenset(f.frontend.address for f in places if random.random() < 0.5)
        expectation = Expectation(family, settings, places, ())
        regions = Regions(
            index_rules(rules), expectation, apart=frozenset(a for a in apart if a is not None)
        )
        shared += compare(regions)[0]
    assert shared > 5
