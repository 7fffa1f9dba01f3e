"""svcc allocate."""

from __future__ import annotations

import argparse
import sys

from svcc.commands import arguments as given_by
from svcc.commands import options
from svcc.commands.exit_codes import DIFFERENT, OK
from svcc.commands.terminal import say

RANGES = ("service-cluster-ip-range", "service-node-port-range", "load-balancer-ip-range")


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_input(parser, lock=False)
    parser.add_argument(
        "--lock",
        metavar="FILE",
        default="svcc.lock",
        help="the lock file, kept beside the manifests (default: svcc.lock)",
    )
    group = parser.add_argument_group("ranges", "They are kept in the lock file.")
    group.add_argument(
        f"--{RANGES[0]}",
        metavar="CIDR[,CIDR]",
        help="cluster IPs, per family; the first is that of Services that name none "
        "(default: 10.96.0.0/12)",
    )
    group.add_argument(
        f"--{RANGES[1]}", metavar="FIRST-LAST", help="node ports (default: 30000-32767)"
    )
    group.add_argument(
        f"--{RANGES[2]}",
        metavar="CIDR|FIRST-LAST[,…]",
        help="addresses of LoadBalancer Services, per family (default: none are given)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="leave the lock file as it is")
    how.add_argument(
        "--check",
        action="store_true",
        help="leave the lock file as it is; exit code 1 if it would change",
    )
    options.add_output(parser)
    options.add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Allocate."""
    from svcc.api.standalone.allocation import allocate
    from svcc.api.standalone.shown import shown_services

    objects = given_by.documents(arguments)
    values = vars(arguments)
    ranges = {name: values[name.replace("-", "_")] for name in RANGES}
    found = allocate(
        objects,
        arguments.lock,
        {name: text for name, text in ranges.items() if text is not None},
        note=say,
    )
    if arguments.check:
        if found.is_changed:
            say(f"{arguments.lock}: would change; run svcc allocate and commit the file")
        return DIFFERENT if found.is_changed else OK
    if found.is_changed and not arguments.dry_run:
        found.write()
    sys.stdout.write(
        shown_services(objects, found.services, output=arguments.output, all_namespaces=True)
    )
    return OK
