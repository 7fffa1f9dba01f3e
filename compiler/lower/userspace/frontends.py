"""Which places a proxy listens on, who may connect there, and where to it sends them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from svcc.compiler.resolve.forwarding import Backend, Forwarding, ServicePort
from svcc.grammar.address import LOOPBACK, Address, Family, Network, format_address
from svcc.grammar.numbers import TRANSPORTS

ALL, HERE = "all", "here"
"""Upstreams of the backends everywhere, and of those on this node."""
SIDE = "svcc_side"
"""The variable that says which of them a client's connections go to under a Local policy."""
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Listener:
    """One place to listen on.

    ``by_side``: clients of the node and its pods go to ``everywhere``, others ``here``; else all go
    to one of the two, whichever is not empty. ``allowed`` None: everybody may connect.
    """

    family: Family
    address: int
    protocol: int
    port: int
    label: str
    kind: str
    everywhere: tuple[Backend, ...]
    here: tuple[Backend, ...]
    affinity: bool
    allowed: tuple[Network, ...] | None = None

    @property
    def place(self) -> Address:
        """The address with its family."""
        return Address(self.family, self.address)

    @property
    def by_side(self) -> bool:
        """Whether it matters who connects."""
        return bool(self.everywhere and self.here)

    @property
    def _name(self) -> str:
        name = self.label.replace("/", "_").replace(":", "_")
        return f"{name}.6" if self.family is Family.IPV6 else name

    @property
    def upstreams(self) -> Iterator[tuple[str, tuple[Backend, ...]]]:
        """Where connections go, by name."""
        for suffix, backends in ((ALL, self.everywhere), (HERE, self.here)):
            if backends:
                yield f"{self._name}.{suffix}", backends

    @property
    def target(self) -> str:
        """As ``proxy_pass`` has it."""
        if self.by_side:
            return f"{self._name}.${SIDE}"
        return next(name for name, _ in self.upstreams)


