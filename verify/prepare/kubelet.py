"""The kubelet's chains, which kube-proxies before 1.26 rely on.

Source: kubernetes 1.20 to 1.25, pkg/kubelet/kubelet_network_linux.go.
"""

from __future__ import annotations

from svcc.grammar.address import Family
from svcc.grammar.iptables.program import (
    AddressMatch,
    ConntrackMatch,
    Jump,
    MarkMatch,
    Match,
    Rule,
    SetMark,
    Verdict,
)
from svcc.grammar.iptables.ruleset import Chain, RuleSet
from svcc.verify.spec.kube_proxy_before_1_26 import DROP_MARK, is_older


def with_kubelet(rules: RuleSet) -> bool:
    """Put in the kubelet's chains where an older kube-proxy's are alone, which rely on them.

    Returns whether it did.
    """
    if not is_older(rules) or "KUBE-FIREWALL" in rules.tables["filter"]:
        return False
    drop = rules.tables["nat"]["KUBE-MARK-DROP"]
    if drop.rules:
        return False
    drop.rules.append(Rule(chain=drop.name, target=SetMark(DROP_MARK, DROP_MARK)))
    firewall = Chain("KUBE-FIREWALL", None)
    marked: tuple[Match, ...] = (MarkMatch(DROP_MARK, DROP_MARK),)
    firewall.rules.append(Rule(chain=firewall.name, matches=marked, target=Verdict("DROP")))
    if rules.family is Family.IPV4:
        source = AddressMatch(127 << 24, 0xFF << 24, True)
        destination = AddressMatch(127 << 24, 0xFF << 24, False)
        states = ConntrackMatch(
            states=frozenset({"RELATED", "ESTABLISHED", "DNAT"}), states_negated=True
        )
        firewall.rules.append(
            Rule(
                chain=firewall.name,
                source=source,
                destination=destination,
                matches=(states,),
                target=Verdict("DROP"),
            )
        )
    chains = rules.tables["filter"]
    chains[firewall.name] = firewall
    for name in ("INPUT", "OUTPUT"):
        chains[name].rules.append(Rule(chain=name, target=Jump(firewall.name)))
    return True
