"""Regions with equal signatures have equal schemas, in right rules and in damaged ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Literal

import pytest

from svcc.compiler.bundle import script
from svcc.compiler.model.objects import Endpoint, Objects, Service, ServicePort
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family, Network, parse_address
from svcc.grammar.errors import InputError
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.nftables.write import write
from svcc.verify import engine
from svcc.verify.model.owned_rules import owned_rules
from svcc.verify.model.rules import index_rules
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.prepare.prepare import prepare
from svcc.verify.region_judge import RegionJudge
from svcc.verify.rule_files import from_text, of_nftables
from svcc.verify.signatures.signatures import Signature, Signatures
from svcc.verify.slicing.cutter import Cutter
from svcc.verify.slicing.regions import Regions
from svcc.verify.slicing.schema import Schema
from svcc.verify.slicing.slicer import SliceTooLargeError
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.expectation import Expectation, Frontend, FrontendExpectation
from svcc.verify.spec.for_rules import expectations_of
from svcc.verify.spec.outcomes import Case, Serve, Untouched
from tests.fuzz.compare import read_rules
from tests.fuzz.rules import RuleMaker
from tests.kube_proxy.dumps import real_names, real_objects, real_settings, real_text
from tests.support.clusters.random_objects import random_objects, random_settings
from tests.support.damage.random_edits import edited_iptables, edited_nftables
from tests.support.effort import LONG
from tests.support.proofs import PROVER
from tests.unit.verify.test_sharing import frontends

pytestmark = pytest.mark.slow

_NUMBER = re.compile(r"(?<![\w.:/])(?:\d+\.\d+\.\d+\.\d+|[0-9a-f:]+::[0-9a-f:]+|\d+)(?![\w.:])")


def like(objects: Objects, times: int) -> Objects:
    """Each Service some times more, at other addresses and ports of the node, with other pods."""
    found = Objects(nodes=objects.nodes)
    for turn in range(times):
        for service in objects.services:
            found.services.append(_moved(service, turn))
        for item in objects.slices:
            ends = tuple(_moved_endpoint(endpoint, turn) for endpoint in item.endpoints)
            name, service_name = f"{item.name}-{turn}", f"{item.service}-{turn}"
            found.slices.append(replace(item, name=name, service=service_name, endpoints=ends))
    return found


def _moved(service: Service, turn: int) -> Service:
    def addresses(of: tuple[Address, ...]) -> tuple[Address, ...]:
        return tuple(_further(address, turn) for address in of)

    def port(of: ServicePort) -> ServicePort:
        return replace(of, node_port=of.node_port and 30000 + (of.node_port + 313 * turn) % 2768)

    return replace(
        service,
        name=f"{service.name}-{turn}",
        cluster_ips=addresses(service.cluster_ips),
        external_ips=addresses(service.external_ips),
        ingress=addresses(service.ingress),
        ports=tuple(map(port, service.ports)),
    )


def _moved_endpoint(endpoint: Endpoint, turn: int) -> Endpoint:
    return replace(endpoint, address=_further(endpoint.address, turn))


def _further(address: Address, turn: int) -> Address:
    return address._replace(value=address.value + 70 * turn)


def regions_of(rules: RuleSet, expectation: Expectation) -> Regions:
    settings = expectation.settings
    pods: Network | None = settings.pods.networks.get(rules.family)
    return Regions(owned_rules(rules, settings.masquerade_mark, pods), expectation)


def compare(regions: Regions) -> tuple[int, int]:
    """Cut every region that has a signature; how many share one, and how many signatures are."""
    known: dict[Signature, tuple[Schema, bool]] = {}
    shared = 0
    cutter = Cutter(regions)
    signatures = Signatures(regions, cutter)
    for region in regions:
        signature = signatures.of(region)
        if signature is None:
            continue
        try:
            cut = cutter.cut(region)
        except SliceTooLargeError:
            continue
        found = cut.schema, signature.is_whole(cut)
        first = known.setdefault(signature, found)
        assert first[1] == found[1], region.name
        if first[1]:
            assert first[0] == found[0], region.name
            shared += first is not found
    return shared, len(known)


def damaged(random: Random, text: str) -> str:
    """The text with one of its numbers, or of its addresses, in the place of another."""
    places = [m for m in _NUMBER.finditer(text) if not m[0].startswith("0")]
    wrong = random.choice(places)
    instead = random.choice([m[0] for m in places if _kind(m[0]) == _kind(wrong[0])])
    return text[: wrong.start()] + instead + text[wrong.end() :]


def _kind(word: str) -> tuple[bool, bool]:
    return word.isdigit(), ":" in word


def clusters(random: Random) -> Iterator[tuple[Objects, NodeSettings]]:
    for _ in range(40 if LONG else 4):
        objects = like(random_objects(random, random.choice((2, 4, 8))), 6)
        yield objects, random_settings(random)


def texts(objects: Objects, settings: NodeSettings, mode: str) -> Iterator[str]:
    if mode == "nftables":
        tables = compile_objects(objects, replace(settings, mode="nftables")).tables
        assert tables is not None
        yield write(tables)
    else:
        yield script(compile_objects(objects, settings), Family.IPV4)


def read(text: str, mode: str) -> dict[Family, LoadedRules]:
    if mode == "nftables":
        return of_nftables(text, "x")
    return {Family.IPV4: from_text(text, Family.IPV4, "x")}


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
                    kept[place] = _moved_endpoint(kept[place], 1)
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


def read_damaged(random: Random, text: str, mode: str) -> dict[Family, LoadedRules]:
    """Some numbers are others', as far as the tool would take them."""
    loaded = read(text, mode)
    for _ in range(4):
        changed = damaged(random, text)
        with suppress(InputError):
            loaded, text = read(changed, mode), changed
    return loaded


