"""From objects to the forwarding of one node.

Source: kube-proxy pkg/proxy/serviceport.go (newBaseServiceInfo), pkg/proxy/util/utils.go
(ShouldSkipService), pkg/proxy/iptables/proxier.go (syncProxyRules).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from svcc.compiler.model.eligibility import has_backends, is_forwarded
from svcc.compiler.model.objects import EndpointSlice, Objects, Service
from svcc.compiler.resolve.endpoints import select
from svcc.compiler.resolve.forwarding import (
    PROTOCOL_NUMBERS,
    Forwarding,
    HealthCheck,
    ServicePort,
)
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import LOOPBACK, Address, Family, Network


def resolve(objects: Objects, settings: NodeSettings) -> Forwarding:
    """Decide what the node of ``settings`` forwards where."""
    slices = _slices_of_services(objects.slices)
    ports: list[ServicePort] = []
    checks: list[tuple[Family, HealthCheck]] = []
    notes: list[str] = []
    for service in objects.services:
        if not is_forwarded(service):
            continue
        if not service.cluster_ips:
            notes.append(
                f"Service {service.key} has no clusterIP and is skipped, as kube-proxy does; "
                "the API server assigns one (kubectl get service -o yaml shows it), "
                "or svcc allocate"
            )
            continue
        on_loopback = [a for a in service.ingress if LOOPBACK[a.family].holds(a)]
        if on_loopback:
            notes.append(
                f"Service {service.key}: balancer address {', '.join(map(str, on_loopback))} is "
                "not served; no other host can reach a loopback address"
            )
        for cluster_ip in service.cluster_ips:
            family = cluster_ip.family
            ports.extend(
                _service_ports(
                    service, cluster_ip, slices[service.namespace, service.name], settings
                )
            )
            if service.health_check_node_port and service.external_traffic_policy == "Local":
                balancer = _balancer_addresses(service, family)
                check = HealthCheck(service.health_check_node_port, service.key, balancer)
                checks.append((family, check))
    ports.sort(key=lambda p: (p.family, p.label, p.protocol))
    checks.sort(key=lambda pair: (pair[0], pair[1].port))
    unallocated = _unallocated(objects, settings, notes)
    return Forwarding(
        settings,
        tuple(ports),
        tuple(checks),
        tuple(sorted(notes)),
        _other_hosts(objects, settings),
        unallocated,
    )


def _unallocated(objects: Objects, settings: NodeSettings, notes: list[str]) -> tuple[Network, ...]:
    """The service networks that are for cluster IPs alone, as they should be."""
    found = []
    for network in settings.service_networks:
        other = next((pair for pair in _of_others(objects) if network.holds(pair[0])), None)
        if other is None:
            found.append(network)
        elif settings.mode == "nftables":
            notes.append(
                f"packets to cluster IPs that no Service has are not dropped: {other[0]}, "
                f"{other[1]}, is in {network} too (--service-cluster-ip-range)"
            )
    return tuple(found)


def _of_others(objects: Objects) -> Iterator[tuple[Address, str]]:
    """Addresses that are no cluster IPs, with whose they are."""
    for node in objects.nodes:
        yield from ((address, f"of Node {node.name}") for address in node.addresses)
    for service in (*objects.services, *objects.not_judged):
        for address in (*service.external_ips, *service.ingress):
            yield address, f"an external address of Service {service.key}"
    for item in objects.slices:
        whose = f"an endpoint of {item.namespace}/{item.service}"
        yield from ((endpoint.address, whose) for endpoint in item.endpoints)


def _other_hosts(objects: Objects, settings: NodeSettings) -> dict[tuple[Family, int], str]:
    """Whose addresses must stay reachable from this node, whatever Services say of them.

    Only addresses that a Service has outside the cluster's service network matter.
    """
    claimed = {
        a
        for service in objects.services
        for a in (*service.external_ips, *service.ingress)
        if a not in settings.addresses
    }
    found: dict[tuple[Family, int], str] = {}
    if not claimed:
        return found
    for item in objects.slices:
        for endpoint in item.endpoints:
            # At home it is a host network endpoint: the address is one of the node's own.
            at_home = settings.known_node and endpoint.node_name == settings.node_name
            if endpoint.address in claimed and not at_home:
                key = (endpoint.address.family, endpoint.address.value)
                found[key] = f"an endpoint of {item.namespace}/{item.service}"
    for node in objects.nodes:
        if node.name != settings.node_name:
            found |= {
                (a.family, a.value): f"Node {node.name}" for a in node.addresses if a in claimed
            }
    return found


def _slices_of_services(
    slices: Iterable[EndpointSlice],
) -> defaultdict[tuple[str, str], list[EndpointSlice]]:
    """Each Service's slices by name; Endpoints only where there is no slice."""
    found: defaultdict[tuple[str, str], list[EndpointSlice]] = defaultdict(list)
    for item in slices:
        if has_backends(item):
            found[item.namespace, item.service].append(item)
    for key, items in found.items():
        if len(items) > 1:
            real = [item for item in items if not item.from_endpoints]
            found[key] = sorted(real or items, key=lambda item: item.name)
    return found


