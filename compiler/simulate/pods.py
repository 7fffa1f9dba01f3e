"""Workloads to the Pods that they would make, all of them running and ready."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count

from svcc.compiler.model.objects import Node, Pod
from svcc.compiler.model.workloads import OF_EVERY_NODE, SIMULATED, Workload
from svcc.compiler.simulate.numbers import Addresses
from svcc.grammar.address import Address, Family


def nodes_for(workload: Workload, nodes: Sequence[Node]) -> list[Node]:
    """The Nodes that may run a workload's Pods: by ``nodeName`` and ``nodeSelector``.

    Affinities and taints are not looked at, nor labels that every Node has and written ones
    often lack. Simulated Nodes may run everything.
    """
    template = workload.template
    if any(node.origin.file == SIMULATED for node in nodes):
        return list(nodes)
    if template.node_name:
        return [node for node in nodes if node.name == template.node_name]
    return [
        node
        for node in nodes
        if all(
            node.labels.get(name, value if name in OF_EVERY_NODE else None) == value
            for name, value in template.node_selector.items()
        )
    ]


def pods_of(
    workload: Workload, nodes: Sequence[Node], addresses: Mapping[Family, Addresses]
) -> Iterator[Pod]:
    """The Pods of a workload, spread over the Nodes that may run them in turn.

    Args:
        nodes: all of the cluster.
        addresses: of Pods; those of the host network have their Node's.

    Raises:
        InputError: no address is left.
    """
    fitting = nodes_for(workload, nodes)
    numbers: Iterable[int] = range(len(fitting))
    if fitting and workload.replicas is not None:
        numbers = range(workload.replicas)
    template = workload.template
    for number, node in zip(numbers, _in_turn(fitting), strict=False):
        name = workload.pod_name(number)
        has_name = workload.kind == "StatefulSet"
        yield Pod(
            namespace=workload.namespace,
            name=name,
            origin=workload.origin,
            labels=workload.labels_of(number),
            addresses=_addresses(workload, node, addresses),
            ports=template.ports,
            ready=template.never_ready is None,
            node_name=node.name,
            hostname=name if has_name else template.hostname,
            subdomain=workload.service_name if has_name else template.subdomain,
            is_simulated=True,
        )


def _in_turn(nodes: Sequence[Node]) -> Iterator[Node]:
    return (nodes[number % len(nodes)] for number in count())


def _addresses(
    workload: Workload, node: Node, addresses: Mapping[Family, Addresses]
) -> tuple[Address, ...]:
    if not workload.template.host_network:
        return tuple(found.next() for found in addresses.values())
    by_family: dict[Family, Address] = {}
    for address in node.addresses:
        by_family.setdefault(address.family, address)
    return tuple(by_family.values())
