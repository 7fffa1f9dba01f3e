"""What a name must answer, read from the name.

Source: kubernetes/dns docs/specification.md, version 1.1.0; what an implementation may answer
beside it, as section 3 allows, is what CoreDNS does (plugin/kubernetes: kubernetes.go, reverse.go).
The compiler goes from objects to records, this goes from a name to objects.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from svcc.compiler.model.objects import Endpoint, EndpointSlice, Objects, Service
from svcc.grammar.address import Address, Family
from svcc.grammar.dns.zone import is_domain_name
from svcc.verify.spec import codes

Answer = tuple[str, ...]
"""Type and data of a record, without what the specification leaves open: its TTL, and priority and
weight of an SRV record.
"""

VERSIONS = frozenset({("TXT", "1.1.0")})
_TRANSPORTS = {"_tcp": "TCP", "_udp": "UDP", "_sctp": "SCTP"}
_PORT = re.compile(r"_(?P<name>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\Z")
_HYPHENS = str.maketrans(".:", "--")
_LONGEST_LABEL, _LONGEST_NAME = 63, 253


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a name ``must`` answer, and what it ``may`` beside; of a Service that is wrong in itself
    nothing ``is_judged``.

    ``open_code`` is a number of :mod:`svcc.verify.spec.codes` where the objects do not say all of
    it, and ``open_types`` which types of records that is about.
    """

    must: frozenset[Answer] = frozenset()
    may: frozenset[Answer] = frozenset()
    service: Service | None = None
    is_judged: bool = True
    open_code: str = ""
    open_types: frozenset[str] = frozenset()


NOTHING = Wanted()
_EVERY = frozenset({"A", "AAAA", "SRV", "PTR"})


@dataclass(slots=True)
class _Places:
    """Of a Service: which addresses are called what, where a port is, and what is not known."""

    hosts: defaultdict[str, set[Address]]
    ports: dict[tuple[str, str], set[tuple[int, str]]]
    open_code: str = ""
    open_types: frozenset[str] = frozenset()


