"""Loading again what was loaded before: by the steps of an apply, not by replaying a dump.

What somebody else has changed meanwhile stays. What serves comes before what goes, as between
modes (:mod:`svcc.apply.modes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from svcc.apply.commit import commit, respell_all
from svcc.apply.iptables.read import (
    TABLES,
    Tables,
    TableState,
    is_ipvs_mode,
    read_family,
    served_by_nat,
)
from svcc.apply.iptables.tool import Iptables
from svcc.apply.ipvs.servers import Servers
from svcc.apply.ipvs.steps import ReleaseServed
from svcc.apply.loaded import translated_to
from svcc.apply.modes import remove_tables
from svcc.apply.nftables import engine as nftables
from svcc.apply.outcome import Outcome
from svcc.apply.reading import FAMILIES, localnet_to_set, look_beside, own_rules_of
from svcc.apply.reverting.saved import Saved
from svcc.apply.steps import ReleaseFlows, make_steps
from svcc.apply.system import sysctl
from svcc.apply.system.errors import ApplyError, ToolError
from svcc.grammar.address import Family

_LOST = "it was loaded before, and cannot be loaded again: {error}"


def restore(saved: Saved, descriptor: int) -> Outcome:
    """Make all that is svcc's be what it was.

    Args:
        saved: what it was.
        descriptor: the lock that the caller holds, for the tools to inherit.

    Raises:
        ApplyError: failed; some of it may be as it was.
    """
    tools = [Iptables(variant) for variant in saved.rules] or [Iptables()]
    for variant in tools:
        variant.keep_open = (descriptor,)
    steps: list[Outcome] = []
    if saved.tables.tables:
        plan = nftables.plan(tools[0], saved.tables, route_localnet=saved.route_localnet)
        nftables.run(plan, tools[0])
        steps.append(Outcome(plan.steps, tuple(plan.warnings), (), plan.released))
    if saved.rules:
        steps += _rules(saved, tools)
    if not saved.tables.tables:
        steps.append(
            remove_tables(
                tools[0],
                keep_localnet=saved.route_localnet,
                behind_rules=any(saved.rules.values()),
            )
        )
    _settings(saved)
    return Outcome(
        tuple(step for done in steps for step in done.steps),
        tuple(warning for done in steps for warning in done.warnings),
        (),
        sum(done.released for done in steps),
    )


def _rules(saved: Saved, tools: Sequence[Iptables]) -> list[Outcome]:
    """The rules of each variant, those that come first, and what is beside them."""
    order = sorted(tools, key=lambda variant: not _of(saved, variant))
    reads = [_read(saved, variant) for variant in order]
    servers = look_beside(tools[0], saved.ipvs, saved.exclude, 0, reads)
    # Sets come before the rules that ask them, and go when no rule of either variant does.
    asking = (v for v in order if any(map(is_ipvs_mode, _of(saved, v).values())))
    with_servers = order[-1] if saved.ipvs is None else next(asking, order[0])
    return [
        _variant(saved, variant, before, servers if variant is with_servers else None)
        for variant, before in zip(order, reads, strict=True)
    ]


def _variant(
    saved: Saved, tools: Iptables, before: dict[Family, Tables], servers: Servers | None
) -> Outcome:
    nothing = {table: TableState() for table in TABLES}
    wanted = {family: {**nothing, **_of(saved, tools).get(family, {})} for family in before}
    current = respell_all(before, wanted)
    beside = None
    if servers is not None:
        behind_nat = translated_to(current) | translated_to(wanted)
        beside = servers.steps(served_by_nat(current), behind_nat)
    switch = localnet_to_set(before, wanted=saved.route_localnet)
    # Where tables of nftables serve, UDP flows are theirs.
    steps = tuple(
        step
        for step in make_steps(current, wanted, switch, beside)
        if not (saved.tables.tables and isinstance(step, ReleaseFlows | ReleaseServed))
    )
    done = commit(tools, steps, before, wanted, None, servers)
    return Outcome(steps, tuple(done.warnings), (), done.released)


def _read(saved: Saved, tools: Iptables) -> dict[Family, Tables]:
    """What of a variant is loaded, of each family in which something is or was."""
    found, failures = own_rules_of(tools)
    for family in FAMILIES:
        if family not in _of(saved, tools) or family in found:
            continue
        if (error := failures.get(family)) is not None:
            raise ApplyError(_LOST.format(error=error), restored=False)
        found[family] = _all_of(tools, family)
    return found


def _all_of(tools: Iptables, family: Family) -> Tables:
    try:
        return read_family(tools, family)
    except ToolError as error:
        raise ApplyError(_LOST.format(error=error), restored=False) from error


def _of(saved: Saved, tools: Iptables) -> Mapping[Family, Tables]:
    return saved.rules.get(tools.variant, {}) if tools.variant is not None else {}


def _settings(saved: Saved) -> None:
    """Kernel settings of ipvs mode, which an apply leaves alone where it leaves that mode."""
    try:
        for name, value in saved.settings.items():
            if sysctl.value(name) not in (value, None):
                sysctl.set_value(name, value)
    except ToolError as error:
        raise ApplyError(str(error), restored=False) from error
