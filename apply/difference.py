"""What apply would change, as text like a unified diff."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff

from svcc.apply import sysctl
from svcc.apply.snapshot import Tables, TableState
from svcc.grammar.address import Family


def difference(
    current: Mapping[Family, Tables],
    wanted: Mapping[Family, Tables],
    route_localnet: tuple[bool | None, bool | None],
) -> str:
    """The own part of each table, chain by chain; empty if nothing differs.

    Args:
        current: what is loaded, spelled as ``wanted`` spells it.
        wanted: what should be.
        route_localnet: the switch as it is, and as it should be (None: left alone).
    """
    parts = [
        part
        for family, tables in current.items()
        for table, state in tables.items()
        for part in _table(f"{family.label} {table}", state, wanted[family][table])
    ]
    is_on, should_be_on = route_localnet
    if should_be_on is not None:
        name = sysctl.dotted(sysctl.ROUTE_LOCALNET)
        parts += ["--- sysctl (loaded)", "+++ sysctl (wanted)"]
        parts += [f"-{name} = {int(bool(is_on))}", f"+{name} = {int(should_be_on)}"]
    return "".join(f"{part}\n" for part in parts)


def _table(name: str, current: TableState, wanted: TableState) -> Iterator[str]:
    before, after = _own_lines(current), _own_lines(wanted)
    heading = [f"--- {name} (loaded)", f"+++ {name} (wanted)"]
    for chain in dict.fromkeys((*before, *after)):
        old, new = before.get(chain, []), after.get(chain, [])
        if old == new:
            continue
        yield from heading
        heading = []
        for line in list(unified_diff(old, new, lineterm=""))[2:]:
            yield f"{line} {chain}" if line.startswith("@@") else line


def _own_lines(state: TableState) -> dict[str, list[str]]:
    """Jumps by the chain that they are in, then whole own chains."""
    lines = {chain: jumps for chain in state.others if (jumps := state.jumps(chain))}
    return lines | {c: [f":{c} - [0:0]", *rules] for c, rules in state.chains.items()}