class Specification:
    """The names of some objects, below a cluster domain."""

    def __init__(self, objects: Objects, domain: str) -> None:
        self._domain = domain
        self._services = {(s.namespace, s.name): s for s in objects.services}
        self._not_judged = {(s.namespace, s.name) for s in objects.not_judged}
        self._all_from_pods = all(item.from_pods for item in objects.slices)
        self._slices: defaultdict[tuple[str, str], list[EndpointSlice]] = defaultdict(list)
        for item in objects.slices:
            self._slices[item.namespace, item.service].append(item)
        self._places: dict[tuple[str, str], _Places] = {}
        self._pods: defaultdict[str, set[Address]] = defaultdict(set)
        for namespace, address in _running(objects):
            self._pods[namespace].add(address)
        self._namespaces_of_pods = {pod.namespace for pod in objects.pods}
        self._called: defaultdict[Address, list[tuple[Service, str, bool]]] = defaultdict(list)
        for key, service in self._services.items():
            if service.type == "ExternalName":
                continue
            for address in service.cluster_ips:
                self._called[address].append((service, self._of(service), True))
            for host, addresses in self._placed(key, service).hosts.items():
                for address in addresses:
                    name = f"{host}.{self._of(service)}"
                    self._called[address].append((service, name, service.headless))
        self._open_pointers = next(
            (places.open_code for places in self._places.values() if "PTR" in places.open_types), ""
        )

    def wanted(self, name: str) -> Wanted:
        """What a name must answer; nothing where it is to be unknown (NXDOMAIN) or empty."""
        if address := _reversed(name):
            return self._wanted_of_address(address)
        match name.removesuffix(f".{self._domain}").split(".")[::-1]:
            case ["dns-version"]:
                return Wanted(VERSIONS)
            case ["pod", namespace, label]:
                return self._of_pod(namespace, label)
            case ["svc", namespace, label, *below]:
                key = namespace, label
                if key in self._not_judged:
                    return Wanted(is_judged=False)
                if (service := self._services.get(key)) is not None:
                    return self._of_service(key, service, below)
        return NOTHING

    def names(self) -> Iterator[str]:
        """Every name below the cluster domain that must answer."""
        yield f"dns-version.{self._domain}"
        for key, service in self._services.items():
            name = self._of(service)
            asked = [name]
            for port in service.ports:
                if port.name:
                    asked.append(f"_{port.name}._{port.protocol.lower()}.{name}")
            if service.headless:
                asked += [f"{host}.{name}" for host in self._placed(key, service).hosts]
            for each in asked:
                wanted = self.wanted(each)
                if wanted.must or wanted.open_code:
                    yield each
        for namespace, pods in self._pods.items():
            for address in pods:
                yield f"{_hyphened(address)}.{namespace}.pod.{self._domain}"

    def addresses(self) -> Iterator[tuple[Address, str]]:
        """Every address that must have a name, with its reverse name."""
        for address, called in self._called.items():
            if any(must for _, _, must in called):
                yield address, _pointed(address).reverse_pointer

    def _of(self, service: Service) -> str:
        return f"{service.name}.{service.namespace}.svc.{self._domain}"

    def _of_pod(self, namespace: str, label: str) -> Wanted:
        found = self._pods.get(namespace, ())
        answers = frozenset(_address(a) for a in found if _hyphened(a) == label)
        if namespace in self._namespaces_of_pods:
            return Wanted(answers)
        return Wanted(answers, open_code=codes.NAME_NOT_GIVEN, open_types=frozenset({"A", "AAAA"}))

    def _of_service(self, key: tuple[str, str], service: Service, below: Sequence[str]) -> Wanted:
        if service.type == "ExternalName":
            return NOTHING if below else Wanted(*_alias(service), service)
        places = self._placed(key, service)
        match below:
            case []:
                if not service.headless:
                    return Wanted(frozenset(map(_address, service.cluster_ips)), service=service)
                addresses = frozenset(_address(a) for of in places.hosts.values() for a in of)
                return Wanted(addresses, frozenset(), service, True, *_open(places))
            case [transport, port] if transport in _TRANSPORTS and (named := _PORT.match(port)):
                located = self._located(service, places, named["name"], _TRANSPORTS[transport])
                opened = _open(places) if service.headless else ("", frozenset[str]())
                return Wanted(located, frozenset(), service, True, *opened)
            case [host]:
                found = frozenset(map(_address, places.hosts.get(host, ())))
                if service.headless:
                    return Wanted(found, frozenset(), service, True, *_open(places))
                return Wanted(frozenset(), found, service, True, *_open(places))
        return NOTHING

    def _located(
        self, service: Service, places: _Places, name: str, protocol: str
    ) -> frozenset[Answer]:
        numbers = [p.port for p in service.ports if (p.name, p.protocol) == (name, protocol)]
        if len(name) + 1 > _LONGEST_LABEL or not numbers:
            return frozenset()
        own = self._of(service)
        if not service.headless:
            return frozenset(("SRV", str(n), own) for n in numbers if service.cluster_ips)
        return frozenset(
            ("SRV", str(number), f"{host}.{own}")
            for number, host in places.ports.get((name, protocol), ())
        )

    def _wanted_of_address(self, address: Address) -> Wanted:
        must: set[Answer] = set()
        may: set[Answer] = set()
        owners = [service for service, _, is_must in self._called[address] if is_must]
        for _, name, is_must in self._called[address]:
            (must if is_must else may).add(("PTR", name))
        return Wanted(
            frozenset(must),
            frozenset(may),
            owners[0] if owners else None,
            open_code=self._open_pointers,
            open_types=frozenset({"PTR"}) if self._open_pointers else frozenset(),
        )

    def _placed(self, key: tuple[str, str], service: Service) -> _Places:
        if key not in self._places:
            every = self._slices.get(key, [])
            slices = [item for item in every if not item.from_endpoints] or every
            found = _Places(defaultdict(set), defaultdict(set))
            for item in slices:
                for endpoint in item.endpoints:
                    if endpoint.ready or service.publish_not_ready_addresses:
                        self._note(found, item, endpoint)
            found.open_code, found.open_types = self._unknown(service, slices)
            self._places[key] = found
        return self._places[key]

    def _note(self, found: _Places, item: EndpointSlice, endpoint: Endpoint) -> None:
        host = endpoint.hostname or _hyphened(endpoint.address)
        found.hosts[host].add(endpoint.address)
        for port in item.ports:
            if port.name and port.port:
                found.ports[port.name, port.protocol].add((port.port, host))

    def _unknown(self, service: Service, slices: list[EndpointSlice]) -> tuple[str, frozenset[str]]:
        """What of a Service's endpoints the objects do not say."""
        if not slices:
            return (codes.NO_ENDPOINTS_GIVEN, _EVERY) if self._all_from_pods else ("", frozenset())
        if any(item.truncated for item in slices):
            return codes.TRUNCATED, _EVERY
        given = {item.family for item in slices}
        missing = set(service.ip_families) - given
        if missing:
            types = {"A" if family is Family.IPV4 else "AAAA" for family in missing}
            return codes.FAMILY_NOT_GIVEN, frozenset({*types, "SRV", "PTR"})
        return "", frozenset()


