"""This node's rules: proved and then loaded, compared with what is wanted, or removed."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from svcc.api.compilation import compiled_for
from svcc.api.errors import bad_input, needs_rules
from svcc.api.loaded.confirming import Undo
from svcc.api.loaded.seen import names_of, service_changes
from svcc.api.loading import (
    as_note,
    chosen_tools,
    for_this_node,
    guard_of,
    in_force_beside_wanted,
    load_wanted,
    prove_wanted,
)
from svcc.api.own_rules import wanted_of, wanted_of_folder
from svcc.apply import engine, modes
from svcc.apply.engine import DRAIN_SECONDS
from svcc.apply.held import Held, See
from svcc.apply.iptables.tool import Iptables, Variant
from svcc.apply.outcome import Outcome
from svcc.apply.reading import locked
from svcc.apply.removal import cleanup as remove
from svcc.apply.reverting.confirmation import demand_none
from svcc.apply.seen.memory import forget
from svcc.apply.system.errors import ApplyError, ToolError

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.api.own_rules import Wanted
    from svcc.apply.loaded import Guard
    from svcc.apply.service_changes import ServiceChange
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings

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
    confirm_timeout: float | None = None,
    confirm_command: str | None = None,
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
        confirm_timeout: seconds after which all goes back by itself, unless it is confirmed
            (:func:`svcc.api.confirm`); None: it stays.
        confirm_command: a line for the shell that confirms by succeeding; it is run until it does.
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
    guard = guard_of(objects, settings, tools, note, stops=not (force or dry_run))
    settings = for_this_node(settings, tools, fallback, note)
    wanted = _wanted(objects, settings, given, comments, note)
    undo = Undo(tools, wanted.ipvs, wanted.exclude, confirm_timeout, confirm_command)
    if prove:
        prove_wanted(objects, wanted)

    return load_wanted(
        objects,
        wanted,
        tools,
        guard,
        proved=prove,
        dry_run=dry_run,
        drain_timeout=drain_timeout,
        wait=wait,
        undo=undo,
        note=note,
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """What apply would change: as a text like a unified diff, and Service by Service."""

    text: str
    services: tuple[ServiceChange, ...]

    def service_lines(self) -> list[str]:
        """A line for each Service: ``shop/web: +10.244.2.9:8080``."""
        return [item.to_text() for item in self.services]

    def to_json(self) -> dict[str, Any]:
        """The same for programs (docs/schema/diff.json)."""
        return {
            "version": 1,
            "changed": bool(self.text),
            "services": [item.to_json() for item in self.services],
            "diff": self.text,
        }


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
    found = difference(
        objects,
        settings,
        rules=rules,
        comments=comments,
        iptables=iptables,
        fallback=fallback,
        note=note,
    )
    return found.text


def difference(
    objects: Objects,
    settings: NodeSettings,
    *,
    rules: str | os.PathLike[str] | None = None,
    comments: bool = True,
    iptables: Variant | None = None,
    fallback: bool = False,
    note: Note | None = None,
) -> Difference:
    """As :func:`diff`, with what changes of each Service.

    Raises:
        InputError: compiling fails.
        ApplyError: the node's rules cannot be read.
    """
    given = _given(rules, settings, fallback)
    settings = given.settings if given is not None else settings
    needs_rules(settings, _OF_NGINX)
    tools = Iptables(iptables) if settings.mode == "nftables" else chosen_tools(iptables)
    guard = guard_of(objects, settings, tools, note, stops=False)
    settings = for_this_node(settings, tools, fallback, note)
    wanted = _wanted(objects, settings, given, comments, note)
    if note is not None:
        for doubt in in_force_beside_wanted(objects, wanted, tools):
            note(f"warning: {doubt}")
    seen: list[tuple[Held, Held]] = []

    def see(now: Held, then: Held) -> None:
        seen.append((now, then))

    text = _difference(wanted, tools, guard, see)
    if not text:
        return Difference("", ())
    before = sum((now for now, _ in seen), Held())
    after = sum((then for _, then in seen), Held())
    return Difference(text, tuple(service_changes(before, after, names_of(wanted))))


def _difference(wanted: Wanted, tools: Iptables, guard: Guard, see: See) -> str:
    if wanted.tables is not None:
        return modes.difference(
            wanted.tables,
            route_localnet=wanted.route_localnet,
            exclude=wanted.exclude,
            tools=tools,
            guard=guard,
            see=see,
        )
    try:
        found = engine.diff(
            wanted.programs,
            route_localnet=wanted.route_localnet,
            ipvs=wanted.ipvs,
            exclude=wanted.exclude,
            tools=tools,
            guard=modes.with_tables(guard, lambda: modes.own_tables(tools)),
            see=see,
        )
        keep = wanted.route_localnet
        return found + modes.left_over_difference(tools, keep_localnet=keep, see=see)
    except ToolError as error:
        raise ApplyError(str(error)) from error


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
    tools = Iptables(iptables)
    with locked(tools, wait, as_note(note), only_read=dry_run):
        if not dry_run:
            demand_none()
        tables = modes.remove_tables(tools, wait=wait, dry_run=dry_run)
        rules = remove(tools=tools, wait=wait, dry_run=dry_run)
        outcome = modes.together(tables, rules)
        if outcome.changed:
            found = service_changes(outcome.before, outcome.after, {})
            outcome = replace(outcome, services=tuple(found))
        if not dry_run:
            forget()
        return outcome
