"""What each packet must see, read straight from the objects.

This is the plain reading of the semantics in ``docs/semantics.md``. It knows nothing of
chains, lowerings or the compiler's intermediate form: the verifier would otherwise repeat
the compiler's mistakes. Source: kube-proxy 1.30 and later, iptables mode
(pkg/proxy/topology.go, pkg/proxy/iptables/proxier.go).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from svcc.compiler.model.objects import EndpointSlice, Objects, Service, ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family, Network
from svcc.verify.spec.endpoints import (
    HEADLESS_LABEL,
    PROXY_NAME_LABEL,
    Choice,
    choose,
    slices_by_service,
)
from svcc.verify.spec.node_ports import loopback_network, node_port_cases, selected_loopback
from svcc.verify.spec.outcomes import Case, Discard, Outcome, Refuse, Serve, Untouched, under
from svcc.verify.spec.packet_conditions import (
    ANYONE,
    Atom,
    DestinationIn,
    FromNode,
    FromPod,
    PacketCondition,
    SourceIn,
    negation,
)

PROTOCOL_NUMBER = {"TCP": 6, "UDP": 17, "SCTP": 132}


@dataclass(frozen=True, slots=True)
class Frontend:
    """One place that clients connect to. ``address`` None: a node port."""

    family: Family
    address: int | None
    protocol: int
    port: int
    service: str
    """``namespace/name:port``, as kube-proxy writes it in comments."""
    kind: str
    """``cluster IP``, ``external IP``, ``loadbalancer IP`` or ``node port``."""

    def __str__(self) -> str:
        protocol = next(name for name, n in PROTOCOL_NUMBER.items() if n == self.protocol)
        if self.address is None:
            return f"node port {self.port}/{protocol} ({self.service})"
        address = str(Address(self.family, self.address))
        if self.family is Family.IPV6:
            address = f"[{address}]"
        return f"{address}:{self.port}/{protocol} ({self.service})"


@dataclass(frozen=True, slots=True)
class FrontendExpectation:
    """A frontend and its cases: disjoint conditions that cover every packet."""

    frontend: Frontend
    cases: tuple[Case, ...]
    may_be_local: bool
    """Whether the frontend's address may be one of the node's own."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Everything that one family's packets must see on one node.

    ``health_check_ports`` are TCP ports of local addresses that must stay open, ``health_checks``
    the balancer addresses with theirs; ``health_checks_anywhere``: every virtual IP may have all
    of them open. ``untouched`` is what packets to no frontend must see. ``not_judged`` are
    frontends whose packets may see anything: those of Services that are wrong in themselves or
    claim one frontend. ``drops_invalid``: forwarded packets of no connection are dropped.
    """

    family: Family
    settings: NodeSettings
    frontends: tuple[FrontendExpectation, ...]
    health_check_ports: tuple[int, ...]
    untouched: Untouched = field(default_factory=Untouched)
    not_judged: tuple[Frontend, ...] = ()
    drops_invalid: bool = True
    health_checks: frozenset[tuple[int, int]] = frozenset()
    """(address, TCP port)."""
    health_checks_anywhere: bool = False
    may_refuse: frozenset[int] = frozenset()
    """Addresses whose ports that are no frontend may be refused."""
    may_drop: tuple[Network, ...] = ()
    """Networks of Services: what is addressed to nobody in them may be dropped."""
    other_hosts: tuple[tuple[int, str], ...] = ()
    """Addresses that are no virtual IPs if this node is to reach them, with whose they are."""


def expect(
    objects: Objects, settings: NodeSettings, family: Family, *, until_1_35: bool = False
) -> Expectation:
    """Derive what packets of ``family`` must see on the node of ``settings``.

    ``until_1_35``: as kube-proxies before 1.36 read labels and addresses that are used again.
    """
    slices = slices_by_service(objects.slices, until_1_35=until_1_35)
    frontends: list[FrontendExpectation] = []
    not_judged: list[Frontend] = []
    left_out = {(service.namespace, service.name) for service in objects.not_judged}
    health_checks: set[tuple[int, int]] = set()
    health_check_ports: set[int] = set()
    services = [*objects.services, *objects.not_judged]
    if not settings.external_ips:
        services = [replace(service, external_ips=()) for service in services]
    virtual_ips = _virtual_ips(services, settings, family, until_1_35)
    for service in services:
        if not _is_proxied(service, until_1_35):
            continue
        of_service = slices.get((service.namespace, service.name), [])
        for port in service.ports:
            found = _port_frontends(
                service, port, of_service, settings, family, virtual_ips, until_1_35
            )
            if (service.namespace, service.name) in left_out:
                not_judged.extend(item.frontend for item in found)
            else:
                frontends.extend(found)
        if (
            service.health_check_node_port
            and service.external_traffic_policy == "Local"
            and any(address.family == family for address in service.cluster_ips)
        ):
            number = service.health_check_node_port
            health_check_ports.add(number)
            # Balancers probe the node and their own address.
            health_checks.update((a, number) for a in _of_family(service.ingress, family))
    return Expectation(
        family,
        settings,
        _not_on_loopback(_with_node_port_overlaps(frontends), settings, family),
        tuple(sorted(health_check_ports)),
        not_judged=tuple(not_judged),
        drops_invalid=not settings.tcp_be_liberal,
        health_checks=frozenset(health_checks),
        other_hosts=_other_hosts(objects, settings, family),
    )


def _other_hosts(
    objects: Objects, settings: NodeSettings, family: Family
) -> tuple[tuple[int, str], ...]:
    """Other Nodes, and endpoints elsewhere: one that is here may have an address of the node."""
    found = {
        endpoint.address: f"an endpoint of {item.namespace}/{item.service}"
        for item in objects.slices
        for endpoint in item.endpoints
        if not (settings.known_node and endpoint.node_name == settings.node_name)
    }
    for node in objects.nodes:
        if node.name != settings.node_name:
            found.update(dict.fromkeys(node.addresses, f"Node {node.name}"))
    return tuple(
        sorted(
            (address.value, whose)
            for address, whose in found.items()
            if address.family is family and address not in settings.addresses
        )
    )


def _virtual_ips(
    services: Iterable[Service], settings: NodeSettings, family: Family, until_1_35: bool
) -> tuple[Network, ...]:
    """Addresses that ipvs mode makes the node's own, where it matters who sends from them."""
    if settings.mode != "ipvs" or pod_atom(settings, family) is not None:
        return ()
    found = {
        address
        for service in services
        if _is_proxied(service, until_1_35)
        and service.ports
        and any(address.family is family for address in service.cluster_ips)
        for address in (*service.cluster_ips, *service.external_ips, *service.ingress)
        if address.family is family and address not in settings.addresses
    }
    return tuple(Network(family, a.value, family.bits) for a in sorted(found))


