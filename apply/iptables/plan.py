"""The least change of one table, and the table that refuses old and new.

Pure functions on :class:`~svcc.apply.iptables.read.TableState`; they run nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from svcc.apply.iptables.chain_order import declaration_order
from svcc.apply.iptables.read import PREFIX, TableState, own_target

OLD_PREFIX = f"{PREFIX}OLD-"
"""Copies of chains that are on their way out; they live for the length of one apply."""

UNFINISHED = f"{PREFIX}UNFINISHED"
"""An empty filter chain: UDP flows are yet to be released (see docs/apply.md)."""


@dataclass(frozen=True, slots=True)
class Delta:
    """One iptables-restore script, empty if there is nothing to change.

    ``after`` is the table once it is loaded.
    """

    script: str
    written: int
    removed: int
    jumps: int
    after: TableState


def delta(table: str, current: TableState, target: TableState) -> Delta:
    """The script for ``iptables-restore --noflush`` that makes the own part the target's.

    Only chains that differ are declared, which flushes them. Jumps that are right stay where
    they are, whatever others put before them; new ones go to the head of their chain.
    """
    changed = [c for c, rules in target.chains.items() if current.chains.get(c) != rules]
    stale = [c for c in current.chains if c not in target.chains]
    others = dict(current.others)
    deletions: list[str] = []
    insertions: list[str] = []
    for chain in dict.fromkeys((*current.others, *target.others)):
        if current.jumps(chain) != target.jumps(chain):
            edit = _edit_jumps(chain, current, target)
            deletions += edit.deletions
            insertions += edit.insertions
            others[chain] = edit.after
    after = TableState(dict(target.chains), others, current.foreign)
    lines = [f":{chain} - [0:0]" for chain in declaration_order((*changed, *stale))]
    lines += deletions
    for chain in changed:
        lines += target.chains[chain]
    lines += insertions
    lines += [f"-X {chain}" for chain in stale]
    script = "\n".join([f"*{table}", *lines, "COMMIT", ""]) if lines else ""
    jumps = len(deletions) + len(insertions)
    return Delta(script, len(changed), len(stale), jumps, after)


@dataclass(slots=True)
class _Edit:
    deletions: list[str]
    insertions: list[str]
    after: list[str]

    def delete(self, line: str) -> None:
        """By its text, not by number: between reading and loading others may have edited."""
        self.deletions.append("-D" + line[2:])
        self.after.remove(line)

    def insert(self, index: int, line: str) -> None:
        chain, *rest = line.split(" ", 2)[1:]
        self.insertions.append(" ".join(("-I", chain, str(index + 1), *rest)))
        self.after.insert(index, line)


def _edit_jumps(chain: str, current: TableState, target: TableState) -> _Edit:
    wanted = target.jumps(chain)
    edit = _Edit([], [], list(current.others.get(chain, ())))
    surplus = Counter(filter(own_target, edit.after)) - Counter(wanted)
    for line in surplus.elements():
        edit.delete(line)
    for line in _out_of_order([line for line in edit.after if own_target(line)], wanted):
        edit.delete(line)
    layout = target.others.get(chain, [])
    if _foreign(edit.after) == _foreign(layout) and _fits(edit.after, layout):
        for index, line in enumerate(layout):
            if edit.after[index : index + 1] != [line]:
                edit.insert(index, line)
    else:
        _insert_near(edit, wanted)
    return edit


def _out_of_order(own: list[str], wanted: list[str]) -> Iterator[str]:
    matcher = SequenceMatcher(a=own, b=wanted, autojunk=False)
    kept = {
        i for block in matcher.get_matching_blocks() for i in range(block.a, block.a + block.size)
    }
    if any(count > 1 for count in Counter(own).values()) and len(kept) != len(own):
        kept = set()  # -D takes the first of several equal rules, which may be the wrong one
    yield from (line for index, line in enumerate(own) if index not in kept)


def _foreign(lines: list[str]) -> list[str]:
    return [line for line in lines if not own_target(line)]


def _fits(lines: list[str], layout: list[str]) -> bool:
    """Whether ``lines`` is ``layout`` with some lines left out."""
    rest = iter(layout)
    return all(line in rest for line in lines)


def _insert_near(edit: _Edit, wanted: list[str]) -> None:
    """Put missing jumps behind the one before them, the first ones at the head."""
    at = 0
    for line in wanted:
        ahead = [i for i in range(at, len(edit.after)) if own_target(edit.after[i])]
        if ahead and edit.after[ahead[0]] == line:
            at = ahead[0] + 1
        else:
            edit.insert(at, line)
            at += 1


def union(current: TableState, wanted: TableState) -> TableState:
    """A filter table whose verdict on any packet is the current one's or the wanted one's.

    It has a verdict wherever one of the two has: base chains jump to the wanted chains and to
    copies of those current ones that go or change. docs/apply.md says why that holds.
    """
    affected = _affected(current, wanted)
    copies = dict(zip(affected, _fresh_names(current, wanted), strict=False))
    chains = {**current.chains, **wanted.chains}
    for chain, copy in copies.items():
        moved = (line.removeprefix(f"-A {chain}") for line in current.chains[chain])
        chains[copy] = [_retargeted(f"-A {copy}{line}", copies) for line in moved]
    others = {
        chain: _merged(
            [_retargeted(line, copies) for line in current.jumps(chain)], wanted.jumps(chain)
        )
        for chain in dict.fromkeys((*current.others, *wanted.others))
    }
    return TableState(chains, others, current.foreign)


def _roots(state: TableState) -> set[str]:
    jumps = (line for chain in state.others for line in state.jumps(chain))
    return {target for line in jumps if (target := own_target(line))}


def _affected(current: TableState, wanted: TableState) -> list[str]:
    """Chains in use from which a rule that changes can be reached, in name order."""
    callers: dict[str, set[str]] = {}
    in_use: set[str] = set()
    waiting = [*_roots(current)]
    while waiting:
        chain = waiting.pop()
        if chain in in_use:
            continue
        in_use.add(chain)
        for line in current.chains.get(chain, ()):
            if target := own_target(line):
                callers.setdefault(target, set()).add(chain)
                waiting.append(target)
    waiting = [c for c in in_use if current.chains.get(c) != wanted.chains.get(c)]
    affected: set[str] = set()
    while waiting:
        chain = waiting.pop()
        if chain not in affected:
            affected.add(chain)
            waiting += callers.get(chain, ())
    return sorted(affected)


def _fresh_names(*states: TableState) -> Iterator[str]:
    number = 0
    while True:
        name = f"{OLD_PREFIX}{number}"
        if not any(name in state.chains for state in states):
            yield name
        number += 1


def _retargeted(line: str, copies: dict[str, str]) -> str:
    target = own_target(line)
    return line.removesuffix(target) + copies[target] if target in copies else line


def _merged(first: list[str], second: list[str]) -> list[str]:
    """Every line of both, each list in its own order."""
    merged = list(first)
    at = 0
    for line in second:
        if line in merged[at:]:
            at = merged.index(line, at) + 1
        else:
            merged.insert(at, line)
            at += 1
    return merged
