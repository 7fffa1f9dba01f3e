"""svcc diff."""

from __future__ import annotations

import argparse
import json
import sys

from svcc.commands import arguments as given_by
from svcc.commands import options
from svcc.commands.exit_codes import BAD_INPUT, DIFFERENT, OK
from svcc.commands.terminal import coloured_diff, coloured_service, has_colours, say


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_input(parser, required=False)
    options.add_node(parser)
    options.add_folder(parser)
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="(default: text)"
    )
    options.add_no_comments(parser)
    options.add_fallback(parser)
    options.add_kernel(parser)
    options.add_wait(parser, "taken as by apply, but diff takes no lock and never waits")
    options.add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Diff."""
    from svcc.api import ApplyError, difference

    objects, node = given_by.to_load(arguments, proved=False)
    try:
        found = difference(
            objects,
            node,
            rules=arguments.rules,
            comments=not arguments.no_comments,
            iptables=arguments.iptables,
            fallback=arguments.fallback,
            note=say,
        )
    except ApplyError as error:
        say(f"error: {error}")
        return BAD_INPUT
    if arguments.output == "json":
        json.dump(found.to_json(), sys.stdout, indent=2)
        sys.stdout.write("\n")
    elif has_colours(sys.stdout):
        lines = (f"# {coloured_service(line)}\n" for line in found.service_lines())
        sys.stdout.write("".join(lines) + coloured_diff(found.text))
    else:
        sys.stdout.write("".join(f"# {line}\n" for line in found.service_lines()) + found.text)
    return DIFFERENT if found.text else OK