def _is_proxied(service: Service, until_1_35: bool) -> bool:
    unwanted = {PROXY_NAME_LABEL, HEADLESS_LABEL} if until_1_35 else {PROXY_NAME_LABEL}
    return (
        service.type != "ExternalName"
        and not service.headless
        and bool(service.cluster_ips)
        and unwanted.isdisjoint(service.labels)
    )


def _port_frontends(
    service: Service,
    port: ServicePort,
    slices: Iterable[EndpointSlice],
    settings: NodeSettings,
    family: Family,
    virtual_ips: tuple[Network, ...],
    until_1_35: bool,
) -> list[FrontendExpectation]:
    cluster_ip = next((a for a in service.cluster_ips if a.family == family), None)
    if cluster_ip is None:
        return []
    choice = choose(slices, port, settings, family, until_1_35=until_1_35)
    name = f"{service.key}:{port.name}" if port.name else service.key
    protocol = PROTOCOL_NUMBER[port.protocol]

    def frontend(kind: str, address: int | None, number: int) -> Frontend:
        return Frontend(family, address, protocol, number, name, kind)

    found = [
        FrontendExpectation(
            frontend("cluster IP", cluster_ip.value, port.port),
            _cluster_ip_cases(service, choice, settings, family, virtual_ips),
            may_be_local=False,
        )
    ]
    external = _external_cases(service, choice, settings, family)
    claimed = {cluster_ip.value}
    for address in _of_family(service.external_ips, family):
        if address not in claimed:
            claimed.add(address)
            found.append(
                FrontendExpectation(frontend("external IP", address, port.port), external, True)
            )
    guarded = _guarded_cases(service, choice, external, settings, family)
    for address in _of_family(service.ingress, family):
        if address not in claimed:
            claimed.add(address)
            on_loopback = loopback_network(family).holds(Address(family, address))
            cases = tuple(map(_left_open, guarded)) if on_loopback else guarded
            found.append(
                FrontendExpectation(frontend("loadbalancer IP", address, port.port), cases, True)
            )
    if port.node_port and service.type in ("NodePort", "LoadBalancer"):
        found.append(
            FrontendExpectation(
                frontend("node port", None, port.node_port),
                node_port_cases(external, settings, family),
                True,
            )
        )
    return found


