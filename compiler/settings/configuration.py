"""Node settings from a KubeProxyConfiguration, flags, variables and the Node object.

Source: k8s.io/kube-proxy/config/v1alpha1 types; cmd/kube-proxy/app/options.go for the flags;
pkg/proxy/apis/config/validation for what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svcc.compiler.api_names.fields import unknown_fields
from svcc.compiler.load.addresses import LegacySpelling, address, network
from svcc.compiler.load.document import Complaint, Place, Source, positions_of, problems_of
from svcc.compiler.load.fields import Fields, Report, field_name, is_name
from svcc.compiler.load.inputs import STANDARD_INPUT, reason, source_of, standard_input
from svcc.compiler.load.text import shorten
from svcc.compiler.model.objects import SCHEDULERS, Node, Objects
from svcc.compiler.settings.agent import AgentSettings, agent_settings, duration
from svcc.compiler.settings.configuration_document import KUBE_PROXY, find_configuration
from svcc.compiler.settings.node import IpvsSettings, Mode, NodeSettings, PodDetection
from svcc.compiler.settings.overrides import Layers, Overrides
from svcc.grammar.address import Address, Family, Network
from svcc.grammar.errors import InputError, Position, Problem

__all__ = [
    "Configuration",
    "Overrides",
    "all_node_settings",
    "load_configuration",
    "node_settings",
]

DETECT_MODES = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
MODES: tuple[Mode, ...] = ("iptables", "ipvs", "nftables", "userspace")
MAX_INTERFACE_NAME = 15
"""IFNAMSIZ of linux/if.h without the closing zero."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A KubeProxyConfiguration: its settings, and kube-proxy's fields that svcc has no use for."""

    settings: Overrides = field(default_factory=Overrides)
    ignored: tuple[str, ...] = ()
    positions: Mapping[str, Position] = field(default_factory=dict)
    """Where the file has each setting that it gives, for those that are judged later."""
    agent: AgentSettings = field(default_factory=AgentSettings)
    """What it says to a process that stays, beside the settings of the rules."""
    warnings: tuple[Problem, ...] = ()
    """Fields that no kube-proxy knows, with the nearest right name; unusual spellings."""


EXTERNAL_IPS_GATE = "AllowServiceExternalIPs"
"""The feature gate of ``spec.externalIPs`` (KEP-5707), on by default."""

_PATHS: dict[str, tuple[str, ...]] = {
    "proxy_mode": ("mode",),
    "hostname_override": ("hostnameOverride",),
    "cluster_cidr": ("clusterCIDR",),
    "nodeport_addresses": ("nodePortAddresses",),
    "detect_local_mode": ("detectLocalMode",),
    "pod_bridge_interface": ("detectLocal", "bridgeInterface"),
    "pod_interface_name_prefix": ("detectLocal", "interfaceNamePrefix"),
    "masquerade_all": ("iptables", "masqueradeAll"),
    "iptables_masquerade_bit": ("iptables", "masqueradeBit"),
    "iptables_localhost_nodeports": ("iptables", "localhostNodePorts"),
    "conntrack_tcp_be_liberal": ("conntrack", "tcpBeLiberal"),
    "feature_gates": ("featureGates", EXTERNAL_IPS_GATE),
    "ipvs_scheduler": ("ipvs", "scheduler"),
    "ipvs_strict_arp": ("ipvs", "strictARP"),
    "ipvs_exclude_cidrs": ("ipvs", "excludeCIDRs"),
    "ipvs_tcp_timeout": ("ipvs", "tcpTimeout"),
    "ipvs_tcpfin_timeout": ("ipvs", "tcpFinTimeout"),
    "ipvs_udp_timeout": ("ipvs", "udpTimeout"),
}
"""Where the file has each setting."""

_ONLY_CHECKED = {("apiVersion",), ("kind",)}


