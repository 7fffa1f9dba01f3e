"""Which addresses a Service's slices must hold: the plain reading.

Source: Kubernetes documentation, "EndpointSlices" and "Pod Lifecycle"; k8s.io/endpointslice
reconciler.go. Written apart from the compiler's own selection, which it has to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from svcc.compiler.model.objects import (
    Endpoint,
    EndpointSlice,
    Objects,
    Origin,
    Pod,
    Protocol,
    Service,
)
from svcc.grammar.address import Address, Family

MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
_OF_SELECTORS = ("", "endpointslice-controller.k8s.io", "svcc")
"""Who makes the slices that are held to the selector; others may add addresses of their own."""

Usable = Literal["ready", "serving while it terminates", "not ready"]
"""What becomes of an endpoint, in the words of its conditions."""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """An address and a port of a Service as it is there; without ports ``port`` is 0."""

    address: Address
    port: int
    protocol: Protocol | None
    name: str

    def __str__(self) -> str:
        if not self.port:
            return str(self.address)
        shown = f"[{self.address}]" if self.address.family is Family.IPV6 else str(self.address)
        named = f" ({self.name})" if self.name else ""
        return f"{shown}:{self.port}/{self.protocol}{named}"


@dataclass(frozen=True, slots=True)
class State:
    """What is said of a target: ``usable`` and the node that it is on."""

    usable: Usable
    node: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A target that differs: ``wanted`` by the Pods, ``held`` by the slices; None: not at all.

    ``pod`` is the Pod that has the address, if any does; ``place`` the endpoint, or the Service.
    """

    target: Target
    wanted: State | None
    held: State | None
    pod: Pod | None
    place: Origin


class Selection:
    """Holds slices against the Pods that selectors select."""

    def __init__(self, objects: Objects) -> None:
        self._nodes = {node.name: node for node in objects.nodes}
        self._by_label: dict[tuple[str, str, str], list[Pod]] = {}
        self._by_address: dict[Address, Pod] = {}
        self._namespaces = {pod.namespace for pod in objects.pods}
        for pod in objects.pods:
            for address in pod.addresses:
                self._by_address.setdefault(address, pod)
            for name, value in pod.labels.items():
                self._by_label.setdefault((pod.namespace, name, value), []).append(pod)
        self._slices: dict[tuple[str, str], list[EndpointSlice]] = {}
        for item in objects.slices:
            if item.labels.get(MANAGED_BY_LABEL, "") in _OF_SELECTORS or item.from_endpoints:
                self._slices.setdefault((item.namespace, item.service), []).append(item)

    def families(self, service: Service) -> list[Family]:
        """The families in which a Service's slices are known and are held to Pods.

        None where it has no selector, no slices, or nothing is known of the Pods in its namespace.
        """
        if not service.selector or service.type == "ExternalName":
            return []
        if service.namespace not in self._namespaces:
            return []
        slices = self._of(service)
        found = dict.fromkeys(address.family for address in service.cluster_ips)
        found = found or dict.fromkeys(service.ip_families)
        found = found or dict.fromkeys(sorted(item.family for item in slices))
        if any(item.from_endpoints for item in slices):
            # Endpoints have the first family alone, and say where they have not all.
            whole = not any(item.truncated for item in slices)
            return list(found)[:1] if whole else []
        return list(found) if slices else []

    def differences(self, service: Service, family: Family) -> Iterator[Difference]:
        """What of one family differs, in the order of addresses and ports."""
        slices = self._of(service)
        wanted = self._wanted(service, family)
        if any(item.from_endpoints for item in slices):
            # Those that are not ready stand elsewhere in Endpoints, and are not read.
            wanted = {t: both for t, both in wanted.items() if both[1].usable == "ready"}
        held = dict(_held(slices, family))
        for target in sorted(wanted.keys() | held.keys()):
            pod, state = wanted.get(target, (None, None))
            there, place = held.get(target, (None, service.origin))
            if state == there:
                continue
            if there is None and self._may_be_left_out(pod, service):
                continue
            owner = pod or self._by_address.get(target.address)
            yield Difference(target, state, there, owner, place)

    def _of(self, service: Service) -> list[EndpointSlice]:
        found = self._slices.get((service.namespace, service.name), [])
        return [item for item in found if not item.from_endpoints] or found

    def _may_be_left_out(self, pod: Pod | None, service: Service) -> bool:
        """A Pod on a Node that the cluster does not know is left out of the slices."""
        known = not self._nodes or pod is None or pod.node_name in self._nodes
        return not known and not service.publish_not_ready_addresses

    def _selected(self, service: Service) -> list[Pod]:
        label = min(
            service.selector.items(),
            key=lambda item: len(self._by_label.get((service.namespace, *item), ())),
        )
        found = self._by_label.get((service.namespace, *label), [])
        return [
            pod
            for pod in found
            if all(pod.labels.get(name) == value for name, value in service.selector.items())
        ]

    def _wanted(self, service: Service, family: Family) -> dict[Target, tuple[Pod, State]]:
        found = {}
        for pod in self._selected(service):
            addresses = [address for address in pod.addresses if address.family == family]
            if pod.is_finished or not addresses:
                continue
            state = State(_usable_pod(pod, service), pod.node_name)
            for target in _targets(service, pod, addresses[0]):
                found[target] = (pod, state)
        return found


def _usable_pod(pod: Pod, service: Service) -> Usable:
    if service.publish_not_ready_addresses:
        return "ready"
    if not pod.ready:
        return "not ready"
    return "serving while it terminates" if pod.terminating else "ready"


def _usable(endpoint: Endpoint) -> Usable:
    if endpoint.ready:
        return "ready"
    leaves = endpoint.serving and endpoint.terminating
    return "serving while it terminates" if leaves else "not ready"


def _targets(service: Service, pod: Pod, address: Address) -> Iterator[Target]:
    has_any = False
    for port in service.ports:
        number: int | None
        if isinstance(port.target_port, str):
            named = [
                own.port
                for own in pod.ports
                if (own.name, own.protocol) == (port.target_port, port.protocol)
            ]
            number = named[0] if named else None
        else:
            number = port.target_port or port.port
        if number is not None:
            has_any = True
            yield Target(address, number, port.protocol, port.name)
    if not has_any:
        yield Target(address, 0, None, "")


def _held(
    slices: Iterable[EndpointSlice], family: Family
) -> Iterator[tuple[Target, tuple[State, Origin]]]:
    for item in slices:
        if item.family != family:
            continue
        ports = [port for port in item.ports if port.port]
        for number, endpoint in enumerate(item.endpoints):
            origin = item.origin
            below = () if item.from_endpoints or item.from_pods else ("endpoints", number)
            place = Origin(origin.file, origin.document, (*origin.path, *below))
            state = State(_usable(endpoint), endpoint.node_name)
            for port in ports:
                target = Target(endpoint.address, port.port, port.protocol, port.name)
                yield target, (state, place)
            if not ports:
                yield Target(endpoint.address, 0, None, ""), (state, place)
