"""svcc apply, diff and cleanup."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from svcc import options

if TYPE_CHECKING:
    from svcc.compiler.objects import Objects
    from svcc.compiler.pipeline import Compiled


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
    options.add_kernel(parser)
    options.add_wait(parser)
    options.add_verbose(parser)


def add_diff(parser: argparse.ArgumentParser) -> None:
    """Arguments of diff."""
    options.add_input(parser)
    options.add_node(parser)
    parser.add_argument("--no-comments", action="store_true", help="leave comments out")
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


def _compile(arguments: argparse.Namespace) -> tuple[Objects, Compiled]:
    from svcc.compiler.pipeline import compile_objects

    objects = options.load_objects(arguments)
    settings = options.settings(arguments, objects)
    compiled = compile_objects(objects, settings, comments=not arguments.no_comments)
    for note in compiled.notes:
        options.say(f"note: {note}")
    return objects, compiled


def _is_proved(objects: Objects, compiled: Compiled) -> bool:
    from svcc.commands.rules import compiled_rules
    from svcc.verify.engine import verify

    report = verify(objects, compiled.settings, compiled_rules(compiled))
    if report.verdict != "proved":
        options.say(report.to_text().rstrip())
    return report.verdict == "proved"


def run_apply(arguments: argparse.Namespace) -> int:
    """Apply."""
    from svcc.apply.engine import ApplyError, Iptables, apply

    objects, compiled = _compile(arguments)
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
            tools=Iptables(arguments.iptables),
            wait=arguments.wait,
            dry_run=arguments.dry_run,
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
    from svcc.apply.engine import ApplyError, Iptables, diff

    _, compiled = _compile(arguments)
    try:
        text = diff(
            compiled.programs,
            route_localnet=compiled.route_localnet,
            tools=Iptables(arguments.iptables),
            wait=arguments.wait,
        )
    except ApplyError as error:
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
