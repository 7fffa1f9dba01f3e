"""Objects as kubectl shows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from svcc.compiler.model.objects import Objects, Service

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
