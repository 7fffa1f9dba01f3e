"""svcc apply, diff and cleanup."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from svcc.commands import options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from svcc.apply.iptables.tool import Iptables
    from svcc.apply.moments import Moment
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.pipeline import Compiled
    from svcc.compiler.settings.node import NodeSettings


def add_apply(parser: argparse.ArgumentParser) -> None:
    """Arguments of apply."""
    options.add_input(parser)
    options.add_node(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be loaded, and load nothing"
    )
    parser.add_argument(
        "--no-verify", action="store_true", help="load the rules without proving them first"
    )
    parser.add_argument("--no-comments", action="store_true", help="leave comments out")
    parser.add_argument(
        "--drain-timeout",
        type=_seconds,
        default=15.0,
        metavar="SECONDS",
        help="how long TCP connections to real servers that go may take to end in ipvs mode "
        "(default: 15)",
    )
    _add_fallback(parser)
    options.add_kernel(parser)
    options.add_wait(parser)
    options.add_verbose(parser)


def _add_fallback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fallback",
        action="store_true",
        help="use iptables mode where the kernel has no IPVS, in place of an error",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return value


def add_diff(parser: argparse.ArgumentParser) -> None:
    """Arguments of diff."""
    options.add_input(parser)
    options.add_node(parser)
    parser.add_argument("--no-comments", action="store_true", help="leave comments out")
    _add_fallback(parser)
    options.add_kernel(parser)
    options.add_wait(parser)
    options.add_verbose(parser)


def add_cleanup(parser: argparse.ArgumentParser) -> None:
    """Arguments of cleanup."""
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be removed, and remove nothing"
    )
    options.add_kernel(parser)
    options.add_wait(parser)


def _compile(arguments: argparse.Namespace, tools: Iptables) -> tuple[Objects, Compiled]:
    from svcc.compiler.pipeline import compile_objects

    objects = options.load_objects(arguments)
    settings = _for_this_node(options.settings(arguments, objects), arguments, tools)
    compiled = compile_objects(objects, settings, comments=not arguments.no_comments)
    for note in compiled.notes:
        options.say(f"note: {note}")
    return objects, compiled


def _for_this_node(
    settings: NodeSettings, arguments: argparse.Namespace, tools: Iptables
) -> NodeSettings:
    """The settings, with what only the node itself can tell.

    Raises:
        ApplyError, ToolError: ipvs mode is asked for, and this node cannot do it.
    """
    from dataclasses import replace

    from svcc.apply.ipvs.servers import available
    from svcc.apply.system.addresses import local_addresses
    from svcc.apply.system.errors import ApplyError

    if settings.mode != "ipvs":
        return settings
    reason = available(tools)
    if reason is None:
        # An external IP that is the node's own must stay on its interface, whether the Node
        # object has it or not.
        own = [a for a in local_addresses(tools) if a not in settings.addresses]
        return replace(settings, addresses=(*settings.addresses, *own))
    if arguments.fallback:
        options.say(f"note: ipvs mode cannot be used here: {reason}; iptables mode it is")
        return replace(settings, mode="iptables")
    raise ApplyError(
        f"ipvs mode cannot be used here: {reason}; load the module ip_vs, or give --mode iptables "
        "or --fallback; nothing was changed"
    )


def _is_proved(objects: Objects, compiled: Compiled) -> bool:
    from svcc.commands.rules import compiled_rules
    from svcc.verify.engine import verify

    report = verify(objects, compiled.settings, compiled_rules(compiled))
    if report.verdict != "proved":
        options.say(report.to_text().rstrip())
    return report.verdict == "proved"


def _judge_order(compiled: Compiled, moments: Iterable[Moment]) -> str | None:
    """What is unsafe about the order of an apply, None if nothing is or it was not looked at."""
    from svcc.commands.order import TooManyError, check
    from svcc.verify.simulator.matching import UndecidableError

    try:
        found = check(moments, compiled.settings.addresses)
    except TooManyError:
        options.say("note: too much changes at once for the order of the steps to be proved")
        return None
    except UndecidableError as error:
        # Other people's rules may hold anything; our own were proved.
        options.say(f"note: the order of the steps is not proved: {error.what} is not modelled")
        return None
    return f"a step would not be safe: {found[0]}; please report this" if found else None


def run_apply(arguments: argparse.Namespace) -> int:
    """Apply."""
    from svcc.apply.engine import apply
    from svcc.apply.iptables.tool import chosen
    from svcc.apply.system.errors import ApplyError, ToolError

    tools = chosen(arguments.iptables)
    try:
        objects, compiled = _compile(arguments, tools)
    except (ApplyError, ToolError) as error:
        options.say(f"error: {error}")
        return options.FAILED
    if not arguments.no_verify and not _is_proved(objects, compiled):
        options.say(
            "error: the compiled rules are not proved, so nothing was loaded; please report this "
            "(--no-verify loads them all the same)"
        )
        return options.FAILED
    try:
        outcome = apply(
            compiled.programs,
            route_localnet=compiled.route_localnet,
            ipvs=compiled.ipvs,
            exclude=compiled.settings.ipvs.exclude_networks,
            drain=arguments.drain_timeout,
            tools=tools,
            wait=arguments.wait,
            dry_run=arguments.dry_run,
            judge=None if arguments.no_verify else partial(_judge_order, compiled),
        )
    except ApplyError as error:
        options.say(f"error: {error}")
        return options.FAILED
    _report(outcome.warnings, outcome.notes)
    if arguments.dry_run:
        sys.stdout.write(outcome.scripts())
    else:
        sys.stdout.write(outcome.summary())
    return options.OK


def run_diff(arguments: argparse.Namespace) -> int:
    """Diff."""
    from svcc.apply.engine import diff
    from svcc.apply.iptables.tool import chosen
    from svcc.apply.system.errors import ApplyError, ToolError

    tools = chosen(arguments.iptables)
    try:
        _, compiled = _compile(arguments, tools)
        text = diff(
            compiled.programs,
            route_localnet=compiled.route_localnet,
            ipvs=compiled.ipvs,
            exclude=compiled.settings.ipvs.exclude_networks,
            tools=tools,
            wait=arguments.wait,
        )
    except (ApplyError, ToolError) as error:
        options.say(f"error: {error}")
        return options.BAD_INPUT
    sys.stdout.write(text)
    return options.FAILED if text else options.OK


def run_cleanup(arguments: argparse.Namespace) -> int:
    """Cleanup."""
    from svcc.apply.engine import ApplyError, Iptables, cleanup

    try:
        outcome = cleanup(
            tools=Iptables(arguments.iptables), wait=arguments.wait, dry_run=arguments.dry_run
        )
    except ApplyError as error:
        options.say(f"error: {error}")
        return options.FAILED
    _report(outcome.warnings, outcome.notes)
    sys.stdout.write(outcome.summary() if outcome.changed else "nothing of svcc's is here\n")
    return options.OK


def _report(warnings: tuple[str, ...], notes: tuple[str, ...]) -> None:
    for warning in warnings:
        options.say(f"warning: {warning}")
    for note in notes:
        options.say(f"note: {note}")
