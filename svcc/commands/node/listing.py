"""svcc list."""

from __future__ import annotations

import argparse
import json
import sys

from svcc.commands.exit_codes import BAD_INPUT, FAILED, OK
from svcc.commands.terminal import say

KINDS = {
    "services": ("service", "svc"),
    "frontends": ("frontend",),
    "virtual-servers": ("virtual-server", "vs"),
    "backends": ("backend",),
}
"""What can be asked for, with its other names."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "kind",
        metavar="KIND",
        nargs="?",
        default="services",
        choices=[name for kind, others in KINDS.items() for name in (kind, *others)],
        help="services (svc; the default), frontends, virtual-servers (vs): the frontends as "
        "ipvsadm -Ln lists them, in any mode, or backends",
    )
    parser.add_argument(
        "name", metavar="NAME", nargs="*", help="these Services only: NAME or NAMESPACE/NAME"
    )
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", help="(default: all)")
    parser.add_argument(
        "-o", "--output", choices=("wide", "json"), default="", help="another form than the table"
    )


def run(arguments: argparse.Namespace) -> int:
    """List."""
    from svcc.api import ApplyError, status
    from svcc.api.loaded import listing as tables

    kind = next(kind for kind, others in KINDS.items() if arguments.kind in (kind, *others))
    try:
        every = status()
    except ApplyError as error:
        say(f"error: {error}")
        return BAD_INPUT
    for text in every.unread:
        say(f"warning: {text}")
    found = tables.of_services(every.frontends, arguments.name, arguments.namespace)
    if arguments.output == "json":
        document = {"version": 1, "frontends": tables.frontends_json(found)}
        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return OK
    if not found:
        say("nothing of that is loaded here")
        return FAILED if arguments.name else OK
    match kind:
        case "services":
            text = tables.services_table(found, wide=arguments.output == "wide")
        case "frontends":
            text = tables.frontends_table(found)
        case "virtual-servers":
            text = tables.virtual_servers(found)
        case _:
            text = tables.backends_table(found)
    sys.stdout.write(text)
    return OK
