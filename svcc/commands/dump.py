"""svcc dump."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from svcc.api.errors import bad_input
from svcc.commands import arguments as given_by
from svcc.commands import options
from svcc.commands.exit_codes import OK
from svcc.commands.terminal import say

if TYPE_CHECKING:
    from svcc.api import Family, NodeSettings, Objects, Rules
    from svcc.verify.report.kept_rules import RegionSlice

_WHATS = (
    ("ir", "what the compiler decided: frontends, backends, shares, masquerading, refusals"),
    ("rules", "the rules that concern it, with what is open of their conditions"),
    ("slice", "what each of its regions keeps of each base chain"),
    ("smt", "the SMT-LIB scripts that the solver is asked, and what it answers"),
)

SERVICE = """\
what SERVICE is:
  shop/web, shop/web:http     every frontend of a Service, or of one of its ports
  10.96.0.10:80, [fd00::1]:80/tcp, 192.168.7.10:30080
                              the frontend with this address and port; with an address of the
                              node it is a node port
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    whats = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for name, text in _WHATS:
        one = whats.add_parser(
            name,
            help=text,
            description=f"Show {text}.",
            epilog=SERVICE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.add_argument("service", metavar="SERVICE", help="Service, port or frontend")
        options.add_input(one)
        options.add_node(one)
        if name != "ir":
            options.add_rules(one)
            options.add_kernel(one)
        options.add_family(one)
        if name == "smt":
            one.add_argument(
                "-o",
                "--output",
                default="-",
                metavar="DIR|-",
                help="folder for the scripts, one file each, or - to print them (default)",
            )
        else:
            one.add_argument(
                "-o",
                "--output",
                choices=("text", "json"),
                default="text",
                help="format of the result",
            )
        options.add_verbose(one)


def run(arguments: argparse.Namespace) -> int:
    """Dump."""
    objects = given_by.objects(arguments)
    family = given_by.family(arguments)
    if arguments.what == "ir":
        return _ir(arguments, objects, given_by.node(arguments, objects), family)
    node, rules = given_by.one_judged(arguments, objects)
    if arguments.what == "smt":
        return _smt(arguments, objects, node, rules, family)
    return _slices(arguments, objects, node, rules, family)


def _ir(
    arguments: argparse.Namespace, objects: Objects, node: NodeSettings, family: Family | None
) -> int:
    from svcc.api.inside.dump import dump_ir
    from svcc.api.inside.forwarding_text import ir_json, ir_text

    found = dump_ir(objects, node, arguments.service, family=family, note=say)
    if arguments.output == "json":
        _write_json([ir_json(item) for item in found])
    else:
        sys.stdout.write("\n".join(map(ir_text, found)))
    return OK


def _slices(
    arguments: argparse.Namespace,
    objects: Objects,
    node: NodeSettings,
    rules: Rules | None,
    family: Family | None,
) -> int:
    from svcc.api.inside.dump import dump_slices
    from svcc.commands.slice_text import rules_json, rules_text, slice_json, slice_text

    slices = dump_slices(objects, node, arguments.service, rules, family=family, note=say)
    by_frontend: dict[str, list[RegionSlice]] = {}
    for item in slices:
        by_frontend.setdefault(item.region.name, []).append(item)
    in_rules = arguments.what == "rules"
    if arguments.output == "json":
        _write_json(
            [rules_json(*item) for item in by_frontend.items()]
            if in_rules
            else [slice_json(item) for item in slices]
        )
    elif in_rules:
        sys.stdout.write("\n".join(rules_text(*item) for item in by_frontend.items()))
    else:
        sys.stdout.write("\n".join(map(slice_text, slices)))
    return OK


def _smt(
    arguments: argparse.Namespace,
    objects: Objects,
    node: NodeSettings,
    rules: Rules | None,
    family: Family | None,
) -> int:
    from svcc.api.inside.dump import dump_smt

    scripts = dump_smt(objects, node, arguments.service, rules, family=family, note=say)
    if arguments.output == "-":
        # What a solver reads in one go, it forgets in between.
        sys.stdout.write("(reset)\n".join(script.text for script in scripts))
        return OK
    folder = Path(arguments.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for script in scripts:
            (folder / f"{script.name}.smt2").write_text(script.text)
    except OSError as error:
        raise bad_input(arguments.output, f"cannot write: {error.strerror}") from None
    return OK


def _write_json(found: object) -> None:
    json.dump(found, sys.stdout, indent=2)
    sys.stdout.write("\n")
