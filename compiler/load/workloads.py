"""Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs and Pods without a status,
to typed objects.

Source: k8s.io/api apps/v1, batch/v1 and core/v1 types; pkg/apis/apps/validation for what is
allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from svcc.compiler.api_names.nearest import did_you_mean
from svcc.compiler.load.fields import Fields
from svcc.compiler.load.pods import container_ports
from svcc.compiler.load.text import shorten
from svcc.compiler.load.validate import metadata
from svcc.compiler.model.objects import DEFAULT_NAMESPACE, Origin
from svcc.compiler.model.workloads import NeverReady, PodTemplate, Workload, WorkloadKind

HOOK_ANNOTATION = "helm.sh/hook"
MAX_REPLICAS = 1_000_000
_KINDS: tuple[WorkloadKind, ...] = get_args(WorkloadKind)
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def workload(kind: str, fields: Fields, origin: Origin) -> Workload:
    """A workload: one of :data:`svcc.compiler.api_names.kinds.WORKLOADS`, or a Pod."""
    meta, spec = fields.object("metadata"), fields.object("spec")
    namespace, name = _names(fields)
    template: Fields = fields
    path: tuple[str | int, ...] = ()
    replicas: int | None = 1
    match kind:
        case "DaemonSet":
            replicas = None
        case "Job":
            replicas = _at_a_time(spec)
        case "CronJob":
            job = spec.object("jobTemplate").object("spec")
            replicas = 0 if spec.flag("suspend", False) else _at_a_time(job)
            template, path = job.object("template"), ("spec", "jobTemplate", "spec", "template")
        case "Deployment" | "ReplicaSet" | "ReplicationController" | "StatefulSet":
            replicas = spec.number("replicas", 0, MAX_REPLICAS, 1)
    if kind not in ("Pod", "CronJob"):
        template, path = spec.object("template"), ("spec", "template")
        if not spec.has("template"):
            spec.wrong(None, f"template is missing; it tells which Pods the {kind} makes")
    pods = _template(template, path)
    if kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"):
        _check_selector(kind, spec, pods.labels)
    return Workload(
        kind=next(known for known in _KINDS if known == kind),
        namespace=namespace,
        name=name,
        origin=origin,
        replicas=replicas,
        template=pods,
        service_name=spec.name("serviceName") if kind == "StatefulSet" else "",
        is_hook=HOOK_ANNOTATION in meta.string_map("annotations"),
    )


def _names(fields: Fields) -> tuple[str, str]:
    meta = fields.object("metadata")
    if meta.has("generateName") and not meta.has("name"):
        return meta.name("namespace") or DEFAULT_NAMESPACE, meta.text("generateName").rstrip("-.")
    return metadata(fields)


def _at_a_time(job: Fields) -> int:
    if job.flag("suspend", False):
        return 0
    return job.number("parallelism", 0, MAX_REPLICAS, 1)


def _template(fields: Fields, path: tuple[str | int, ...]) -> PodTemplate:
    spec = fields.object("spec")
    if not spec.has("containers"):
        spec.wrong(None, "containers is missing; a Pod has at least one")
    return PodTemplate(
        path=path,
        labels=fields.object("metadata").string_map("labels"),
        ports=tuple(container_ports(spec)),
        host_network=spec.flag("hostNetwork", False),
        hostname=spec.name("hostname"),
        subdomain=spec.name("subdomain"),
        node_name=spec.name("nodeName", what="subdomain"),
        node_selector=spec.string_map("nodeSelector"),
        never_ready=next(_never_ready(spec, path), None),
    )


def _never_ready(spec: Fields, path: tuple[str | int, ...]) -> Iterator[NeverReady]:
    """Probes that cannot succeed: a port by a name that its container has not.

    Source: the kubelet's prober, which looks a name up among the container's own ports.
    """
    for number, container in enumerate(spec.objects("containers")):
        names = [port.text("name") for port in container.objects("ports")]
        for probe in _PROBES:
            for how in ("httpGet", "tcpSocket"):
                port = container.object(probe).object(how).raw("port")
                if not isinstance(port, str) or port.isdigit() or port in names:
                    continue
                yield NeverReady(
                    (*path, "spec", "containers", number, probe, how, "port"),
                    f"the {probe} of container {shorten(container.text('name'))} asks port "
                    f"{shorten(port)}, which the container has not{did_you_mean(port, names)}",
                )


def _check_selector(kind: str, spec: Fields, labels: Mapping[str, str]) -> None:
    """Say of a selector that does not select the template; the API server refuses that."""
    selector = spec.object("selector")
    if not selector.raw("matchLabels") and not selector.raw("matchExpressions"):
        spec.wrong(None, f"selector is missing; it tells which Pods are the {kind}'s")
        return
    for name, value in selector.string_map("matchLabels").items():
        if labels.get(name) != value:
            there = f"it has {name}={labels[name]}" if name in labels else "it has no such label"
            selector.wrong(
                "matchLabels", f"the Pods of the template are not {name}={value}; {there}"
            )
    for expression in selector.objects("matchExpressions"):
        name = expression.text("key")
        values = expression.texts("values", str)
        operator = expression.choice("operator", _OPERATORS, "Exists")
        if not _holds(operator, labels.get(name), values):
            expression.wrong("key", f"the labels of the template do not fulfil this of {name}")


def _holds(operator: str, value: str | None, values: list[str]) -> bool:
    match operator:
        case "In":
            return value in values
        case "NotIn":
            return value is None or value not in values
        case "DoesNotExist":
            return value is None
    return value is not None
