"""From wanted rules to the kernel of this node: what is asked, proved and looked at on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from svcc.api.errors import NotProvedError
from svcc.api.loaded.confirming import Undo
from svcc.api.loaded.seen import names_of, note_loaded, service_changes
from svcc.apply import engine, modes
from svcc.apply.engine import DRAIN_SECONDS
from svcc.apply.iptables.tool import Iptables, Variant, chosen
from svcc.apply.ipvs.servers import available
from svcc.apply.loaded import Guard, Loaded
from svcc.apply.outcome import Outcome
from svcc.apply.reading import locked
from svcc.apply.reverting.confirmation import demand_none
from svcc.apply.system.addresses import local_addresses
from svcc.apply.system.errors import ApplyError, ToolError
from svcc.apply.system.lock import Tell

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.api.own_rules import Wanted
    from svcc.apply.moments import Moment
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Address


def load_wanted(
    objects: Objects,
    wanted: Wanted,
    tools: Iptables,
    guard: Guard,
    *,
    proved: bool,
    dry_run: bool = False,
    drain_timeout: float = DRAIN_SECONDS,
    wait: float | None = None,
    undo: Undo | None = None,
    note: Note | None = None,
) -> Outcome:
    """Make this network namespace's rules be as wanted.

    Args:
        objects: what the rules were made of.
        wanted: the rules.
        tools: whose iptables.
        guard: from :func:`guard_of`.
        proved: whether the order of the steps must be proved, too.
        dry_run, drain_timeout, wait, note: as of :func:`svcc.api.apply`.
        undo: goes back unless it is confirmed.

    Raises:
        ApplyError: failed, or an earlier apply waits to be confirmed; ``restored`` tells whether
            the node is as it was before.
    """
    with locked(tools, wait, as_note(note), only_read=dry_run):
        if dry_run:
            outcome = _load(wanted, tools, guard, proved, True, drain_timeout, wait, note)
            outcome = _with_services(outcome, wanted)
        else:
            demand_none()
            with undo or Undo(tools) as armed:

                def guard_and_arm(loaded: Loaded) -> None:
                    guard(loaded)
                    armed.arm()

                outcome = armed.outcome = _load(
                    wanted, tools, guard_and_arm, proved, False, drain_timeout, wait, note
                )
                if undo is not None:
                    outcome = _with_services(outcome, wanted)
                note_loaded(objects, wanted, tools, outcome, stays=undo is None)
    if wanted.tables is not None:
        return outcome
    doubts = tuple(in_force_beside_wanted(objects, wanted, tools))
    return replace(outcome, warnings=(*outcome.warnings, *doubts))


def _with_services(outcome: Outcome, wanted: Wanted) -> Outcome:
    if not outcome.changed:
        return outcome
    found = service_changes(outcome.before, outcome.after, names_of(wanted))
    return replace(outcome, services=tuple(found))


def _load(
    wanted: Wanted,
    tools: Iptables,
    guard: Guard,
    proved: bool,
    dry_run: bool,
    drain_timeout: float,
    wait: float | None,
    note: Note | None,
) -> Outcome:
    """What is wanted, and then what other modes have left goes; under a lock that is held."""
    settings = wanted.settings

    leaving = cache(lambda: modes.own_tables(tools))

    def judge(moments: Iterable[Moment]) -> str | None:
        if problem := _unsafe(moments, with_own_addresses(settings, tools).addresses, note):
            passes_by = settings.mode == "nftables" or (
                settings.mode == "ipvs" and leaving().tables
            )
            what = f"apply with --mode iptables first, then with {settings.mode}"
            return f"{problem}; {what if passes_by else 'please report this'}"
        return None

    if wanted.tables is not None:
        return modes.apply_tables(
            wanted.tables,
            route_localnet=wanted.route_localnet,
            exclude=wanted.exclude,
            tools=tools,
            wait=wait,
            dry_run=dry_run,
            judge=judge if proved else None,
            guard=guard,
        )
    outcome = engine.apply(
        wanted.programs,
        route_localnet=wanted.route_localnet,
        ipvs=wanted.ipvs,
        exclude=wanted.exclude,
        drain=drain_timeout,
        tools=tools,
        wait=wait,
        dry_run=dry_run,
        judge=judge if proved else None,
        guard=modes.with_tables(guard, leaving),
        leaving=leaving,
    )
    left = modes.remove_tables(
        tools,
        wait=wait,
        dry_run=dry_run,
        keep_localnet=wanted.route_localnet,
        behind_rules=True,
    )
    return modes.together(outcome, left)


def guard_of(
    objects: Objects, settings: NodeSettings, tools: Iptables, note: Note | None, *, stops: bool
) -> Guard:
    """Says what speaks against an apply, and raises ApplyError if that ``stops`` it."""

    def guard(loaded: Loaded) -> None:
        from svcc.api.applying.guards import Machine, dangers

        try:
            machine = Machine.this(local_addresses(tools))
        except ToolError:
            machine = None
        reasons = list(dangers(objects, settings, machine, loaded))
        if reasons and stops:
            raise ApplyError(
                f"{'; and '.join(reasons)}; nothing was changed; --force goes on all the same"
            )
        if note is not None:
            for reason in reasons:
                note(f"warning: {reason}")

    return guard


def in_force_beside_wanted(objects: Objects, wanted: Wanted, tools: Iptables) -> Iterator[str]:
    """What else can touch packets to Services here, whatever is loaded by these tools."""
    from svcc.api.live import in_force_beside

    beside = in_force_beside(tools, list(wanted.programs))
    for family in wanted.programs:
        for doubt in beside.doubts(objects, wanted.settings, family):
            yield f"{family.label}: {doubt}; svcc explain --live tells what it may touch"


def as_note(note: Note | None) -> Tell | None:
    return None if note is None else lambda text: note(f"note: {text}")


def chosen_tools(iptables: Variant | None) -> Iptables:
    """The tools of one variant.

    Raises:
        ApplyError: they cannot be run.
    """
    try:
        return chosen(iptables)
    except ToolError as error:
        raise ApplyError(str(error)) from error


def for_this_node(
    settings: NodeSettings, tools: Iptables, fallback: bool, note: Note | None
) -> NodeSettings:
    """The settings, with what only the node itself can tell.

    Raises:
        ApplyError: ipvs mode is asked for, and this node cannot do it.
    """
    if settings.mode != "ipvs":
        return settings
    try:
        reason = available(tools)
        if reason is None:
            # An external IP that is the node's own must stay on its interface, whether the Node
            # object has it or not.
            return with_own_addresses(settings, tools)
    except ToolError as error:
        raise ApplyError(str(error)) from error
    if not fallback:
        raise ApplyError(
            f"ipvs mode cannot be used here: {reason}; load the module ip_vs, or give "
            "--mode iptables or --fallback; nothing was changed"
        )
    if note is not None:
        note(f"note: ipvs mode cannot be used here: {reason}; iptables mode it is")
    return replace(settings, mode="iptables")


def with_own_addresses(settings: NodeSettings, tools: Iptables) -> NodeSettings:
    """The settings, with the addresses that the node has at this moment behind those it has there.

    Raises:
        ToolError: ip(8) is missing or failed.
    """
    own = [a for a in local_addresses(tools) if a not in settings.addresses]
    return replace(settings, addresses=(*settings.addresses, *own))


def prove_wanted(objects: Objects, wanted: Wanted) -> None:
    from svcc.verify.engine import verify
    from svcc.verify.selected_pods import selection_findings

    report = verify(objects, wanted.settings, wanted.for_verifier())
    # Slices that were given are what they are; those that svcc made are proved like its rules.
    made = replace(objects, slices=[item for item in objects.slices if item.from_pods])
    report.findings += selection_findings(made)
    if report.verdict != "proved":
        raise NotProvedError(report, wanted.folder)


def _unsafe(
    moments: Iterable[Moment], addresses: tuple[Address, ...], note: Note | None
) -> str | None:
    """What is unsafe about the order of an apply, None if nothing is or it was not looked at."""
    from svcc.api.applying.order import TooManyError, check
    from svcc.verify.simulator.matching import UndecidableError

    try:
        found = check(moments, addresses)
    except TooManyError:
        reason = "too much changes at once"
    except UndecidableError as error:
        # Other people's rules may hold anything; our own were proved.
        reason = f"{error.what} is not modelled"
    else:
        return f"a step would not be safe: {found[0]}" if found else None
    if note is not None:
        note(f"note: the order of the steps is not proved: {reason}")
    return None