def _left_open(case: Case) -> Case:
    """On a loopback address a balancer's frontend may be served or not: none but the node itself
    can reach it, and what comes from elsewhere is dropped where node ports answer on loopback.
    """
    return Case(case.condition, tuple(dict.fromkeys((Untouched(), Discard(), *case.allowed))))


def _of_family(addresses: Iterable[Address], family: Family) -> list[int]:
    return [address.value for address in addresses if address.family == family]


def _cluster_ip_cases(
    service: Service,
    choice: Choice,
    settings: NodeSettings,
    family: Family,
    virtual_ips: tuple[Network, ...],
) -> tuple[Case, ...]:
    if not choice.any_usable:
        return (Case(ANYONE, (Refuse(),)),)
    backends = choice.here if service.internal_traffic_policy == "Local" else choice.everywhere
    if not backends:
        return (Case(ANYONE, (Discard(),)),)
    timeout = service.affinity_timeout
    with_masquerade = Serve(backends, True, timeout)
    without = Serve(backends, False, timeout)
    if settings.masquerade_all:
        return (Case(ANYONE, (with_masquerade,)),)
    pod = pod_atom(settings, family)
    if pod is None and virtual_ips:
        # The node's processes send from the virtual IP that they send to, as to any address
        # of the node, and no backend could answer that.
        from_virtual_ip = (FromNode(), SourceIn(virtual_ips))
        return (
            Case(from_virtual_ip, (with_masquerade,)),
            Case((negation(FromNode()),), (without,)),
            Case((FromNode(), negation(SourceIn(virtual_ips))), (without,)),
        )
    if pod is None:
        return (Case(ANYONE, (without,)),)
    return (Case((pod,), (without,)), Case((negation(pod),), (with_masquerade,)))


def pod_atom(settings: NodeSettings, family: Family) -> Atom | None:
    """The condition that a pod sent the packet; None where pods cannot be told."""
    if settings.pods.in_interface:
        return FromPod(settings.pods.in_interface)
    network = settings.pods.networks.get(family)
    return SourceIn((network,)) if network else None


def _external_cases(
    service: Service, choice: Choice, settings: NodeSettings, family: Family
) -> tuple[Case, ...]:
    """Cases of an external frontend, source ranges aside."""
    node = FromNode()
    if not choice.any_usable:
        return (
            Case((node,), (Refuse(), Untouched())),
            Case((negation(node),), (Refuse(),)),
        )
    timeout = service.affinity_timeout
    if service.external_traffic_policy == "Cluster":
        return (Case(ANYONE, (Serve(choice.everywhere, True, timeout),)),)
    outside: Outcome = Serve(choice.here, False, timeout) if choice.here else Discard()
    pod = pod_atom(settings, family)
    not_pod: PacketCondition = ()
    cases = []
    if pod is not None:
        cases.append(Case((pod,), (Serve(choice.everywhere, False, timeout),)))
        not_pod = (negation(pod),)
    cases.append(Case((*not_pod, node), (Serve(choice.everywhere, True, timeout),)))
    cases.append(Case((*not_pod, negation(node)), (outside,)))
    return tuple(cases)


