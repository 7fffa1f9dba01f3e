"""svcc cleanup."""

from __future__ import annotations

import argparse
import sys

from svcc.commands import options
from svcc.commands.exit_codes import FAILED, OK
from svcc.commands.node.apply import say_beside, say_services
from svcc.commands.terminal import say


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be removed, and remove nothing"
    )
    options.add_kernel(parser)
    options.add_wait(parser)


def run(arguments: argparse.Namespace) -> int:
    """Cleanup."""
    from svcc.api import ApplyError, cleanup

    try:
        outcome = cleanup(
            dry_run=arguments.dry_run,
            iptables=arguments.iptables,
            wait=arguments.wait,
            note=say,
        )
    except ApplyError as error:
        say(f"error: {error}")
        return FAILED
    say_beside(outcome)
    say_services(outcome)
    sys.stdout.write(outcome.summary() if outcome.changed else "nothing of svcc's is here\n")
    return OK
