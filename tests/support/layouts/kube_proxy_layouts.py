"""What the kube-proxies of several years write for the same objects, as iptables-save prints it.

Source: kubernetes pkg/proxy/iptables/proxier.go (writeIptablesRules, syncProxyRules) and
pkg/kubelet/kubelet_network_linux.go of the releases named. Which backends a frontend has
comes from :mod:`tests.support.readings.plain_reading`, which shares no code with svcc.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence

from svcc.compiler.model.objects import Objects, Service, ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family
from svcc.grammar.iptables.program import PROBABILITY_ONE
from tests.support.layouts.kube_proxy_frame import Frame, Layout, remark
from tests.support.readings.plain_reading import backends_of


def written(layout: Layout, objects: Objects, settings: NodeSettings, family: Family) -> str:
    """All that iptables-save prints on a node with nothing but this kube-proxy's rules."""
    return _Writer(layout, objects, settings, family).text()


class _Writer(Frame):
    def _port(self, service: Service, port: ServicePort, cluster_ip: Address) -> None:
        layout = self.layout
        key = f"{service.namespace}/{service.name}" + (f":{port.name}" if port.name else "")
        self.key, self.protocol = key, port.protocol.lower()
        name = _hash(key + self.protocol)
        everywhere, here, usable = backends_of(
            self.objects, self.settings, service, port, self.family
        )
        timeout = service.affinity_timeout
        external = [
            *((a, "external IP") for a in service.external_ips if self.settings.external_ips),
            *((a, "loadbalancer IP") for a in service.ingress),
        ]
        external = [(a, kind) for a, kind in external if a.family is self.family]
        node_port = port.node_port if service.type in ("NodePort", "LoadBalancer") else 0
        if service.health_check_node_port and service.external_traffic_policy == "Local":
            comment = remark(f"{key} health check node port")
            rule = f"-p tcp {comment}-m tcp --dport {service.health_check_node_port} -j ACCEPT"
            self.add(self.filter, "KUBE-NODEPORTS", rule)
        at_home = service.internal_traffic_policy == "Local"
        local = service.external_traffic_policy == "Local"
        for_cluster_ip = here if at_home else everywhere
        if not usable:
            self._refused(cluster_ip, port.port, external, node_port)
            return
        svc, svl = f"KUBE-SVC-{name}", f"KUBE-SVL-{name}"
        xlb = f"KUBE-XLB-{name}"
        seps: set[tuple[str, int]] = set()
        front = self._front(cluster_ip, port.port, "cluster IP")
        destination = svl if at_home else svc
        if for_cluster_ip:
            mark = "" if self.settings.masquerade_all else self.not_pod
            if mark is not None:
                where = "KUBE-SERVICES" if layout.marks_in_services else destination
                self.add(self.nat, where, f"{_ordered(mark, front)}-j KUBE-MARK-MASQ")
            self.add(self.nat, "KUBE-SERVICES", f"{front}-j {destination}")
        else:
            none = self._front(cluster_ip, port.port, "has no local endpoints", colon=False)
            self.add(self.filter, "KUBE-SERVICES", f"{none}-j DROP")
        outside = here if local else everywhere
        reach = bool(external or node_port)
        if layout.xlb:
            self._old_externals(service, port, external, node_port, svc, xlb, here, local)
        elif reach:
            self._externals(service, port, external, node_port, name, outside, local)
        uses_all = (not at_home and for_cluster_ip) or (
            reach and (not local or self.pod is not None or everywhere)
        )
        if uses_all:
            self._choice(svc, everywhere, timeout)
            seps |= set(everywhere)
        own_svl = (at_home and here) or (reach and local and here and not layout.xlb)
        if own_svl:
            self._choice(svl, here, timeout)
            seps |= set(here)
        if layout.xlb and reach and local:
            if here:
                self._choice(xlb, here, timeout, "Balancing rule {n} for " + key)
                seps |= set(here)
            else:
                self.add(
                    self.nat, xlb, f"{remark(f'{key} has no local endpoints')}-j KUBE-MARK-DROP"
                )
        for backend in sorted(seps):
            self._sep(backend, timeout)

    def _front(self, address: Address, number: int, what: str, *, colon: bool = False) -> str:
        protocol = self.protocol
        comment = remark(f"{self.key} {what}")
        return f"-d {address}{self.host} -p {protocol} {comment}-m {protocol} --dport {number} "

    def _refused(
        self,
        cluster_ip: Address,
        number: int,
        external: Sequence[tuple[Address, str]],
        node_port: int,
    ) -> None:
        reject = (
            "-j REJECT --reject-with icmp"
            + ("6" if self.family is Family.IPV6 else "")
            + "-port-unreachable"
        )
        none = "has no endpoints"
        self.add(self.filter, "KUBE-SERVICES", self._front(cluster_ip, number, none) + reject)
        for address, _ in external:
            self.add(
                self.filter, "KUBE-EXTERNAL-SERVICES", self._front(address, number, none) + reject
            )
        if node_port:
            self.add(self.filter, "KUBE-EXTERNAL-SERVICES", self._on_node(node_port, none) + reject)

    def _on_node(self, node_port: int, what: str) -> str:
        protocol = self.protocol
        return (
            f"-p {protocol} {remark(f'{self.key} {what}')}-m addrtype --dst-type LOCAL "
            f"-m {protocol} --dport {node_port} "
        )

    def _externals(
        self,
        service: Service,
        port: ServicePort,
        external: Sequence[tuple[Address, str]],
        node_port: int,
        name: str,
        outside: frozenset[tuple[str, int]],
        local: bool,
    ) -> None:
        """1.24 and later."""
        nat, layout, key = self.nat, self.layout, self.key
        ext, firewall, svc, svl = (f"KUBE-{kind}-{name}" for kind in ("EXT", "FW", "SVC", "SVL"))
        if not local:
            self.add(
                nat,
                ext,
                f"{remark(f'masquerade traffic for {key} external destinations')}-j KUBE-MARK-MASQ",
            )
            self.add(nat, ext, f"-j {svc}")
        else:
            if self.pod:
                self.add(
                    nat,
                    ext,
                    f"{self.pod}{remark(f'pod traffic for {key} external destinations')}-j {svc}",
                )
            source = "-m addrtype --src-type LOCAL "
            self.add(
                nat,
                ext,
                remark(f"masquerade LOCAL traffic for {key} external destinations")
                + f"{source}-j KUBE-MARK-MASQ",
            )
            self.add(
                nat,
                ext,
                f"{remark(f'route LOCAL traffic for {key} external destinations')}{source}-j {svc}",
            )
            if outside:
                self.add(nat, ext, f"-j {svl}")
            elif layout.drops_by_mark:
                self.add(nat, ext, f"-j {svl}")
                self.add(nat, svl, f"{remark(f'{key} has no local endpoints')}-j KUBE-MARK-DROP")
        for address, kind in external:
            guarded = kind == "loadbalancer IP" and self._ranges(service)
            self.add(
                nat,
                "KUBE-SERVICES",
                self._front(address, port.port, kind) + f"-j {firewall if guarded else ext}",
            )
            if guarded and not layout.drops_by_mark:
                rejected = self._front(address, port.port, f"traffic not accepted by {firewall}")
                self.add(self.filter, "KUBE-PROXY-FIREWALL", rejected + "-j DROP")
            if not outside and not layout.drops_by_mark:
                none = self._front(address, port.port, "has no local endpoints")
                self.add(self.filter, "KUBE-EXTERNAL-SERVICES", none + "-j DROP")
        if self._ranges(service) and any(kind == "loadbalancer IP" for _, kind in external):
            comment = remark(f"{key} loadbalancer IP")
            for source in self._sources(service):
                self.add(nat, firewall, f"-s {source} {comment}-j {ext}")
            if layout.drops_by_mark:
                self.add(nat, firewall, f"{comment}-j KUBE-MARK-DROP")
            else:
                self.add(
                    nat,
                    firewall,
                    remark(f"other traffic to {key} will be dropped by KUBE-PROXY-FIREWALL"),
                )
        if node_port:
            rule = f"-p {self.protocol} {remark(key)}-m {self.protocol} --dport {node_port} "
            if layout.counts_invalid and self.family is Family.IPV4:
                counted = "-m nfacct --nfacct-name  localhost_nps_accepted_pkts "
                self.add(nat, "KUBE-NODEPORTS", f"-d 127.0.0.0/8 {rule}{counted}-j {ext}")
            self.add(nat, "KUBE-NODEPORTS", f"{rule}-j {ext}")
            if not outside and not layout.drops_by_mark:
                self.add(
                    self.filter,
                    "KUBE-EXTERNAL-SERVICES",
                    self._on_node(node_port, "has no local endpoints") + "-j DROP",
                )

    def _ranges(self, service: Service) -> list[str]:
        return [str(r) for r in service.source_ranges if r.family is self.family]

    def _sources(self, service: Service) -> Iterator[str]:
        yield from self._ranges(service)
        node = self.settings.primary_address(self.family)
        ranges = [r for r in service.source_ranges if r.family is self.family]
        if node is not None and any(r.holds(node) for r in ranges):
            for address in service.ingress:
                if address.family is self.family:
                    yield f"{address}{self.host}"

    def _old_externals(
        self,
        service: Service,
        port: ServicePort,
        external: Sequence[tuple[Address, str]],
        node_port: int,
        svc: str,
        xlb: str,
        here: frozenset[tuple[str, int]],
        local: bool,
    ) -> None:
        """1.23 and earlier."""
        nat, key, layout = self.nat, self.key, self.layout
        firewall = svc.replace("SVC", "FW")
        target = xlb if local else svc
        where = "KUBE-SERVICES" if layout.marks_in_services else svc
        if local and (external or node_port):
            if self.pod:
                self.add(
                    nat,
                    xlb,
                    self.pod
                    + remark("Redirect pods trying to reach external loadbalancer VIP to clusterIP")
                    + f"-j {svc}",
                )
            source = "-m addrtype --src-type LOCAL "
            self.add(
                nat,
                xlb,
                f"{remark(f'masquerade LOCAL traffic for {key} LB IP')}{source}-j KUBE-MARK-MASQ",
            )
            self.add(
                nat,
                xlb,
                remark(f"route LOCAL traffic for {key} LB IP to service chain")
                + f"{source}-j {svc}",
            )
        for address, kind in external:
            front = self._front(address, port.port, kind)
            if kind == "external IP":
                if not local:
                    self.add(nat, where, f"{_ordered(self.not_pod or '', front)}-j KUBE-MARK-MASQ")
                self.add(nat, "KUBE-SERVICES", f"{front}-j {target}")
                continue
            self.add(nat, "KUBE-SERVICES", f"{front}-j {firewall}")
            comment = remark(f"{key} loadbalancer IP")
            if firewall in nat:
                continue
            if not local:
                self.add(nat, firewall, f"{comment}-j KUBE-MARK-MASQ")
            if self._ranges(service):
                for allowed in self._sources(service):
                    self.add(nat, firewall, f"-s {allowed} {comment}-j {target}")
            else:
                self.add(nat, firewall, f"{comment}-j {target}")
            self.add(nat, firewall, f"{comment}-j KUBE-MARK-DROP")
        if node_port:
            rule = f"-p {self.protocol} {remark(key)}-m {self.protocol} --dport {node_port} "
            if not local:
                self.add(nat, "KUBE-NODEPORTS", f"{rule}-j KUBE-MARK-MASQ")
            elif self.family is Family.IPV4:
                self.add(nat, "KUBE-NODEPORTS", f"-s {self.loopback} {rule}-j KUBE-MARK-MASQ")
            self.add(nat, "KUBE-NODEPORTS", f"{rule}-j {target}")

    # -- backends ----------------------------------------------------------------------

    def _choice(
        self,
        chain: str,
        backends: frozenset[tuple[str, int]],
        timeout: int | None,
        comment: str = "",
    ) -> None:
        ordered = sorted(backends)
        text = comment or self.key
        mask = (
            "255.255.255.255"
            if self.family is Family.IPV4
            else "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        )
        if timeout is not None:
            for backend in ordered:
                sep = self._sep_name(backend)
                reap = " --reap" if self.layout.reap else ""
                self.add(
                    self.nat, chain,
                    remark(self._to(self.key, backend))
                    + f"-m recent --rcheck --seconds {timeout}{reap} "
                    f"--name {sep} --mask {mask} --rsource -j {sep}",
                )  # fmt: skip
        for number, backend in enumerate(ordered):
            left = len(ordered) - number
            chance = ""
            if left > 1:
                printed = float(f"{1 / left:.{self.layout.digits}f}")
                stored = round(printed * PROBABILITY_ONE) / PROBABILITY_ONE
                chance = f"-m statistic --mode random --probability {stored:.11f} "
            said = remark(self._to(text.format(n=number), backend))
            self.add(self.nat, chain, f"{said}{chance}-j {self._sep_name(backend)}")

    def _to(self, text: str, backend: tuple[str, int]) -> str:
        if not self.layout.backend_in_comment:
            return text
        return f"{text} -> {_endpoint(backend)}"

    def _sep_name(self, backend: tuple[str, int]) -> str:
        return "KUBE-SEP-" + _hash(self.key + self.protocol + _endpoint(backend))

    def _sep(self, backend: tuple[str, int], timeout: int | None) -> None:
        sep, protocol = self._sep_name(backend), self.protocol
        comment = remark(self.key) if self.layout.comments_of_sep else ""
        recent = ""
        if timeout is not None:
            mask = (
                "255.255.255.255"
                if self.family is Family.IPV4
                else "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
            )
            recent = f"-m recent --set --name {sep} --mask {mask} --rsource "
        self.add(self.nat, sep, f"-s {backend[0]}{self.host} {comment}-j KUBE-MARK-MASQ")
        target = f"-j DNAT --to-destination {_endpoint(backend)}"
        self.add(self.nat, sep, f"-p {protocol} {comment}{recent}-m {protocol} {target}")


def _ordered(source: str, front: str) -> str:
    """iptables-save prints -s before and -i behind -d."""
    if "-i " in source:
        destination, rest = front[: front.index("-p ")], front[front.index("-p ") :]
        return f"{destination}{source}{rest}"
    return source + front


def _endpoint(backend: tuple[str, int]) -> str:
    address, port = backend
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _hash(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]
