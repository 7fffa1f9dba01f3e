"""Who rewrites the source of pods that leave the pod network.

Some rule beside the service proxy's does on nearly every node (flannel, kubenet, kube-ovn, an
admin's own), so that the world outside can answer pods. A Service whose backend is a host has
no other way for pods to get there, and whose rule it is does not matter: such a rewriting, from a
source in the pod network to a destination outside it, counts neither for nor against the service
rules. What the same rule rewrites besides is judged like anybody's, whatever its chain is called;
only what a tool does to networks of its own stays its own, by its rules' sources, interfaces,
marks and sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from svcc.grammar.address import Network
from svcc.verify.model.rules import Condition, IndexedChain, IndexedRules, Record, index_chain


def let_pods_leave(rules: IndexedRules, pods: Network | None) -> None:
    """Take apart, in two records, what rules of others do to pods that leave and to others.

    ``pods``: the pod network of the rules' family; without one nothing can be told.
    """
    nat = rules.tables.get("nat")
    if pods is None or nat is None:
        return
    confined = _confined_chains(nat.values())
    for name, chain in list(nat.items()):
        if any(_is_others(record) for record in chain.records):
            records = [part for r in chain.records for part in _parts(r, name in confined, pods)]
            nat[name] = index_chain(name, chain.policy, records)


def _is_others(record: Record) -> bool:
    return record.action[0] == "masquerade" and (not record.service or _is_theirs(record))


def _is_theirs(record: Record) -> bool:
    return bool(record.action[-1] == "theirs")


def _parts(record: Record, in_confined: bool, pods: Network) -> Iterable[Record]:
    if not _is_others(record) or (_is_theirs(record) and (in_confined or _is_confined(record))):
        return (record,)
    leaves: tuple[Condition, ...] = (
        ("src", pods.value, pods.mask, False),
        ("dst", pods.value, pods.mask, True),
    )
    action = record.action[:3]
    leaving = replace(
        record,
        conditions=(*record.conditions, *leaves),
        action=(*action, "theirs"),
        of_pods_that_leave=(pods.value, pods.mask),
    )
    return leaving, replace(record, action=action)


def _confined_chains(chains: Iterable[IndexedChain]) -> frozenset[str]:
    """The chains that packets get to only by rules that are about some networks' packets."""
    entries: dict[str, list[tuple[str, bool]]] = {}
    for chain in chains:
        for record in chain.records:
            if record.action[0] in ("jump", "goto"):
                entry = (chain.name, _is_confined(record))
                entries.setdefault(record.action[1], []).append(entry)
    found = set(entries)
    while True:
        kept = {n for n in found if all(is_so or of in found for of, is_so in entries[n])}
        if kept == found:
            return frozenset(found)
        found = kept


def _is_confined(record: Record) -> bool:
    """Whether a rule names whose packets it is about: a source, an interface, a mark, a set."""
    return any(
        condition[0] in ("mark", "set", "unknown")
        or (condition[0] in ("src", "osrc", "iif", "oif") and not condition[-1])
        for condition in record.conditions
    )
