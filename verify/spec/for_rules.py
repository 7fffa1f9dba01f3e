"""What packets must see where a given rule set is in force."""

from __future__ import annotations

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.spec.expectation import Expectation, expect
from svcc.verify.spec.kube_proxy_before_1_26 import loosened
from svcc.verify.spec.kube_proxy_ipvs import accepting, settings_for


def expect_of(objects: Objects, settings: NodeSettings, rules: RuleSet) -> Expectation:
    """The expectation, with what the kube-proxy that wrote the rules does otherwise accepted.

    Whoever asks only for names of frontends wants
    :func:`svcc.verify.spec.expectation.expect`.
    """
    expectation = expect(objects, settings_for(settings, rules), rules.family)
    return accepting(loosened(expectation, rules), rules, objects)
