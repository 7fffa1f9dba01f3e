"""Node settings from a KubeProxyConfiguration, flags, variables and the Node object.

Source: k8s.io/kube-proxy/config/v1alpha1 types; cmd/kube-proxy/app/options.go for the flags;
pkg/proxy/apis/config/validation for what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from svcc.compiler.document import Complaint, TextError, problems_of
from svcc.compiler.errors import InputError, Position, Problem
from svcc.compiler.fields import Fields, Report, address, is_name, network, shorten
from svcc.compiler.load import read_source
from svcc.compiler.objects import Node, Objects
from svcc.compiler.settings import Mode, NodeSettings, PodDetection
from svcc.grammar.address import Address, Family, Network

API_VERSION = "kubeproxy.config.k8s.io/v1alpha1"
DETECT_MODES = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
MODES: tuple[Mode, ...] = ("iptables", "ipvs", "nftables")
IPVS_SCHEDULERS = (
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Overrides:
    """Settings given by flags, variables or the configuration file; None: not given.

    Field names are kube-proxy's flag names with underscores.
    """

    proxy_mode: str | None = None
    hostname_override: str | None = None
    cluster_cidr: str | None = None
    nodeport_addresses: str | None = None
    detect_local_mode: str | None = None
    pod_bridge_interface: str | None = None
    pod_interface_name_prefix: str | None = None
    masquerade_all: bool | None = None
    iptables_masquerade_bit: int | None = None
    iptables_localhost_nodeports: bool | None = None
    conntrack_tcp_be_liberal: bool | None = None
    ipvs_scheduler: str | None = None
    node_ip: tuple[str, ...] | None = None
    pod_cidr: tuple[str, ...] | None = None
    zone: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Overrides:
        """Settings from SVCC_* variables, named as the flags: ``SVCC_CLUSTER_CIDR``.

        ``SVCC_MODE`` and ``SVCC_NODE`` are short for ``SVCC_PROXY_MODE`` and
        ``SVCC_HOSTNAME_OVERRIDE``.

        Raises:
            InputError: a variable's value is not of its type.
        """
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for item in fields(cls):
            names = [f"SVCC_{item.name.upper()}"]
            names += [f"SVCC_{short}" for short, name in _SHORT.items() if name == item.name]
            for variable in names:
                if variable not in environment:
                    continue
                try:
                    values[item.name] = _from_text(str(item.type), environment[variable])
                except ValueError as error:
                    problems.append(Problem(Position(variable), str(error)))
        if problems:
            raise InputError(problems)
        return cls(**values)

    def over(self, other: Overrides) -> Overrides:
        """These settings, and the other's where these say nothing."""
        given = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) is not None
        }
        return replace(other, **given)


_SHORT = {"MODE": "proxy_mode", "NODE": "hostname_override"}
_WORDS = {"true": True, "1": True, "false": False, "0": False}


def _from_text(kind: str, text: str) -> Any:
    if kind.startswith("bool"):
        if text.lower() not in _WORDS:
            raise ValueError(f"{shorten(text)} is neither true nor false")
        return _WORDS[text.lower()]
    if kind.startswith("int"):
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise ValueError(f"{shorten(text)} is not a number")
        return int(text)
    if kind.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


@dataclass(frozen=True, slots=True)
class Configuration:
    """A KubeProxyConfiguration: its settings, and the fields that were passed over."""

    settings: Overrides = Overrides()
    ignored: tuple[str, ...] = ()
    positions: Mapping[str, Position] = field(default_factory=dict)
    """Where each setting stands in the file, for those that are judged later."""


_READ = {
    "apiVersion", "kind", "mode", "hostnameOverride", "clusterCIDR", "nodePortAddresses",
    "detectLocalMode", "detectLocal", "iptables", "ipvs", "conntrack",
}  # fmt: skip


