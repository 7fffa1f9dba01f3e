"""``kubectl get endpoints`` and ``kubectl get endpointslices``.

Source: kubernetes pkg/printers/internalversion/printers.go (printEndpoints, printEndpointSlice).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from svcc.compiler.model.objects import Endpoint, EndpointSlice
from svcc.compiler.show.table import age, table
from svcc.grammar.address import Family

_MOST = 3
"""Addresses and ports in one cell; of others their number is told."""

Given = Mapping[str, Any]
"""An object as it was given; empty if it was not."""


def slices_table(
    slices: Iterable[tuple[EndpointSlice, Given]], now: datetime, *, with_namespace: bool = False
) -> str:
    """The table of EndpointSlices, each with the object as it was given."""
    header = ["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"]
    rows = []
    for item, document in slices:
        ports = [str(port.port) if port.port else port.name or "*" for port in item.ports]
        addresses = [str(endpoint.address) for endpoint in item.endpoints]
        row = [
            item.name,
            "IPv6" if item.family is Family.IPV6 else "IPv4",
            _few(ports) or "<unset>",
            _few(addresses) or "<unset>",
            age(document, now),
        ]
        rows.append([item.namespace, *row] if with_namespace else row)
    return table(["NAMESPACE", *header] if with_namespace else header, rows)


def endpoints_table(
    groups: Iterable[tuple[Sequence[EndpointSlice], Given]],
    now: datetime,
    *,
    with_namespace: bool = False,
) -> str:
    """The table of Endpoints: of each the slices that say the same, and the object as given."""
    header = ["NAME", "ENDPOINTS", "AGE"]
    rows = []
    for slices, document in groups:
        served = [text for item in slices for text in _served(item)]
        row = [slices[0].service, _few(served) or "<none>", age(document, now)]
        rows.append([slices[0].namespace, *row] if with_namespace else row)
    return table(["NAMESPACE", *header] if with_namespace else header, rows)


def endpoints_document(slices: Sequence[EndpointSlice]) -> dict[str, Any]:
    """The Endpoints object that a cluster has beside the slices of one Service."""
    subsets = []
    for item in slices:
        subset: dict[str, Any] = {}
        for name, is_ready in (("addresses", True), ("notReadyAddresses", False)):
            entries = [_entry(found) for found in item.endpoints if found.ready is is_ready]
            if entries:
                subset[name] = entries
        subset["ports"] = [
            {"name": port.name, "port": port.port, "protocol": port.protocol} for port in item.ports
        ]
        if len(subset) > 1:
            subsets.append(subset)
    meta = {"name": slices[0].service, "namespace": slices[0].namespace}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": subsets}


def _entry(endpoint: Endpoint) -> dict[str, str]:
    found = {"ip": str(endpoint.address)}
    if endpoint.node_name:
        found["nodeName"] = endpoint.node_name
    return found


def _served(item: EndpointSlice) -> list[str]:
    addresses = [str(endpoint.address) for endpoint in item.endpoints if endpoint.ready]
    if not item.ports:
        return addresses
    form = "[{}]:{}" if item.family is Family.IPV6 else "{}:{}"
    return [form.format(address, port.port) for port in item.ports for address in addresses]


def _few(texts: Sequence[str]) -> str:
    shown = ",".join(texts[:_MOST])
    return f"{shown} + {len(texts) - _MOST} more..." if len(texts) > _MOST else shown
