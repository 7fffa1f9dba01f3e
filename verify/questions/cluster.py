"""What a name means among the objects: frontends, packets to none, or a backend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from svcc.compiler.api_names.nearest import nearest
from svcc.compiler.model.objects import Node, Objects, Service, ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import LOOPBACK, Address
from svcc.verify.questions.senders import Destination
from svcc.verify.questions.targets import (
    AddressName,
    NamedTarget,
    NodePortName,
    QuestionError,
    ServiceName,
    port_number,
)
from svcc.verify.questions.wording import (
    checked_by,
    endpoint_words,
    named,
    no_frontends,
    no_port,
    ports_of,
    protocol_name,
)
from svcc.verify.spec.expectation import PROTOCOL_NUMBER, Frontend

_TCP = PROTOCOL_NUMBER["TCP"]
_KUBECTLS = ("svc", "service", "services")
"""What kubectl calls the kind, in ``service/web``."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What was asked for.

    ``destinations`` are places that are no frontend, ``why`` says so of packets there.
    ``at`` is where packets to node ports are sent, None: to the node's first address. ``backend``:
    who sends to this address is asked. ``said`` stands ahead of everything, ``nothing`` is the
    error if no rule has anything to do with it either.
    """

    frontends: frozenset[Frontend] = frozenset()
    destinations: tuple[Destination, ...] = ()
    why: str = ""
    at: Address | None = None
    backend: AddressName | None = None
    said: tuple[str, ...] = ()
    nothing: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The objects as one node sees them; ``frontends`` are those of all families."""

    objects: Objects
    settings: NodeSettings
    frontends: Sequence[Frontend] = field(default=())

    def meaning(self, target: NamedTarget, *, of_packets: bool) -> Meaning:
        """What a name means; ``of_packets``: packets are sent there, in place of the name alone.

        Raises:
            QuestionError: it means nothing, or one of several things.
        """
        match target:
            case ServiceName():
                return self._service(target, of_packets)
            case AddressName():
                return self._address(target, of_packets)
            case NodePortName():
                return self._node_port(target, of_packets)
            case _:
                assert_never(target)

    # -- Services ----------------------------------------------------------------------

    def _service(self, target: ServiceName, of_packets: bool) -> Meaning:
        service = self._named(target)
        if isinstance(service, Node):
            return self._of_node(service, target, of_packets)
        if reason := no_frontends(service, self.objects, self.settings):
            return Meaning(said=(f"{service.key}: {reason}",))
        own = {f for f in self.frontends if f.service.partition(":")[0] == service.key}
        if not own:
            return Meaning(said=(f"{service.key}: not judged, for what is wrong with it",))
        if not target.port:
            return Meaning(_of_protocol(own, target.protocol))
        ports = [port for port in service.ports if target.port in (port.name, str(port.port))]
        found = {f for f in own for port in ports if _is_of(f, service, port)}
        found |= {f for f in own if f.address is None and str(f.port) == target.port}
        if wanted := _of_protocol(found, target.protocol):
            return Meaning(wanted)
        if not target.port.isdigit():
            raise QuestionError(
                f"{service.key} has no port {target.port}; it has {ports_of(service)}"
            )
        number = AddressName(service.cluster_ips[0], port_number(target.port), target.protocol)
        return self._no_port(number, [service], service.cluster_ips)

    def _named(self, target: ServiceName) -> Service | Node:
        services = [*self.objects.services, *self.objects.not_judged]
        namespace = target.namespace
        found = [s for s in services if s.key == f"{namespace}/{target.name}"]
        if not found and namespace in _KUBECTLS:
            namespace = ""
        if not found and not namespace:
            found = [s for s in services if s.name == target.name]
        if len(found) > 1:
            keys = named(sorted(service.key for service in found), "and")
            raise QuestionError(f"{target.name} is the name of {len(found)} Services; say {keys}")
        if found:
            return found[0]
        if not namespace:
            for node in self.objects.nodes:
                if node.name == target.name:
                    return node
        raise QuestionError(_unknown(ServiceName(target.name, namespace), services))

    # -- addresses ---------------------------------------------------------------------

    def _address(self, target: AddressName, of_packets: bool) -> Meaning:
        address, port = target.address, target.port
        here = {f for f in self.frontends if (f.family, f.address) == address}
        if self._is_own(address):
            here |= self._node_ports(address, here)
        found = {f for f in here if port in (None, f.port)}
        if wanted := _as_asked(found, target, of_packets):
            words = () if of_packets else tuple(endpoint_words(self.objects, address, port))
            return Meaning(wanted, at=address, said=words)
        owners = [s for s in self.objects.services if address in _addresses_of(s)]
        if owners and port is None:
            reasons = [
                f"{address} is an address of {s.key}: "
                f"{no_frontends(s, self.objects, self.settings) or 'not a frontend here'}"
                for s in owners
            ]
            return Meaning(said=tuple(reasons))
        if owners:
            return self._no_port(target, owners, (address,))
        if of_packets:
            return self._to_nobody(target)
        if self._is_own(address) and port is not None and self._checked_at(port):
            place = Destination(address.family, address.value, port, target.protocol or _TCP)
            return Meaning(destinations=(place,), why=self._nobody(target))
        return Meaning(
            backend=target,
            said=tuple(endpoint_words(self.objects, address, port)),
            nothing=self._nobody(target),
        )

    def _is_own(self, address: Address) -> bool:
        return address in self.settings.addresses or LOOPBACK[address.family].holds(address)

    def _node_ports(self, address: Address, ahead: Iterable[Frontend]) -> set[Frontend]:
        """The node ports at an address of the node, but where the address is a frontend."""
        taken = {(f.protocol, f.port) for f in ahead}
        return {
            f
            for f in self.frontends
            if f.address is None
            and f.family is address.family
            and (f.protocol, f.port) not in taken
        }

    def _no_port(
        self, target: AddressName, owners: Sequence[Service], addresses: Iterable[Address]
    ) -> Meaning:
        """Packets to a port that the Services of these addresses have not."""
        port, protocol = target.port or 0, target.protocol or _TCP
        reasons = [
            checked_by(service)
            if service.health_check_node_port == port and protocol == _TCP
            else no_port(
                service, port, protocol, no_frontends(service, self.objects, self.settings)
            )
            for service in owners
        ]
        places = [Destination(a.family, a.value, port, protocol) for a in addresses]
        return Meaning(destinations=tuple(places), why="; ".join(reasons))

    def _to_nobody(self, target: AddressName) -> Meaning:
        """Packets to what is no frontend."""
        address = target.address
        words = list(endpoint_words(self.objects, address, target.port))
        ends = _endpoint_ports(self.objects, target)
        if target.port is not None and not ends:
            ends = [(target.port, target.protocol or _TCP)]
        if not ends:
            raise QuestionError(
                f"{address} has no port; say ADDRESS:PORT/tcp, IPv6 as [ADDRESS]:PORT"
            )
        if words:
            words.append("what is sent straight to an endpoint passes no Service")
        places = [Destination(address.family, address.value, *end) for end in ends]
        return Meaning(
            destinations=tuple(places), why="; ".join(words) or self._nobody(target), at=address
        )

    def _nobody(self, target: AddressName) -> str:
        """What an address is, if it is no frontend and no endpoint."""
        address = target.address
        for node in self.objects.nodes:
            if address in node.addresses and node.name != self.settings.node_name:
                return (
                    f"{address} is an address of Node {node.name}, whose own rules decide there; "
                    f"ask with --node {node.name}"
                )
        if self._is_own(address) and target.port is not None:
            return self._no_node_port(NodePortName(target.port, target.protocol))
        if self._is_own(address):
            return f"{address} is an address of the node, and there are no node ports"
        words = list(endpoint_words(self.objects, address, None))
        if words:
            return f"no endpoint has {address} with port {target.port}; {named(words, 'and')}"
        return f"no Service, endpoint or Node has the address {address}"

    def _of_node(self, node: Node, target: ServiceName, of_packets: bool) -> Meaning:
        if not node.addresses:
            raise QuestionError(f"Node {node.name} has no address; give --node-ip")
        if target.port and not target.port.isdigit():
            raise QuestionError(f"{target.port!r} is no port number; {node.name} is a Node")
        port = port_number(target.port) if target.port else None
        return self._address(AddressName(node.addresses[0], port, target.protocol), of_packets)

    # -- node ports --------------------------------------------------------------------

    def _node_port(self, target: NodePortName, of_packets: bool) -> Meaning:
        found = {f for f in self.frontends if f.address is None and f.port == target.port}
        if wanted := _as_asked(found, target, of_packets):
            return Meaning(wanted)
        families = sorted({a.family for a in self.settings.addresses})
        places = [
            Destination(family, None, target.port, target.protocol or _TCP) for family in families
        ]
        why = self._no_node_port(target)
        if places and (of_packets or self._checked_at(target.port)):
            return Meaning(destinations=tuple(places), why=why)
        raise QuestionError(why)

    def _checked_at(self, port: int) -> list[Service]:
        return [s for s in self.objects.services if s.health_check_node_port == port]

    def _no_node_port(self, target: NodePortName) -> str:
        checked = self._checked_at(target.port)
        if checked and target.protocol in (None, _TCP):
            return checked_by(checked[0])
        known = sorted({(f.port, str(f)) for f in self.frontends if f.address is None})
        words = f"no Service has node port {target.port}"
        if target.protocol is not None:
            words += f"/{protocol_name(target.protocol)}"
        if known:
            return f"{words}; there are {named([text for _, text in known], 'and')}"
        return f"{words}; there are none"


