"""Which kinds of objects are read, and which names of kinds and versions are slips of theirs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from svcc.compiler.api_names.nearest import nearest

WRITE = {
    "Service": "v1",
    "Endpoints": "v1",
    "Node": "v1",
    "Pod": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "HostList": "svcc.io/v1",
}
"""The kinds that are read, and the apiVersion to write."""

WORKLOADS = frozenset((
    *((kind, "apps/v1") for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet")),
    *((kind, "batch/v1") for kind in ("Job", "CronJob")),
    ("CronJob", "batch/v1beta1"),
    ("ReplicationController", "v1"),
))  # fmt: skip
"""The kinds that make Pods, which are read where Pods are to be simulated."""

READ = frozenset((*WRITE.items(), ("EndpointSlice", "discovery.k8s.io/v1beta1")))
LISTS = frozenset(("List", *(f"{kind}List" for kind in WRITE if kind != "HostList")))

_DISCOVERY = "discovery.k8s.io"
_OWN = "svcc.io"
_CORE_KINDS = frozenset(
    (
        "APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "Binding",
        "ComponentStatus", "Config", "ConfigMap", "Endpoints", "Event", "LimitRange", "Namespace",
        "Node", "PersistentVolume", "PersistentVolumeClaim", "Pod", "PodTemplate",
        "ReplicationController", "ResourceQuota", "Secret", "Service", "ServiceAccount", "Status",
    )
)  # fmt: skip
"""All kinds of apiVersion v1, which is closed: what is not here does not exist."""


def slip(kind: str, version: str) -> tuple[str, str] | None:
    """What is wrong with the name of a kind or version: the field, and what to say.

    None for kinds that are read and for other people's, such as ``serving.knative.dev/v1
    Service``.
    """
    group = version.rpartition("/")[0]
    own_group = group in ("", "core", _DISCOVERY, _OWN) or nearest(group, [_DISCOVERY]) is not None
    if kind in WRITE:
        if (kind, version) in READ or not (own_group or "." not in group):
            return None
        return "apiVersion", f"there is no {kind} of {version!r}; write {WRITE[kind]}"
    if group == _OWN:
        return "kind", f"there is no {kind} of {version!r}; its only kind is HostList"
    if not own_group or kind.removesuffix("List") in _CORE_KINDS:
        return None
    meant = nearest(kind, (*WRITE, *LISTS))
    if meant is None:
        return None
    return "kind", f"there is no {kind} of {version!r}; did you mean {meant}?"


def may_be_object(value: Any) -> bool:
    """Whether a document was likely meant to be a Kubernetes object, or a list of such."""
    if isinstance(value, list):
        return any(may_be_object(item) for item in value)
    if not isinstance(value, dict):
        return False
    kind = value.get("kind")
    if not isinstance(kind, str):
        return "apiVersion" in value and "metadata" in value
    return "apiVersion" in value or "metadata" in value or _near_one(kind, (*WRITE, *LISTS))


def _near_one(kind: str, known: Iterable[str]) -> bool:
    return nearest(kind, known) is not None
