"""The Kubernetes objects that matter to a Service, validated and with API defaults filled in.

Field names follow the API (core/v1 Service, Endpoints, Node, Pod; discovery.k8s.io/v1
EndpointSlice). Everything that the API leaves to a default has its value here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from svcc.compiler.model.terms import ContainerPort as ContainerPort
from svcc.compiler.model.terms import Locates
from svcc.compiler.model.terms import Origin as Origin
from svcc.compiler.model.terms import Protocol as Protocol
from svcc.compiler.model.workloads import Workload
from svcc.grammar.address import Address, Family, Network
from svcc.grammar.errors import Problem

Policy = Literal["Cluster", "Local"]

DEFAULT_NAMESPACE = "default"
"""Where an object is that names none, as kubectl has it."""
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh")
"""The IPVS schedulers that kube-proxy takes (ipvsadm(8))."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """``spec.ports[]``; ``name`` is "" where the API object has none, ``node_port`` 0 if none.

    ``target_port`` is a number or the name of a container's port; 0: the same as ``port``.
    """

    name: str
    protocol: Protocol
    port: int
    node_port: int = 0
    target_port: int | str = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Service as the API server would hold it.

    ``ingress`` has the addresses of ``status.loadBalancer.ingress[]`` without those whose
    ``ipMode`` is ``Proxy``. ``affinity_timeout`` is in seconds, None without ClientIP
    affinity. ``selector`` is empty where somebody else makes the endpoints, ``ip_families`` and
    ``traffic_distribution`` where the object has none.
    """

    namespace: str
    name: str
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]
    origin: Origin
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    headless: bool = False
    cluster_ips: tuple[Address, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    external_ips: tuple[Address, ...] = ()
    ingress: tuple[Address, ...] = ()
    source_ranges: tuple[Network, ...] = ()
    internal_traffic_policy: Policy = "Cluster"
    external_traffic_policy: Policy = "Cluster"
    affinity_timeout: int | None = None
    health_check_node_port: int = 0
    ipvs_scheduler: str | None = None
    selector: dict[str, str] = field(default_factory=dict)
    publish_not_ready_addresses: bool = False
    ip_families: tuple[Family, ...] = ()
    ip_family_policy: str = ""
    external_name: str = ""
    load_balancer_ip: Address | None = None
    traffic_distribution: str = ""
    allocate_node_ports: bool = True
    load_balancer_class: str = ""
    has_ingress: bool = False
    """Whether a balancer has answered, be it with a name or an address that is none of ours."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class EndpointPort:
    """A port of a slice or subset; ``port`` 0 where the object gives none."""

    name: str
    protocol: Protocol
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint: its first address, and what it says of itself (absent conditions filled in).

    ``pod`` is the name of the Pod that it is, in the namespace of the slice.
    """

    address: Address
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node_name: str | None = None
    zone_hints: frozenset[str] = frozenset()
    node_hints: frozenset[str] = frozenset()
    zone: str | None = None
    hostname: str | None = None
    pod: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSlice:
    """An EndpointSlice, or one subset of an Endpoints object in the same form.

    ``service`` is the name of the Service in the same namespace. Slices of ``addressType:
    FQDN`` are not here. ``from_endpoints`` tells the two kinds of object apart; one made
    ``from_pods`` was not given, and its ``origin`` is the Service's.
    """

    namespace: str
    name: str
    service: str
    family: Family
    ports: tuple[EndpointPort, ...]
    endpoints: tuple[Endpoint, ...]
    origin: Origin
    labels: dict[str, str] = field(default_factory=dict)
    from_endpoints: bool = False
    truncated: bool = False
    """The Endpoints object says itself that it has not all endpoints (over a thousand)."""
    from_pods: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A Pod, or a host of a HostList: what a selector can select.

    ``ports`` are those of the containers, then those of the init containers that keep running
    (``restartPolicy: Always``). ``ready`` is the condition Ready, which has the readiness gates
    in it; ``terminating``: it has a deletionTimestamp; ``is_finished``: its phase is Succeeded or
    Failed. ``zone`` is a host's own; a Pod's is that of its Node.
    """

    kind: Literal["Pod", "host"] = "Pod"
    namespace: str
    name: str
    origin: Origin
    labels: dict[str, str] = field(default_factory=dict)
    addresses: tuple[Address, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    ready: bool = False
    terminating: bool = False
    is_finished: bool = False
    node_name: str | None = None
    zone: str | None = None
    hostname: str = ""
    subdomain: str = ""
    is_simulated: bool = False
    """Whether it is what a workload would make."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Node:
    """A Node: ``addresses`` are its InternalIPs, then its ExternalIPs, in the object's order."""

    name: str
    origin: Origin
    addresses: tuple[Address, ...] = ()
    pod_cidrs: tuple[Network, ...] = ()
    zone: str | None = None
    labels: dict[str, str] = field(default_factory=dict, compare=False)


PassedOverReason = Literal[
    "another-proxy",
    "headless",
    "external-name",
    "no-cluster-ip",
    "no-ports",
    "clash",
    "invalid",
    "invalid-endpoints",
    "no-service-label",
    "no-such-service",
    "fqdn",
    "other-kind",
]
"""Why something that was given has no say.

Services: ``another-proxy`` (a label leaves it to one), ``headless``, ``external-name``,
``no-cluster-ip``, ``no-ports``, ``clash`` (two claim one frontend), ``invalid``,
``invalid-endpoints``. Slices: ``invalid``, ``no-service-label``, ``no-such-service``, ``fqdn``.
Anything else: ``other-kind``.
"""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """An object that has no say, and why; ``name`` is ``namespace/name``.

    Of a kind that is not read, ``count`` objects at once: ``name`` is "", ``origin`` and
    ``api_version`` are the first's.
    """

    kind: str
    name: str
    reason: PassedOverReason
    origin: Origin
    count: int = 1
    api_version: str = ""


@dataclass(slots=True)
class Objects:
    """All that was loaded, in input order. ``skipped_kinds`` counts objects of other kinds.

    ``not_judged`` are Services that are wrong in themselves, have wrong endpoints or claim what
    another claims, as far as they could be read; ``services`` has them not. ``passed_over``
    names them too, and all else that has no say. ``problems`` has the warnings, the notes and
    the errors behind ``not_judged``. ``workloads`` are read where Pods are to be simulated,
    and ``is_simulated`` tells that they are, ``simulated_addresses`` which addresses Services
    were given then.
    ``sources`` are texts that are in no file, kept where places in them may be asked for, and
    ``documents`` the objects as they were given, kept where they are to be printed.
    """

    services: list[Service] = field(default_factory=list)
    slices: list[EndpointSlice] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    skipped_kinds: dict[str, int] = field(default_factory=dict)
    not_judged: list[Service] = field(default_factory=list)
    passed_over: tuple[PassedOver, ...] = ()
    problems: tuple[Problem, ...] = ()
    pods: list[Pod] = field(default_factory=list)
    workloads: list[Workload] = field(default_factory=list)
    is_simulated: bool = False
    simulated_addresses: frozenset[Address] = frozenset()
    sources: Mapping[str, Locates] = field(default_factory=dict, compare=False, repr=False)
    documents: dict[Origin, dict[str, Any]] = field(default_factory=dict, compare=False, repr=False)
