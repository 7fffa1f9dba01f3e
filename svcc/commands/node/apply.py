"""svcc apply."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from svcc.commands import arguments as given_by
from svcc.commands import options
from svcc.commands.exit_codes import FAILED, OK
from svcc.commands.terminal import coloured_service, has_colours, say

if TYPE_CHECKING:
    from svcc.api import Outcome

_MOST_SERVICES = 20


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_input(parser, required=False)
    options.add_node(parser)
    options.add_folder(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be loaded, and load nothing"
    )
    parser.add_argument(
        "--no-verify", action="store_true", help="load the rules without proving them first"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="go on where everything would be taken away, where this seems to be another node, or "
        "where a kube-proxy or another svcc is at work",
    )
    options.add_no_comments(parser)
    parser.add_argument(
        "--drain-timeout",
        type=_seconds,
        default=15.0,
        metavar="SECONDS",
        help="how long TCP connections to real servers that go may take to end in ipvs mode "
        "(default: 15)",
    )
    options.add_fallback(parser)
    parser.add_argument(
        "--confirm-timeout",
        type=options.seconds,
        metavar="DURATION",
        help="go back by itself to what was loaded before, unless svcc confirm is run within this "
        "time (30s, 1m30s), or at a terminal the question is answered",
    )
    parser.add_argument(
        "--confirm-command",
        metavar="COMMAND",
        help="confirm once this succeeds: a line for the shell, run until it does",
    )
    options.add_kernel(parser)
    options.add_wait(parser)
    options.add_verbose(parser)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Apply."""
    from svcc.api import ApplyError, NotProvedError, apply

    objects, node = given_by.to_load(arguments, proved=not arguments.no_verify)
    try:
        outcome = apply(
            objects,
            node,
            rules=arguments.rules,
            prove=not arguments.no_verify,
            dry_run=arguments.dry_run,
            comments=not arguments.no_comments,
            iptables=arguments.iptables,
            fallback=arguments.fallback,
            force=arguments.force,
            drain_timeout=arguments.drain_timeout,
            wait=arguments.wait,
            confirm_timeout=arguments.confirm_timeout,
            confirm_command=arguments.confirm_command,
            note=say,
        )
    except NotProvedError as error:
        say(error.report.to_text().rstrip())
        say(f"error: {error} (--no-verify loads them all the same)")
        return FAILED
    except ApplyError as error:
        say(f"error: {error}")
        return FAILED
    say_beside(outcome)
    say_services(outcome, "# " if arguments.dry_run else "")
    sys.stdout.write(outcome.scripts() if arguments.dry_run else outcome.summary())
    if arguments.confirm_timeout is None or not outcome.changed or arguments.dry_run:
        return OK
    from svcc.commands.node.confirm import decided

    sys.stdout.flush()
    return decided()


def say_services(outcome: Outcome, prefix: str = "") -> None:
    """What it means for Services, on standard output, a line each."""
    listed = outcome.services[:_MOST_SERVICES]
    has = has_colours(sys.stdout)
    for item in listed:
        text = item.to_text()
        sys.stdout.write(f"{prefix}{coloured_service(text) if has else text}\n")
    if more := len(outcome.services) - len(listed):
        sys.stdout.write(f"{prefix}and {more} more Services\n")


def say_beside(outcome: Outcome) -> None:
    """Warnings and notes of what was done."""
    for warning in outcome.warnings:
        say(f"warning: {warning}")
    for note in outcome.notes:
        say(f"note: {note}")
