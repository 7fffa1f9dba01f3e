"""A picture says what packets must see: held to the behaviour cases, and to what explain says."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import pytest

import svcc.api
from svcc.api.inside.graph import graph
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import parse_address
from svcc.verify.picture.graph import graph_of
from svcc.verify.picture.picture import (
    Picture,
    PicturedFrontend,
    PicturedPort,
    PicturedService,
    Treatment,
)
from svcc.verify.simulator.packet import endpoint_text
from tests.paths import DATA, ROOT
from tests.support.clusters.cases import PacketCase, case_names, case_objects, read_case
from tests.support.effort import some
from tests.support.readings.outcomes import Drop, Refuse, Serve, Untouched

ALL = case_names()
SHOP = ROOT / "examples" / "shop"
NODE_B = DATA / "graph" / "node-b.yaml"
_NODE = ("192.168.7.10", "fd00:7::10")


def picture_of(name: str, mode: str = "iptables") -> Picture:
    objects, settings = case_objects(name, mode)
    return graph(objects, [settings], judge=False)


def frontends(picture: Picture) -> list[tuple[PicturedService, PicturedPort, PicturedFrontend]]:
    (node,) = picture.nodes
    return [(s, port, f) for s in node.services for port in s.ports for f in port.frontends]


def places_of(packet: PacketCase) -> list[str]:
    """Where a picture may have the frontend that a packet of a case is for."""
    host = f"[{packet.destination}]" if ":" in packet.destination else packet.destination
    node_port = [str(packet.port)] if packet.destination in _NODE else []
    return [f"{host}:{packet.port}", *node_port]


def seen(treatment: Treatment, port: PicturedPort) -> object:
    """A treatment as a case says it."""
    match treatment.action:
        case "serve":
            places = (port.backends[number].place for number in treatment.backends)
            found = frozenset(
                (place.rpartition(":")[0].strip("[]"), int(place.rpartition(":")[2]))
                for place in places
            )
            return found, treatment.masquerade
        case action:
            return action


def wanted(packet: PacketCase) -> object:
    match packet.wanted:
        case Serve(backends, masquerade):
            return backends, "always" if masquerade else "hairpins"
        case Refuse():
            return "refuse"
        case Drop():
            return "discard"
        case Untouched():
            return "untouched"
    raise AssertionError(packet.wanted)


def compared(name: str, mode: str) -> int:
    """How many packets of a case are those of usual senders; each must see what it must."""
    objects, settings = case_objects(name, mode)
    guarded = {service.key for service in objects.services if service.source_ranges}
    by_place = {
        (f.place, port.protocol, port.family): (service, port, f)
        for service, port, f in frontends(picture_of(name, mode))
    }
    count = 0
    for packet, item in zip(read_case(name).packets, _given(name), strict=True):
        who, _, address = item.partition(" to ")[0].partition(" ")
        protocol = {6: "TCP", 17: "UDP", 132: "SCTP"}[packet.protocol]
        family = "ipv6" if ":" in packet.destination else "ipv4"
        found = next(
            (
                by_place[place, protocol, family]
                for place in places_of(packet)
                if (place, protocol, family) in by_place
            ),
            None,
        )
        if found is None or address or not settings.pods.networks:
            continue
        service, port, frontend = found
        if service.key in guarded:
            # Which addresses outside are let in is a matter of the address.
            continue
        kind = "node" if who == "node" else _told(packet, settings)
        treatment = next(t for t in frontend.treatments if kind in t.senders)
        assert seen(treatment, port) == wanted(packet), (name, item)
        count += 1
    return count


def _told(packet: PacketCase, settings: NodeSettings) -> str:
    """What a node takes a sender for: a pod if its address is one of pods."""
    assert packet.source is not None
    source = parse_address(packet.source)
    network = settings.pods.networks.get(source.family)
    return "pod" if network is not None and network.holds(source) else "outside"


def _given(name: str) -> list[str]:
    return [packet.text for packet in read_case(name).packets]


@pytest.mark.parametrize("mode", ["iptables", "ipvs", "nftables"])
def test_pictures_show_what_the_behaviour_cases_say(mode: str) -> None:
    counts = {name: compared(name, mode) for name in ALL}
    assert sum(counts.values()) > 150
    assert sum(count > 0 for count in counts.values()) > 50


@pytest.mark.parametrize("name", some(ALL, 12))
def test_pictures_show_what_rules_do_that_are_right(name: str) -> None:
    """The shares, and whom they are of, are those that explain finds by sending packets."""
    objects, settings = case_objects(name)
    by_place = {
        (service.key, f.kind, f.place, port.protocol, port.family): (port, f)
        for service, port, f in frontends(picture_of(name))
    }
    for key in dict.fromkeys(place[0] for place in by_place):
        for item in svcc.api.explain(objects, settings, key):
            front = item.frontend
            assert front is not None
            if item.sender == "other":
                continue
            place = str(front.port)
            if front.address is not None:
                place = endpoint_text(front.family, front.address, front.port)
            protocol = {6: "TCP", 17: "UDP", 132: "SCTP"}[front.protocol]
            port, frontend = by_place[key, front.kind, place, protocol, front.family.label]
            treatment = next(t for t in frontend.treatments if item.sender in t.senders)
            shares: dict[str, Fraction] = {}
            for way in item.ways:
                if way.result.verdict == "passed" and way.result.translated:
                    end = way.result.destination, way.result.destination_port
                    backend = endpoint_text(front.family, *end)
                    shares[backend] = shares.get(backend, Fraction(0)) + way.share
            assert set(shares) == {port.backends[n].place for n in treatment.backends}
            for share in shares.values():
                assert treatment.share is not None
                assert abs(share - treatment.share) < Fraction(1, 1 << 28)
            assert set(item.why) <= set(treatment.why)


def shop() -> tuple[svcc.api.Objects, svcc.api.NodeSettings]:
    objects = svcc.api.load(str(SHOP))
    configuration = svcc.api.load_configuration(str(SHOP / "config.yaml"))
    return objects, svcc.api.node_settings(objects, configuration)


def test_every_usual_sender_has_one_treatment() -> None:
    for service, _, frontend in frontends(graph(*_nodes(), judge=False)):
        senders = [kind for t in frontend.treatments for kind in t.senders]
        assert sorted(senders) == ["node", "outside", "pod"], service.key


def _nodes() -> tuple[svcc.api.Objects, list[svcc.api.NodeSettings]]:
    objects, settings = shop()
    return objects, [settings]


def test_endpoints_that_are_not_used_are_there() -> None:
    (picture,) = graph(*_nodes(), "shop/api", judge=False).nodes
    (service,) = picture.services
    (port,) = service.ports
    assert [b.state for b in port.backends] == ["ready", "ready", "terminating, still serving"]
    assert [b.node for b in port.backends] == ["node-a", "node-b", "node-c"]
    assert {n for t in port.frontends[0].treatments for n in t.backends} == {0, 1}


def test_without_a_verdict_nothing_is_called_proved() -> None:
    (node,) = graph(*_nodes(), judge=False).nodes
    assert node.verdict is None
    assert {f.verdict for s in node.services for f in s.frontends()} == {None}
    assert {s.verdict for s in node.services} == {None}


def test_what_was_not_judged_is_not_called_proved() -> None:
    """Rules of one family say nothing of the other."""
    objects, settings = case_objects("dual-stack")
    rules = svcc.api.compile(objects, settings)
    text = rules.text(svcc.api.Family.IPV4)
    given = svcc.api.read_rules(text={"v4": text}, family=svcc.api.Family.IPV4)
    picture = graph(objects, [settings], "", given, family=svcc.api.Family.IPV4)
    (node,) = picture.nodes
    assert {port.family for s in node.services for port in s.ports} == {"ipv4"}
    assert {f.verdict for s in node.services for f in s.frontends()} == {"proved"}


@cache
def damaged() -> Picture:
    folder = ROOT / "tests" / "data" / "kube-proxy" / "clusterip-3ep"
    objects = svcc.api.load(str(folder / "objects.yaml"))
    node = svcc.api.node_settings(
        objects, node="node-a", node_ip="192.168.7.10", cluster_cidr="10.244.0.0/16"
    )
    text = (folder / "iptables-save.txt").read_text().replace("10.244.2.7:8080", "10.244.2.8:8080")
    return graph(objects, [node], "shop/web", svcc.api.read_rules(text={"damaged": text}))


def test_a_violation_has_the_packets_way() -> None:
    (node,) = damaged().nodes
    (service,) = node.services
    (frontend,) = service.frontends()
    assert node.verdict == service.verdict == frontend.verdict == "violated"
    finding = frontend.findings[0]
    assert (finding.code, finding.sender) == ("SVC002", "outside")
    assert finding.got == "sent to 10.244.2.8:8080, masqueraded"
    assert "10.244.2.7:8080" in finding.expected
    assert any("--to-destination 10.244.2.8:8080" in step.rule for step in finding.way)
    assert all(step.place.startswith("damaged:") for step in finding.way if step.rule)
    packets = [(f.code, f.sentence, f.packet) for f in frontend.findings]
    assert len(packets) == len(set(packets))


def test_findings_of_frontends_that_are_not_drawn_are_told() -> None:
    objects, settings = shop()
    text = svcc.api.compile(objects, settings).text(svcc.api.Family.IPV4)
    rules = svcc.api.read_rules(
        text={"damaged": text.replace("10.244.2.11:8080", "10.244.2.99:8080")}
    )
    (node,) = graph(objects, [settings], "shop/cart", rules, family=svcc.api.Family.IPV4).nodes
    assert {s.key: s.verdict for s in node.services} == {"shop/cart": "proved"}
    assert node.verdict == "violated"
    assert any("shop/api" in about for about, _ in node.findings)


@pytest.mark.parametrize(
    ("what", "namespace", "drawn"),
    [
        ("web", "", {"shop/web"}),
        ("web", "shop", {"shop/web"}),
        ("shop/web:https", "", {"shop/web"}),
        ("web.shop.svc.cluster.local", "", {"shop/web"}),
        ("10.96.10.4", "", {"shop/checkout"}),
        ("30090", "", {"shop/search"}),
    ],
)
def test_what_a_name_draws(what: str, namespace: str, drawn: set[str]) -> None:
    (node,) = graph(*_nodes(), what, namespace=namespace, judge=False).nodes
    assert {service.key for service in node.services} == drawn


def test_a_port_alone() -> None:
    (node,) = graph(*_nodes(), "shop/web:https", judge=False).nodes
    assert [port.name for port in node.services[0].ports] == ["https"]


@pytest.mark.parametrize(
    ("what", "namespace", "message"),
    [
        ("shop/wob", "", "there is no Service shop/wob"),
        ("database", "", "headless"),
        ("web", "nowhere", "there is no Service nowhere/web"),
        ("", "nowhere", "no Service in the namespace nowhere"),
    ],
)
def test_what_cannot_be_drawn(what: str, namespace: str, message: str) -> None:
    with pytest.raises(svcc.api.InputError, match=message):
        graph(*_nodes(), what, namespace=namespace, judge=False)


def test_nodes_differ() -> None:
    """Of a Local policy each node has its own backends."""
    objects = svcc.api.load(str(SHOP), str(NODE_B))
    configuration = svcc.api.load_configuration(str(SHOP / "config.yaml"))
    nodes = svcc.api.all_node_settings(objects, configuration)
    found = {}
    for node in graph(objects, nodes, "shop/checkout").nodes:
        (service,) = node.services
        (port,) = service.ports
        balancer = next(f for f in port.frontends if f.kind == "loadbalancer IP")
        outside = next(t for t in balancer.treatments if "outside" in t.senders)
        found[node.node] = ([port.backends[n].node for n in outside.backends], node.verdict)
    assert found == {"node-a": (["node-a"], "proved"), "node-b": (["node-b"], "proved")}


@pytest.mark.parametrize(("scheduler", "share"), [("rr", Fraction(1, 3)), ("lc", None)])
def test_what_ipvs_does_not_do_by_turns_has_no_shares(
    scheduler: str, share: Fraction | None
) -> None:
    objects, settings = shop()
    configuration = svcc.api.load_configuration(str(SHOP / "config.yaml"))
    settings = svcc.api.node_settings(objects, configuration, mode="ipvs", ipvs_scheduler=scheduler)
    (service,) = graph(objects, [settings], "shop/web:http", judge=False).nodes[0].services
    treatments = [t for f in service.frontends() for t in f.treatments if t.action == "serve"]
    assert {treatment.share for treatment in treatments} == {share}
    labels = {e.label for e in graph_of(service, "node-a").edges if e.kind == "share"}
    assert labels == {"1/3" if share else "by lc"}
