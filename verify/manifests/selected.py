"""Which workloads a Service selects: the plain reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from svcc.compiler.model.objects import Objects, Pod, Service
from svcc.compiler.model.workloads import OF_EVERY_NODE, SIMULATED, Workload


@dataclass(frozen=True, slots=True)
class Selected:
    """What a Service selects: workloads, and Pods of a cluster and hosts."""

    service: Service
    workloads: tuple[Workload, ...]
    others: tuple[Pod, ...]

    @property
    def lasting(self) -> list[Workload]:
        """The workloads whose Pods do not end by themselves; if there are none, all."""
        return [item for item in self.workloads if not item.ends] or list(self.workloads)


class Selectable:
    """What is there to select, by namespace."""

    def __init__(self, objects: Objects) -> None:
        self._workloads: dict[str, list[Workload]] = {}
        for item in objects.workloads:
            self._workloads.setdefault(item.namespace, []).append(item)
        self._others: dict[str, list[Pod]] = {}
        for pod in objects.pods:
            if not pod.is_simulated:
                self._others.setdefault(pod.namespace, []).append(pod)

    def by(self, service: Service) -> Selected:
        """What a Service selects in its namespace; nothing without a selector."""
        workloads = self._workloads.get(service.namespace, [])
        others = self._others.get(service.namespace, [])
        return Selected(
            service,
            tuple(item for item in workloads if may_select(service.selector, item)),
            tuple(pod for pod in others if _has(pod.labels, service.selector)),
        )


def may_select(selector: Mapping[str, str], item: Workload) -> bool:
    """Whether a selector selects a Pod of a workload."""
    return any(_has(labels, selector) for labels in item.every_labels())


def _has(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def can_have_pods(item: Workload, objects: Objects) -> bool:
    """Whether a workload has a Pod on any Node, as far as its own words tell."""
    return item.replicas != 0 and has_node(item, objects)


def has_node(item: Workload, objects: Objects) -> bool:
    """Whether there is a Node that may run a workload's Pods."""
    template = item.template
    for node in objects.nodes:
        if node.origin.file == SIMULATED:
            return True
        if template.node_name and template.node_name != node.name:
            continue
        wrong = [
            name
            for name, value in template.node_selector.items()
            if node.labels.get(name) != value
            and not (name in OF_EVERY_NODE and name not in node.labels)
        ]
        if not wrong or template.node_name:
            return True
    return False
