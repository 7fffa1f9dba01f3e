"""This node's rules: proved and then loaded, compared with what is wanted, or removed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from svcc.api.compilation import compiled_for
from svcc.api.errors import NotProvedError, bad_input, needs_rules
from svcc.api.own_rules import wanted_of, wanted_of_folder
from svcc.apply import engine, modes
from svcc.apply.engine import DRAIN_SECONDS, Outcome
from svcc.apply.iptables.tool import Iptables, Variant, chosen
from svcc.apply.ipvs.servers import available
from svcc.apply.loaded import Guard, Loaded
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

_OF_NGINX = (
    "svcc loads rules of the kernel alone; have nginx take what svcc compile -o DIR writes: "
    "ip -batch for the addresses, nginx -t -c to try it, nginx -s reload to use it"
)


def apply(
    objects: Objects,
    settings: NodeSettings,
    *,
    rules: str | os.PathLike[str] | None = None,
    prove: bool = True,
    dry_run: bool = False,
    comments: bool = True,
    iptables: Variant | None = None,
    fallback: bool = False,
    force: bool = False,
    drain_timeout: float = DRAIN_SECONDS,
    wait: float | None = None,
    note: Note | None = None,
) -> Outcome:
    """Compile, prove, and make this network namespace's rules be so, with the least change.

    Needs root. Everything that is not svcc's stays as it is.

    Args:
        objects: what is wanted.
        settings: this node's.
        rules: load those of this folder, which ``svcc compile -o`` wrote, in place of compiling;
            the mode is the folder's.
        prove: load nothing that is not proved, the order of the steps in ipvs mode included.
        dry_run: only plan.
        comments: whether rules say which Service they are for.
        iptables: the variant, ``legacy`` or ``nft``; by default what ``iptables`` is.
        fallback: use iptables mode where the kernel has no IPVS.
        force: go on where something speaks against it: everything would go, it is for another
            node, or somebody else is at work here. ``note`` is told of it.
        drain_timeout: seconds that TCP connections to real servers that go may take to end.
        wait: seconds to wait for another svcc, and for the xtables lock; None: without limit. A
            dry run takes no lock.
        note: is told what a person should know while it is under way.

    Returns:
        The steps that were done, or would be; with warnings and notes of its own.

    Raises:
        InputError: compiling fails, or the folder is not as it was written; nothing was touched.
        NotProvedError: the rules are not proved; nothing was touched.
        ApplyError: failed; ``restored`` tells whether the node is as it was before.
    """
    given = _given(rules, settings, fallback)
    settings = given.settings if given is not None else settings
    needs_rules(settings, _OF_NGINX)
    tools = Iptables(iptables) if settings.mode == "nftables" else chosen_tools(iptables)
    guard = _guard(objects, settings, tools, note, stops=not (force or dry_run))
    settings = _for_this_node(settings, tools, fallback, note)
    wanted = _wanted(objects, settings, given, comments, note)
    if prove:
        _prove(objects, wanted)

    def judge(moments: Iterable[Moment]) -> str | None:
        return _unsafe(moments, _with_own_addresses(settings, tools).addresses, note)

    if wanted.tables is not None:
        return modes.apply_tables(
            wanted.tables,
            route_localnet=wanted.route_localnet,
            exclude=wanted.exclude,
            tools=tools,
            wait=wait,
            dry_run=dry_run,
            guard=guard,
            tell=_as_note(note),
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
        judge=judge if prove else None,
        guard=modes.with_tables(guard, tools),
        tell=_as_note(note),
    )
    left = modes.remove_tables(
        tools,
        wait=wait,
        dry_run=dry_run,
        tell=_as_note(note),
        keep_localnet=wanted.route_localnet,
        behind_rules=True,
    )
    outcome = modes.together(outcome, left)
    doubts = tuple(_in_force_beside(objects, wanted, tools))
    return replace(outcome, warnings=(*outcome.warnings, *doubts))


def diff(
    objects: Objects,
    settings: NodeSettings,
    *,
    rules: str | os.PathLike[str] | None = None,
    comments: bool = True,
    iptables: Variant | None = None,
    fallback: bool = False,
    wait: float | None = None,
    note: Note | None = None,
) -> str:
    """What :func:`apply` would change in this network namespace, like a unified diff.

    Arguments as there; empty if there is nothing to change. No lock is taken, so there is nothing
    to ``wait`` for.

    Raises:
        InputError: compiling fails.
        ApplyError: the node's rules cannot be read.
    """
    del wait
    given = _given(rules, settings, fallback)
    settings = given.settings if given is not None else settings
    needs_rules(settings, _OF_NGINX)
    tools = Iptables(iptables) if settings.mode == "nftables" else chosen_tools(iptables)
    guard = _guard(objects, settings, tools, note, stops=False)
    settings = _for_this_node(settings, tools, fallback, note)
    wanted = _wanted(objects, settings, given, comments, note)
    if note is not None:
        for doubt in _in_force_beside(objects, wanted, tools):
            note(f"warning: {doubt}")
    if wanted.tables is not None:
        return modes.difference(
            wanted.tables,
            route_localnet=wanted.route_localnet,
            exclude=wanted.exclude,
            tools=tools,
            guard=guard,
        )
    try:
        found = engine.diff(
            wanted.programs,
            route_localnet=wanted.route_localnet,
            ipvs=wanted.ipvs,
            exclude=wanted.exclude,
            tools=tools,
            guard=modes.with_tables(guard, tools),
        )
        return found + modes.left_over_difference(tools, keep_localnet=wanted.route_localnet)
    except ToolError as error:
        raise ApplyError(str(error)) from error


def _guard(
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


def _given(
    rules: str | os.PathLike[str] | None, settings: NodeSettings, fallback: bool
) -> Wanted | None:
    """What a folder holds, None without one.

    Raises:
        InputError: it is not as it was written, or another node's.
    """
    if rules is None:
        return None
    if fallback:
        raise bad_input("--fallback", "not together with --rules, which are of one mode")
    return wanted_of_folder(os.fspath(rules), settings)


def _wanted(
    objects: Objects,
    settings: NodeSettings,
    given: Wanted | None,
    comments: bool,
    note: Note | None,
) -> Wanted:
    """What a folder holds, or without one what is compiled now."""
    if given is not None:
        return replace(given, settings=settings)
    return wanted_of(compiled_for(objects, settings, comments=comments, note=note))


def _in_force_beside(objects: Objects, wanted: Wanted, tools: Iptables) -> Iterator[str]:
    """What else can touch packets to Services here, whatever is loaded by these tools."""
    from svcc.api.live import in_force_beside

    beside = in_force_beside(tools, list(wanted.programs))
    for family in wanted.programs:
        for doubt in beside.doubts(objects, wanted.settings, family):
            yield f"{family.label}: {doubt}; svcc explain --live tells what it may touch"


def cleanup(
    *,
    dry_run: bool = False,
    iptables: Variant | None = None,
    wait: float | None = None,
    note: Note | None = None,
) -> Outcome:
    """Remove all that is svcc's from this network namespace, and nothing else.

    Both families, both variants of iptables, and nftables; arguments as of :func:`apply`.

    Raises:
        ApplyError: failed; ``restored`` tells whether the node is as it was before.
    """
    tools, tell = Iptables(iptables), _as_note(note)
    tables = modes.remove_tables(tools, wait=wait, dry_run=dry_run, tell=tell)
    rules = engine.cleanup(tools=tools, wait=wait, dry_run=dry_run, tell=tell)
    return modes.together(tables, rules)


def _as_note(note: Note | None) -> Tell | None:
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


def _for_this_node(
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
            return _with_own_addresses(settings, tools)
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


def _with_own_addresses(settings: NodeSettings, tools: Iptables) -> NodeSettings:
    """The settings, with the addresses that the node has at this moment behind those it has there.

    Raises:
        ToolError: ip(8) is missing or failed.
    """
    own = [a for a in local_addresses(tools) if a not in settings.addresses]
    return replace(settings, addresses=(*settings.addresses, *own))


def _prove(objects: Objects, wanted: Wanted) -> None:
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
        return f"a step would not be safe: {found[0]}; please report this" if found else None
    if note is not None:
        note(f"note: the order of the steps is not proved: {reason}")
    return None
