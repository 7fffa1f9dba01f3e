"""svcc compile."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from svcc.api.errors import bad_input
from svcc.commands import arguments as given_by
from svcc.commands import options
from svcc.commands.exit_codes import OK
from svcc.commands.terminal import say

if TYPE_CHECKING:
    from svcc.api import Objects


def _environment(arguments: argparse.Namespace, objects: Objects) -> str:
    from svcc.api.standalone.environment import environment_file

    _must_be_printed(arguments)
    return environment_file(objects, arguments.namespace, note=say)


def _zones(arguments: argparse.Namespace, objects: Objects) -> str:
    from svcc.api.standalone.names import compile_names

    found = compile_names(objects, given_by.name_settings(arguments), note=say)
    if arguments.output != "-":
        found.write(arguments.output)
        return ""
    for other in found.origins[1:]:
        say(f"note: there are names in {other} too; -o DIR writes all zones")
    return found.text()


def _hosts(arguments: argparse.Namespace, objects: Objects) -> str:
    from svcc.api.standalone.names import compile_names

    _must_be_printed(arguments)
    return compile_names(objects, given_by.name_settings(arguments), note=say).hosts


def _must_be_printed(arguments: argparse.Namespace) -> None:
    if arguments.output != "-":
        raise bad_input(f"--target {arguments.target}", "it is printed; take -o away")


TARGETS: dict[str, Callable[[argparse.Namespace, Objects], str]] = {
    "env": _environment,
    "dns": _zones,
    "hosts": _hosts,
}
"""What is compiled for nobody's kernel, from objects to text."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_input(parser)
    options.add_node(parser, all_nodes=True)
    parser.add_argument(
        "-o",
        "--output",
        default="-",
        metavar="DIR|-",
        help="folder for the scripts and bundle.json (of all nodes a subfolder each) or for the "
        "zones, or - to print one script or zone",
    )
    parser.add_argument(
        "--family", choices=("ipv4", "ipv6"), help="which script -o - prints (default: ipv4)"
    )
    parser.add_argument(
        "--target",
        choices=("rules", *TARGETS),
        default="rules",
        help="what to compile to: the kernel's rules (default), the variables that pods of "
        "--namespace find Services by (env), or their names, as zones (dns) or hosts(5) (hosts)",
    )
    parser.add_argument(
        "-n",
        "--namespace",
        default="default",
        metavar="NAMESPACE",
        help="for --target env (default: default)",
    )
    options.add_names(parser, compiled=True)
    options.add_no_comments(parser)
    options.add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compile."""
    from svcc.api import Family, compile, compile_nodes  # noqa: A004

    objects = given_by.objects(arguments)
    if arguments.target != "rules":
        if arguments.all_nodes:
            raise bad_input(f"--target {arguments.target}", "it is the same on every node")
        sys.stdout.write(TARGETS[arguments.target](arguments, objects))
        return OK
    if arguments.all_nodes:
        if arguments.output == "-":
            raise bad_input("--all-nodes", "name a folder for the nodes' rules with -o DIR")
        nodes = given_by.nodes(arguments, objects)
        comments = not arguments.no_comments
        compile_nodes(objects, nodes, arguments.output, comments=comments, note=say)
        return OK
    node = given_by.node(arguments, objects)
    compiled = compile(objects, node, comments=not arguments.no_comments)
    for note in compiled.notes:
        say(f"note: {note}")
    if arguments.output != "-":
        compiled.write(arguments.output)
        return OK
    if (servers := compiled.virtual_servers) is not None:
        say("note: this is for ipvsadm only; -o DIR writes sets, rules and addresses too")
        sys.stdout.write(servers)
        return OK
    if (tables := compiled.tables) is not None:
        sys.stdout.write(tables)
        return OK
    if (proxy := compiled.proxy) is not None:
        say("note: this is for nginx only; -o DIR writes the addresses that it listens on too")
        sys.stdout.write(proxy)
        return OK
    family = given_by.family(arguments)
    if family is None:
        # IPv4, unless all frontends are IPv6.
        family = Family.IPV6 if compiled.families == (Family.IPV6,) else Family.IPV4
        for other in compiled.families:
            if other is not family:
                say(
                    f"note: there are {other.label} frontends too; --family {other.label} prints "
                    "theirs, -o DIR writes both"
                )
    sys.stdout.write(compiled.text(family))
    return OK
