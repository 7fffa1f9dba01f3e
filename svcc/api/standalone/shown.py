"""Objects as kubectl shows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from svcc.compiler.model.objects import EndpointSlice, Objects, Service
    from svcc.compiler.settings.node import NodeSettings

Output = Literal["", "wide", "json", "yaml", "name"]


def shown_services(
    objects: Objects,
    services: Iterable[Service],
    *,
    output: Output = "",
    all_namespaces: bool = False,
    is_one: bool = False,
) -> str:
    """Services as ``kubectl get services`` prints them.

    Args:
        objects: loaded with their documents.
        services: those to show, in any order; they have their numbers.
        output: as ``kubectl -o`` takes it, "" for the table.
        all_namespaces: whether the table has a column of namespaces.
        is_one: one was asked for by name, so that it is printed without a List around it.
    """
    from svcc.compiler.show.documents import service_document
    from svcc.compiler.show.services import services_table

    ordered = sorted(services, key=lambda item: (item.namespace, item.name))
    pairs = [(item, objects.documents.get(item.origin, {})) for item in ordered]
    return printed(
        [("service", item.name) for item in ordered],
        lambda: [service_document(item, document) for item, document in pairs],
        lambda: services_table(
            pairs, datetime.now(UTC), wide=output == "wide", with_namespace=all_namespaces
        ),
        output=output,
        is_one=is_one,
    )


def shown_slices(
    objects: Objects,
    slices: Iterable[EndpointSlice],
    *,
    output: Output = "",
    all_namespaces: bool = False,
    is_one: bool = False,
) -> str:
    """EndpointSlices as ``kubectl get endpointslices`` prints them; arguments as above."""
    from svcc.compiler.select.documents import slice_document
    from svcc.compiler.show.endpoints import slices_table

    ordered = sorted(slices, key=lambda item: (item.namespace, item.name))
    # What was made of Pods has the Service's place, where no slice stands.
    pairs = [
        (item, {} if item.from_pods else objects.documents.get(item.origin, {})) for item in ordered
    ]
    return printed(
        [("endpointslice.discovery.k8s.io", item.name) for item in ordered],
        lambda: [dict(document) or slice_document(item) for item, document in pairs],
        lambda: slices_table(pairs, datetime.now(UTC), with_namespace=all_namespaces),
        output=output,
        is_one=is_one,
    )


def shown_endpoints(
    objects: Objects,
    slices: Iterable[EndpointSlice],
    *,
    output: Output = "",
    all_namespaces: bool = False,
    is_one: bool = False,
) -> str:
    """Endpoints as ``kubectl get endpoints`` prints them; arguments as above.

    A Service that has slices and no Endpoints object has that which a cluster would make, of its
    first family only.
    """
    from svcc.compiler.show.endpoints import endpoints_document, endpoints_table

    by_service: dict[tuple[str, str], list[EndpointSlice]] = {}
    for item in slices:
        by_service.setdefault((item.namespace, item.service), []).append(item)
    families = {
        (service.namespace, service.name): service.cluster_ips[0].family
        for service in objects.services
        if service.cluster_ips
    }
    groups = []
    for key in sorted(by_service):
        found = by_service[key]
        given = [item for item in found if item.from_endpoints]
        document = objects.documents.get(given[0].origin, {}) if given else {}
        first = families.get(key, found[0].family)
        of_first = [item for item in found if item.family is first]
        groups.append((given or of_first or found, document))
    return printed(
        [("endpoints", found[0].service) for found, _ in groups],
        lambda: [dict(document) or endpoints_document(found) for found, document in groups],
        lambda: endpoints_table(groups, datetime.now(UTC), with_namespace=all_namespaces),
        output=output,
        is_one=is_one,
    )


def shown_virtual_servers(objects: Objects, settings: NodeSettings) -> str:
    """The virtual servers of a node as ``ipvsadm -Ln`` lists them.

    Args:
        objects: from :func:`svcc.api.load`.
        settings: those of a node in ipvs mode.

    Raises:
        InputError: as :func:`svcc.api.compile`.
    """
    from svcc.api.compilation import compiled_for
    from svcc.grammar.ipvs.listing import listing

    found = compiled_for(objects, settings).ipvs
    return listing({} if found is None else found.servers)


def printed(
    names: Sequence[tuple[str, str]],
    documents: Callable[[], list[dict[str, Any]]],
    table: Callable[[], str],
    *,
    output: Output,
    is_one: bool,
) -> str:
    """What ``kubectl get -o`` prints: names (kind and name of each), a table or documents."""
    if output == "name":
        return "".join(f"{kind}/{name}\n" for kind, name in names)
    if output in ("", "wide"):
        return table()
    items = documents()
    whole: dict[str, Any] = {
        "apiVersion": "v1",
        "items": items,
        "kind": "List",
        "metadata": {"resourceVersion": ""},
    }
    if is_one and len(items) == 1:
        whole = items[0]
    if output == "json":
        return json.dumps(whole, indent=4, sort_keys=True, ensure_ascii=False) + "\n"
    import yaml

    text: str = yaml.dump(whole, Dumper=yaml.CSafeDumper, sort_keys=True, allow_unicode=True)
    return text