def _is_of(frontend: Frontend, service: Service, port: ServicePort) -> bool:
    label = f"{service.key}:{port.name}" if port.name else service.key
    return (frontend.service, frontend.protocol) == (label, PROTOCOL_NUMBER[port.protocol])


def _of_protocol(found: Iterable[Frontend], protocol: int | None) -> frozenset[Frontend]:
    return frozenset(f for f in found if protocol in (None, f.protocol))


def _as_asked(
    found: Iterable[Frontend], target: AddressName | NodePortName, of_packets: bool
) -> frozenset[Frontend]:
    """Those of the protocol; a packet to a port is one of TCP if that is there."""
    wanted = _of_protocol(found, target.protocol)
    if of_packets and target.port is not None and target.protocol is None:
        return _of_protocol(wanted, _TCP) or wanted
    return wanted


def _addresses_of(service: Service) -> tuple[Address, ...]:
    return (*service.cluster_ips, *service.external_ips, *service.ingress)


def _endpoint_ports(objects: Objects, target: AddressName) -> list[tuple[int, int]]:
    """The ports and protocols of endpoints at an address; of one port that of TCP if that is there
    and no protocol is said.
    """
    found = {
        (port.port, PROTOCOL_NUMBER[port.protocol])
        for item in objects.slices
        if any(endpoint.address == target.address for endpoint in item.endpoints)
        for port in item.ports
        if port.port and target.port in (None, port.port)
    }
    wanted = {end for end in found if target.protocol in (None, end[1])}
    if target.port is not None and target.protocol is None:
        wanted = {end for end in wanted if end[1] == _TCP} or wanted
    return sorted(wanted)


def _unknown(target: ServiceName, services: Sequence[Service]) -> str:
    """That there is no such Service, and which may be meant."""
    if not services:
        return f"there is no Service {target}: there are none among the objects"
    inside = sorted(s.key for s in services if s.namespace == target.name)
    if inside and not target.namespace:
        return f"there is no Service {target}; in the namespace {target} there are " + named(
            inside, "and"
        )
    elsewhere = sorted(s.key for s in services if s.name == target.name)
    if elsewhere:
        return f"there is no Service {target}; there is {named(elsewhere, 'and')}"
    keys = sorted(s.key for s in services)
    if target.namespace:
        meant = nearest(str(target), keys)
    else:
        by_name = {s.name: s.key for s in reversed(services)}
        meant = by_name.get(nearest(target.name, by_name) or "")
    if meant is not None:
        return f"there is no Service {target}; did you mean {meant}?"
    return f"there is no Service {target}; there are {named(keys, 'and')}"
