"""Who rewrites the source of pods that leave the pod network.

Some rule beside the service proxy's does on nearly every node (flannel, kubenet, kube-ovn, an
admin's own), so that the world outside can answer pods. A Service whose backend is a host has
no other way for pods to get there, and whose rule it is does not matter: such a rewriting, from a
source in the pod network to a destination outside it, counts neither for nor against the service
rules. Nor does a rewriting of what nothing has translated. What the same rule rewrites besides is
judged like anybody's, whatever its chain is called; only what a tool does to networks of its own
stays its own, by its rules' sources, interfaces, marks and sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from svcc.grammar.address import Network
from svcc.grammar.iptables.ruleset import place_of
from svcc.verify.model.actions import Goto, Jump, Masquerade
from svcc.verify.model.conditions import (
    Destination,
    InInterface,
    InSet,
    Mark,
    OriginalSource,
    OutInterface,
    SentByIpvs,
    Source,
    State,
    Unknown,
)
from svcc.verify.model.rules import IndexedChain, IndexedRules, Record, index_chain

_NOT_TRANSLATED = (State(("DNAT",), negated=True), SentByIpvs(negated=True))


def let_pods_leave(rules: IndexedRules, pods: Network | None) -> None:
    """Take apart what rules of others do to pods that leave, to what nothing has translated, and
    to others.

    ``pods``: the pod network of the rules' family; without one nothing can be told.
    """
    if pods is None:
        return
    for table, chains in rules.tables.items():
        if place_of(table) == "nat":
            _let_pods_leave(chains, pods)


def _let_pods_leave(nat: dict[str, IndexedChain], pods: Network) -> None:
    concerned = [
        (name, chain)
        for name, chain in nat.items()
        if any(_of_others(record) is not None for record in chain.records)
    ]
    if not concerned:
        return
    confined = _confined_chains(nat.values())
    for name, chain in concerned:
        records = [part for r in chain.records for part in _parts(r, name in confined, pods)]
        nat[name] = index_chain(name, chain.policy, records)


def _of_others(record: Record) -> Masquerade | None:
    """What a rule that is not the service proxy's does to the source."""
    action = record.action
    if isinstance(action, Masquerade) and (not record.service or action.of_other_tool):
        return action
    return None


def _parts(record: Record, in_confined: bool, pods: Network) -> Iterable[Record]:
    action = _of_others(record)
    if action is None or (action.of_other_tool and (in_confined or _is_confined(record))):
        return (record,)
    leaves = (Source(pods.value, pods.mask), Destination(pods.value, pods.mask, negated=True))
    not_judged = (
        replace(
            record,
            conditions=(*record.conditions, *conditions),
            action=Masquerade(action.address, action.port, of_other_tool=True),
            but_for_pods=(pods.value, pods.mask),
        )
        for conditions in (leaves, _NOT_TRANSLATED)
    )
    return *not_judged, replace(record, action=Masquerade(action.address, action.port))


def _confined_chains(chains: Iterable[IndexedChain]) -> frozenset[str]:
    """The chains that packets get to only by rules that are about some networks' packets."""
    entries: dict[str, list[tuple[str, bool]]] = {}
    for chain in chains:
        for record in chain.records:
            if isinstance(record.action, Jump | Goto):
                entry = (chain.name, _is_confined(record))
                entries.setdefault(record.action.chain, []).append(entry)
    found = set(entries)
    while True:
        kept = {n for n in found if all(is_so or of in found for of, is_so in entries[n])}
        if kept == found:
            return frozenset(found)
        found = kept


def _is_confined(record: Record) -> bool:
    """Whether a rule names whose packets it is about: a source, an interface, a mark, a set."""
    return any(
        isinstance(condition, Mark | InSet | Unknown)
        or (
            isinstance(condition, Source | OriginalSource | InInterface | OutInterface)
            and not condition.negated
        )
        for condition in record.conditions
    )
