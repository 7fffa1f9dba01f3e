"""What svcc's tables hold, read from the kernel no more often than need be.

Listing fifty thousand elements costs more than loading them. Whoever has loaded the tables
remembers what it loaded, and under which generation of the rule set; as long as the kernel is at
that generation nobody has changed anything, and nothing has to be listed. The memory is a file in
svcc's own folder, one for each network namespace; it is believed only where the generation, the
boot and the namespace agree, and it is never needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from svcc.apply.nftables.generation import generation
from svcc.apply.system.errors import ToolError
from svcc.apply.system.own_files import boot, namespace_cookie, path_of, read_private, write_private
from svcc.apply.system.tools import Tools, call, how_it_ended
from svcc.grammar.errors import InputError
from svcc.grammar.nftables.program import Ruleset, TableFamily
from svcc.grammar.nftables.write import write

OWN: tuple[tuple[TableFamily, str], ...] = (("ip", "svcc"), ("ip6", "svcc"))
"""svcc's tables, by family and name."""
_MEMORY = "nft"
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Reading:
    """svcc's tables at a generation; ``drifted``: they are not as svcc left them."""

    tables: Ruleset
    generation: int
    drifted: bool = False


def read_own(tools: Tools) -> Reading:
    """What svcc's tables hold.

    Raises:
        ToolError: nft is not installed or fails, or somebody keeps changing the rule set.
    """
    remembered = _remembered()
    for _ in range(_TRIES):
        before = generation()
        if remembered is not None and remembered.generation == before:
            return remembered
        found = Ruleset()
        for key in _present(tools):
            found.add(_listed(tools, key).tables[key])
        if generation() == before:
            drifted = remembered is not None and not _hold_the_same(remembered.tables, found)
            return Reading(found, before, drifted)
    raise ToolError("somebody keeps changing the nftables rules; try again")


def remember(tables: Ruleset, number: int) -> None:
    """Note what the tables hold at a generation; where that cannot be done they will be listed."""
    with suppress(OSError):
        head = json.dumps({"generation": number, "boot": boot(), "namespace": namespace_cookie()})
        write_private(path_of(_MEMORY), f"# {head}\n{write(tables)}")


def forget() -> None:
    """Remove the memory of this network namespace."""
    with suppress(OSError):
        path_of(_MEMORY).unlink()


def _remembered() -> Reading | None:
    from svcc.grammar.nftables.parse import parse

    try:
        text = read_private(path_of(_MEMORY))
        head = json.loads(text.partition("\n")[0].removeprefix("# "))
        if (head["boot"], head["namespace"]) != (boot(), namespace_cookie()):
            return None
        return Reading(parse(text, source="what svcc loaded"), int(head["generation"]))
    except (OSError, ValueError, KeyError, InputError):
        return None


def _present(tools: Tools) -> list[tuple[TableFamily, str]]:
    printed = _nft(tools, ["list", "tables"]).splitlines()
    return [key for key in OWN if f"table {key[0]} {key[1]}" in printed]


def _listed(tools: Tools, key: tuple[TableFamily, str]) -> Ruleset:
    from svcc.grammar.nftables.parse import parse

    text = _nft(tools, ["list", "table", *key])
    try:
        return parse(text, source=f"nft list table {' '.join(key)}")
    except InputError as error:
        raise ToolError(str(error)) from error


def _nft(tools: Tools, arguments: list[str]) -> str:
    result = call(tools, "nft", arguments)
    if result.code:
        reason = " ".join(result.error.split())
        raise ToolError(f"nft {' '.join(arguments)} failed ({how_it_ended(result)}): {reason}")
    return result.output


def _hold_the_same(one: Ruleset, other: Ruleset) -> bool:
    from svcc.apply.nftables.delta import delta

    return not delta(one, other).lines


def exist(tools: Tools, keys: Iterable[tuple[TableFamily, str]] = OWN) -> bool:
    """Whether any of the tables is there.

    Raises:
        ToolError: nft is not installed or fails.
    """
    return bool({*_present(tools)} & {*keys})
