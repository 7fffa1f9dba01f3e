"""svcc verify."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from svcc.api.errors import bad_input
from svcc.commands import arguments as given_by
from svcc.commands import exit_codes, options
from svcc.commands.progress import Progress
from svcc.commands.terminal import say

if TYPE_CHECKING:
    from svcc.api import Objects, Report

MAX_NAMED = 10


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_input(parser, required=False)
    options.add_node(parser, all_nodes=True)
    options.add_rules(parser)
    group = parser.add_argument_group("policy")
    group.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="FILE",
        help="statements of your own to prove as well, such as "
        "'never external -> service kube-system/*'; repeatable",
    )
    group.add_argument(
        "--policy-only",
        action="store_true",
        help="judge these statements alone, not what Kubernetes asks",
    )
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="PATH",
        help="compare with these rules instead: do both do the same to every packet? repeatable",
    )
    parser.add_argument(
        "--paranoid",
        action="store_true",
        help="have the solver look again at what ordinary code established; takes much longer",
    )
    options.add_family(parser)
    options.add_kernel(parser)
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json", "sarif", "junit", "github"),
        default="text",
        help="format of the result",
    )
    options.add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Verify."""
    from svcc.api import read_policies, verify_nodes
    from svcc.verify.confirm.findings import worst

    if arguments.against:
        return _compare(arguments)
    if not arguments.filename:
        raise bad_input("-f", "name the objects that the rules are judged by")
    objects = given_by.objects(arguments, keep_going=True)
    nodes = given_by.nodes(arguments, objects)
    policies = read_policies(*arguments.policy)
    rules = given_by.rules(arguments)
    bar = Progress("verify")
    try:
        reports = verify_nodes(
            objects,
            nodes,
            rules,
            family=given_by.family(arguments),
            policies=policies,
            policies_only=arguments.policy_only,
            paranoid=arguments.paranoid,
            note=say,
            progress=bar,
        )
    finally:
        bar.clear()
    _write(arguments, objects, reports)
    if objects.not_judged:
        names = ", ".join(service.key for service in objects.not_judged[:MAX_NAMED])
        more = len(objects.not_judged) - MAX_NAMED
        say(f"not judged, for what is wrong with them: {names}{f' and {more} more' * (more > 0)}")
        return exit_codes.BAD_INPUT
    return exit_codes.OF_VERDICT[worst(report.verdict for report in reports)]


def _compare(arguments: argparse.Namespace) -> int:
    """Compare the rules with others."""
    from svcc.api import Objects, compare, read_rules

    for flag in ("all_nodes", "policy", "policy_only", "paranoid"):
        if getattr(arguments, flag):
            raise bad_input(f"--{flag.replace('_', '-')}", "not together with --against")
    objects, note = Objects(), None
    if arguments.filename:
        objects, note = given_by.objects(arguments), say
    node = given_by.node(arguments, objects, note)
    rules, family = given_by.rules(arguments), given_by.family(arguments)
    if rules is None:
        raise bad_input("--against", "name what to compare with --rules or --live")
    against = read_rules(*arguments.against, family=family)
    bar = Progress("compare")
    try:
        report = compare(rules, against, objects, node, family=family, progress=bar)
    finally:
        bar.clear()
    _write(arguments, objects, [report])
    return exit_codes.OF_VERDICT[report.verdict]


def _write(arguments: argparse.Namespace, objects: Objects, reports: list[Report]) -> None:
    if arguments.output == "text":
        for report in reports:
            sys.stdout.write(report.to_text())
        return
    if arguments.output == "json":
        from svcc.verify.report.report import combined_json

        json.dump(combined_json(reports), sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    from svcc import __version__
    from svcc.api.manifests import Manifests
    from svcc.verify.report.exporters import github, junit, sarif

    manifests = Manifests(objects)
    if arguments.output == "sarif":
        json.dump(sarif(reports, __version__, manifests.place), sys.stdout, indent=2)
        sys.stdout.write("\n")
    elif arguments.output == "junit":
        sys.stdout.write(junit(reports))
    else:
        sys.stdout.writelines(github(reports, manifests.place))