def load_configuration(path: str) -> Configuration:
    """Read a KubeProxyConfiguration file (YAML or JSON).

    Raises:
        InputError: the file cannot be read, or a setting is wrong.
    """
    try:
        source = read_source(path, Path(path).read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError([Problem(Position(path), f"cannot read: {reason}")]) from None
    try:
        documents = [value for value in source.documents() if value is not None]
    except TextError as error:
        place = Position(path, error.line, error.column)
        raise InputError([Problem(place, error.message)]) from None
    complaints: list[Complaint] = []
    if len(documents) != 1 or not isinstance(documents[0], dict):
        message = f"this must be one KubeProxyConfiguration ({API_VERSION})"
        raise InputError([Problem(Position(path, 1, 1), message)])
    top = Fields(documents[0], (), Report(source, 0, complaints))
    if (top.raw("kind"), top.raw("apiVersion")) != ("KubeProxyConfiguration", API_VERSION):
        top.wrong(None, f"this is no KubeProxyConfiguration of {API_VERSION}")
    configuration = Configuration(_configured(top), tuple(_passed_over(top)))
    if complaints:
        raise InputError(problems_of(complaints))
    return configuration


def _configured(top: Fields) -> Overrides:
    iptables, ipvs = top.object("iptables"), top.object("ipvs")
    conntrack, local = top.object("conntrack"), top.object("detectLocal")
    for key in ("tcpTimeout", "tcpFinTimeout", "udpTimeout"):
        ipvs.text(key)
    ipvs.flag("strictARP", False)
    ipvs.texts("excludeCIDRs", network)
    masquerade_all = iptables.flag("masqueradeAll", False)
    addresses = top.texts("nodePortAddresses", str)
    bit = iptables.number("masqueradeBit", 0, 31, -1)
    top.choice("detectLocalMode", ("", *DETECT_MODES), "")
    top.choice("mode", ("", *MODES), "")
    ipvs.choice("scheduler", ("", *IPVS_SCHEDULERS), "")
    top.texts("nodePortAddresses", _node_port_address)
    for part in filter(None, top.text("clusterCIDR").split(",")):
        try:
            network(part)
        except ValueError as error:
            top.wrong("clusterCIDR", str(error))
    return Overrides(
        proxy_mode=top.text("mode") or None,
        hostname_override=top.text("hostnameOverride") or None,
        cluster_cidr=top.text("clusterCIDR") or None,
        nodeport_addresses=",".join(addresses) or None,
        detect_local_mode=top.text("detectLocalMode") or None,
        pod_bridge_interface=local.text("bridgeInterface") or None,
        pod_interface_name_prefix=local.text("interfaceNamePrefix") or None,
        masquerade_all=masquerade_all if iptables.has("masqueradeAll") else None,
        iptables_masquerade_bit=None if bit < 0 else bit,
        iptables_localhost_nodeports=(
            iptables.flag("localhostNodePorts", True)
            if iptables.has("localhostNodePorts")
            else None
        ),
        conntrack_tcp_be_liberal=(
            conntrack.flag("tcpBeLiberal", False) if conntrack.has("tcpBeLiberal") else None
        ),
        ipvs_scheduler=ipvs.text("scheduler") or None,
    )


def _node_port_address(text: str) -> str:
    if text != "primary":
        network(text)
    return text


def _passed_over(top: Fields) -> list[str]:
    known = {
        "iptables": {"masqueradeAll", "masqueradeBit", "localhostNodePorts"},
        "ipvs": {
            "scheduler", "strictARP", "excludeCIDRs", "tcpTimeout", "tcpFinTimeout", "udpTimeout",
        },
        "conntrack": {"tcpBeLiberal"},
        "detectLocal": {"bridgeInterface", "interfaceNamePrefix"},
    }  # fmt: skip
    found = [key for key in top.names() if key not in _READ and top.has(key)]
    for name, inner in known.items():
        section = top.object(name)
        found += [
            f"{name}.{key}" for key in section.names() if key not in inner and section.has(key)
        ]
    return sorted(found)


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
    given = flags.over(environment.over(configuration.settings))
    name = (given.hostname_override or hostname).strip().lower()
    node = next((item for item in objects.nodes if item.name == name), None)
    notes: list[str] = []
    known = node is not None or given.hostname_override is not None or bool(given.node_ip)
    if node is None and objects.nodes:
        names = ", ".join(sorted(item.name for item in objects.nodes)[:10])
        if given.hostname_override is not None and not given.node_ip:
            message = f"no Node {shorten(name)} among the objects; there are {names}"
            raise InputError([Problem(Position("--node"), message)])
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
    return _settings(given, name, node, known), notes


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
    given = flags.over(environment.over(configuration.settings))
    return [
        _settings(given, node.name, node, True)
        for node in sorted(objects.nodes, key=lambda node: node.name)
    ]


class _Reader:
    """Reads texts of settings and collects what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, flag: str, message: str) -> None:
        self.problems.append(Problem(Position(f"--{flag}"), message))

    def each(self, flag: str, texts: tuple[str, ...], read: Callable[[str], Any]) -> list[Any]:
        found = []
        for text in texts:
            try:
                found.append(read(text.strip()))
            except ValueError as error:
                self.wrong(flag, str(error))
        return found

    def one_per_family(self, flag: str, networks: list[Network]) -> dict[Family, Network]:
        found: dict[Family, Network] = {}
        for item in networks:
            if item.family in found:
                self.wrong(flag, f"{found[item.family]} and {item} are of one family; give one")
            found.setdefault(item.family, item)
        return found

    def choice(self, flag: str, value: str, choices: tuple[str, ...]) -> str:
        if value not in choices:
            self.wrong(flag, f"{shorten(value)} is not known; write {' or '.join(choices)}")
            return choices[0]
        return value


def _settings(given: Overrides, name: str, node: Node | None, known: bool) -> NodeSettings:
    reader = _Reader()
    if not is_name(name, "subdomain"):
        reader.wrong("node", f"{shorten(name)} is not a node name")
    addresses: list[Address] = reader.each("node-ip", given.node_ip or (), address)
    if not addresses and node is not None:
        addresses = list(node.addresses)
    pod_cidrs: list[Network] = reader.each("pod-cidr", given.pod_cidr or (), network)
    if not pod_cidrs and node is not None:
        pod_cidrs = list(node.pod_cidrs)
    bit = given.iptables_masquerade_bit
    if bit is not None and not 0 <= bit <= 31:
        reader.wrong("iptables-masquerade-bit", f"{bit} is out of range; write 0 to 31")
        bit = None
    if given.ipvs_scheduler:
        reader.choice("ipvs-scheduler", given.ipvs_scheduler, IPVS_SCHEDULERS)
    mode = reader.choice("mode", given.proxy_mode or "iptables", MODES)
    settings = NodeSettings(
        name,
        known,
        tuple(addresses),
        given.zone or (node.zone if node is not None else None),
        next(item for item in MODES if item == mode),
        _pods(given, pod_cidrs, reader),
        bool(given.masquerade_all),
        14 if bit is None else bit,
        _node_port_networks(given, addresses, reader),
        given.iptables_localhost_nodeports is not False,
        bool(given.conntrack_tcp_be_liberal),
    )
    if reader.problems:
        raise InputError(reader.problems)
    return settings


def _pods(given: Overrides, pod_cidrs: list[Network], reader: _Reader) -> PodDetection:
    mode = reader.choice(
        "detect-local-mode", given.detect_local_mode or "ClusterCIDR", DETECT_MODES
    )
    if mode == "BridgeInterface":
        bridge = given.pod_bridge_interface or ""
        if not _is_interface(bridge):
            reader.wrong("pod-bridge-interface", "BridgeInterface needs the bridge's name")
        return PodDetection(in_interface=bridge)
    if mode == "InterfaceNamePrefix":
        prefix = given.pod_interface_name_prefix or ""
        if not _is_interface(prefix):
            reader.wrong("pod-interface-name-prefix", "InterfaceNamePrefix needs the prefix")
        return PodDetection(in_interface=f"{prefix}+")
    if mode == "NodeCIDR":
        if not pod_cidrs:
            reader.wrong("pod-cidr", "detectLocalMode NodeCIDR needs the node's pod CIDR")
        return PodDetection(reader.one_per_family("pod-cidr", pod_cidrs))
    texts = tuple(filter(None, (given.cluster_cidr or "").split(",")))
    return PodDetection(
        reader.one_per_family("cluster-cidr", reader.each("cluster-cidr", texts, network))
    )


def _is_interface(name: str) -> bool:
    return (
        0 < len(name) < 15
        and name.isascii()
        and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    )


def _node_port_networks(
    given: Overrides, addresses: list[Address], reader: _Reader
) -> tuple[Network, ...] | None:
    texts = tuple(part for part in (given.nodeport_addresses or "").split(",") if part.strip())
    if not texts:
        return None
    if "primary" in texts:
        if len(texts) > 1:
            reader.wrong("nodeport-addresses", "primary stands alone, without CIDRs")
        primary: dict[Family, Address] = {}
        for item in addresses:
            primary.setdefault(item.family, item)
        return tuple(
            Network(item.family, item.value, item.family.bits) for item in primary.values()
        )
    networks: list[Network] = reader.each("nodeport-addresses", texts, network)
    # kube-proxy falls back to all addresses of a family that no CIDR is of.
    missing = {Family.IPV4, Family.IPV6} - {item.family for item in networks}
    everything = [Network(family, 0, 0) for family in sorted(missing)]
    return (*networks, *everything)