def verdicts(
    objects: Objects, settings: NodeSettings, loaded: dict[Family, LoadedRules]
) -> dict[tuple[str, str], str]:
    report = engine.verify(objects, settings, loaded, prover=PROVER)
    return {(f.property, f.frontend): f.verdict for f in report.findings}


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_verdicts(mode: Literal["nftables", "iptables"], monkeypatch: pytest.MonkeyPatch) -> None:
    """With signatures and with every region cut the verdicts are the same."""
    # What a violation is due to is no part of the verdict, and takes most of the time.
    monkeypatch.setattr(engine._FamilyJudge, "with_causes", lambda _judge, found, _source: found)
    random = Random(f"verdicts {mode}")
    wrong = 0
    for _ in range(60 if LONG else 2):
        settings = replace(random_settings(random), mode=mode)
        objects = like(random_objects(random, 2), 3)
        for right in texts(objects, settings, mode):
            loaded = read_damaged(random, right, mode)
            found = verdicts(objects, settings, loaded)
            with monkeypatch.context() as patch:
                patch.setattr(RegionJudge, "_signature", lambda _judge, _region: None)
                assert found == verdicts(objects, settings, loaded)
            wrong += any(verdict != "proved" for verdict in found.values())
    assert wrong


def different(rules: str) -> None:
    """Other ports of two addresses, one with a frontend at port 80, have not the same signature."""
    loaded = from_text(
        f"*mangle\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n",
        Family.IPV4,
        "x",
    )
    places = tuple(
        FrontendExpectation(
            Frontend(Family.IPV4, parse_address(address).value, 6, port, "x", "cluster IP"),
            (Case((), (Untouched(),)),),
            may_be_local=False,
        )
        for address, port in (("10.96.0.1", 80), ("10.96.0.2", 443))
    )
    apart = frozenset(parse_address(address).value for address in ("10.96.0.1", "10.96.0.2"))
    expectation = Expectation(Family.IPV4, NodeSettings(node_name="node-a"), places, ())
    regions = Regions(index_rules(loaded.rules), expectation, apart=apart)
    compare(regions)
    schemas, signatures = [], []
    cutter = Cutter(regions)
    known = Signatures(regions, cutter)
    for region in regions:
        if region.virtual_ip is not None and not region.from_node:
            schemas.append(cutter.cut(region).schema)
            signatures.append(known.of(region))
    assert schemas[0] != schemas[1]
    assert None in signatures or signatures[0] != signatures[1]