class Listeners:
    """All places to listen on, sorted, the addresses that a device must have, and notes."""

    def __init__(self, forwarding: Forwarding) -> None:
        self._forwarding = forwarding
        self._settings = forwarding.settings
        self._own = self._own_addresses()
        self.notes: list[str] = []
        self._taken = set(self._on_the_host())
        """What processes of the node listen on: its own backends, by their slices."""
        ports = forwarding.service_ports
        self.addresses = {family: self._virtual(forwarding.of(family)) for family in Family}
        self._named = {
            (port.family, address, port.protocol, port.port)
            for port in ports
            for address in (*port.external_addresses, *port.balancer_addresses)
        }
        found = [listener for port in ports for listener in self._of(port)]
        self.listeners = sorted(
            self._free(found), key=lambda each: (each.family, each.label, each.address, each.port)
        )
        self._tell(ports)

    def inside(self, family: Family) -> tuple[Network, ...]:
        """Pods, and what the node's own processes send from; a frontend's own address as well."""
        own = (Network(family, a.value, family.bits) for a in self._known(family))
        pods = self._settings.pods.networks.get(family)
        return (LOOPBACK[family], *own, *(() if pods is None else (pods,)))

    def _known(self, family: Family) -> list[Address]:
        return [a for a in self._settings.addresses if a.family is family]

    def _own_addresses(self) -> set[tuple[Family, int]]:
        """The node's own, and those of backends here: where a frontend has one it is of the host
        network.
        """
        found = {(a.family, a.value) for a in self._settings.addresses}
        ports = self._forwarding.service_ports
        return found | {(port.family, each.address) for port in ports for each in port.here}

    def _virtual(self, ports: Iterable[ServicePort]) -> tuple[int, ...]:
        own = self._own
        hosts = self._forwarding.other_hosts
        return tuple(sorted({
            address
            for port in ports
            for address in (port.cluster_ip, *port.external_addresses, *port.balancer_addresses)
            if (port.family, address) not in own and (port.family, address) not in hosts
        }))  # fmt: skip

    def _on_the_host(self) -> Iterator[tuple[Family, int, int, int]]:
        for port in self._forwarding.service_ports:
            for backend in (*port.everywhere, *port.here):
                if (port.family, backend.address) in self._own:
                    yield port.family, backend.address, port.protocol, backend.port

    def _of(self, port: ServicePort) -> Iterator[Listener]:
        if not port.usable or port.protocol == TRANSPORTS["sctp"]:
            return
        affinity = port.affinity_timeout is not None

        def listener(
            address: int,
            number: int,
            kind: str,
            backends: tuple[tuple[Backend, ...], tuple[Backend, ...]],
            allowed: tuple[Network, ...] | None,
        ) -> Listener:
            everywhere, here = backends
            return Listener(
                port.family, address, port.protocol, number, port.label, kind, everywhere, here,
                affinity, allowed,
            )  # fmt: skip

        if port.internal:
            internal = ((), port.here) if port.internal_local else (port.everywhere, ())
            yield listener(port.cluster_ip, port.port, "cluster IP", internal, None)
        external: tuple[tuple[Backend, ...], tuple[Backend, ...]] = (port.everywhere, ())
        only_inside = port.external_local and not port.here
        if port.external_local and port.here and port.here != port.everywhere:
            external = (port.everywhere, port.here)
        ranges = port.allowed_sources
        for address in port.external_addresses:
            allowed = self._allowed(port.family, address, only_inside, None)
            yield listener(address, port.port, "external IP", external, allowed)
        for address in port.balancer_addresses:
            allowed = self._allowed(port.family, address, only_inside, ranges)
            yield listener(address, port.port, "balancer IP", external, allowed)
        if port.node_port:
            for address in self._node_port_addresses(port.family):
                if (port.family, address, port.protocol, port.node_port) not in self._named:
                    allowed = self._allowed(port.family, address, only_inside, None)
                    yield listener(address, port.node_port, "node port", external, allowed)

    def _allowed(
        self,
        family: Family,
        address: int,
        only_inside: bool,
        ranges: tuple[Network, ...] | None,
    ) -> tuple[Network, ...] | None:
        """Who may connect: those inside the ranges, and if nobody outside has a backend, of the
        node and its pods.
        """
        if not only_inside:
            return ranges
        inside = {*self.inside(family), Network(family, address, family.bits)}
        if ranges is None:
            return tuple(sorted(inside))
        # Of two networks that overlap one holds the other.
        both = {
            max(one, other, key=lambda each: each.prefix_length)
            for one in inside
            for other in ranges
            if one.overlaps(other)
        }
        return tuple(sorted(both))

    def _node_port_addresses(self, family: Family) -> list[int]:
        networks = self._settings.node_port_networks
        found = [
            a.value
            for a in self._known(family)
            if networks is None or any(n.holds(a) for n in networks)
        ]
        localhost = Address(Family.IPV4, LOOPBACK[Family.IPV4].value + 1)
        if self._settings.loopback_node_ports(family) and (
            networks is None or any(n.holds(localhost) for n in networks)
        ):
            found.append(localhost.value)
        return sorted(set(found))

    def _free(self, listeners: Iterable[Listener]) -> Iterator[Listener]:
        """Those that a socket can be bound for."""
        for each in listeners:
            text = format_address(each.family, each.address)
            if (whose := self._forwarding.other_hosts.get((each.family, each.address))) is not None:
                self.notes.append(
                    f"{each.kind} {text} of {each.label} is not served: it is the address of "
                    f"{whose}, which this node could no longer reach"
                )
            elif (each.family, each.address, each.protocol, each.port) in self._taken:
                self.notes.append(
                    f"{each.kind} {text} port {each.port} of {each.label} is not served: a backend "
                    "on this node listens there itself"
                )
            else:
                yield each

    def _tell(self, ports: Iterable[ServicePort]) -> None:
        ports = list(ports)
        sctp = [port.label for port in ports if port.protocol == TRANSPORTS["sctp"]]
        if sctp:
            self.notes.append(f"nginx does not proxy SCTP, so that {_some(sctp)} cannot be served")
        without = sorted({p.family for p in ports if p.node_port and not self._known(p.family)})
        for family in without:
            where = "loopback" if self._settings.loopback_node_ports(family) else "no address"
            self.notes.append(
                f"no {family.label} address of the node is known, so that node ports answer on "
                f"{where} alone; name its addresses with --node-ip"
            )
        if self.listeners:
            self.notes.append(
                "backends see an address of this node, not the client's: a proxy in user space "
                "does not keep the source"
            )
        local = [p.label for p in ports if p.external_local and p.has_external and p.usable]
        if local:
            told = self._settings.pods.in_interface
            pods = "; pods are told by an interface, which a proxy cannot see, and are outside"
            self.notes.append(
                f"externalTrafficPolicy Local of {_some(local)}: the endpoints are this node's, "
                f"but the source is not kept{pods if told else ''}"
            )


def _some(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
