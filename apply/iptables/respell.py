"""Seeing through spelling: two texts of one rule become one text.

The kernel's tools may print a rule otherwise than it was written. Lines that differ as text
are parsed and compared as typed rules; where they are the same rule, what was read takes the
spelling of what is wanted. After that everything is compared as text.
"""

from __future__ import annotations

from collections.abc import Iterable

from svcc.apply.iptables.read import PREFIX, TableState, own_target
from svcc.grammar.address import Family
from svcc.grammar.iptables.names import BUILT_IN_CHAINS
from svcc.grammar.iptables.program import Rule


def respell(read: TableState, wanted: TableState, family: Family, table: str) -> TableState:
    """``read`` with every rule that equals its wanted counterpart spelled like that."""
    chains = dict(read.chains)
    candidates = {
        name: (rules, wanted.chains[name])
        for name, rules in read.chains.items()
        if name in wanted.chains
        and rules != wanted.chains[name]
        and len(rules) == len(wanted.chains[name])
    }
    # Most chains that differ do so for good, at their first differing pair.
    first = {name: _differing(*pair)[0] for name, pair in candidates.items()}
    typed = _typed((line for pair in first.values() for line in pair), family, table)
    candidates = {name: pair for name, pair in candidates.items() if _same(first[name], typed)}
    rest = (line for pair in candidates.values() for two in _differing(*pair) for line in two)
    typed |= _typed((line for line in rest if line not in typed), family, table)
    for name, pair in candidates.items():
        if all(_same(two, typed) for two in _differing(*pair)):
            chains[name] = pair[1]
    others = dict(read.others)
    for name in read.others:
        others[name] = _respelled_jumps(read, wanted, name, family, table)
    return TableState(chains, others, read.foreign)


def _respelled_jumps(
    read: TableState, wanted: TableState, chain: str, family: Family, table: str
) -> list[str]:
    lines, targets = read.others[chain], wanted.jumps(chain)
    unknown = [line for line in lines if own_target(line) and line not in targets]
    missing = [line for line in targets if line not in lines]
    if not unknown or not missing:
        return lines
    typed = _typed([*unknown, *missing], family, table)
    spelling = {
        line: target for line in unknown for target in missing if _same((line, target), typed)
    }
    return [spelling.get(line, line) for line in lines]


def _differing(left: list[str], right: list[str]) -> list[tuple[str, str]]:
    return [(a, b) for a, b in zip(left, right, strict=True) if a != b]


def _same(pair: tuple[str, str], typed: dict[str, Rule | None]) -> bool:
    left, right = typed[pair[0]], typed[pair[1]]
    return left is not None and left == right


def _typed(lines: Iterable[str], family: Family, table: str) -> dict[str, Rule | None]:
    """The typed rule of each line; None for one that the grammar does not take."""
    distinct = list(dict.fromkeys(lines))
    if not distinct:
        return {}
    from svcc.grammar.errors import InputError

    try:
        return dict(zip(distinct, _parse(distinct, family, table), strict=True))
    except InputError:
        if len(distinct) == 1:
            return {distinct[0]: None}
    half = len(distinct) // 2
    return _typed(distinct[:half], family, table) | _typed(distinct[half:], family, table)


def parse_rules(lines: list[str], family: Family, table: str) -> list[Rule]:
    """Rule lines of one table as typed rules, in order.

    Raises:
        InputError: the grammar does not take one of them.
    """
    return _parse(lines, family, table)


def _parse(lines: list[str], family: Family, table: str) -> list[Rule]:
    from svcc.grammar.iptables.parse import parse

    chains = dict.fromkeys(line.split(" ", 2)[1] for line in lines)
    chains |= dict.fromkeys(target for line in lines if (target := own_target(line)))
    built_in = BUILT_IN_CHAINS[table]
    declarations = [f":{name} {'ACCEPT' if name in built_in else '-'} [0:0]" for name in chains]
    text = "\n".join([f"*{table}", *declarations, *lines, "COMMIT", ""])
    program = parse(text, family=family, source=f"{PREFIX}rules on this node")
    return [item for item in program.tables[table].commands if isinstance(item, Rule)]
