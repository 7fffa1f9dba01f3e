"""svcc diff."""

from __future__ import annotations

import argparse
import sys

from svcc.commands import arguments as given_by
from svcc.commands import options
from svcc.commands.exit_codes import BAD_INPUT, DIFFERENT, OK
from svcc.commands.terminal import say


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_input(parser, required=False)
    options.add_node(parser)
    options.add_folder(parser)
    options.add_no_comments(parser)
    options.add_fallback(parser)
    options.add_kernel(parser)
    options.add_wait(parser, "taken as by apply, but diff takes no lock and never waits")
    options.add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Diff."""
    from svcc.api import ApplyError, diff

    objects, node = given_by.to_load(arguments, proved=False)
    try:
        text = diff(
            objects,
            node,
            rules=arguments.rules,
            comments=not arguments.no_comments,
            iptables=arguments.iptables,
            fallback=arguments.fallback,
            wait=arguments.wait,
            note=say,
        )
    except ApplyError as error:
        say(f"error: {error}")
        return BAD_INPUT
    sys.stdout.write(text)
    return DIFFERENT if text else OK