def _guarded_cases(
    service: Service,
    choice: Choice,
    external: tuple[Case, ...],
    settings: NodeSettings,
    family: Family,
) -> tuple[Case, ...]:
    """Cases of a balancer address: source ranges decide first."""
    if not service.source_ranges:
        return external
    ranges = tuple(r for r in service.source_ranges if r.family == family)
    if not choice.any_usable:
        return tuple(Case(c.condition, (*c.allowed, Discard())) for c in external)
    if not ranges:
        return tuple(Case(c.condition, (*c.allowed, Discard())) for c in external)
    node_address = settings.primary_address(family)
    if node_address is not None and any(r.holds(node_address) for r in ranges):
        own = tuple(
            Network(family, value, family.bits) for value in _of_family(service.ingress, family)
        )
        ranges += own
    inside = SourceIn(ranges)
    return (
        Case((negation(inside),), (Discard(),)),
        *under((inside,), external),
    )


def _with_node_port_overlaps(
    frontends: list[FrontendExpectation],
) -> tuple[FrontendExpectation, ...]:
    """Where an address that refuses is the node's and its port a node port of another Service.

    The address wins over the node port, but kube-proxy lets a packet that the address would
    refuse fall through to the node port.
    """
    node_ports = {
        (item.frontend.protocol, item.frontend.port): item
        for item in frontends
        if item.frontend.address is None
    }
    result = []
    for item in frontends:
        other = node_ports.get((item.frontend.protocol, item.frontend.port))
        if item.frontend.address is None or not item.may_be_local or other is None:
            result.append(item)
            continue
        cases: list[Case] = []
        for case in item.cases:
            if any(isinstance(outcome, Serve) for outcome in case.allowed):
                cases.append(case)
                continue
            for below in other.cases:
                cases.append(
                    Case(
                        (*case.condition, *below.condition),
                        tuple(dict.fromkeys((*case.allowed, *below.allowed))),
                    )
                )
        result.append(FrontendExpectation(item.frontend, tuple(cases), True))
    return tuple(result)


def _not_on_loopback(
    frontends: tuple[FrontendExpectation, ...], settings: NodeSettings, family: Family
) -> tuple[FrontendExpectation, ...]:
    """In ipvs mode a node port may be left alone on loopback if a backend is a frontend itself.

    What rules translate ahead of IPVS, as loopback needs it, IPVS would translate again.
    """
    if settings.mode != "ipvs" or not settings.loopback_node_ports(family):
        return frontends
    own = {a.value for a in settings.addresses if a.family is family}
    node_ports = {
        (i.frontend.protocol, i.frontend.port) for i in frontends if not i.frontend.address
    }
    declared = {(i.frontend.address, i.frontend.protocol, i.frontend.port) for i in frontends}
    loopback = DestinationIn(selected_loopback(settings, family))

    def again(item: FrontendExpectation) -> bool:
        protocol = item.frontend.protocol
        return any(
            (backend.address, protocol, backend.port) in declared
            or (backend.address in own and (protocol, backend.port) in node_ports)
            for case in item.cases
            for outcome in case.allowed
            if isinstance(outcome, Serve)
            for backend in outcome.backends
        )

    result = []
    for item in frontends:
        if item.frontend.address is None and again(item):
            cases = tuple(
                Case(case.condition, tuple(dict.fromkeys((*case.allowed, Untouched()))))
                if loopback in case.condition
                else case
                for case in item.cases
            )
            item = FrontendExpectation(item.frontend, cases, item.may_be_local)
        result.append(item)
    return tuple(result)