def load_configuration(path: str) -> Configuration:
    """Read a KubeProxyConfiguration from a file (YAML or JSON), or from standard input for ``-``.

    The file may be a ConfigMap that has it as text, or have documents of other kinds beside it.

    Raises:
        InputError: the file cannot be read, or a setting is wrong.
    """
    try:
        if path == "-":
            source = source_of(STANDARD_INPUT, standard_input(None))
        else:
            source = source_of(path, Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError([Problem(Position(path), f"cannot read: {reason(error)}")]) from None
    return configuration_of(source)


def configuration_of(source: Source) -> Configuration:
    """A KubeProxyConfiguration.

    Raises:
        InputError: it is none, or a setting is wrong.
    """
    kind, api_version = KUBE_PROXY
    source, number, path, value = find_configuration(source)
    complaints: list[Complaint] = []
    report = Report(source, number, complaints)
    top = Fields(value, path, report)
    if (top.raw("kind"), top.raw("apiVersion")) != KUBE_PROXY:
        top.wrong(None, f"this is no {kind} of {api_version}")
    settings, ignored = _configured(top), tuple(_passed_over(top))
    agent = agent_settings(top)
    unknown = list(unknown_fields(kind, api_version, value))
    for item in unknown:
        top.unknown(item.path, kind, item.meant, item.elsewhere)
    problems = problems_of(list(dict.fromkeys(complaints)))
    if report.errors:
        raise InputError(problems)
    unknown_names = {field_name(item.path) for item in unknown}
    given = {
        name: Place(source, number, (*path, *where))
        for name, where in _PATHS.items()
        if getattr(settings, name) is not None
    }
    positions = positions_of(given.values())
    return Configuration(
        settings,
        tuple(name for name in ignored if name not in unknown_names),
        {name: positions[place] for name, place in given.items()},
        agent,
        tuple(sorted(problems)),
    )


def _configured(top: Fields) -> Overrides:
    iptables, ipvs = top.object("iptables"), top.object("ipvs")
    conntrack, local = top.object("conntrack"), top.object("detectLocal")
    for part in filter(None, top.text("clusterCIDR").split(",")):
        try:
            network(part)
        except LegacySpelling as legacy:
            top.warn("clusterCIDR", str(legacy))
        except ValueError as error:
            top.wrong("clusterCIDR", str(error))
    external_ips = _flag(top.object("featureGates"), EXTERNAL_IPS_GATE)
    bit = iptables.number("masqueradeBit", 0, 31, -1)
    return Overrides(
        proxy_mode=top.choice("mode", ("", *MODES), "") or None,
        hostname_override=top.text("hostnameOverride") or None,
        cluster_cidr=top.text("clusterCIDR") or None,
        nodeport_addresses=",".join(top.texts("nodePortAddresses", _node_port_address)) or None,
        detect_local_mode=top.choice("detectLocalMode", ("", *DETECT_MODES), "") or None,
        pod_bridge_interface=local.text("bridgeInterface") or None,
        pod_interface_name_prefix=local.text("interfaceNamePrefix") or None,
        masquerade_all=_flag(iptables, "masqueradeAll"),
        iptables_masquerade_bit=None if bit < 0 else bit,
        iptables_localhost_nodeports=_flag(iptables, "localhostNodePorts"),
        conntrack_tcp_be_liberal=_flag(conntrack, "tcpBeLiberal"),
        feature_gates=None
        if external_ips is None
        else f"{EXTERNAL_IPS_GATE}={'true' if external_ips else 'false'}",
        ipvs_scheduler=ipvs.choice("scheduler", ("", *SCHEDULERS), "") or None,
        ipvs_strict_arp=_flag(ipvs, "strictARP"),
        ipvs_exclude_cidrs=",".join(ipvs.texts("excludeCIDRs", _as_network)) or None,
        ipvs_tcp_timeout=ipvs.text("tcpTimeout") or None,
        ipvs_tcpfin_timeout=ipvs.text("tcpFinTimeout") or None,
        ipvs_udp_timeout=ipvs.text("udpTimeout") or None,
    )


def _flag(fields: Fields, key: str) -> bool | None:
    return fields.flag(key, False) if fields.has(key) else None


def _as_network(text: str) -> str:
    try:
        network(text)
    except LegacySpelling as legacy:
        raise LegacySpelling(str(legacy), str(legacy.value)) from None
    return text


def _node_port_address(text: str) -> str:
    return text if text == "primary" else _as_network(text)


def _passed_over(top: Fields) -> list[str]:
    """The fields that are there and say nothing to us, as ``iptables.syncPeriod``."""
    read = _ONLY_CHECKED | set(_PATHS.values())
    sections = {where[0] for where in read if len(where) > 1}
    found: list[tuple[str, ...]] = [
        (name,) for name in top.names() if name not in sections and top.has(name)
    ]
    for name in sections:
        section = top.object(name)
        found += [(name, inner) for inner in section.names() if section.has(inner)]
    return sorted(field_name(where) for where in found if where not in read)


def node_settings(
    objects: Objects,
    configuration: Configuration,
    flags: Overrides,
    environment: Overrides,
    *,
    hostname: str,
) -> tuple[NodeSettings, list[str]]:
    """The settings of one node, and notes about them for the person who asked.

    Precedence: flag, variable, file. ``hostname`` is the host's own name, for when nobody
    names the node.

    Raises:
        InputError: a setting is wrong, or the node that was asked for is not there.
    """
    layers = _layers(configuration, flags, environment)
    given = layers.merged()
    if given.hostname_override is not None and not given.hostname_override.strip():
        message = "the name of the node is empty; name it, or leave the option out for this host"
        raise InputError([Problem(layers.position("hostname_override"), message)])
    name = (given.hostname_override or hostname).strip().lower()
    node = next((item for item in objects.nodes if item.name == name), None)
    notes: list[str] = []
    known = node is not None or given.hostname_override is not None or bool(given.node_ip)
    if node is None and objects.nodes:
        names = ", ".join(sorted(item.name for item in objects.nodes)[:10])
        if given.hostname_override is not None and not given.node_ip:
            message = f"no Node {shorten(name)} among the objects; there are {names}"
            raise InputError([Problem(layers.position("hostname_override"), message)])
        if not given.node_ip:
            notes.append(
                f"no Node named {name} among the objects ({names}); compiled for a node that "
                "runs none of the endpoints (--node names another)"
            )
            known = False
    elif node is None and not known:
        notes.append(
            "no Node among the objects; compiled for a node that runs none of the endpoints "
            "(--node, --node-ip and --pod-cidr describe it)"
        )
    return _settings(layers, name, node, known), notes


def _layers(configuration: Configuration, flags: Overrides, environment: Overrides) -> Layers:
    return Layers(flags, environment, configuration.settings, configuration.positions)


def all_node_settings(
    objects: Objects, configuration: Configuration, flags: Overrides, environment: Overrides
) -> list[NodeSettings]:
    """The settings of every Node among the objects, by name.

    Raises:
        InputError: there is no Node, or a setting is wrong.
    """
    if not objects.nodes:
        message = "no Node among the objects; add them (kubectl get nodes -o yaml)"
        raise InputError([Problem(Position("--all-nodes"), message)])
    layers = _layers(configuration, flags, environment)
    return [
        _settings(layers, node.name, node, True)
        for node in sorted(objects.nodes, key=lambda node: node.name)
    ]


class _Reader:
    """Reads texts of settings and collects what is wrong with them."""

    def __init__(self, layers: Layers) -> None:
        self.problems: list[Problem] = []
        self._layers = layers

    def wrong(self, setting: str, message: str) -> None:
        self.problems.append(Problem(self._layers.position(setting), message))

    def each(self, setting: str, texts: tuple[str, ...], read: Callable[[str], Any]) -> list[Any]:
        found = []
        for text in texts:
            try:
                found.append(read(text.strip()))
            except LegacySpelling as legacy:
                found.append(legacy.value)
            except ValueError as error:
                self.wrong(setting, str(error))
        return found

    def one_per_family(self, setting: str, networks: list[Network]) -> dict[Family, Network]:
        found: dict[Family, Network] = {}
        for item in networks:
            if item.family in found:
                self.wrong(setting, f"{found[item.family]} and {item} are of one family; give one")
            found.setdefault(item.family, item)
        return found

    def choice(self, setting: str, value: str, choices: tuple[str, ...]) -> str:
        if value not in choices:
            self.wrong(setting, f"{shorten(value)} is not known; write {' or '.join(choices)}")
            return choices[0]
        return value


def _settings(layers: Layers, name: str, node: Node | None, known: bool) -> NodeSettings:
    given = layers.merged()
    reader = _Reader(layers)
    if not is_name(name, "subdomain"):
        reader.wrong("hostname_override", f"{shorten(name)} is not a node name")
    addresses: list[Address] = reader.each("node_ip", given.node_ip or (), address)
    if not addresses and node is not None:
        addresses = list(node.addresses)
    pod_cidrs: list[Network] = reader.each("pod_cidr", given.pod_cidr or (), network)
    if not pod_cidrs and node is not None:
        pod_cidrs = list(node.pod_cidrs)
    bit = given.iptables_masquerade_bit
    if bit is not None and not 0 <= bit <= 31:
        reader.wrong("iptables_masquerade_bit", f"{bit} is out of range; write 0 to 31")
        bit = None
    mode = reader.choice("proxy_mode", given.proxy_mode or "iptables", MODES)
    pods = _pods(given, pod_cidrs, reader)
    settings = NodeSettings(
        node_name=name,
        known_node=known,
        addresses=tuple(addresses),
        zone=given.zone or (node.zone if node is not None else None),
        mode=next(item for item in MODES if item == mode),
        pods=pods,
        service_networks=_service_networks(given, pods, addresses, reader),
        masquerade_all=bool(given.masquerade_all),
        masquerade_bit=14 if bit is None else bit,
        node_port_networks=_node_port_networks(given, addresses, reader),
        localhost_node_ports=given.iptables_localhost_nodeports is not False,
        tcp_be_liberal=bool(given.conntrack_tcp_be_liberal),
        ipvs=_ipvs(given, reader),
        external_ips=_has_external_ips(given, reader),
    )
    if reader.problems:
        raise InputError(reader.problems)
    return settings


def _has_external_ips(given: Overrides, reader: _Reader) -> bool:
    """Whether external IPs are served; other feature gates say nothing to us."""
    allowed = True
    for part in filter(None, map(str.strip, (given.feature_gates or "").split(","))):
        name, _, value = part.partition("=")
        if value.strip() not in ("true", "false"):
            reader.wrong("feature_gates", f"{shorten(part)} is not like Name=true or Name=false")
        elif name.strip() == EXTERNAL_IPS_GATE:
            allowed = value.strip() == "true"
    return allowed


_MAX_TIMEOUT = 31 * 24 * 3600


def _whole_seconds(text: str) -> int:
    """A Go duration (``15m``, ``1h30m``, ``0s``) in whole seconds.

    Raises:
        ValueError: it is none, or no number of seconds that ipvsadm takes.
    """
    seconds = duration(text)
    if seconds != int(seconds) or seconds > _MAX_TIMEOUT:
        raise ValueError(f"{shorten(text)} must be whole seconds, at most 31 days")
    return int(seconds)


def _ipvs(given: Overrides, reader: _Reader) -> IpvsSettings:
    scheduler = reader.choice("ipvs_scheduler", given.ipvs_scheduler or "rr", SCHEDULERS)
    texts = tuple(filter(None, (given.ipvs_exclude_cidrs or "").split(",")))
    excluded = reader.each("ipvs_exclude_cidrs", texts, network)

    def seconds(setting: str) -> int:
        text = getattr(given, setting)
        found = reader.each(setting, (text,), _whole_seconds) if text else []
        return found[0] if found else 0

    return IpvsSettings(
        scheduler=scheduler,
        strict_arp=bool(given.ipvs_strict_arp),
        exclude_networks=tuple(excluded),
        tcp_timeout=seconds("ipvs_tcp_timeout"),
        tcp_fin_timeout=seconds("ipvs_tcpfin_timeout"),
        udp_timeout=seconds("ipvs_udp_timeout"),
    )


def _pods(given: Overrides, pod_cidrs: list[Network], reader: _Reader) -> PodDetection:
    mode = reader.choice(
        "detect_local_mode", given.detect_local_mode or "ClusterCIDR", DETECT_MODES
    )
    if mode == "BridgeInterface":
        bridge = given.pod_bridge_interface or ""
        if not bridge:
            reader.wrong("pod_bridge_interface", "BridgeInterface needs the bridge's name")
        elif not _is_interface(bridge):
            reader.wrong("pod_bridge_interface", f"{shorten(bridge)} is no interface's name")
        return PodDetection(in_interface=bridge)
    if mode == "InterfaceNamePrefix":
        prefix = given.pod_interface_name_prefix or ""
        if not prefix:
            reader.wrong("pod_interface_name_prefix", "InterfaceNamePrefix needs the prefix")
        elif not _is_interface(f"{prefix}0"):
            reader.wrong("pod_interface_name_prefix", f"{shorten(prefix)} is no such prefix")
        return PodDetection(in_interface=f"{prefix}+")
    if mode == "NodeCIDR":
        if not pod_cidrs:
            reader.wrong("pod_cidr", "detectLocalMode NodeCIDR needs the node's pod CIDR")
        return PodDetection(reader.one_per_family("pod_cidr", pod_cidrs))
    texts = tuple(filter(None, (given.cluster_cidr or "").split(",")))
    return PodDetection(
        reader.one_per_family("cluster_cidr", reader.each("cluster_cidr", texts, network))
    )


def _service_networks(
    given: Overrides, pods: PodDetection, addresses: list[Address], reader: _Reader
) -> tuple[Network, ...]:
    setting = "service_cluster_ip_range"
    texts = tuple(filter(None, (given.service_cluster_ip_range or "").split(",")))
    found = reader.one_per_family(setting, reader.each(setting, texts, network))
    for item in found.values():
        taken = pods.networks.get(item.family)
        if taken is not None and item.overlaps(taken):
            reader.wrong(setting, f"{item} overlaps the pod network {taken}; one of them is wrong")
        for own in filter(item.holds, addresses):
            reader.wrong(setting, f"{item} holds the node's address {own}; one of them is wrong")
    return tuple(found.values())


def _is_interface(name: str) -> bool:
    return (
        len(name) <= MAX_INTERFACE_NAME
        and name.isascii()
        and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    )


def _node_port_networks(
    given: Overrides, addresses: list[Address], reader: _Reader
) -> tuple[Network, ...] | None:
    texts = tuple(filter(None, map(str.strip, (given.nodeport_addresses or "").split(","))))
    if not texts:
        return None
    if "primary" in texts:
        if len(texts) > 1:
            reader.wrong("nodeport_addresses", "primary stands alone, without CIDRs")
        primary: dict[Family, Address] = {}
        for item in addresses:
            primary.setdefault(item.family, item)
        return tuple(
            Network(item.family, item.value, item.family.bits) for item in primary.values()
        )
    networks: list[Network] = reader.each("nodeport_addresses", texts, network)
    # kube-proxy falls back to all addresses of a family that no CIDR is of.
    missing = {Family.IPV4, Family.IPV6} - {item.family for item in networks}
    everything = [Network(family, 0, 0) for family in sorted(missing)]
    return (*networks, *everything)
