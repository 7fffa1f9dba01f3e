"""Pods found by their labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from svcc.compiler.model.objects import Pod


class PodsByLabels:
    """The Pods of each namespace by each of their labels, so that a selector looks at few."""

    def __init__(self, pods: Iterable[Pod]) -> None:
        self._by_label: dict[tuple[str, str, str], list[Pod]] = {}
        self.namespaces: set[str] = set()
        for pod in pods:
            self.namespaces.add(pod.namespace)
            for name, value in pod.labels.items():
                self._by_label.setdefault((pod.namespace, name, value), []).append(pod)

    def selected(self, namespace: str, selector: Mapping[str, str]) -> list[Pod]:
        """The Pods that have all labels of a selector, in their order; none of an empty one."""
        found = [
            self._by_label.get((namespace, name, value), []) for name, value in selector.items()
        ]
        fewest = min(found, key=len, default=[])
        wanted = selector.items()
        return [pod for pod in fewest if wanted <= pod.labels.items()]
