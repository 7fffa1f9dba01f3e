"""svcc confirm, and the question that svcc apply asks at a terminal."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from svcc.commands import options
from svcc.commands.exit_codes import FAILED, OK
from svcc.commands.terminal import say

if TYPE_CHECKING:
    from svcc.api import Confirmation


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--revert", action="store_true", help="go back at once to what was loaded before"
    )
    options.add_wait(
        parser, "how long to wait for an apply that is at work (default: until it has ended)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Confirm, or go back."""
    from svcc.api import ApplyError, confirm, revert
    from svcc.api.loaded.confirming import describe

    try:
        if arguments.revert:
            found, outcome = revert(wait=arguments.wait, note=say)
            for warning in outcome.warnings:
                say(f"warning: {warning}")
            sys.stdout.write(outcome.summary() if outcome.changed else "")
        else:
            found = confirm(wait=arguments.wait, note=say)
    except ApplyError as error:
        say(f"error: {error}")
        return FAILED
    sys.stdout.write(f"{describe(found)}\n")
    return OK


def decided() -> int:
    """Behind an apply: wait for what its command decides, or ask at a terminal; the exit code.

    Without either it is left to ``svcc confirm``.
    """
    from svcc.api import awaited, wait_for_end

    found = awaited()
    if found is None:
        return OK
    is_asked = found.command is None and _is_terminal()
    if found.is_open and found.command is None and not is_asked:
        say(
            f"note: all goes back by itself in {found.timeout:g} s; svcc confirm keeps what is "
            "loaded, svcc confirm --revert goes back at once"
        )
        return OK
    if is_asked:
        sys.stderr.write(f"keep what is loaded? (yes or no; in {found.timeout:g} s it goes back) ")
        sys.stderr.flush()
    now = wait_for_end(found, sys.stdin.fileno() if is_asked else None)
    if now is None:
        return _answered(sys.stdin.readline())
    if is_asked:
        say("")
    return _told(now)


def _answered(answer: str) -> int:
    from svcc.api import ApplyError, confirm, revert

    try:
        if answer.strip().lower() in ("y", "yes"):
            return _told(confirm(note=say))
        return _told(revert(note=say)[0])
    except ApplyError as error:
        say(f"error: {error}")
        return FAILED


def _told(found: Confirmation) -> int:
    from svcc.api.loaded.confirming import describe

    is_confirmed = found.state == "confirmed"
    say(f"{'note' if is_confirmed else 'error'}: {describe(found)}")
    return OK if is_confirmed else FAILED


def _is_terminal() -> bool:
    streams = (sys.stdin, sys.stderr)
    return all(stream is not None and stream.isatty() for stream in streams)
