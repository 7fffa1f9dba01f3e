"""What a kube-proxy in ipvs mode writes: iptables rules, sets, virtual servers, addresses.

Services of Cluster policies only: what it does for Local ones is its own. Source: kubernetes
pkg/proxy/ipvs/proxier.go 1.30 (syncProxyRules, writeIptablesRules, ipsetInfo). Which backends a
frontend has comes from :mod:`tests.support.readings.plain_reading`, which shares no code with svcc.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from svcc.compiler.model.objects import Objects, Service, ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family
from tests.support.layouts.kube_proxy_frame import remark
from tests.support.readings.plain_reading import backends_of, is_proxied

_PORTS = "hash:ip,port"
_KINDS = {
    "LOOP-BACK": "hash:ip,port,ip", "CLUSTER-IP": _PORTS, "EXTERNAL-IP": _PORTS,
    "EXTERNAL-IP-LOCAL": _PORTS, "LOAD-BALANCER": _PORTS, "LOAD-BALANCER-FW": _PORTS,
    "LOAD-BALANCER-LOCAL": _PORTS, "LOAD-BALANCER-SOURCE-CIDR": "hash:ip,port,net",
    "LOAD-BALANCER-SOURCE-IP": "hash:ip,port,ip", "NODE-PORT-TCP": "bitmap:port",
    "NODE-PORT-LOCAL-TCP": "bitmap:port", "NODE-PORT-UDP": "bitmap:port",
    "NODE-PORT-LOCAL-UDP": "bitmap:port", "NODE-PORT-SCTP-HASH": _PORTS,
    "NODE-PORT-LOCAL-SCTP-HASH": _PORTS, "HEALTH-CHECK-NODE-PORT": "bitmap:port",
    "IPVS-IPS": "hash:ip",
}  # fmt: skip


@dataclass(slots=True)
class IpvsTexts:
    """What the four tools print, by file name."""

    iptables: dict[Family, str] = field(default_factory=dict)
    ipset: str = ""
    ipvsadm: str = ""
    addresses: str = ""

    def files(self) -> dict[str, str]:
        """The files of a folder."""
        return {
            "iptables.txt": self.iptables[Family.IPV4],
            "ip6tables.txt": self.iptables[Family.IPV6],
            "ipset.txt": self.ipset,
            "ipvsadm.txt": self.ipvsadm,
            "addresses.txt": "link add kube-ipvs0 type dummy\n" + self.addresses,
        }


def is_of_cluster_policies(objects: Objects) -> bool:
    """Whether no Service has a Local policy."""
    return all(
        service.internal_traffic_policy == service.external_traffic_policy == "Cluster"
        for service in objects.services
    )


def written(objects: Objects, settings: NodeSettings) -> IpvsTexts:
    """All that iptables-save, ipset save and ipvsadm -Sn print, and the device's addresses."""
    texts = IpvsTexts()
    for family in Family:
        _Writer(objects, settings, family).write(texts)
    return texts


