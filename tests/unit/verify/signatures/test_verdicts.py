"""Verdicts with signatures are those of every region cut."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Literal

import pytest

from svcc.compiler.model.objects import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Objects,
    Service,
    ServicePort,
)
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, parse_address
from svcc.grammar.errors import InputError
from svcc.verify import engine
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.region_judge import RegionJudge
from tests.support.clusters.random_objects import ORIGIN, random_objects, random_settings
from tests.support.effort import LONG
from tests.support.proofs import PROVER
from tests.unit.verify.signatures.comparing import (
    damaged,
    like,
    read,
    texts,
)

pytestmark = pytest.mark.slow


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


SAME = ("10.244", 80, 8080)
OTHER = ("10.250", 443, 9090)
HAIRPIN, FORWARD = r"(?=ip saddr \. ip daddr @hairpins)", r"(?<=ct state invalid drop\n)"
POSTROUTING = r"(?<=priority srcnat; policy accept;\n)"
DISPATCH = r"(?<=chain to-services \{\n)"


def service(number: int, network: str, port: int, target: int) -> tuple[Service, EndpointSlice]:
    name = f"s{number:02}"
    ends = [parse_address(f"{network}.{number}.{last}") for last in (5, 6)]
    return (
        Service(
            namespace="ns",
            name=name,
            type="ClusterIP",
            origin=ORIGIN,
            cluster_ips=(parse_address(f"10.96.0.{number + 1}"),),
            ports=(ServicePort("", "TCP", port, 0),),
        ),
        EndpointSlice(
            namespace="ns",
            name=name,
            service=name,
            family=Family.IPV4,
            ports=(EndpointPort("", "TCP", target),),
            endpoints=tuple(Endpoint(address=end, node_name="node-a") for end in ends),
            origin=ORIGIN,
        ),
    )


def twelve(last: tuple[str, int, int]) -> Objects:
    """Like Services, more of them than a chain is written out for; the last may be another."""
    objects = Objects()
    for number in range(12):
        one, ends = service(number, *(last if number == 11 else SAME))
        objects.services.append(one)
        objects.slices.append(ends)
    return objects


@pytest.mark.parametrize(
    ("last", "where", "instead"),
    [
        # What the translation does.
        (SAME, r",\s+10\.96\.0\.12 \. tcp \. 80 \. 1 : [\d.]+ \. \d+", ""),
        (SAME, r"(?<=10\.96\.0\.12 \. tcp \. 80 \. 1 : )10\.244\.11\.6", "10.244.11.5"),
        (SAME, r"(?<=10\.96\.0\.12 \. tcp \. 80 \. 1 : )10\.244\.11\.6", "10.244.10.6"),
        (SAME, r"(?<=10\.96\.0\.12 \. tcp \. 80 \. 1 : 10\.244\.11\.6 \. )8080", "8081"),
        (SAME, r"10\.96\.0\.12 \. tcp \. 80 \. 1 :", "10.96.0.12 . udp . 80 . 1 :"),
        (SAME, r"(?<=s11 cluster IP\" : )goto balance-2", "drop"),
        (SAME, r"(?<=s11 cluster IP\" : )goto balance-2", "goto refuse"),
        (SAME, r"10\.96\.0\.12 \. tcp \. 80 comment", "10.96.0.12 . tcp . 81 comment"),
        (SAME, DISPATCH, "\t\tip daddr 10.96.0.12 drop\n"),
        (SAME, DISPATCH, "\t\tip daddr 10.96.0.12 ip saddr 10.244.0.0/16 accept\n"),
        (SAME, DISPATCH, "\t\tip saddr . ip daddr { 10.244.11.5 . 10.96.0.12 } drop\n"),
        (SAME, DISPATCH, "\t\tip daddr . tcp dport { 10.96.0.12 . 80 } drop\n"),
        (SAME, DISPATCH, "\t\tip daddr 10.96.0.12-10.96.0.15 drop\n"),
        (OTHER, DISPATCH, "\t\tip daddr 10.96.0.0/16 tcp dport { 443, 444 } drop\n"),
        (OTHER, DISPATCH, "\t\tip daddr 10.96.0.0/16 tcp dport 300-500 drop\n"),
        (OTHER, DISPATCH, "\t\tip daddr 10.96.0.0/16 tcp dport != 80 drop\n"),
        # What is done to packets that were translated.
        (SAME, r",\s+10\.244\.11\.6 \. 10\.244\.11\.6", ""),
        (OTHER, HAIRPIN, "ip saddr 10.244.0.0/16 "),
        (OTHER, HAIRPIN, "ip saddr != 10.250.0.0/16 "),
        (OTHER, HAIRPIN, "ct original ip saddr 10.244.0.0/16 "),
        (OTHER, HAIRPIN, "ct original proto-dst 80 "),
        (OTHER, HAIRPIN, "tcp dport 8080 "),
        (OTHER, HAIRPIN, "tcp dport { 8080, 8082 } "),
        (OTHER, HAIRPIN, "ip daddr 10.244.0.0/16 "),
        (SAME, FORWARD, "\t\tip daddr 10.244.11.6 drop\n"),
        (SAME, FORWARD, "\t\tip saddr 10.244.1.5 ip daddr 10.244.11.6 drop\n"),
        (SAME, FORWARD, "\t\tct status dnat ct original ip daddr 10.96.0.12 drop\n"),
        (OTHER, FORWARD, "\t\tct status dnat ip daddr 10.250.0.0/16 drop\n"),
        (OTHER, FORWARD, "\t\tct status dnat ip saddr 10.250.0.0/16 ip daddr 10.250.11.6 drop\n"),
        (OTHER, FORWARD, "\t\tct status dnat tcp dport { 9090, 9092 } drop\n"),
        (OTHER, FORWARD, "\t\tct status dnat tcp dport 9000-9100 drop\n"),
        (OTHER, FORWARD, "\t\tct status dnat ct original proto-dst 443 drop\n"),
        (SAME, POSTROUTING, "\t\tip daddr 10.244.11.6 masquerade\n"),
        (SAME, POSTROUTING, "\t\tip daddr . tcp dport { 10.244.11.6 . 8080 } masquerade\n"),
        (OTHER, POSTROUTING, "\t\tct status dnat tcp dport { 9090, 9092 } masquerade\n"),
    ],
)  # fmt: skip
def test_one_of_many(last: tuple[str, int, int], where: str, instead: str) -> None:
    """What is wrong for the last of many like Services alone is found there, and nowhere else."""
    settings = NodeSettings(node_name="node-a", mode="nftables")
    objects = twelve(last)
    (right,) = texts(objects, settings, "nftables")
    head, mark, tail = right.partition("\ntable ip6 svcc {")
    wrong, count = re.subn(where, instead, head)
    assert count == 1
    found = verdicts(objects, settings, read(wrong + mark + tail, "nftables"))
    services = {frontend for _, frontend in found if "ns/s" in frontend}
    violated = {frontend for (_, frontend), verdict in found.items() if verdict == "violated"}
    assert len(services) == 12
    assert violated & services == {frontend for frontend in services if "ns/s11" in frontend}
