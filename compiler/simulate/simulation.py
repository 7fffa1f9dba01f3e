"""Manifests that no cluster has seen, as the objects that a cluster would have."""

from __future__ import annotations

from collections.abc import Sequence

from svcc.compiler.model.objects import Node, Objects, Origin
from svcc.compiler.model.workloads import SIMULATED
from svcc.compiler.select.endpoints import missing_slices
from svcc.compiler.simulate.allocation import addresses_of, allocated
from svcc.compiler.simulate.numbers import Addresses
from svcc.compiler.simulate.pods import pods_of
from svcc.grammar.address import Family, Network, parse_address, parse_network

POD_NETWORKS = (parse_network("10.244.0.0/16"), parse_network("fd00:10:244::/64"))
"""Those that kubeadm's examples and kind have."""
_NODES = Origin(SIMULATED)
NODES = tuple(
    Node(f"node-{number}", _NODES, (parse_address(four), parse_address(six)))
    for number, four, six in ((1, "198.18.0.1", "2001:2::1"), (2, "198.18.0.2", "2001:2::2"))
)
"""Stand for the Nodes where none are given; their addresses are for benchmarks (RFC 2544,
RFC 5180), so that nobody has them."""


def simulate(objects: Objects, pod_networks: Sequence[Network] = POD_NETWORKS) -> None:
    """Put into objects what a cluster would add: Nodes, addresses and ports of Services, the
    Pods of workloads, and the slices of both.

    Args:
        objects: loaded to be simulated; changed in place.
        pod_networks: one of each family that Pods have.

    Raises:
        InputError: a network or range is too small, or two Services have one number.
    """
    objects.is_simulated = True
    if not objects.nodes:
        objects.nodes = list(NODES)
    services = [*objects.services, *objects.not_judged]
    taken = [
        *(address for service in services for address in addresses_of(service)),
        *(address for node in objects.nodes for address in node.addresses),
        *(address for pod in objects.pods for address in pod.addresses),
    ]
    addresses: dict[Family, Addresses] = {
        network.family: Addresses(network, taken, "--pod-cidr") for network in pod_networks
    }
    for workload in objects.workloads:
        objects.pods += pods_of(workload, objects.nodes, addresses)
    taken += (address for pod in objects.pods for address in pod.addresses)
    objects.services, objects.simulated_addresses = allocated(objects.services, taken)
    served = {service.key for service in objects.services if service.cluster_ips}
    objects.passed_over = tuple(
        item
        for item in objects.passed_over
        if item.reason != "no-cluster-ip" or item.name not in served
    )
    wrong = {(service.namespace, service.name) for service in objects.not_judged}
    namespaces = {service.namespace for service in objects.services}
    objects.slices += missing_slices(objects, wrong, whole=namespaces)
