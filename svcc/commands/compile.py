"""svcc compile."""

from __future__ import annotations

import argparse
import sys

from svcc.commands import options


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_input(parser)
    options.add_node(parser)
    parser.add_argument(
        "-o",
        "--output",
        default="-",
        metavar="DIR|-",
        help="folder for the scripts and bundle.json, or - to print one script",
    )
    parser.add_argument(
        "--family", choices=("ipv4", "ipv6"), help="which script -o - prints (default: ipv4)"
    )
    parser.add_argument("--no-comments", action="store_true", help="leave comments out")
    options.add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compile."""
    from svcc.compiler.bundle import IPVSADM, ipvs_scripts, main_family, script, write_bundle
    from svcc.compiler.pipeline import compile_objects
    from svcc.grammar.address import Family
    from svcc.grammar.errors import InputError, Position, Problem

    objects = options.load_objects(arguments)
    settings = options.settings(arguments, objects)
    compiled = compile_objects(objects, settings, comments=not arguments.no_comments)
    for note in compiled.notes:
        options.say(f"note: {note}")
    if arguments.output != "-":
        try:
            write_bundle(compiled, arguments.output)
        except OSError as error:
            problem = Problem(Position(arguments.output), f"cannot write: {error.strerror}")
            raise InputError([problem]) from None
        return options.OK
    if compiled.ipvs is not None:
        options.say("note: this is for ipvsadm only; -o DIR writes sets, rules and addresses too")
        sys.stdout.write(ipvs_scripts(compiled, compiled.ipvs)[IPVSADM])
        return options.OK
    family = main_family(compiled)
    if arguments.family:
        family = Family.IPV4 if arguments.family == "ipv4" else Family.IPV6
    other = Family.IPV6 if family is Family.IPV4 else Family.IPV4
    if not arguments.family and compiled.forwarding.of(other):
        options.say(
            f"note: there are {other.label} frontends too; --family {other.label} prints theirs, "
            "-o DIR writes both"
        )
    sys.stdout.write(script(compiled, family))
    return options.OK
