"""svcc asked about recorded objects: which way its rules send a packet, and its verdict."""

from __future__ import annotations

import io
import ipaddress
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from svcc.api.own_rules import read_back
from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Address, Family, parse_address, parse_network
from svcc.grammar.errors import InputError
from svcc.verify.confirm.judge import describe_result
from svcc.verify.explain import Explainer
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.report.explanation import Explanation
from svcc.verify.report.report import Report
from svcc.verify.simulator.packet import EPHEMERAL_PORT, Packet
from tests.support.proofs import PROVER, verify

PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}


def load_objects(objects: Sequence[Mapping[str, Any]]) -> Objects:
    """The objects as svcc reads them.

    Raises:
        InputError: it does not take them.
    """
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=1)
    return load(["-"], stdin=io.BytesIO(text.encode()))


def family_of(settings: Mapping[str, Any]) -> Family:
    """The family that a recorded proxier was for."""
    return Family.IPV6 if settings.get("ipFamily") == "IPv6" else Family.IPV4


def node_settings(settings: Mapping[str, Any], mode: str) -> NodeSettings:
    """The settings of a recorded proxier."""
    pods = PodDetection()
    match settings.get("ifLocal") or []:
        case ["-s", text]:
            network = parse_network(text)
            pods = PodDetection({network.family: network})
        case ["-i", name]:
            pods = PodDetection(in_interface=name)
    selected = settings.get("nodePortAddresses") or []
    everywhere = not selected or any(text in ("0.0.0.0/0", "::/0") for text in selected)
    zone = (settings.get("topologyLabels") or {}).get("topology.kubernetes.io/zone")
    return NodeSettings(
        node_name=settings.get("nodeName") or "test-node",
        addresses=_own_addresses(settings),
        zone=zone or None,
        mode="ipvs" if mode == "ipvs" else "iptables",
        pods=pods,
        masquerade_all=bool(settings.get("masqueradeAll")),
        masquerade_bit=int(settings.get("masqueradeMark") or "0x4000", 16).bit_length() - 1,
        node_port_networks=None if everywhere else tuple(map(parse_network, selected)),
        # kube-proxy's nftables mode has none.
        localhost_node_ports=settings.get("localhostNodePorts") is not False and mode != "nftables",
        tcp_be_liberal=bool(settings.get("conntrackTCPLiberal")),
    )


def _own_addresses(settings: Mapping[str, Any]) -> tuple[Address, ...]:
    found = [
        text.split("/")[0] for text in settings.get("interfaceAddresses", []) if "<" not in text
    ]
    found += sorted(settings.get("nodeAddresses", []))
    first = settings.get("nodeIP")
    found.sort(key=lambda text: text != first)
    return tuple(
        parse_address(text)
        for text in dict.fromkeys(found)
        if not ipaddress.ip_address(text).is_loopback
    )


class Way(NamedTuple):
    """One thing that can become of a packet, as kube-proxy's tests say it.

    ``end`` is ``ADDRESS:PORT``, ``rejected``, ``dropped`` or ``left alone``.
    """

    end: str
    masqueraded: bool
    accepted: bool
    """Whether a rule of the filter table accepts it."""


class Node:
    """One family of one node: svcc's own rules, or the rules given."""

    def __init__(
        self,
        objects: Sequence[Mapping[str, Any]],
        settings: NodeSettings,
        family: Family,
        rules: LoadedRules | None = None,
    ) -> None:
        """Compile, unless rules are given.

        Raises:
            InputError: svcc does not take the objects.
        """
        loaded = load_objects(objects)
        if rules is None:
            rules = read_back(compile_objects(loaded, settings))[family]
        self._family = family
        self._explainer = Explainer(loaded, settings, family, rules, PROVER)

    def explain(self, source: str, destination: str, port: int, protocol: str) -> Explanation:
        """What svcc says of a packet from a wire, or from the node if the address is its own."""
        packet = Packet(
            self._family, False, parse_address(source).value, EPHEMERAL_PORT,
            parse_address(destination).value, port, PROTOCOLS[protocol.upper()], "eth0",
        )  # fmt: skip
        return self._explainer.packet(packet)

    def ends(self, source: str, destination: str, port: int, protocol: str) -> list[str]:
        """Where the packet may end, sorted."""
        return sorted({w.end for w in ways(self.explain(source, destination, port, protocol))})


def ends_of(
    objects: Sequence[Mapping[str, Any]],
    settings: NodeSettings,
    family: Family,
    packet: tuple[str, str, int, str],
) -> list[str]:
    """:meth:`Node.ends`, or what is wrong with the objects."""
    try:
        return Node(objects, settings, family).ends(*packet)
    except InputError as error:
        return [bad_input(error)]


def bad_input(error: InputError) -> str:
    """What is wrong with the objects, on one line."""
    lines = [line for line in str(error).splitlines() if ": note: " not in line]
    return f"bad input: {' / '.join(lines)}"


def ways(explanation: Explanation) -> list[Way]:
    """What can become of the packet."""
    found = []
    for way in explanation.ways:
        got = describe_result(explanation.packet, way.result)
        end = got
        if got.startswith("sent to "):
            end = got.removeprefix("sent to ").partition(",")[0]
        elif got.startswith("sent on unchanged"):
            end = "left alone"
        accepted = any(s.table == "filter" and s.effect == "ACCEPT" for s in way.result.trace)
        found.append(Way(end, got.endswith(", masqueraded"), accepted))
    return found


def judged(
    objects: Sequence[Mapping[str, Any]],
    settings: NodeSettings,
    rules: Mapping[Family, LoadedRules],
) -> Report:
    """The verdict on rules.

    Raises:
        InputError: svcc does not take the objects.
    """
    return verify(load_objects(objects), settings, rules)


def verdict(report: Report) -> str:
    """``proved``, or what is wrong."""
    wrong = [f for f in report.findings if f.verdict != "proved"]
    codes = " ".join(sorted({f.code for f in wrong if f.code}))
    said = "".join(f" / {f.code} {f.sentence()} {f.reason}" for f in wrong[:3])
    return report.verdict if not wrong else f"{report.verdict} {codes}{said}"
