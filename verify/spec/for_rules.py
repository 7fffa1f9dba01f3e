"""What packets must see where a given rule set is in force."""

from __future__ import annotations

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.spec import kube_proxy_ipvs, kube_proxy_nftables
from svcc.verify.spec.expectation import Expectation
from svcc.verify.spec.kube_proxy_before_1_26 import loosened
from svcc.verify.spec.kube_proxy_before_1_36 import readings


def expectations_of(
    objects: Objects, settings: NodeSettings, rules: RuleSet
) -> tuple[Expectation, ...]:
    """The expectation, with what the kube-proxy that wrote the rules does otherwise accepted.

    Where kube-proxies have read the objects in two ways there are two, and rules are right if they
    are by one of them; the first is that of today.

    Whoever asks only for names of frontends wants
    :func:`svcc.verify.spec.expectation.expect`.
    """
    node = kube_proxy_nftables.settings_for(kube_proxy_ipvs.settings_for(settings, rules), rules)
    return tuple(
        kube_proxy_nftables.accepting(
            kube_proxy_ipvs.accepting(loosened(reading, rules), rules, objects), rules, objects
        )
        for reading in readings(objects, node, rules)
    )
