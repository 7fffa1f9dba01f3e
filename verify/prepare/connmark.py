"""Marks of connections (CONNMARK, ``-m connmark``), as far as they matter to packet marks.

A new connection's mark is 0, and only CONNMARK sets it (net/netfilter/xt_connmark.c). So of a
rule set it is known which bits can ever be set, and a match or ``--restore-mark`` that looks
at no other bit, or whose bits nobody looks at, is as plain as one that looks at 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from svcc.grammar.iptables import values
from svcc.grammar.iptables.program import MarkMatch, Match, OtherMatch, OtherTarget, Rule, SetMark
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.numbers import c_integer
from svcc.verify.prepare.sharing import ChainName, with_rules

ALL = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class ConnectionMark:
    """What a CONNMARK rule does: ``set`` to ``value`` under ``connection`` bits, or ``save``
    the ``packet`` bits there, or ``restore`` them.
    """

    kind: Literal["set", "save", "restore"]
    packet: int = ALL
    connection: int = ALL
    value: int = 0


def read(target: OtherTarget) -> ConnectionMark | None:
    """A CONNMARK target; None if it shifts bits.

    Raises:
        ValueError: its options are none that iptables takes together.
    """
    given = {option.name: option.values for option in target.options}
    if "--left-shift-mark" in given or "--right-shift-mark" in given:
        return None

    def number(name: str, default: int) -> int:
        return c_integer(given[name][0], 0, ALL) if name in given else default

    both = number("--mask", ALL)
    packet, connection = number("--nfmask", both), number("--ctmask", both)
    if "--save-mark" in given:
        return ConnectionMark("save", packet, connection)
    if "--restore-mark" in given:
        return ConnectionMark("restore", packet, connection)
    if "--and-mark" in given:
        return ConnectionMark("set", 0, number("--and-mark", 0) ^ ALL)
    if "--or-mark" in given:
        bits = number("--or-mark", 0)
        return ConnectionMark("set", 0, bits, bits)
    if "--xor-mark" in given:
        return ConnectionMark("set", 0, 0, number("--xor-mark", 0))
    for name in ("--set-xmark", "--set-mark"):
        if name in given:
            value, mask = values.value_and_mask(given[name][0])
            return ConnectionMark("set", 0, mask | (value if name == "--set-mark" else 0), value)
    raise ValueError("CONNMARK without an option")


def with_plain_marks(rules: RuleSet) -> RuleSet:
    """The rule set with what they come to in the place of ``--restore-mark`` and ``-m connmark``,
    where that does not depend on the connection.
    """
    connmarks: list[tuple[ChainName, int, Rule, OtherTarget]] = []
    asking: list[tuple[ChainName, int, Rule]] = []
    looked_at = settable = 0
    for table, chains in rules.tables.items():
        for name, chain in chains.items():
            for position, rule in enumerate(chain.rules):
                target = rule.target
                if isinstance(target, OtherTarget) and target.name == "CONNMARK":
                    connmarks.append(((table, name), position, rule, target))
                for match in rule.matches:
                    if isinstance(match, MarkMatch):
                        looked_at |= match.mask
                    elif isinstance(match, OtherMatch) and match.name == "connmark":
                        asking.append(((table, name), position, rule))
    if not connmarks and not asking:
        return rules
    for *_, target in connmarks:
        settable |= _settable(read(target))
    if rules.ipvs is not None and any(not key.protocol for key in rules.ipvs.servers):
        looked_at = ALL
    changed: dict[ChainName, dict[int, Rule]] = {}
    for place, position, rule, target in connmarks:
        known = read(target)
        if known is None or known.kind != "restore":
            continue
        if not known.connection & settable & looked_at:
            plain = replace(rule, target=SetMark(0, known.packet))
            changed.setdefault(place, {})[position] = plain
    for place, position, rule in asking:
        rule = changed.get(place, {}).get(position, rule)
        matches = tuple(match for match in rule.matches if not _is_sure(match, settable))
        if matches != rule.matches:
            changed.setdefault(place, {})[position] = replace(rule, matches=matches)
    return with_rules(rules, changed)


def _settable(known: ConnectionMark | None) -> int:
    """Bits of a connection's mark that a rule may set."""
    if known is None:
        return ALL
    if known.kind == "set":
        return known.value
    return known.connection if known.kind == "save" else 0


def _is_sure(match: Match, settable: int) -> bool:
    """Whether ``-m connmark`` is true of every new connection."""
    if not isinstance(match, OtherMatch) or match.name != "connmark":
        return False
    (option,) = match.options
    value, mask = values.value_and_mask(option.values[0])
    return not mask & settable and (value == 0) != option.negated
