"""What tests of signatures share: like Services, and every region cut that has a signature."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from random import Random

from svcc.compiler.bundle import script
from svcc.compiler.model.objects import Endpoint, Objects, Service, ServicePort
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family, Network
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.nftables.write import write
from svcc.verify.model.owned_rules import owned_rules
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.rule_files import from_text, of_nftables
from svcc.verify.signatures.signatures import Signature, Signatures
from svcc.verify.slicing.cutter import Cutter
from svcc.verify.slicing.regions import Regions
from svcc.verify.slicing.schema import Schema
from svcc.verify.slicing.slicer import SliceTooLargeError
from svcc.verify.spec.expectation import Expectation

_NUMBER = re.compile(r"(?<![\w.:/])(?:\d+\.\d+\.\d+\.\d+|[0-9a-f:]+::[0-9a-f:]+|\d+)(?![\w.:])")


def like(objects: Objects, times: int) -> Objects:
    """Each Service some times more, at other addresses and ports of the node, with other pods."""
    found = Objects(nodes=objects.nodes)
    for turn in range(times):
        for service in objects.services:
            found.services.append(_moved(service, turn))
        for item in objects.slices:
            ends = tuple(moved_endpoint(endpoint, turn) for endpoint in item.endpoints)
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


def moved_endpoint(endpoint: Endpoint, turn: int) -> Endpoint:
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
