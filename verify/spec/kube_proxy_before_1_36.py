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
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.spec.expectation import Expectation, expect


def readings(objects: Objects, settings: NodeSettings, rules: RuleSet) -> tuple[Expectation, ...]:
    """What the objects may ask for, that of 1.36 first; svcc's own rules must do that."""
    latest = expect(objects, settings, rules.family)
    if "SVCC-SERVICES" in rules.tables.get("nat", {}):
        return (latest,)
    older = expect(objects, settings, rules.family, until_1_35=True)
    return (latest,) if older == latest else (latest, older)
