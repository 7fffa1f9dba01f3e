"""What other tools do with packets of their own: left out of the judgement.

Docker, Calico, Cilium and others have networks and marks of their own on a node, and say by
rules who may use them. A drop, refusal, acceptance or exemption from connection tracking in a
chain of such a tool that depends on one of its interfaces, on a mark, or on something outside
the model is its business: the packets that it stops or lets past are not judged. What such a
chain drops by addresses, protocols and ports alone is judged as anybody's rule, and so is each
translation. A source that it rewrites by networks, interfaces, marks or sets of its own counts
neither for nor against the service rules (what leaves the pod network is in
:mod:`svcc.verify.model.pod_egress`), and what it accepts need not be refused by them.

Names and comments are taken as evidence, names of tables of nftables too. Host firewalls
(firewalld, ufw) and the chains that tools keep for people (DOCKER-USER, CNI-ADMIN) are nobody's
networks: they are judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from svcc.grammar.iptables.program import Comment, SetMatch
from svcc.verify.model.actions import Accept, Drop, Excused, Goto, Jump, Masquerade, Notrack, Reject
from svcc.verify.model.conditions import (
    Condition,
    Destination,
    InInterface,
    InSet,
    Mark,
    OutInterface,
    Source,
    Unknown,
)
from svcc.verify.model.ownership import is_tool_table
from svcc.verify.model.rules import IndexedChain, IndexedRules, Record
from svcc.verify.netfilter.ip_vs import FULL_MARK

TOOLS = (
    "DOCKER", "cali-", "CILIUM_", "OLD_CILIUM_", "FLANNEL-", "CNI-", "WEAVE", "ANTREA-",
    "KUBE-ROUTER-", "KUBE-POD-FW-", "KUBE-NWPLCY-", "LIBVIRT_", "NETAVARK", "ts-", "AWS-",
    "IP-MASQ", "neutron-", "nova-", "ISTIO_", "KIND-MASQ-AGENT", "LXD_", "felix-",
    "AZURE-", "GKE-",
)  # fmt: skip
FOR_PEOPLE = ("DOCKER-USER", "CNI-ADMIN")
_COMMENT = re.compile(
    r"cali:|cilium[-:]|flanneld |AWS[ ,]|kube-router netpol|NodeLocal DNS Cache|CNI |"
    r"(name: \"\S+\" id: \")|NETAVARK|generated for Tailscale"
)
_EVERYBODYS = re.compile(r"(lo|eth|en|wl|bond|team|ib|vlan)[a-z0-9@.:+-]*$|\+$")
"""Interfaces that are no tool's alone."""

SETS = ("cali40", "cali60", "kube-router-", "weave-", "weaver-", "felix-")


def of_a_tool(chain: str) -> bool:
    """Whether a chain is one that a tool with networks of its own keeps for itself."""
    return chain.startswith(TOOLS) and not chain.startswith(FOR_PEOPLE)


def leave_to_tools(rules: IndexedRules, masquerade_mark: int) -> None:
    """Say of each record whether a tool does it to packets of its own: it is excused, or of
    another tool (:mod:`svcc.verify.model.actions`). The records are changed: the one who has just
    indexed the rules may call it.
    """
    own = _interfaces(rules)
    tracks_all = True
    for table, chains in rules.tables.items():
        all_theirs = is_tool_table(table)
        conditional = _conditional(chains.values(), own, masquerade_mark, all_theirs=all_theirs)
        for name, chain in chains.items():
            theirs = all_theirs or of_a_tool(name)
            for record in chain.records:
                if not record.service or theirs:
                    _leave(record, theirs, name in conditional, own, masquerade_mark)
                tracks_all &= not isinstance(record.action, Notrack)
    rules.tracks_all = tracks_all


def _leave(
    record: Record, in_chain: bool, conditional: bool, own: frozenset[str], mark: int
) -> None:
    action = record.action
    signed = in_chain or _is_signed(record)
    if not signed and not _names(record, own):
        return
    depending = [c for c in record.conditions if _depends(c, record, own, mark)]
    if isinstance(action, Masquerade) and any(isinstance(c, Mark) for c in depending):
        record.action = Excused()
    elif isinstance(action, Masquerade | Accept):
        record.action = replace(action, of_other_tool=True)
    elif isinstance(action, Drop | Reject | Notrack) and (conditional or depending or not in_chain):
        record.action = Excused()


def _is_signed(record: Record) -> bool:
    """Whether the rule's comment or a set's name tells whose it is."""
    for match in record.rule.matches:
        if isinstance(match, Comment) and _COMMENT.match(match.text):
            return True
        if isinstance(match, SetMatch) and match.name.startswith(SETS):
            return True
    return False


def _names(record: Record, own: frozenset[str]) -> bool:
    """Whether a base chain's rule speaks of an interface that is a tool's own."""
    interfaces = [
        c for c in record.conditions if isinstance(c, InInterface | OutInterface) and c.name in own
    ]
    if not all(c.negated for c in interfaces):
        return True
    return bool(interfaces) and _names_addresses(record)


def _names_addresses(record: Record) -> bool:
    return any(isinstance(c, Source | Destination) and not c.negated for c in record.conditions)


def _depends(condition: Condition, record: Record, own: frozenset[str], mark: int) -> bool:
    """Whether a condition is about the tool's interfaces, marks, or something unknown."""
    if isinstance(condition, InInterface | OutInterface):
        return not condition.negated or (condition.name in own and _names_addresses(record))
    if isinstance(condition, Mark):
        return not condition.mask & mark or condition.mask == FULL_MARK
    return isinstance(condition, Unknown | InSet)


def _conditional(
    chains: Iterable[IndexedChain], own: frozenset[str], mark: int, *, all_theirs: bool
) -> frozenset[str]:
    """The tools' chains that packets get to only by such a condition."""
    entries: dict[str, list[tuple[str, bool]]] = {}
    for chain in chains:
        for record in chain.records:
            if isinstance(record.action, Jump | Goto) and (
                all_theirs or of_a_tool(record.action.chain)
            ):
                depends = any(_depends(c, record, own, mark) for c in record.conditions)
                entries.setdefault(record.action.chain, []).append((chain.name, depends))
    found = set(entries)
    while True:
        kept = {n for n in found if all(d or of in found for of, d in entries[n])}
        if kept == found:
            return frozenset(found)
        found = kept


def _interfaces(rules: IndexedRules) -> frozenset[str]:
    """The interfaces that tools' chains name, or the jumps to them."""
    return frozenset(
        condition.name
        for table, chains in rules.tables.items()
        for chain in chains.values()
        for record in chain.records
        if is_tool_table(table)
        or of_a_tool(chain.name)
        or (isinstance(record.action, Jump | Goto) and of_a_tool(record.action.chain))
        for condition in record.conditions
        if isinstance(condition, InInterface | OutInterface)
        and not _EVERYBODYS.match(condition.name)
    )