def is_sayable(name: str) -> bool:
    """Whether a message of DNS can hold a name (RFC 1035, section 2.3.4)."""
    labels = name.split(".")
    return len(name) <= _LONGEST_NAME and max(map(len, labels)) <= _LONGEST_LABEL


def _open(places: _Places) -> tuple[str, frozenset[str]]:
    return places.open_code, places.open_types


def _alias(service: Service) -> tuple[frozenset[Answer], frozenset[Answer]]:
    """What it must be and may be; Kubernetes documents that addresses are not resolved."""
    name = service.external_name.removesuffix(".")
    alias = frozenset({("CNAME", name)}) if is_domain_name(name) else frozenset[Answer]()
    try:
        ip_address(name)
    except ValueError:
        return alias, frozenset()
    return frozenset(), alias


def _address(address: Address) -> Answer:
    return ("A" if address.family is Family.IPV4 else "AAAA", str(address))


def _hyphened(address: Address) -> str:
    """Section 2.1 leaves it open; CoreDNS's endpointHostname, with a zero in front as behind."""
    label = str(address).translate(_HYPHENS)
    if label[0] == "-":
        label = f"0{label}"
    return f"{label}0" if label[-1] == "-" else label


def _pointed(address: Address) -> IPv4Address | IPv6Address:
    value = address.value
    return IPv4Address(value) if address.family is Family.IPV4 else IPv6Address(value)


def _reversed(name: str) -> Address | None:
    """The address that a reverse name is of (sections 2.3.3 and 2.4.3)."""
    if name.endswith(".in-addr.arpa"):
        octets = name.split(".")[:-2]
        if len(octets) == 4 and all(re.fullmatch(r"0|[1-9]\d{0,2}", octet) for octet in octets):
            numbers = [int(octet) for octet in reversed(octets)]
            if max(numbers) < 256:
                return Address(Family.IPV4, int.from_bytes(bytes(numbers), "big"))
    elif name.endswith(".ip6.arpa"):
        digits = name.split(".")[:-2]
        if len(digits) == 32 and all(re.fullmatch(r"[0-9a-f]", digit) for digit in digits):
            return Address(Family.IPV6, int("".join(reversed(digits)), 16))
    return None


def _running(objects: Objects) -> Iterable[tuple[str, Address]]:
    if objects.pods:
        return (
            (pod.namespace, address)
            for pod in objects.pods
            if not pod.terminating and not pod.is_finished
            for address in pod.addresses
        )
    return (
        (item.namespace, endpoint.address)
        for item in objects.slices
        for endpoint in item.endpoints
        if endpoint.pod is not None and not endpoint.terminating
    )
