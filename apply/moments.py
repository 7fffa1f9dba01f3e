"""Every moment of an apply, as it will be if nobody else interferes: for those who judge it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import assert_never

from svcc.apply.iptables.read import Tables, TableState
from svcc.apply.ipvs.commands import Command
from svcc.apply.ipvs.model import run_on
from svcc.apply.ipvs.steps import Change, ReleaseServed
from svcc.apply.steps import Load, ReleaseFlows, Step
from svcc.apply.system.route_localnet import SetRouteLocalnet
from svcc.grammar.address import Family
from svcc.grammar.iptables.names import BUILT_IN_CHAINS
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.nftables.program import Ruleset

Judge = Callable[[Iterable["Moment"]], str | None]
"""Says what is wrong with the moments of an apply, None for nothing."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The node after one command.

    ``command`` None: tables were loaded, or (the first moment) nothing was done. ``nftables`` are
    svcc's own tables there.
    """

    title: str
    tables: Mapping[Family, Tables]
    ipvs: Ipvs
    command: Command | None = None
    nftables: Ruleset = field(default_factory=Ruleset)


def moments(
    steps: Sequence[Step],
    tables: Mapping[Family, Tables],
    ipvs: Ipvs | None,
    nftables: Ruleset | None = None,
) -> Iterator[Moment]:
    """The state before the first step, and the one after each command.

    Args:
        steps: in their order.
        tables: what is loaded before.
        ipvs: svcc's own part of IPVS before; None: nothing.
        nftables: svcc's nftables tables, which stay as they are; None: there are none.
    """
    beside = Ruleset() if nftables is None else nftables
    now = {family: dict(of_family) for family, of_family in tables.items()}
    model = copy(ipvs or Ipvs())
    yield Moment("before", _copied(now), copy(model), nftables=beside)
    for step in steps:
        match step:
            case Load(family=family, table=table, delta=delta):
                now[family][table] = delta.after
                yield Moment(step.describe(), _copied(now), copy(model), nftables=beside)
            case Change(stage):
                for command in stage.commands:
                    run_on(model, command)
                    title = f"{stage.title}: {command}"
                    yield Moment(title, _copied(now), copy(model), command, beside)
            case SetRouteLocalnet() | ReleaseFlows() | ReleaseServed():
                pass
            case _:
                assert_never(step)


def moments_to_nftables(
    steps: Sequence[Step],
    tables: Mapping[Family, Tables],
    ipvs: Ipvs | None,
    nftables: tuple[Ruleset, Ruleset],
) -> Iterator[Moment]:
    """As :func:`moments`, where one transaction loads svcc's nftables tables first.

    Args:
        steps: what removes the rest of another mode.
        tables: what is loaded before.
        ipvs: svcc's own part of IPVS before; None: nothing.
        nftables: svcc's nftables tables before and after the transaction.
    """
    before, after = nftables
    yield Moment("before", _copied(tables), copy(ipvs or Ipvs()), nftables=before)
    loaded, *others = moments(steps, tables, ipvs, after)
    yield replace(loaded, title="the nftables tables are loaded")
    yield from others


def moments_from_nftables(
    steps: Sequence[Step],
    tables: Mapping[Family, Tables],
    ipvs: Ipvs | None,
    nftables: Ruleset,
) -> Iterator[Moment]:
    """As :func:`moments`, where one transaction removes svcc's ``nftables`` tables at last."""
    last = None
    for last in moments(steps, tables, ipvs, nftables):
        yield last
    if nftables.tables and last is not None:
        yield Moment("the nftables tables are removed", last.tables, last.ipvs)


def _copied(tables: Mapping[Family, Tables]) -> dict[Family, Tables]:
    return {family: dict(of_family) for family, of_family in tables.items()}


def text_of(tables: Tables) -> str:
    """Tables as an iptables-restore script: svcc's part, and everybody else's rules."""
    return "".join(_table_text(name, state) for name, state in tables.items())


def _table_text(name: str, state: TableState) -> str:
    declared = dict.fromkeys(state.chains, "-")
    for line in state.foreign:
        if line.startswith(":"):
            chain, policy = line[1:].split(" ")[:2]
            declared[chain] = policy
    for chain in state.others:
        declared.setdefault(chain, "ACCEPT" if chain in BUILT_IN_CHAINS[name] else "-")
    lines = [f":{chain} {policy} [0:0]" for chain, policy in declared.items()]
    lines += [line for rules in state.others.values() for line in rules]
    lines += [line for rules in state.chains.values() for line in rules]
    return "\n".join([f"*{name}", *lines, "COMMIT", ""])
