"""Whether the cause that is named is the line that was damaged.

A changed or added line must be named itself; of one that was left out the chain in which it
stood, the virtual server or set that it was of, or the file of addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from svcc.verify.confirm.causes import DUMMY_DEVICE

NOT_NAMED = {
    "kube-proxy: affinity of two backends in one list": "rules of two chains are wrong at once",
    "kube-proxy: node port on every address": "the node port's own rule may ask for local "
    "addresses as well as the one that leads to it",
    "iptables: loopback not served": "the chain that OUTPUT leads to may serve loopback as well",
    "iptables: guard of loopback missing": "the first packet is right, too, if loopback is served",
    "iptables: affinity: recorded in a list of its own": "of two rules that name different lists "
    "either may be wrong",
    "iptables: affinity: two ports share a list": "of two ports that share a list either may be "
    "wrong",
    "ipvs: an external IP masqueraded": "the entry that moved is told as missing where it was",
    "ipvs: no health check": "an entry among the frontends opens the port as well",
    "ipvs: a virtual IP not bound": "one of two findings is of the set that refuses the address",
    "ipvs: node ports not rewritten": "a virtual server of another key serves the packet, too",
    "ipvs: node ports rewritten wrong": "without the entry the packet is served by another way",
    "ipvs: no hairpin": "a rule in another chain marks the one hairpin of its packet as well",
    "ipvs: loopback not served": "the chain that OUTPUT leads to may serve loopback as well",
}
"""Damage of which not every finding names the damaged line, and why: more than one change of one
rule makes the packet right and no other one wrong, or none does."""

_OF = re.compile(
    r"^(?:-A (?P<chain>[A-Z0-9-]+) "
    r"|-[Aa] (?P<server>(?:-[tuf]|--sctp-service) \S+)"
    r"|add (?P<set>\S+) "
    r"|(?P<address>address) add )"
)


@dataclass(frozen=True, slots=True)
class Damaged:
    """What was done to a file: ``lines`` are those of the damaged text (1-based), ``owners`` the
    chains, servers and sets that lines were taken from.
    """

    file: str
    lines: frozenset[int]
    owners: frozenset[str]

    def is_named_by(self, cause: Mapping[str, object]) -> bool:
        """Whether a cause, as in the JSON, names it."""
        if Path(str(cause.get("file", ""))).name != self.file:
            return False
        return cause.get("line") in self.lines or cause.get("chain") in self.owners


def damaged(before: str, after: str, file: str) -> Damaged:
    """What was done to the text of a file."""
    old, new = before.splitlines(), after.splitlines()
    lines, owners = set(), set()
    if len(old) == len(new):
        # Exchanged lines are changed in both places.
        lines = {at for at, pair in enumerate(zip(old, new, strict=True), 1) if len({*pair}) > 1}
    else:
        for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, False).get_opcodes():
            if tag == "delete":
                owners |= set(_owners(old[i1:i2]))
            elif tag != "equal":
                lines |= set(range(j1 + 1, j2 + 1))
    return Damaged(file, frozenset(lines), frozenset(owners))


def damaged_tables(before: str, after: str, file: str) -> Damaged:
    """What was done to tables of nftables.

    Of what was left out or moved the block in which it stood counts, and what asks for that block:
    a chain's rules, a map's or set's elements and the rules that look into it.
    """
    old, new = before.splitlines(), after.splitlines()
    lines: set[int] = set()
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, False).get_opcodes():
        if tag == "equal":
            continue
        lines |= set(range(j1 + 1, j2 + 1))
        if tag == "delete":
            for block in {_block(old, at) for at in range(i1, i2)}:
                lines |= set(_of_block(new, block))
    return Damaged(file, frozenset(lines), frozenset())


def _block(lines: list[str], at: int) -> str:
    """The head of the block that a line stands in: ``chain refuse {``."""
    return next(line for line in reversed(lines[: at + 1]) if re.match(r"\t?\w.*\{$", line))


def _of_block(lines: list[str], block: str) -> Iterator[int]:
    name = "@" + block.split()[1]
    inside = False
    for number, line in enumerate(lines, 1):
        inside = line == block or (inside and line != "\t}")
        if inside or name in line.split():
            yield number


def _owners(lines: list[str]) -> Iterator[str]:
    for line in lines:
        found = _OF.match(line)
        assert found, f"no line of rules: {line!r}"
        yield DUMMY_DEVICE if found["address"] else next(name for name in found.groups() if name)
