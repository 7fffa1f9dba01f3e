"""The command line."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
from collections.abc import Callable, Sequence

from svcc import __version__
from svcc.commands import compile, dump, explain, graph, verify  # noqa: A004
from svcc.commands import run as stay
from svcc.commands.exit_codes import (
    BAD_INPUT,
    CANNOT_WRITE,
    INTERNAL_ERROR,
    INTERRUPTED,
    NO_READER,
    UNDECIDED,
)
from svcc.commands.node import apply, cleanup, confirm, diff, listing, status
from svcc.commands.standalone import allocate, get
from svcc.commands.terminal import ClosedOutput, give_up, say

Command = tuple[
    str, str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]
]

COMMANDS: tuple[Command, ...] = (
    (
        "allocate",
        "give Services the addresses and ports that they lack",
        allocate.add,
        allocate.run,
    ),
    ("compile", "compile Services to iptables-restore scripts", compile.add, compile.run),
    ("verify", "prove that rules do what the Services ask", verify.add, verify.run),
    ("explain", "show a packet's way through the rules", explain.add, explain.run),
    ("graph", "draw Services, and what verify finds of them", graph.add, graph.run),
    ("get", "print objects as kubectl and ipvsadm would", get.add, get.run),
    ("dump", "show what svcc has made of a Service, inside", dump.add, dump.run),
    ("apply", "prove the rules and load them on this node", apply.add, apply.run),
    ("confirm", "keep what apply has loaded, or go back", confirm.add, confirm.run),
    ("run", "stay, and have this node's rules follow the objects", stay.add, stay.run),
    ("diff", "show what apply would change on this node", diff.add, diff.run),
    ("status", "show what is loaded on this node, since when, and drift", status.add, status.run),
    ("list", "list Services, frontends and backends as they are loaded", listing.add, listing.run),
    ("cleanup", "remove all of svcc's rules from this node", cleanup.add, cleanup.run),
)

STAYING = frozenset({"run"})
"""Commands in which objects come and go."""

EPILOG = """\
exit codes:
  allocate 0 done, 1 the lock file would change (--check), 2 bad input
  compile  0 done, 2 bad input
  verify   0 every property proved, 1 a violation, 2 bad input, 3 could not decide
  explain  0 right, 1 wrong, 2 bad input, 3 could not decide
  graph    0 drawn, whatever the verdict is, 2 bad input
  dump     0 done, 2 bad input
  get      0 done, 1 there is none of that name, 2 bad input
  apply    0 applied or nothing to do, 1 failed and the node is as it was, 2 bad input
  confirm  0 done, 1 failed, or there is nothing to confirm
  run      0 ended when told to, 1 failed, 2 bad input
  diff     0 no difference, 1 differences, 2 error
  status   0 as it was loaded, or nothing is, 1 somebody else has changed something, 2 error
  list     0 done, 1 there is none of that name, 2 error
  cleanup  0 done, 1 failed
  all      70 internal error (verify, explain: 3), 74 the result could not be written,
           130 interrupted, 141 nobody reads the result
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="svcc",
        description="Compile Kubernetes Services to kernel rules, prove them, load them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"svcc {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text, add, run in COMMANDS:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        add(command)
        command.set_defaults(run=run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    # Objects and rules are trees that live until the end: looking for cycles among a million
    # of them takes a fifth of the time and finds nothing.
    gc.disable()
    if sys.stdout is None:
        sys.stdout = ClosedOutput()
    command = ""
    try:
        given = _parsed(arguments)
        command = given.command
        if command in STAYING:
            gc.enable()
        code = int(given.run(given))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader went away; nothing is left to be said.
        give_up(sys.stdout)
        return NO_READER
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except OSError as error:
        if not _is_of_output(error):
            return _failed(command, error)
        give_up(sys.stdout)
        say(f"svcc: cannot write: {error.strerror}")
        return CANNOT_WRITE
    except Exception as error:
        return _failed(command, error)


_OUTPUT_FAILS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""What write(2) gives for an output that takes no more."""


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    try:
        return parser().parse_args(arguments)
    except SystemExit:
        # What --help and --version print has to be written, too.
        sys.stdout.flush()
        raise


def _is_of_output(error: OSError) -> bool:
    """Whether standard output took no more; what goes wrong with a file has the file's name."""
    return error.filename is None and error.errno in _OUTPUT_FAILS


def _failed(command: str, error: Exception) -> int:
    from svcc.grammar.errors import InputError

    if isinstance(error, InputError):
        for problem in error.problems:
            say(str(problem))
        return BAD_INPUT
    if os.environ.get("SVCC_DEBUG"):
        raise error
    say(
        f"internal error: {type(error).__name__}: {error}; please report it "
        "(SVCC_DEBUG=1 shows where it happened)"
    )
    return UNDECIDED if command in ("verify", "explain") else INTERNAL_ERROR
