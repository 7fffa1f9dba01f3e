"""The cluster domain from a KubeletConfiguration (kubelet.config.k8s.io/v1beta1)."""

from __future__ import annotations

from pathlib import Path

from svcc.compiler.load.document import Complaint, problems_of
from svcc.compiler.load.fields import Fields, Report
from svcc.compiler.load.inputs import reason, source_of
from svcc.compiler.settings.configuration_document import ConfigurationKind, find_configuration
from svcc.compiler.settings.names import cluster_domain
from svcc.grammar.errors import InputError, Position, Problem

KUBELET = ConfigurationKind("KubeletConfiguration", "kubelet.config.k8s.io/v1beta1")


def kubelet_cluster_domain(path: str) -> str | None:
    """``clusterDomain`` of a file: the kubelet's own (/var/lib/kubelet/config.yaml), or a
    ConfigMap that has it as text; None where it is not set.

    Raises:
        InputError: the file cannot be read, or holds none, or the domain is none.
    """
    try:
        source = source_of(path, Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError([Problem(Position(path), f"cannot read: {reason(error)}")]) from None
    source, number, where, value = find_configuration(source, KUBELET)
    complaints: list[Complaint] = []
    fields = Fields(value, where, Report(source, number, complaints))
    if fields.raw("kind") != KUBELET.kind:
        fields.wrong(None, f"this is no {KUBELET.kind}")
    text = fields.text("clusterDomain")
    try:
        found = cluster_domain(text) if text else None
    except ValueError as error:
        fields.wrong("clusterDomain", str(error))
    if complaints:
        raise InputError(problems_of(complaints))
    return found
