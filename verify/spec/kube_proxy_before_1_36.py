"""How kube-proxies until 1.35 read objects otherwise.

The labels ``service-proxy-name`` and ``headless`` left out Services and slices alike, and of an
address that stands in a Service twice the first endpoint counted, unless a later one was local,
whether it terminated or not. Nothing in the rules tells their age, so where the two readings
differ both are tried; all the rules must follow the same one. Source: kubernetes
cmd/kube-proxy/app/server.go, pkg/proxy/endpointslicecache.go (kubernetes#135593).
"""

from __future__ import annotations

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.iptables.ruleset import RuleSet, nft_table_of
from svcc.verify.spec.endpoints import HEADLESS_LABEL, PROXY_NAME_LABEL
from svcc.verify.spec.expectation import Expectation, expect


def readings(objects: Objects, settings: NodeSettings, rules: RuleSet) -> tuple[Expectation, ...]:
    """What the objects may ask for, that of 1.36 first; svcc's own rules must do that."""
    latest = expect(objects, settings, rules.family)
    if _are_own(rules) or not _may_be_read_in_two_ways(objects):
        return (latest,)
    older = expect(objects, settings, rules.family, until_1_35=True)
    return (latest,) if older == latest else (latest, older)


def _are_own(rules: RuleSet) -> bool:
    return "SVCC-SERVICES" in rules.tables.get("nat", {}) or any(
        nft_table_of(table).endswith(" svcc") for table in rules.tables
    )


def _may_be_read_in_two_ways(objects: Objects) -> bool:
    """Told by a look at the objects, which costs a tenth of a second expectation."""
    if any(HEADLESS_LABEL in service.labels for service in objects.services):
        return True
    known: dict[tuple[str, str], set[tuple[Family, int]]] = {}
    for item in objects.slices:
        if PROXY_NAME_LABEL in item.labels:
            return True
        of_service = known.setdefault((item.namespace, item.service), set())
        before = len(of_service)
        of_service.update((item.family, endpoint.address.value) for endpoint in item.endpoints)
        if len(of_service) < before + len(item.endpoints):
            return True
    return False