def _service_ports(
    service: Service,
    cluster_ip: Address,
    slices: list[EndpointSlice],
    settings: NodeSettings,
) -> Iterable[ServicePort]:
    family = cluster_ip.family
    external_ips = service.external_ips if settings.external_ips else ()
    external = _without(_values(external_ips, family), (cluster_ip.value,))
    balancer = _without(_balancer_addresses(service, family), (cluster_ip.value, *external))
    sources = _allowed_sources(service, family, settings)
    answers = _answers_node_ports(settings, family)
    for port in service.ports:
        selection = select(slices, port, family, settings)
        yield ServicePort(
            family=family,
            label=f"{service.key}:{port.name}" if port.name else service.key,
            protocol=PROTOCOL_NUMBERS[port.protocol],
            cluster_ip=cluster_ip.value,
            port=port.port,
            external_addresses=external,
            balancer_addresses=balancer,
            node_port=port.node_port
            if answers and service.type in ("NodePort", "LoadBalancer")
            else 0,
            everywhere=selection.everywhere,
            here=selection.here,
            usable=selection.usable,
            internal_local=service.internal_traffic_policy == "Local",
            external_local=service.external_traffic_policy == "Local",
            affinity_timeout=service.affinity_timeout,
            allowed_sources=sources,
            scheduler=service.ipvs_scheduler,
        )


def _answers_node_ports(settings: NodeSettings, family: Family) -> bool:
    """Whether node ports answer on any address at all."""
    networks = settings.node_port_networks
    if networks is None or settings.loopback_node_ports(family):
        return True
    loopback = LOOPBACK[family]
    return any(
        network.family is family
        and not (network.overlaps(loopback) and network.prefix_length >= loopback.prefix_length)
        for network in networks
    )


def _values(addresses: Iterable[Address], family: Family) -> tuple[int, ...]:
    return tuple(sorted({a.value for a in addresses if a.family is family}))


def _balancer_addresses(service: Service, family: Family) -> tuple[int, ...]:
    """Those that are served: not 127.0.0.1, as ``minikube tunnel`` writes it down."""
    return _values((a for a in service.ingress if not LOOPBACK[a.family].holds(a)), family)


def _without(values: Iterable[int], taken: Iterable[int]) -> tuple[int, ...]:
    unwanted = set(taken)
    return tuple(value for value in values if value not in unwanted)


def _allowed_sources(
    service: Service, family: Family, settings: NodeSettings
) -> tuple[Network, ...] | None:
    ranges = {r for r in service.source_ranges if r.family is family}
    if not ranges:
        return None
    node = settings.primary_address(family)
    if node is not None and any(r.holds(node) for r in ranges):
        # A node that talks to the balancer's address may use that address as its source.
        ranges |= {
            Network(family, value, family.bits) for value in _values(service.ingress, family)
        }
    return tuple(sorted(ranges))
