"""What a kube-proxy in ipvs mode writes: iptables rules, sets, virtual servers, addresses.

Services of Cluster policies only: what it does for Local ones is its own. Source: kubernetes
pkg/proxy/ipvs/proxier.go (syncProxyRules, writeIptablesRules, ipsetInfo); that a real one writes
the same is tested in ``tests/kube_proxy``. Which backends a frontend has comes from
:mod:`tests.support.readings.plain_reading`, which shares no code with svcc.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from svcc.compiler.model.objects import Objects, Service, ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family
from tests.support.layouts.kube_proxy_frame import remark
from tests.support.readings.plain_reading import backends_of, endpoints_here, is_proxied

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
        self.out_filter: list[str] = []

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
        everywhere, _, _ = backends_of(self.objects, self.settings, service, port, self.family)
        protocol = port.protocol.lower()
        for host, number in endpoints_here(self.objects, self.settings, service, port, self.family):
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
        for address in service.external_ips if self.settings.external_ips else ():
            if address.family is self.family:
                serve(address, port.port, "EXTERNAL-IP")
        for address in service.ingress:
            if address.family is self.family:
                serve(address, port.port, "LOAD-BALANCER")
                self._source_ranges(service, address, protocol, port.port)
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

    def _source_ranges(self, service: Service, address: Address, protocol: str, port: int) -> None:
        ranges = [n for n in service.source_ranges if n.family is self.family]
        if not ranges:
            return
        place = f"{address},{protocol}:{port}"
        self.sets["LOAD-BALANCER-FW"].append(place)
        self.sets["LOAD-BALANCER-SOURCE-CIDR"] += [
            f"{place},{str(network).removesuffix(f'/{self.family.bits}')}" for network in ranges
        ]
        if any(network.holds(own) for network in ranges for own in self.settings.addresses):
            self.sets["LOAD-BALANCER-SOURCE-IP"].append(f"{place},{address}")
        else:
            virtual = f"--vproto {_NUMBER[protocol]} --vaddr {address} --vport {port}"
            self.out_filter.append(f"-s {address}/{self.family.bits} -m ipvs {virtual} -j DROP")

    # -- rules -------------------------------------------------------------------------

    def _of_set(self, rule: str, name: str, target: str, flags: str = "dst,dst") -> list[str]:
        """A rule that asks a set, which is only there if the set holds anything."""
        return [f"-A {rule} {self._set(name, flags)}-j {target}"] if self.sets[name] else []

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
        lb, cluster_ip = "LOAD-BALANCER", "CLUSTER-IP"
        nat = [
            f"-A PREROUTING {portals}-j KUBE-SERVICES",
            f"-A OUTPUT {portals}-j KUBE-SERVICES",
            f"-A POSTROUTING {remark('kubernetes postrouting rules')}-j KUBE-POSTROUTING",
            *self._of_set("KUBE-LOAD-BALANCER", "LOAD-BALANCER-LOCAL", "RETURN"),
            "-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ",
            f"-A KUBE-MARK-MASQ -j MARK --set-xmark {mark}/{mark}",
        ]
        for protocol in ("tcp", "udp", "sctp"):
            for kind, target in (("LOCAL-", "RETURN"), ("", "KUBE-MARK-MASQ")):
                name, flags = f"NODE-PORT-{kind}{protocol.upper()}", "dst"
                if protocol == "sctp":
                    name, flags = f"{name}-HASH", "dst,dst"
                nat += self._of_set(f"KUBE-NODE-PORT -p {protocol}", name, target, flags)
        nat += [
            *self._of_set("KUBE-POSTROUTING", "LOOP-BACK", "MASQUERADE", "dst,dst,src"),
            f"-A KUBE-POSTROUTING -m mark ! --mark {mark}/{mark} -j RETURN",
            f"-A KUBE-POSTROUTING -j MARK --set-xmark {mark}/0x0",
            "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
            f"-A KUBE-SERVICES -s {'127.0.0.0/8' if v4 else '::1/128'} -j RETURN",
            *self._of_set("KUBE-SERVICES", lb, "KUBE-LOAD-BALANCER"),
        ]
        if settings.masquerade_all:
            nat += self._of_set("KUBE-SERVICES", cluster_ip, "KUBE-MARK-MASQ")
        elif settings.pods.in_interface is not None:
            rule = f"KUBE-SERVICES ! -i {settings.pods.in_interface}"
            nat += self._of_set(rule, cluster_ip, "KUBE-MARK-MASQ")
        elif network is not None:
            nat += self._of_set(f"KUBE-SERVICES ! -s {network}", cluster_ip, "KUBE-MARK-MASQ")
        else:
            nat += self._of_set("KUBE-SERVICES", cluster_ip, "KUBE-MARK-MASQ", "src,dst")
        if self.sets["EXTERNAL-IP"]:
            external = self._set("EXTERNAL-IP")
            nat += [
                f"-A KUBE-SERVICES {external}-j KUBE-MARK-MASQ",
                f"-A KUBE-SERVICES {external}-m physdev ! --physdev-is-in -m addrtype"
                " ! --src-type LOCAL -j ACCEPT",
                f"-A KUBE-SERVICES {external}-m addrtype --dst-type LOCAL -j ACCEPT",
            ]
        nat += [
            "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
            *self._of_set("KUBE-SERVICES", cluster_ip, "ACCEPT"),
            *self._of_set("KUBE-SERVICES", lb, "ACCEPT"),
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
            *(f"KUBE-IPVS-OUT-FILTER {rule}" for rule in self.out_filter),
        ]
        ranges = "KUBE-SOURCE-RANGES-FIREWALL"
        guard = [
            *self._of_set("KUBE-PROXY-FIREWALL", "LOAD-BALANCER-FW", ranges),
            *self._of_set(ranges, "LOAD-BALANCER-SOURCE-CIDR", "RETURN", "dst,dst,src"),
            *self._of_set(ranges, "LOAD-BALANCER-SOURCE-IP", "RETURN", "dst,dst,src"),
            f"-A {ranges} -j DROP",
        ]
        base = [f":{chain} ACCEPT [0:0]" for chain in ("INPUT", "FORWARD", "OUTPUT")]
        own = [f":{chain} - [0:0]" for chain in chains]
        return ["*filter", *base, *own, *(f"-A {rule}" for rule in rules), *guard, "COMMIT"]


_NUMBER = {"tcp": 6, "udp": 17, "sctp": 132}
_FLAG = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
