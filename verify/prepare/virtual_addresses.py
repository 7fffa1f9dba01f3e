"""Which addresses the dummy device has where nobody said it.

Whoever writes virtual servers keeps a set of the addresses that it puts on its device, kube-proxy
``KUBE-IPVS-IPS``, svcc ``SVCC-VIP``. Without such a set they are those of all virtual servers, less
the node's own, on which node ports are.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from svcc.grammar.address import Address, Family, Network
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.ipvs.state import Ipvs

_SETS = {
    Family.IPV4: ("KUBE-IPVS-IPS", "SVCC-VIP"),
    Family.IPV6: ("KUBE-6-IPVS-IPS", "SVCC-6-VIP"),
}


def with_addresses(rules: RuleSet, own: Collection[Address]) -> RuleSet:
    """The rules with addresses of both families; ``own`` are those known to be the node's."""
    ipvs = rules.ipvs
    if ipvs is None or len(ipvs.addresses) == len(Family):
        return rules
    known = dict(ipvs.addresses)
    for family in Family:
        if family not in known:
            known[family] = tuple(sorted(_of_sets(ipvs, family) or _of_servers(ipvs, family, own)))
    return replace(rules, ipvs=replace(ipvs, addresses=known))


def _of_sets(ipvs: Ipvs, family: Family) -> set[int]:
    return {
        part.value
        for name in _SETS[family]
        if name in ipvs.sets
        for entry in ipvs.sets[name].entries.values()
        for part in entry.parts
        if isinstance(part, Network)
    }


def _of_servers(ipvs: Ipvs, family: Family, own: Collection[Address]) -> set[int]:
    mine = {address.value for address in own if address.family is family}
    return {k.address for k in ipvs.servers if k.family is family and k.protocol} - mine
