"""What svcc holds in the kernel at one moment, or would, in all of its modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from svcc.apply.iptables.read import Tables
from svcc.grammar.address import Family
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.nftables.program import Ruleset


@dataclass(frozen=True, slots=True)
class Held:
    """Tables of nftables, rules of each variant of iptables, and what is beside these in ipvs
    mode. Together (``+``) they are what several modes hold.
    """

    tables: tuple[Ruleset, ...] = ()
    rules: tuple[Mapping[Family, Tables], ...] = ()
    ipvs: tuple[Ipvs, ...] = ()

    def __add__(self, other: Held) -> Held:
        return Held(self.tables + other.tables, self.rules + other.rules, self.ipvs + other.ipvs)


See = Callable[[Held, Held], None]
"""Is shown what svcc holds, and what it is to hold."""
