"""svcc verify."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from svcc.api.errors import bad_input
from svcc.commands import arguments as given_by
from svcc.commands import exit_codes, options, results
from svcc.commands.progress import Progress
from svcc.commands.terminal import say

if TYPE_CHECKING:
    from svcc.api import Rules
    from svcc.verify.confirm.findings import VerdictName

MAX_NAMED = 10


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_input(parser, required=False)
    options.add_simulate(parser)
    options.add_node(parser, all_nodes=True)
    options.add_rules(parser)
    options.add_names(parser)
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
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit code 3 if anything was passed over, unless it has no frontend by its kind",
    )
    parser.add_argument(
        "--trace",
        action="store_true",
        help="show every rule on the way of each packet (the JSON always has them)",
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
    """Verify. Where nothing can be judged, the result says why in its format, too."""
    from svcc.api import InputError, Position, Problem

    try:
        return _compare(arguments) if arguments.against else _verify(arguments)
    except InputError as error:
        results.write_problems(arguments, error.problems)
        raise
    except OSError:
        raise
    except Exception as error:
        text = f"internal error: {type(error).__name__}: {error}; please report it"
        results.write_problems(arguments, [Problem(Position("svcc"), text)])
        raise


def _verify(arguments: argparse.Namespace) -> int:
    from svcc.api import read_policies, verify_nodes
    from svcc.verify.confirm.findings import worst

    if not arguments.filename:
        raise bad_input("-f", "name the objects that the rules are judged by")
    objects = given_by.objects(arguments, keep_going=True)
    nodes, rules = given_by.judged(arguments, objects)
    policies = read_policies(*arguments.policy)
    domain = given_by.name_settings(arguments).cluster_domain
    zones = given_by.zones(arguments, domain)
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
            strict=arguments.strict,
            zones=zones,
            cluster_domain=domain,
            note=say,
            progress=bar,
        )
    finally:
        bar.clear()
    results.write(arguments, objects, reports)
    if objects.not_judged:
        names = ", ".join(service.key for service in objects.not_judged[:MAX_NAMED])
        more = len(objects.not_judged) - MAX_NAMED
        say(f"not judged, for what is wrong with them: {names}{f' and {more} more' * (more > 0)}")
        return exit_codes.BAD_INPUT
    return _code(worst(report.verdict for report in reports), rules)


def _code(verdict: VerdictName, *rules: Rules | Mapping[str, Rules] | None) -> int:
    """The exit code. A bundle that is not as it was written proves nothing of the one that was;
    what is wrong with its rules is wrong all the same.
    """
    if verdict != "proved":
        return exit_codes.OF_VERDICT[verdict]
    given = [
        item for each in rules for item in (each.values() if isinstance(each, Mapping) else (each,))
    ]
    is_changed = any(item is not None and item.problems for item in given)
    return exit_codes.BAD_INPUT if is_changed else exit_codes.OK


def _compare(arguments: argparse.Namespace) -> int:
    """Compare the rules with others."""
    from svcc.api import Objects, compare, read_rules

    for flag in ("all_nodes", "policy", "policy_only", "paranoid", "strict", "dns_zone"):
        if getattr(arguments, flag):
            raise bad_input(f"--{flag.replace('_', '-')}", "not together with --against")
    objects, note = Objects(), None
    if arguments.filename:
        objects, note = given_by.objects(arguments), say
    node, rules = given_by.one_judged(arguments, objects, note)
    family = given_by.family(arguments)
    if rules is None:
        raise bad_input("--against", "name what to compare with --rules or --live")
    against = read_rules(*arguments.against, family=family)
    given_by.tell_problems(against)
    bar = Progress("compare")
    try:
        report = compare(rules, against, objects, node, family=family, progress=bar)
    finally:
        bar.clear()
    results.write(arguments, objects, [report])
    return _code(report.verdict, rules, against)
