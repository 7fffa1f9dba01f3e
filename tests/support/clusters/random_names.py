"""Random clusters in which names are what matters, as typed objects."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from svcc.compiler.model.objects import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Objects,
    Origin,
    Pod,
    Protocol,
    Service,
    ServicePort,
)
from svcc.grammar.address import Address, Family, parse_address

ORIGIN = Origin("objects.yaml")
PROTOCOLS: tuple[Protocol, ...] = ("TCP", "UDP", "SCTP")
ENDPOINTS = tuple(
    parse_address(text)
    for text in (
        "10.244.1.5", "10.244.1.15", "10.244.11.5",
        "fd00:10:244::5", "fd00:10:244:1::", "64:ff9b::1", "2001:db8::",
    )
)  # fmt: skip
HOSTS = (None, "db-0", "db-1", "10-244-1-5", "tcp", "a" * 63)
NAMES = ("web", "db", "svc", "pod", "dns-version", "b" * 63)
PORTS = ("", "http", "dns-tcp", "c" * 63)


@st.composite
def _ports(draw: st.DrawFn) -> tuple[ServicePort, ...]:
    pairs = st.tuples(st.sampled_from(PORTS), st.sampled_from(PROTOCOLS))
    chosen = draw(st.lists(pairs, max_size=3, unique=True))
    return tuple(ServicePort(n, p, 80 + number) for number, (n, p) in enumerate(chosen))


@st.composite
def _slice(draw: st.DrawFn, service: Service, number: int) -> EndpointSlice:
    family = draw(st.sampled_from(list(Family)))
    at = st.sampled_from([address for address in ENDPOINTS if address.family is family])
    endpoint = st.builds(
        Endpoint,
        address=at,
        ready=st.booleans(),
        hostname=st.sampled_from(HOSTS),
        pod=st.sampled_from((None, "web-1")),
        terminating=st.booleans(),
    )
    own = [EndpointPort(port.name, port.protocol, port.port + 8000) for port in service.ports]
    own += [EndpointPort(port.name, port.protocol, 0) for port in service.ports]
    others = [EndpointPort("other", "TCP", 9), EndpointPort("http", "SCTP", 0)]
    ports = draw(st.lists(st.sampled_from([*own, *others]), max_size=3, unique=True))
    return EndpointSlice(
        namespace=service.namespace,
        name=f"{service.name[:20]}-{number}",
        service=service.name,
        family=family,
        ports=tuple(ports),
        endpoints=tuple(draw(st.lists(endpoint, max_size=4))),
        origin=ORIGIN,
        from_endpoints=draw(st.booleans()),
    )


@st.composite
def _service(draw: st.DrawFn, number: int, name: str) -> Service:
    kind = draw(st.sampled_from(("cluster IP", "headless", "headless", "external name")))
    found = Service(
        namespace=draw(st.sampled_from(("shop", "svc"))),
        name=name,
        type="ExternalName" if kind == "external name" else "ClusterIP",
        origin=ORIGIN,
        ports=draw(_ports()),
    )
    four, six = (
        Address(Family.IPV4, 0x0A600001 + number),
        Address(Family.IPV6, number + (0xFD << 120)),
    )
    match kind:
        case "cluster IP":
            return replace(found, cluster_ips=draw(st.sampled_from(((), (four,), (six, four)))))
        case "headless":
            return replace(found, headless=True, publish_not_ready_addresses=draw(st.booleans()))
        case _:
            texts = ("pay.example.com", "pay.example.com.", "192.0.2.1", "", "no_name.example")
            return replace(found, external_name=draw(st.sampled_from(texts)))


@st.composite
def named_clusters(draw: st.DrawFn) -> Objects:
    """Services of each kind with their endpoints, and Pods; every Service has slices."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    services = [draw(_service(number, name)) for number, name in enumerate(names)]
    slices = [
        draw(_slice(service, number))
        for service in services
        for number in range(draw(st.integers(1, 2)))
    ]
    pod = st.builds(
        Pod,
        namespace=st.just("shop"),
        name=st.just("web-1"),
        origin=st.just(ORIGIN),
        addresses=st.lists(st.sampled_from(ENDPOINTS), max_size=2, unique=True).map(tuple),
        terminating=st.booleans(),
        is_finished=st.booleans(),
    )
    pods = draw(st.lists(pod, max_size=2))
    return Objects(services=services, slices=slices, pods=pods)
