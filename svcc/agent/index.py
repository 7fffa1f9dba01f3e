"""Objects and what was made of them, found by Service, so that a change is looked at alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import replace
from typing import TypeVar

from svcc.compiler.consistency.frontend_conflicts import Claim, claims
from svcc.compiler.model.objects import EndpointSlice, Objects, Service
from svcc.compiler.resolve.forwarding import Forwarding, ServicePort
from svcc.grammar.address import Address, Family
from svcc.verify.partial.differences import Subject

Item = TypeVar("Item")


class Index:
    """The objects of one state, and the Service ports of a node that were resolved from them."""

    def __init__(self, objects: Objects, forwarding: Forwarding) -> None:
        self._objects = objects
        self.forwarding = forwarding
        self._services = {service.key: service for service in objects.services}
        self._slices: defaultdict[str, list[EndpointSlice]] = defaultdict(list)
        for item in objects.slices:
            self._slices[f"{item.namespace}/{item.service}"].append(item)
        self._ports: defaultdict[str, list[ServicePort]] = defaultdict(list)
        for port in forwarding.service_ports:
            self._ports[service_of(port)].append(port)
        self._by_claim: dict[Claim, str] = {
            claim: service.key for service in objects.services for claim in claims(service)
        }
        self._not_served = {c for service in objects.not_judged for c in claims(service)}
        self._not_judged = {service.key for service in objects.not_judged}
        self._frontends: defaultdict[Address, set[str]] = defaultdict(set)
        self._backends: defaultdict[Address, set[str]] = defaultdict(set)
        self._numbers: defaultdict[int, set[str]] = defaultdict(set)
        for name in self._services:
            self._note(name, self._services[name], self._ports[name], add=True)

    def _note(
        self, name: str, service: Service, ports: Iterable[ServicePort], *, add: bool
    ) -> None:
        pairs = [
            *((self._frontends, address) for address in addresses_of(service)),
            *((self._backends, address) for address in backends_of(ports)),
        ]
        for by_address, address in pairs:
            _change(by_address, address, name, add=add)
        for port in service.ports:
            for number in {port.port, port.node_port} - {0}:
                _change(self._numbers, number, name, add=add)

    # -- questions ---------------------------------------------------------------------

    def service(self, name: str) -> Service | None:
        """The Service of this ``namespace/name``."""
        return self._services.get(name)

    def slices(self, name: str) -> list[EndpointSlice]:
        """Its slices."""
        return self._slices.get(name, [])

    def ports(self, names: Iterable[str]) -> list[ServicePort]:
        """The ports of Services, as this node forwards them."""
        return [port for name in names for port in self._ports.get(name, ())]

    def is_served_right(self, name: str) -> bool:
        """Whether nothing was wrong with a Service."""
        return name not in self._not_judged

    def has_backend(self, family: Family, address: int, but_for: set[str]) -> bool:
        """Whether a Service has a backend at an address, others than these."""
        return bool(self._backends.get(Address(family, address), set()) - but_for)

    def clashes(self, service: Service) -> bool:
        """Whether another Service claims a frontend of this one, be it served or not."""
        return any(
            self._by_claim.get(claim, service.key) != service.key or claim in self._not_served
            for claim in claims(service)
        )

    def is_backend_and_frontend(self, addresses: Iterable[Address]) -> bool:
        """Whether any address is one of a Service's and one of an endpoint's at once."""
        return any(a in self._frontends and a in self._backends for a in addresses)

    def named(self, about: Subject) -> set[str]:
        """The Services that have any of these addresses, as frontends or backends, or ports."""
        found: set[str] = set()
        for address in about.addresses:
            found |= self._frontends.get(address, set()) | self._backends.get(address, set())
        for number in about.ports:
            found |= self._numbers.get(number, set())
        return found

    def subject(self, names: Iterable[str]) -> Subject:
        """All addresses and node ports of Services."""
        addresses: set[Address] = set()
        numbers: set[int] = set()
        for name in names:
            service = self._services.get(name)
            if service is not None:
                addresses.update(addresses_of(service))
                numbers.update(port.node_port for port in service.ports if port.node_port)
            addresses.update(backends_of(self._ports.get(name, ())))
        return Subject(frozenset(addresses), frozenset(numbers))

    def part(self, names: set[str]) -> Objects:
        """The objects of some Services, and all Nodes."""
        return Objects(
            services=[self._services[name] for name in sorted(names) if name in self._services],
            slices=[item for name in sorted(names) for item in self._slices.get(name, ())],
            nodes=self._objects.nodes,
        )

    # -- changes -----------------------------------------------------------------------

    def with_part(self, names: set[str], part: Objects, forwarding: Forwarding) -> None:
        """Have some Services be as in ``part``, and as ``forwarding`` of that has them."""
        ports: defaultdict[str, list[ServicePort]] = defaultdict(list)
        for port in forwarding.service_ports:
            ports[service_of(port)].append(port)
        slices: defaultdict[str, list[EndpointSlice]] = defaultdict(list)
        for item in part.slices:
            slices[f"{item.namespace}/{item.service}"].append(item)
        services = {service.key: service for service in part.services}
        for name in names:
            before = self._services.pop(name, None)
            if before is not None:
                self._note(name, before, self._ports.get(name, ()), add=False)
                for claim in claims(before):
                    self._by_claim.pop(claim, None)
            self._ports.pop(name, None)
            self._slices.pop(name, None)
            if name in slices:
                self._slices[name] = slices[name]
            if name in services:
                self._services[name] = services[name]
                self._ports[name] = ports[name]
                self._note(name, services[name], ports[name], add=True)
                self._by_claim.update(dict.fromkeys(claims(services[name]), name))
        everything = [port for of in self._ports.values() for port in of]
        everything.sort(key=lambda port: (port.family, port.label, port.protocol))
        self.forwarding = replace(self.forwarding, service_ports=tuple(everything))

    def objects(self) -> Objects:
        """All objects, as they are now."""
        return replace(
            self._objects,
            services=list(self._services.values()),
            slices=[item for of in self._slices.values() for item in of],
        )


def service_of(port: ServicePort) -> str:
    """``namespace/name`` of a port's Service."""
    return port.label.partition(":")[0]


def addresses_of(service: Service) -> Iterator[Address]:
    """The addresses of a Service's frontends, but for node ports."""
    yield from service.cluster_ips
    yield from service.external_ips
    yield from service.ingress


def backends_of(ports: Iterable[ServicePort]) -> Iterator[Address]:
    """The addresses of backends."""
    for port in ports:
        for backend in (*port.everywhere, *port.here):
            yield Address(port.family, backend.address)


def _change(index: MutableMapping[Item, set[str]], key: Item, name: str, *, add: bool) -> None:
    found = index.setdefault(key, set()) if add else index.get(key, set())
    if add:
        found.add(name)
        return
    found.discard(name)
    if not found:
        index.pop(key, None)
