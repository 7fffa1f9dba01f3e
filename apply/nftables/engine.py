"""Apply, diff and cleanup in nftables mode: svcc's own tables, all in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import NoReturn, assert_never

from svcc.apply.nftables.delta import delta
from svcc.apply.nftables.generation import generation
from svcc.apply.nftables.read import OWN, Reading, forget, read_own, remember
from svcc.apply.nftables.steps import ReleaseTranslated, Transact
from svcc.apply.nftables.udp_reach import TableReach
from svcc.apply.system import sysctl
from svcc.apply.system.errors import ApplyError, ToolError
from svcc.apply.system.route_localnet import SetRouteLocalnet
from svcc.apply.system.tools import Tools
from svcc.grammar.address import Family
from svcc.grammar.nftables.program import Ruleset, Table, Verdict
from svcc.grammar.nftables.write import set_definition, write_base, write_element, write_rule

_GUARDS = "filter-input"
_FAMILIES = {Family.IPV4: OWN[0], Family.IPV6: OWN[1]}
_DRIFT = (
    "somebody else has changed the tables ip svcc or ip6 svcc since svcc loaded them; they are "
    "made to be as wanted"
)
_STAY = "{error}; UDP clients may stay with the backend that they had until their flows time out"

Step = Transact | SetRouteLocalnet | ReleaseTranslated


@dataclass(slots=True)
class Plan:
    """What leads from what is there to what is wanted."""

    reading: Reading
    wanted: Ruleset
    steps: tuple[Step, ...]
    warnings: list[str] = field(default_factory=list)
    released: int = 0


def plan(tools: Tools, wanted: Ruleset, *, route_localnet: bool) -> Plan:
    """What to do for svcc's tables to be as wanted; no tables in ``wanted``: that they go.

    Args:
        tools: runs nft(8).
        wanted: svcc's tables.
        route_localnet: whether loopback node ports need ``route_localnet``.

    Raises:
        ApplyError: what is there cannot be read.
    """
    try:
        reading = read_own(tools)
    except ToolError as error:
        raise ApplyError(f"{error}; nothing was changed") from error
    transact = [step for step in (_transact(reading.tables, wanted),) if step.delta.lines]
    switch = _switch(reading.tables, route_localnet)
    flows = _flows(reading.tables, wanted)
    # The rule that keeps neighbours out of 127/8 is loaded before they could get in.
    steps: list[Step] = [*switch, *transact] if not route_localnet else [*transact, *switch]
    warnings = [_DRIFT] if reading.drifted and transact else []
    return Plan(reading, wanted, (*steps, *flows), warnings)


def _transact(current: Ruleset, wanted: Ruleset) -> Transact:
    return Transact(delta(current, wanted), current, wanted)


def plan_part(reading: Reading, wanted: Ruleset, before: Ruleset, after: Ruleset) -> Plan:
    """What to do for svcc's tables to be as wanted, where it is known what differs.

    Args:
        reading: what the tables hold, at the generation that the rule set has.
        wanted: what they are to hold; loopback node ports are answered as they are now.
        before: the part of ``reading`` that has all that is otherwise in ``wanted``.
        after: the same part of ``wanted``.
    """
    transact = Transact(delta(before, after), reading.tables, wanted)
    flows = list(_flows(before, after))
    return Plan(reading, wanted, (*([transact] if transact.delta.lines else ()), *flows))


def _flows(before: Ruleset, after: Ruleset) -> Iterator[ReleaseTranslated]:
    for family, key in _FAMILIES.items():
        old, new = TableReach(before.tables.get(key)), TableReach(after.tables.get(key))
        if not old.is_like(new):
            yield ReleaseTranslated(family, old, new)


def run(made: Plan, tools: Tools, *, memory: bool = True) -> Reading | None:
    """Do what was planned.

    Args:
        made: the plan.
        tools: runs nft(8).
        memory: note what is loaded for the next process; otherwise that is forgotten.

    Returns:
        What is loaded now; None where somebody else may have had a transaction meanwhile.

    Raises:
        ApplyError: the kernel or nft refuses; the message says whether the node is as it was.
    """
    if not memory:
        forget()
    ran: list[Step] = []
    try:
        for step in made.steps:
            match step:
                case Transact():
                    step.run(tools)
                case SetRouteLocalnet(on):
                    sysctl.write(sysctl.ROUTE_LOCALNET, on)
                case ReleaseTranslated():
                    try:
                        made.released += step.run(tools)
                    except ToolError as error:
                        made.warnings.append(_STAY.format(error=error))
                case _:
                    assert_never(step)
            ran.append(step)
    except ToolError as error:
        _go_back(made, tools, ran, str(error))
    reading = _loaded_now(made)
    if reading is not None and memory:
        if reading.tables.tables:
            remember(reading.tables, reading.generation)
        else:
            forget()
    return reading


def _go_back(made: Plan, tools: Tools, ran: list[Step], problem: str) -> NoReturn:
    """Undo what was done before something failed."""
    failures = []
    for step in reversed(ran):
        try:
            match step:
                case Transact():
                    _transact(made.wanted, made.reading.tables).run(tools)
                case SetRouteLocalnet(on):
                    sysctl.write(sysctl.ROUTE_LOCALNET, not on)
                case ReleaseTranslated():
                    pass
                case _:
                    assert_never(step)
        except ToolError as error:
            failures.append(str(error))
    if failures:
        raise ApplyError(
            f"{problem}; going back failed too: {'; '.join(failures)}; run apply again, or "
            "cleanup to remove all that is svcc's",
            restored=False,
        )
    raise ApplyError(f"{problem}; the node is as it was before")


def _loaded_now(made: Plan) -> Reading | None:
    """What is loaded, if it is certain that nobody else had a transaction meanwhile."""
    try:
        now = generation()
    except ToolError:
        return None
    ours = sum(isinstance(step, Transact) for step in made.steps)
    if now != made.reading.generation + ours:
        return None
    return Reading(made.wanted, now)


def difference(made: Plan) -> str:
    """What the plan changes, like a unified diff; empty if nothing."""
    parts: list[str] = []
    for family, name in OWN:
        current = made.reading.tables.tables.get((family, name))
        wanted = made.wanted.tables.get((family, name))
        before, after = _lines(current), _lines(wanted)
        heading = [f"--- {family} {name} (loaded)", f"+++ {family} {name} (wanted)"]
        for part in dict.fromkeys((*before, *after)):
            old, new = before.get(part, []), after.get(part, [])
            if old == new:
                continue
            parts += heading
            heading = []
            if part.startswith("chain"):
                changed = list(unified_diff(old, new, lineterm=""))[2:]
            else:
                # Elements have no order, and are too many to look for the best alignment.
                gone, come = dict.fromkeys(old), dict.fromkeys(new)
                changed = ["@@"]
                changed += [f"-{line}" for line in gone if line not in come]
                changed += [f"+{line}" for line in come if line not in gone]
            parts += [f"{line} {part}" if line.startswith("@@") else line for line in changed]
    for step in made.steps:
        if isinstance(step, SetRouteLocalnet):
            name = sysctl.dotted(sysctl.ROUTE_LOCALNET)
            parts += ["--- sysctl (loaded)", "+++ sysctl (wanted)"]
            parts += [f"-{name} = {int(not step.on)}", f"+{name} = {int(step.on)}"]
    return "".join(f"{part}\n" for part in parts)


def _lines(table: Table | None) -> dict[str, list[str]]:
    """A table's parts by name: definition and sorted elements of sets, rules of chains."""
    if table is None:
        return {}
    found = {}
    for name, item in table.sets.items():
        lines = set_definition(item)
        if "dynamic" not in item.flags:
            lines += sorted(map(write_element, item.elements.values()))
        found[f"{'set' if item.data is None else 'map'} {name}"] = lines
    for name, chain in table.chains.items():
        found[f"chain {name}"] = [write_base(chain.base)] if chain.base is not None else []
        found[f"chain {name}"] += map(write_rule, chain.rules)
    return found


def _switch(current: Ruleset, wanted: bool) -> list[SetRouteLocalnet]:
    """What is to be done about ``route_localnet``.

    It is turned off only if our own guard is loaded, so it was us who turned it on.
    """
    now = sysctl.read(sysctl.ROUTE_LOCALNET)
    if now is None or now == wanted or (not wanted and not has_loopback_guard(current)):
        return []
    return [SetRouteLocalnet(wanted)]


def has_loopback_guard(tables: Ruleset) -> bool:
    """Whether svcc's tables keep packets for 127/8 from coming in over the wire."""
    table = tables.tables.get(OWN[0])
    chain = table.chains.get(_GUARDS) if table is not None else None
    return chain is not None and any(
        rule.statements[-1] == Verdict("drop") for rule in chain.rules if rule.statements
    )
