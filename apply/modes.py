"""nftables mode beside the two others: whichever is wanted is loaded before the other goes.

While both are there a frontend is served by either: the first of two nat chains that translates a
connection decides it (nf_nat_core.c, nf_nat_inet_fn), and both were made of the same objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from svcc.apply.held import Held, See
from svcc.apply.iptables.tool import Iptables
from svcc.apply.loaded import Guard, Loaded
from svcc.apply.moments import Judge
from svcc.apply.nftables import engine as nftables
from svcc.apply.nftables.generation import generation
from svcc.apply.nftables.read import Reading, exist, read_own
from svcc.apply.nftables.steps import ReleaseTranslated
from svcc.apply.outcome import Outcome
from svcc.apply.reading import locked
from svcc.apply.removal import LeftOver, cleanup, left_over
from svcc.apply.system.errors import ApplyError, ToolError
from svcc.apply.system.lock import Tell
from svcc.apply.system.tools import is_installed, not_installed
from svcc.grammar.address import Network
from svcc.grammar.nftables.program import Ruleset

NFT = "nft"


def apply_tables(
    wanted: Ruleset,
    *,
    route_localnet: bool,
    exclude: tuple[Network, ...] = (),
    tools: Iptables,
    wait: float | None = None,
    dry_run: bool = False,
    judge: Judge | None = None,
    guard: Guard | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Make svcc's nftables tables be what is wanted, then remove what other modes have left.

    Args:
        wanted: the tables; all of them are svcc's.
        route_localnet: whether loopback node ports need ``route_localnet``.
        exclude: addresses whose virtual servers are never touched.
        tools: whose iptables is looked at for what other modes have left.
        wait: seconds to wait for another svcc and for the xtables lock, None without limit.
        dry_run: only plan, and take no lock.
        judge: looks at every moment, where another mode has left anything, before the first
            command, and says what is wrong with it.
        guard: is asked once what is loaded is known.
        tell: is told whom is waited for.

    Raises:
        ApplyError: failed; the message says whether the node is as it was before.
    """
    if not is_installed(NFT):
        raise ApplyError(f"{not_installed(NFT)}; nothing was changed")
    with locked(tools, wait, tell, only_read=dry_run):
        plan = nftables.plan(tools, wanted, route_localnet=route_localnet)
        if guard is not None or judge is not None:
            left = None if tools.kind is None else left_over(tools, exclude)
            _ask(guard, plan, left)
            _judge(judge, plan, left)
        reading = None if dry_run else nftables.run(plan, tools)
    outcome = Outcome(
        plan.steps, tuple(plan.warnings), (), plan.released, dry_run, reading, *_held(plan)
    )
    if tools.kind is None:
        return outcome
    try:
        rest = cleanup(
            exclude=exclude,
            tools=tools,
            wait=wait,
            dry_run=dry_run,
            tell=tell,
            keep_localnet=route_localnet,
            behind_tables=True,
        )
    except ApplyError as error:
        message = f"the nftables tables are loaded, but what another mode left is there: {error}"
        raise ApplyError(message, restored=False) from error
    return together(outcome, rest)


def apply_part(
    reading: Reading,
    wanted: Ruleset,
    before: Ruleset,
    after: Ruleset,
    tools: Iptables,
    *,
    wait: float | None = None,
    tell: Tell | None = None,
) -> Outcome | None:
    """Make svcc's nftables tables be what is wanted, where it is known what they hold.

    The memory for other processes is not kept up: it would be as large as the tables.

    Args:
        reading: what the tables hold, unless somebody else has changed anything since.
        wanted, before, after: as of :func:`svcc.apply.nftables.engine.plan_part`.
        tools, wait, tell: as of :func:`apply_tables`.

    Returns:
        None: somebody else has changed something, and nothing was done.

    Raises:
        ApplyError: failed; the message says whether the node is as it was before.
    """
    with locked(tools, wait, tell, only_read=False):
        if not is_as_loaded(reading):
            return None
        plan = nftables.plan_part(reading, wanted, before, after)
        now = nftables.run(plan, tools, memory=False)
    return Outcome(plan.steps, tuple(plan.warnings), (), plan.released, reading=now)


def is_as_loaded(reading: Reading) -> bool:
    """Whether nobody has changed any nftables rules since."""
    try:
        return generation() == reading.generation
    except ToolError:
        return False


