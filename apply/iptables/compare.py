"""Whether the own parts of two states of a table are the same, and what differs."""

from __future__ import annotations

from svcc.apply.iptables.read import TableState


def own_difference(loaded: TableState, wanted: TableState) -> str | None:
    """The first own line in which two states differ, None if their own parts are equal."""
    for chain in dict.fromkeys((*wanted.chains, *loaded.chains)):
        if chain not in loaded.chains:
            return f"chain {chain} is missing"
        if chain not in wanted.chains:
            return f"chain {chain} is left over"
        if loaded.chains[chain] != wanted.chains[chain]:
            return _first_difference(loaded.chains[chain], wanted.chains[chain])
    for chain in dict.fromkeys((*wanted.others, *loaded.others)):
        if loaded.jumps(chain) != wanted.jumps(chain):
            return _first_difference(loaded.jumps(chain), wanted.jumps(chain))
    return None


def _first_difference(loaded: list[str], wanted: list[str]) -> str:
    pairs = zip(loaded, wanted, strict=False)
    for is_there, should_be in pairs:
        if is_there != should_be:
            return f"{is_there} in place of {should_be}"
    if len(loaded) > len(wanted):
        return f"{loaded[len(wanted)]} is left over"
    return f"{wanted[len(loaded)]} is missing"