def test_ports_that_are_judged_elsewhere() -> None:
    """What a chain of one address asks for may be a frontend there, and none at its like."""
    different(
        ":A - [0:0]\n:B - [0:0]\n"
        "-A PREROUTING -d 10.96.0.1/32 -j A\n-A PREROUTING -d 10.96.0.2/32 -j B\n"
        "-A A -p tcp -m tcp --dport 80 -j DROP\n-A B -p tcp -m tcp --dport 80 -j DROP\n"
    )
    different("-A PREROUTING -p tcp -m tcp --dport 80 -j DROP\n")


@pytest.mark.parametrize("asked", ["-d", "! -d", "-s"])
def test_addresses_in_a_chain_of_one_port(asked: str) -> None:
    """A chain that a rule by port leads to may name the address."""
    different(
        ":A - [0:0]\n-A PREROUTING -p tcp -m tcp --dport 30000 -j A\n"
        f"-A A {asked} 10.96.0.1/32 -j DROP\n"
    )
    different(
        f"-A PREROUTING -p tcp {asked} 10.96.0.1/32 -m tcp --dport 30000 -j DROP\n",
    )


def shared_by_two(rules: str, ports: tuple[int, int] = (80, 80)) -> int:
    """How many regions share a schema, of two frontends with a backend each that are alike but
    for some rules ahead of or behind their own.
    """
    loaded = from_text(
        f"{rules}*nat\n:PREROUTING ACCEPT [0:0]\n"
        + "".join(
            f"-A PREROUTING -d 10.96.0.{n}/32 -p tcp -m tcp --dport {port} "
            f"-j DNAT --to-destination 10.244.0.{n}:8080\n"
            for n, port in enumerate(ports, 1)
        )
        + "COMMIT\n",
        Family.IPV4,
        "x",
    )
    places = tuple(
        FrontendExpectation(
            Frontend(Family.IPV4, parse_address(f"10.96.0.{n}").value, 6, port, "x", "cluster IP"),
            (Case((), (Serve((Backend(parse_address(f"10.244.0.{n}").value, 8080),), False),)),),
            may_be_local=False,
        )
        for n, port in enumerate(ports, 1)
    )
    expectation = Expectation(Family.IPV4, NodeSettings(node_name="node-a"), places, ())
    return compare(Regions(index_rules(loaded.rules), expectation))[0]


def filtered(hook: str, rule: str) -> str:
    return f"*mangle\n:{hook} ACCEPT [0:0]\n-A {hook} {rule}\nCOMMIT\n"


def test_like_frontends_share() -> None:
    assert shared_by_two("") > 0
    assert shared_by_two("", (80, 443)) > 0


@pytest.mark.parametrize("asked", ["--ctorigdst 10.96.0.1", "--ctorigdst 10.96.0.2"])
def test_what_a_connection_came_for_and_where_it_goes(asked: str) -> None:
    """A rule about an original destination asks for the port that packets are sent to."""
    rule = f"-p tcp -m conntrack {asked} -m tcp --dport 8080 -j DROP"
    # The node's own packets are not translated here.
    assert shared_by_two(filtered("POSTROUTING", rule)) == 0


def test_a_stretch_of_ports() -> None:
    """Which side of a rule's ports a frontend's port lies on."""
    rule = "-p tcp -m tcp --dport 1:100 -j DROP"
    assert shared_by_two(filtered("PREROUTING", rule), (80, 81)) > 0
    assert shared_by_two(filtered("PREROUTING", rule), (80, 443)) == 0


@pytest.mark.parametrize("backend", ["10.244.0.1", "10.244.0.2"])
def test_rules_about_where_packets_are_sent(backend: str) -> None:
    """A rule for one of the backends is part of that frontend's signature."""
    rule = f"-d {backend}/32 -p tcp -m tcp --dport 8080 -j DROP"
    assert shared_by_two(filtered("FORWARD", rule)) == 0