def remove_tables(
    tools: Iptables,
    *,
    wait: float | None = None,
    dry_run: bool = False,
    tell: Tell | None = None,
    keep_localnet: bool = False,
    behind_rules: bool = False,
) -> Outcome:
    """Remove svcc's nftables tables, if there are any; arguments as above.

    ``behind_rules``: iptables or ipvs mode serves by now, so UDP flows stay as they are.

    Raises:
        ApplyError: failed; the message says whether the node is as it was before.
    """
    if not _are_there(tools):
        return Outcome((), dry_run=dry_run)
    with locked(tools, wait, tell, only_read=dry_run):
        plan = nftables.plan(tools, Ruleset(), route_localnet=keep_localnet)
        if behind_rules:
            plan.steps = tuple(s for s in plan.steps if not isinstance(s, ReleaseTranslated))
        if not dry_run:
            nftables.run(plan, tools)
    return Outcome(plan.steps, tuple(plan.warnings), (), plan.released, dry_run, None, *_held(plan))


def _held(plan: nftables.Plan) -> tuple[Held, Held]:
    return Held((plan.reading.tables,)), Held((plan.wanted,))


def difference(
    wanted: Ruleset,
    *,
    route_localnet: bool,
    exclude: tuple[Network, ...] = (),
    tools: Iptables,
    guard: Guard | None = None,
    see: See | None = None,
) -> str:
    """What :func:`apply_tables` would change, like a unified diff; empty if nothing.

    Raises:
        ApplyError: what is there cannot be read.
    """
    if not is_installed(NFT):
        raise ApplyError(not_installed(NFT))
    plan = nftables.plan(tools, wanted, route_localnet=route_localnet)
    left = None if tools.kind is None else left_over(tools, exclude)
    _ask(guard, plan, left)
    if see is not None:
        see(*_held(plan))
        if left is not None:
            see(left.held(), Held())
    return nftables.difference(plan) + ("" if left is None else left.difference())


def left_over_difference(tools: Iptables, *, keep_localnet: bool, see: See | None = None) -> str:
    """What :func:`remove_tables` would change, like a unified diff; empty if nothing.

    Raises:
        ApplyError: what is there cannot be read.
    """
    if not _are_there(tools):
        return ""
    plan = nftables.plan(tools, Ruleset(), route_localnet=keep_localnet)
    if see is not None:
        see(*_held(plan))
    return nftables.difference(plan)


def _ask(guard: Guard | None, plan: nftables.Plan, left: LeftOver | None) -> None:
    if guard is None:
        return
    found = Loaded(_serves(plan.reading.tables), _serves(plan.wanted))
    guard(found if left is None else found.with_other_modes(left.loaded()))


def _judge(judge: Judge | None, plan: nftables.Plan, left: LeftOver | None) -> None:
    """Refuse an order that is not safe.

    Raises:
        ApplyError: it is not.
    """
    if judge is None or left is None or not left.loaded().serves:
        # One transaction: every packet meets all of the old rules or all of the new ones.
        return
    try:
        found = left.moments((plan.reading.tables, plan.wanted))
    except ValueError as error:
        plan.warnings.append(f"the order of the steps is not proved: {error}")
        return
    if problem := judge(found):
        raise ApplyError(f"{problem}; nothing was changed")


def with_tables(guard: Guard | None, tables: Callable[[], Ruleset]) -> Guard | None:
    """A guard of iptables or ipvs mode that is told of svcc's nftables tables too: they go then."""
    if guard is None:
        return None

    def ask(loaded: Loaded) -> None:
        guard(loaded.with_other_modes(Loaded(serves=_serves(tables()))))

    return ask


def own_tables(tools: Iptables) -> Ruleset:
    """svcc's nftables tables; a kernel or a node without nftables has none.

    Raises:
        ApplyError: they are there, and cannot be read.
    """
    reading = read_tables(tools)
    return Ruleset() if reading is None else reading.tables


def read_tables(tools: Iptables) -> Reading | None:
    """svcc's nftables tables, and whether they are as svcc left them; None if there are none.

    Raises:
        ApplyError: they are there, and cannot be read.
    """
    if not _are_there(tools):
        return None
    try:
        return read_own(tools)
    except ToolError as error:
        raise ApplyError(f"{error}; nothing was changed") from error


def _are_there(tools: Iptables) -> bool:
    """Whether svcc has tables of nftables here."""
    try:
        return is_installed(NFT) and exist(tools)
    except ToolError:
        # A kernel without nf_tables has none.
        return False


def _serves(tables: Ruleset) -> bool:
    """Whether there is any frontend: an element that no packet has made."""
    return any(
        item.elements and "dynamic" not in item.flags
        for table in tables.tables.values()
        for item in table.sets.values()
    )


def together(one: Outcome, other: Outcome) -> Outcome:
    """Two outcomes as one."""
    return replace(
        one,
        steps=one.steps + other.steps,
        warnings=one.warnings + other.warnings,
        notes=one.notes + other.notes,
        released=one.released + other.released,
        before=one.before + other.before,
        after=one.after + other.after,
    )
