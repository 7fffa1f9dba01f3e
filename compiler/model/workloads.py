"""What makes Pods: Deployments and their like, as far as it tells what Services select.

Source: k8s.io/api apps/v1, batch/v1 and core/v1 types; the labels that controllers add are those
of "Well-Known Labels" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from svcc.compiler.model.terms import ContainerPort, Origin

WorkloadKind = Literal[
    "Pod",
    "Deployment",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
]
POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
OF_EVERY_NODE = ("kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os")
"""Labels that each kubelet sets."""
SIMULATED = "<simulated>"
"""In place of the file, where a Node is simulated."""
_JOB_LABELS = ("batch.kubernetes.io/job-name", "job-name")


@dataclass(frozen=True, slots=True)
class NeverReady:
    """Why a template's Pods never become ready; ``path`` leads from the workload to it."""

    path: tuple[str | int, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTemplate:
    """The Pods that a workload makes. ``ports`` as in a Pod; ``path`` leads to the template."""

    path: tuple[str | int, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    ports: tuple[ContainerPort, ...] = ()
    host_network: bool = False
    hostname: str = ""
    subdomain: str = ""
    node_name: str = ""
    node_selector: dict[str, str] = field(default_factory=dict)
    never_ready: NeverReady | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A workload; a Pod that was never in a cluster stands for itself.

    ``replicas`` is how many Pods there are at a time; None for a DaemonSet, which has one on each
    Node. ``service_name`` is that of a StatefulSet, "" without. ``is_hook``: Helm runs it once.
    """

    kind: WorkloadKind
    namespace: str
    name: str
    origin: Origin
    replicas: int | None
    template: PodTemplate
    service_name: str = ""
    is_hook: bool = False

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def ends(self) -> bool:
        """Whether its Pods do their work and are gone."""
        return self.is_hook or self.kind in ("Job", "CronJob")

    def pod_name(self, number: int) -> str:
        """The name of its Pod of a number, from 0 on."""
        return self.name if self.kind == "Pod" else f"{self.name}-{number}"

    def labels_of(self, number: int) -> dict[str, str]:
        """The labels of that Pod, with those that its controller adds."""
        labels = dict(self.template.labels)
        if self.kind == "StatefulSet":
            labels |= {POD_NAME_LABEL: self.pod_name(number), POD_INDEX_LABEL: str(number)}
        elif self.kind == "Job":
            labels |= dict.fromkeys(_JOB_LABELS, self.name)
        return labels

    def every_labels(self) -> Iterator[dict[str, str]]:
        """The labels of each Pod that can be told from another; of one where there is none now."""
        several = (self.replicas or 1) if self.kind == "StatefulSet" else 1
        return (self.labels_of(number) for number in range(several))
