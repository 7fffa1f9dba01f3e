"""The indexed rules that the service proxy's are judged among: each with its owner."""

from __future__ import annotations

from svcc.grammar.address import Network
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.model.other_tools import leave_to_tools
from svcc.verify.model.ownership import mark_ownership
from svcc.verify.model.pod_egress import let_pods_leave
from svcc.verify.model.rules import IndexedRules, index_rules


def owned_rules(rules: RuleSet, masquerade_mark: int, pods: Network | None) -> IndexedRules:
    """Index the rules, and tell the service proxy's, the host's and other tools' apart.

    ``pods`` is the pod network of their family, if it is known.

    Where every rule counts whoever's it is, as for two rule sets that are compared,
    :func:`svcc.verify.model.rules.index_rules` alone is what is wanted.
    """
    indexed = index_rules(rules)
    mark_ownership(indexed)
    leave_to_tools(indexed, masquerade_mark)
    let_pods_leave(indexed, pods)
    return indexed
