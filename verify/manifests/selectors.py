"""Selectors that select nothing, or several applications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from svcc.compiler.api_names.nearest import nearest
from svcc.compiler.model.objects import DEFAULT_NAMESPACE, Objects, Service
from svcc.compiler.model.workloads import Workload
from svcc.grammar.errors import Severity
from svcc.verify.manifests.mistake import Mistake
from svcc.verify.manifests.selected import Selected, may_select
from svcc.verify.spec import codes

_APPLICATION = ("app.kubernetes.io/name", "app", "k8s-app")
"""Labels that say which application it is: Kubernetes' recommended one, and what was usual."""
_KUBERNETES_GROUPS = ("", "apps", "autoscaling", "batch", "extensions", "policy")
_MAKE_NO_PODS = frozenset((
    "AuthorizationPolicy", "Certificate", "ClusterIssuer", "DestinationRule", "ExternalSecret",
    "Gateway", "GRPCRoute", "HTTPRoute", "IngressRoute", "Issuer", "Middleware",
    "PeerAuthentication", "PodMonitor", "Probe", "PrometheusRule", "ScaledObject", "SealedSecret",
    "SecretStore", "ServiceEntry", "ServiceMonitor", "TCPRoute", "VerticalPodAutoscaler",
    "VirtualService",
))  # fmt: skip
"""Kinds of other people that are often among manifests and make no Pods."""


def about_selector(found: Selected, objects: Objects) -> Iterator[Mistake]:
    """What is wrong with what a Service selects."""
    service = found.service
    if not service.selector:
        return
    if not found.workloads and not found.others:
        yield _nothing(service, objects)
    names = _applications([item for item in found.workloads if not item.ends])
    if len(names) > 1:
        shown = " and ".join(f"{item.kind} {item.key} ({label})" for item, label in names)
        yield _mistake(
            service, codes.SELECTS_SEVERAL, "warning", f"selects several applications: {shown}"
        )
    if all(item.ends for item in found.workloads):
        return
    for item in found.workloads:
        if item.ends and any(_answers(port.target_port, item) for port in service.ports):
            yield _mistake(
                service,
                codes.SELECTS_SEVERAL,
                "note",
                f"selects {item.kind} {item.key} too, which is a backend while it runs",
            )


def _answers(target: int | str, item: Workload) -> bool:
    return isinstance(target, int) or any(port.name == target for port in item.template.ports)


def _mistake(service: Service, code: str, severity: Severity, says: str) -> Mistake:
    return Mistake(
        code=code,
        severity=severity,
        owner=f"Service {service.key}",
        subject=f"the selector {shown_labels(service.selector)}",
        says=says,
        place=service.origin.below("spec", "selector"),
    )


def shown_labels(labels: Mapping[str, str]) -> str:
    """Labels as kubectl shows them."""
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _applications(items: list[Workload]) -> list[tuple[Workload, str]]:
    """One workload of each application, with the label that tells; by the first label that all
    have.
    """
    for label in _APPLICATION:
        values = [item.template.labels.get(label) for item in items]
        if values and all(values):
            first: dict[str, Workload] = {}
            for item in items:
                first.setdefault(f"{label}={item.template.labels[label]}", item)
            return [(item, shown) for shown, item in first.items()]
    return []


def _nothing(service: Service, objects: Objects) -> Mistake:
    elsewhere = [item for item in objects.workloads if may_select(service.selector, item)]
    if elsewhere:
        item = elsewhere[0]
        # Whoever applies them may give a namespace to those that have none.
        unclear = DEFAULT_NAMESPACE in (service.namespace, item.namespace)
        return _mistake(
            service,
            codes.SELECTS_NOTHING,
            "warning" if unclear else "error",
            f"selects nothing: {item.kind} {item.key} has these labels, but in namespace "
            f"{item.namespace}; a selector looks in its own, {service.namespace}",
        )
    near = [item for item in objects.workloads if item.namespace == service.namespace]
    makers = _makers(objects)
    if makers or not near:
        hint = f"; perhaps {makers[0]} makes its Pods" if makers and near else ""
        says = f"selects nothing of these manifests{hint}"
        return _mistake(service, codes.SELECTS_NOTHING, "note", says)
    item, differing = min(
        ((item, _differing(service.selector, item)) for item in near),
        key=lambda pair: len(pair[1]),
    )
    labels = item.template.labels
    says = f"selects nothing; {item.kind} {item.key} comes nearest, "
    if told := {name: labels[name] for name in differing if name in labels}:
        says += f"with {shown_labels(told)}"
        return _mistake(service, codes.SELECTS_NOTHING, "error", says)
    says += f"without the label{'s' * (len(differing) > 1)} {', '.join(differing)}"
    for name in differing:
        if (meant := nearest(name, labels)) is not None:
            says += f"; did you mean {meant}?"
            return _mistake(service, codes.SELECTS_NOTHING, "error", says)
    if len(differing) == len(service.selector):
        return _mistake(service, codes.SELECTS_NOTHING, "warning", says)
    # Programs that choose a leader put such a label on its Pod while they run.
    says += ", which its Pods may get while they run"
    return _mistake(service, codes.SELECTS_NOTHING, "note", says)


def _differing(selector: Mapping[str, str], item: Workload) -> list[str]:
    labels = item.template.labels
    return [name for name, value in selector.items() if labels.get(name) != value]


def _makers(objects: Objects) -> list[str]:
    """Kinds among the manifests that may make Pods by an operator."""
    return [
        item.kind
        for item in objects.passed_over
        if item.reason == "other-kind"
        and (group := item.api_version.rpartition("/")[0]) not in _KUBERNETES_GROUPS
        and not group.endswith(".k8s.io")
        and item.kind not in _MAKE_NO_PODS
    ]
