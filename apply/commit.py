"""Running steps, reading back, and going back if anything is not as planned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from svcc.apply.iptables import udp_release
from svcc.apply.iptables.compare import own_difference
from svcc.apply.iptables.read import Tables, read_family, served_by_nat
from svcc.apply.iptables.respell import respell
from svcc.apply.iptables.tool import Iptables
from svcc.apply.ipvs.run import run as run_commands
from svcc.apply.ipvs.servers import Servers
from svcc.apply.ipvs.steps import Change, ReleaseServed
from svcc.apply.loaded import translated_to
from svcc.apply.steps import Load, ReleaseFlows, Step, make_steps
from svcc.apply.system import sysctl
from svcc.apply.system.errors import ApplyError, ToolError
from svcc.apply.system.route_localnet import SetRouteLocalnet
from svcc.grammar.address import Family

_STAY = (
    "{error}; {clients} clients may stay with the backend that they had until their flows time out"
)


@dataclass(slots=True)
class Done:
    """What happened on the way."""

    released: int = 0
    warnings: list[str] = field(default_factory=list)


def commit(
    tools: Iptables,
    steps: Sequence[Step],
    before: Mapping[Family, Tables],
    wanted: Mapping[Family, Tables],
    wait: float | None,
    servers: Servers | None = None,
) -> Done:
    """Run the steps and check what is loaded then; on any failure go back.

    Args:
        tools: the tools of one variant.
        steps: from :func:`svcc.apply.steps.make_steps`.
        before: what was read before, as it was printed.
        wanted: own part to be there in the end.
        wait: seconds for the xtables lock, None without limit.
        servers: what is there and wanted beside rules, None if nothing is.

    Raises:
        ApplyError: something failed; the message says whether the node is as it was before.
    """
    route_localnet = sysctl.read(sysctl.ROUTE_LOCALNET)
    done = Done()
    try:
        for step in steps:
            _run(tools, step, wait, done)
        problem = next(_differences(tools, before, wanted), None)
        if problem is None and servers is not None:
            problem = servers.problem()
    except ToolError as error:
        problem = str(error)
    except BaseException:
        _go_back(tools, before, route_localnet, wait, servers)
        raise
    if problem is None:
        return done
    failures = _go_back(tools, before, route_localnet, wait, servers)
    if failures:
        raise ApplyError(
            f"{problem}; going back failed too: {'; '.join(failures)}; "
            "run apply again, or cleanup to remove all that is svcc's",
            restored=False,
        )
    raise ApplyError(f"{problem}; the node is as it was before")


def respell_all(
    read: Mapping[Family, Tables], wanted: Mapping[Family, Tables]
) -> dict[Family, Tables]:
    """What was read, in the spelling of what is wanted where it is the same."""
    return {
        family: {
            table: respell(state, wanted[family][table], family, table)
            for table, state in tables.items()
        }
        for family, tables in read.items()
    }


def _run(tools: Iptables, step: Step, wait: float | None, done: Done) -> None:
    match step:
        case Load():
            tools.restore(step.family, step.delta.script, wait)
        case SetRouteLocalnet(on):
            sysctl.write(sysctl.ROUTE_LOCALNET, on)
        case Change(stage, drain):
            run_commands(tools, stage.commands, drain)
        case ReleaseFlows(family, before, now):
            try:
                done.released += udp_release.release(tools, family, before, now)
            except ToolError as error:
                done.warnings.append(_STAY.format(error=error, clients=f"{family.label} UDP"))
        case ReleaseServed():
            try:
                done.released += step.run(tools)
            except ToolError as error:
                done.warnings.append(_STAY.format(error=error, clients="UDP"))
        case _:
            assert_never(step)


def _differences(
    tools: Iptables, before: Mapping[Family, Tables], wanted: Mapping[Family, Tables]
) -> Iterator[str]:
    """What is loaded now that should not be, or the other way round."""
    for family in before:
        loaded = respell_all({family: read_family(tools, family)}, wanted)[family]
        for table, state in loaded.items():
            name = f"{family.label} {table}"
            if (line := own_difference(state, wanted[family][table])) is not None:
                yield f"{name} reads back otherwise than it was loaded: {line}"
            if state.foreign != before[family][table].foreign:
                yield f"rules in {name} that are not svcc's changed meanwhile"


def _go_back(
    tools: Iptables,
    before: Mapping[Family, Tables],
    route_localnet: bool | None,
    wait: float | None,
    servers: Servers | None,
) -> list[str]:
    """Undo from what is loaded now: others may have edited their rules in the meantime.

    Returns:
        Why the node is not as it was before; empty if it is.
    """
    failures: list[str] = []
    try:
        loaded = {family: read_family(tools, family) for family in before}
        now = sysctl.read(sysctl.ROUTE_LOCALNET)
        switch = None if now == route_localnet else route_localnet
        back = None
        if servers is not None:
            behind_nat = translated_to(loaded) | translated_to(before)
            back = servers.steps_back(served_by_nat(loaded), behind_nat)
        steps = make_steps(loaded, before, switch, back)
    except (ToolError, ApplyError) as error:
        return [str(error)]
    for step in steps:
        try:
            _run(tools, step, wait, Done())
        except ToolError as error:
            failures.append(str(error))
    try:
        for family, tables in before.items():
            for table, state in read_family(tools, family).items():
                if (line := own_difference(state, tables[table])) is not None:
                    failures.append(f"{family.label} {table}: {line}")
        if servers is not None and (difference := servers.problem_back()) is not None:
            failures.append(difference)
    except ToolError as error:
        failures.append(str(error))
    return failures