class _Writer:
    def __init__(self, objects: Objects, settings: NodeSettings, family: Family) -> None:
        self.objects, self.settings, self.family = objects, settings, family
        self.sets: dict[str, list[str]] = {name: [] for name in _KINDS}
        self.servers: list[str] = []
        self.ips: list[Address] = []

    def write(self, texts: IpvsTexts) -> None:
        """Add one family's."""
        for service in self.objects.services:
            if is_proxied(service):
                for port in service.ports:
                    self._port(service, port)
        texts.iptables[self.family] = self._rules()
        inet = "inet" if self.family is Family.IPV4 else "inet6"
        for name, entries in self.sets.items():
            kind = _KINDS[name]
            texts.ipset += f"create {self.name(name)} {kind} " + (
                "range 0-65535\n"
                if kind == "bitmap:port"
                else f"family {inet} hashsize 1024 maxelem 65536 bucketsize 12 initval 0x5a3c1f\n"
            )
            for entry in dict.fromkeys(entries):
                texts.ipset += f"add {self.name(name)} {entry}\n"
        texts.ipvsadm += "".join(f"{line}\n" for line in self.servers)
        for address in dict.fromkeys(self.ips):
            texts.addresses += f"address add {address}/{self.family.bits} dev kube-ipvs0\n"

    def name(self, name: str) -> str:
        """A set's name, cut off where ipset has no more room."""
        return (f"KUBE-{name}" if self.family is Family.IPV4 else f"KUBE-6-{name}")[:31]

    # -- objects -----------------------------------------------------------------------

    def _port(self, service: Service, port: ServicePort) -> None:
        own = next((a for a in service.cluster_ips if a.family is self.family), None)
        if own is None:
            return
        everywhere, here, _ = backends_of(self.objects, self.settings, service, port, self.family)
        protocol = port.protocol.lower()
        for host, number in here:
            entry = f"{host},{protocol}:{number},{host}"
            self.sets["LOOP-BACK"].append(entry)
        persistent = f" -p {service.affinity_timeout}" if service.affinity_timeout else ""

        def serve(address: Address, number: int, entry_of: str = "") -> None:
            host = f"[{address}]" if self.family is Family.IPV6 else str(address)
            key = f"{_FLAG[protocol]} {host}:{number}"
            self.servers.append(f"-A {key} -s rr{persistent}")
            for backend, at in sorted(everywhere):
                there = f"[{backend}]" if self.family is Family.IPV6 else backend
                self.servers.append(f"-a {key} -r {there}:{at} -m -w 1")
            if entry_of:
                self.sets[entry_of].append(f"{address},{protocol}:{number}")
                self.ips.append(address)
                self.sets["IPVS-IPS"].append(str(address))

        serve(own, port.port, "CLUSTER-IP")
        for address in service.external_ips:
            if address.family is self.family:
                serve(address, port.port, "EXTERNAL-IP")
        for address in service.ingress:
            if address.family is self.family:
                serve(address, port.port, "LOAD-BALANCER")
                self._source_ranges(service, str(address), f"{address},{protocol}:{port.port}")
        if service.type in ("NodePort", "LoadBalancer") and port.node_port:
            self._node_port(port.node_port, protocol)
            for address in self.settings.addresses:
                networks = self.settings.node_port_networks
                if address.family is self.family and (
                    networks is None or any(network.holds(address) for network in networks)
                ):
                    serve(address, port.node_port)
                    if protocol == "sctp":
                        entry = f"{address},sctp:{port.node_port}"
                        self.sets["NODE-PORT-SCTP-HASH"].append(entry)

    def _node_port(self, number: int, protocol: str) -> None:
        if protocol != "sctp":
            self.sets[f"NODE-PORT-{protocol.upper()}"].append(str(number))

    def _source_ranges(self, service: Service, address: str, place: str) -> None:
        if not service.source_ranges:
            return
        self.sets["LOAD-BALANCER-FW"].append(place)
        for network in service.source_ranges:
            if network.family is self.family:
                self.sets["LOAD-BALANCER-SOURCE-CIDR"].append(f"{place},{network}")
                if any(network.holds(own) for own in self.settings.addresses):
                    self.sets["LOAD-BALANCER-SOURCE-IP"].append(f"{place},{address}")

    # -- rules -------------------------------------------------------------------------

    def _set(self, name: str, flags: str = "dst,dst") -> str:
        return f"-m set --match-set {self.name(name)} {flags} "

    def _rules(self) -> str:
        settings, mark = self.settings, f"{self.settings.masquerade_mark:#x}"
        v4 = self.family is Family.IPV4
        portals = remark("kubernetes service portals")
        network = settings.pods.networks.get(self.family)
        chains = (
            "KUBE-LOAD-BALANCER", "KUBE-MARK-MASQ", "KUBE-NODE-PORT", "KUBE-POSTROUTING",
            "KUBE-SERVICES",
        )  # fmt: skip
        nat = [
            f"-A PREROUTING {portals}-j KUBE-SERVICES",
            f"-A OUTPUT {portals}-j KUBE-SERVICES",
            f"-A POSTROUTING {remark('kubernetes postrouting rules')}-j KUBE-POSTROUTING",
            f"-A KUBE-LOAD-BALANCER {self._set('LOAD-BALANCER-LOCAL')}-j RETURN",
            "-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ",
            f"-A KUBE-MARK-MASQ -j MARK --set-xmark {mark}/{mark}",
        ]
        for protocol in ("tcp", "udp"):
            for kind, target in (("LOCAL-", "RETURN"), ("", "KUBE-MARK-MASQ")):
                one = self._set(f"NODE-PORT-{kind}{protocol.upper()}", "dst")
                nat.append(f"-A KUBE-NODE-PORT -p {protocol} {one}-j {target}")
        for kind, target in (("LOCAL-", "RETURN"), ("", "KUBE-MARK-MASQ")):
            one = self._set(f"NODE-PORT-{kind}SCTP-HASH")
            nat.append(f"-A KUBE-NODE-PORT -p sctp {one}-j {target}")
        nat += [
            f"-A KUBE-POSTROUTING {self._set('LOOP-BACK', 'dst,dst,src')}-j MASQUERADE",
            f"-A KUBE-POSTROUTING -m mark ! --mark {mark}/{mark} -j RETURN",
            f"-A KUBE-POSTROUTING -j MARK --set-xmark {mark}/0x0",
            "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
        ]
        nat += ["-A KUBE-SERVICES -s 127.0.0.0/8 -j RETURN"] if v4 else []
        nat.append(f"-A KUBE-SERVICES {self._set('LOAD-BALANCER')}-j KUBE-LOAD-BALANCER")
        if settings.masquerade_all:
            nat.append(f"-A KUBE-SERVICES {self._set('CLUSTER-IP')}-j KUBE-MARK-MASQ")
        elif settings.pods.in_interface is not None:
            one = f"! -i {settings.pods.in_interface} {self._set('CLUSTER-IP')}"
            nat.append(f"-A KUBE-SERVICES {one}-j KUBE-MARK-MASQ")
        elif network is not None:
            one = self._set("CLUSTER-IP")
            nat.append(f"-A KUBE-SERVICES ! -s {network} {one}-j KUBE-MARK-MASQ")
        else:
            nat.append(f"-A KUBE-SERVICES {self._set('CLUSTER-IP', 'src,dst')}-j KUBE-MARK-MASQ")
        external = self._set("EXTERNAL-IP")
        nat += [
            f"-A KUBE-SERVICES {external}-j KUBE-MARK-MASQ",
            f"-A KUBE-SERVICES {external}-m physdev ! --physdev-is-in -m addrtype"
            " ! --src-type LOCAL -j ACCEPT",
            f"-A KUBE-SERVICES {external}-m addrtype --dst-type LOCAL -j ACCEPT",
            "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
            f"-A KUBE-SERVICES {self._set('CLUSTER-IP')}-j ACCEPT",
            f"-A KUBE-SERVICES {self._set('LOAD-BALANCER')}-j ACCEPT",
        ]
        lines = ["*nat", *(f":{c} ACCEPT [0:0]" for c in ("PREROUTING", "INPUT", "OUTPUT"))]
        lines += [":POSTROUTING ACCEPT [0:0]", *(f":{c} - [0:0]" for c in chains), *nat, "COMMIT"]
        return "\n".join([self._header(), *self._filter(mark), *lines]) + "\n"

    def _header(self) -> str:
        tool = "iptables" if self.family is Family.IPV4 else "ip6tables"
        return f"# Generated by {tool}-save v1.8.9 (nf_tables) on Mon Jan  1 00:00:00 2024"

    def _filter(self, mark: str) -> list[str]:
        chains = (
            "KUBE-FORWARD", "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER", "KUBE-NODE-PORT",
            "KUBE-PROXY-FIREWALL", "KUBE-SOURCE-RANGES-FIREWALL",
        )  # fmt: skip
        kind = "icmp" if self.family is Family.IPV4 else "icmp6"
        rules = [
            "INPUT -j KUBE-IPVS-FILTER",
            "INPUT -j KUBE-PROXY-FIREWALL",
            "INPUT -j KUBE-NODE-PORT",
            "FORWARD -j KUBE-PROXY-FIREWALL",
            "FORWARD -j KUBE-FORWARD",
            "OUTPUT -j KUBE-IPVS-OUT-FILTER",
            "KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
            f"KUBE-FORWARD -m mark --mark {mark}/{mark} -j ACCEPT",
            "KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            *(
                f"KUBE-IPVS-FILTER {self._set(name)}-j RETURN"
                for name in ("LOAD-BALANCER", "CLUSTER-IP", "EXTERNAL-IP", "EXTERNAL-IP-LOCAL")
            ),
            f"KUBE-IPVS-FILTER {self._set('HEALTH-CHECK-NODE-PORT', 'dst')}-j RETURN",
            f"KUBE-IPVS-FILTER -m conntrack --ctstate NEW {self._set('IPVS-IPS', 'dst')}"
            f"-j REJECT --reject-with {kind}-port-unreachable",
            f"KUBE-NODE-PORT {self._set('HEALTH-CHECK-NODE-PORT', 'dst')}-j ACCEPT",
            f"KUBE-PROXY-FIREWALL {self._set('LOAD-BALANCER-FW')}-j KUBE-SOURCE-RANGES-FIREWALL",
            f"KUBE-SOURCE-RANGES-FIREWALL {self._set('LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src')}"
            "-j RETURN",
            f"KUBE-SOURCE-RANGES-FIREWALL {self._set('LOAD-BALANCER-SOURCE-IP', 'dst,dst,src')}"
            "-j RETURN",
            "KUBE-SOURCE-RANGES-FIREWALL -j DROP",
        ]
        base = [f":{chain} ACCEPT [0:0]" for chain in ("INPUT", "FORWARD", "OUTPUT")]
        own = [f":{chain} - [0:0]" for chain in chains]
        return ["*filter", *base, *own, *(f"-A {rule}" for rule in rules), "COMMIT"]


_FLAG = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
