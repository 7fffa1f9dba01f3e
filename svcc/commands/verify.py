"""svcc verify."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from svcc.commands import options

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from svcc.commands.live import Live
    from svcc.commands.progress import Progress
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Family
    from svcc.grammar.policy import Placed
    from svcc.verify.prepare.loaded import LoadedRules
    from svcc.verify.proof.prover import Prover
    from svcc.verify.report.report import Report

_EXIT = {"proved": options.OK, "violated": options.VIOLATED, "undecided": options.UNDECIDED}


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    options.add_input(parser, required=False)
    options.add_node(parser, all_nodes=True)
    add_rules(parser)
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
    parser.add_argument("--family", choices=("ipv4", "ipv6"), help="judge this family only")
    options.add_kernel(parser)
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json", "sarif", "junit", "github"),
        default="text",
        help="format of the result",
    )
    options.add_verbose(parser)


def add_rules(parser: argparse.ArgumentParser) -> None:
    """The rules to look at."""
    group = parser.add_argument_group("rules", "Without any, what svcc compiles is taken.")
    group.add_argument(
        "--rules",
        action="append",
        default=[],
        metavar="PATH",
        help="iptables-save or iptables-restore text, or a bundle folder; repeatable",
    )
    group.add_argument("--live", action="store_true", help="the rules of this network namespace")


def run(arguments: argparse.Namespace) -> int:
    """Verify."""
    if arguments.against:
        return _compare(arguments)
    if not arguments.filename:
        _bad("-f", "name the objects that the rules are judged by")
    objects = options.load_objects(arguments)
    if arguments.all_nodes:
        nodes = options.every_node(arguments, objects)
    else:
        nodes = [options.settings(arguments, objects)]
    policies = _policies(arguments, objects, nodes)
    live = _live(arguments)
    given = live.rules if live is not None else given_rules(arguments)
    reports = list(_reports(arguments, objects, nodes, given, policies))
    if live is not None:
        for report, node in zip(reports, nodes, strict=True):
            report.findings += live.findings(objects, node)
    for report in reports:
        report.in_files = bool(arguments.rules)
    _write(arguments, objects, reports)
    verdicts = {report.verdict for report in reports}
    worst = (
        "violated"
        if "violated" in verdicts
        else ("undecided" if "undecided" in verdicts else "proved")
    )
    return _EXIT[worst]


def _compare(arguments: argparse.Namespace) -> int:
    """Compare the rules with others."""
    for flag in ("all_nodes", "policy", "policy_only", "paranoid"):
        if getattr(arguments, flag):
            _bad(f"--{flag.replace('_', '-')}", "not together with --against")
    if not (arguments.rules or arguments.live):
        _bad("--against", "name what to compare with --rules or --live")
    from svcc.commands.progress import Progress
    from svcc.compiler.model.objects import Objects
    from svcc.verify.equivalence.compare import compare
    from svcc.verify.rule_files import from_files

    objects = options.load_objects(arguments) if arguments.filename else Objects()
    node = options.settings(arguments, objects, with_notes=bool(arguments.filename))
    live = _live(arguments)
    mine = live.rules if live is not None else given_rules(arguments)
    assert mine is not None
    theirs = from_files(arguments.against, _family(arguments))
    only = _family(arguments)
    sides = [{f: item for f, item in side.items() if only in (None, f)} for side in (mine, theirs)]
    bar = Progress("compare")
    try:
        report = compare(objects, node, *sides, progress=bar)
    finally:
        bar.clear()
    report.in_files = bool(arguments.rules)
    _write(arguments, objects, [report])
    return _EXIT[report.verdict]


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
    from svcc.commands.manifests import Manifests
    from svcc.verify.report.exporters import github, junit, sarif

    manifests = Manifests(objects)
    if arguments.output == "sarif":
        json.dump(sarif(reports, __version__, manifests.place), sys.stdout, indent=2)
        sys.stdout.write("\n")
    elif arguments.output == "junit":
        sys.stdout.write(junit(reports))
    else:
        sys.stdout.writelines(github(reports, manifests.place))


def _reports(
    arguments: argparse.Namespace,
    objects: Objects,
    nodes: list[NodeSettings],
    given: dict[Family, LoadedRules] | None,
    policies: list[Placed],
) -> Iterator[Report]:
    """One report for each node; nodes that are alike share a proof."""
    from svcc.commands.progress import Progress
    from svcc.verify.proof.prover import Prover
    from svcc.verify.spec.node_kinds import NodeKinds

    prover = Prover()
    bar = Progress("verify")
    alone = given is not None or bool(policies) or len(nodes) == 1 or arguments.paranoid
    kinds = None if alone else NodeKinds(objects)
    proved: dict[Hashable, Report] = {}
    try:
        for number, node in enumerate(nodes):
            kind = kinds.of(node) if kinds is not None else node.node_name
            if kind in proved:
                yield proved[kind].for_node(node.node_name)
                continue
            if len(nodes) > 1:
                bar(number, len(nodes))
            report = _judge(
                arguments, objects, node, given, prover, policies, bar if len(nodes) == 1 else None
            )
            if report.verdict == "proved":
                proved[kind] = report
            yield report
    finally:
        bar.clear()


def _policies(
    arguments: argparse.Namespace, objects: Objects, nodes: list[NodeSettings]
) -> list[Placed]:
    """The statements of all --policy files."""
    if not arguments.policy:
        if arguments.policy_only:
            _bad("--policy-only", "there are no statements; name their file with --policy")
        return []
    from svcc.grammar.errors import InputError
    from svcc.grammar.policy import parse
    from svcc.verify.policy.claims import check

    found, problems = [], []
    for path in arguments.policy:
        try:
            found += parse(Path(path).read_text(encoding="utf-8"), source=path)
        except InputError as error:
            problems += error.problems
        except (OSError, ValueError) as error:
            _bad(path, f"cannot read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}")
    if problems:
        raise InputError(problems)
    check(found, objects, nodes)
    return found


def given_rules(arguments: argparse.Namespace) -> dict[Family, LoadedRules] | None:
    """The rules that were named or read from the kernel; None to judge our own."""
    from svcc.verify.rule_files import from_files

    if arguments.rules and arguments.live:
        _bad("--live", "give --rules or --live, not both")
    if arguments.rules:
        return from_files(arguments.rules, _family(arguments))
    live = _live(arguments)
    return None if live is None else live.rules


def _live(arguments: argparse.Namespace) -> Live | None:
    if not arguments.live or arguments.rules:
        return None
    from svcc.commands.live import Live

    return Live(arguments.iptables, _family(arguments))


def _family(arguments: argparse.Namespace) -> Family | None:
    from svcc.grammar.address import Family

    if not getattr(arguments, "family", None):
        return None
    return Family.IPV4 if arguments.family == "ipv4" else Family.IPV6


def _judge(
    arguments: argparse.Namespace,
    objects: Objects,
    node: NodeSettings,
    given: dict[Family, LoadedRules] | None,
    prover: Prover,
    policies: list[Placed],
    bar: Progress | None,
) -> Report:
    from svcc.verify.engine import verify

    only = _family(arguments)
    if given is None:
        given = own_rules(objects, node)
    else:
        _check_families(objects, node, given, only)
    loaded = {f: rules for f, rules in given.items() if only in (None, f)}
    return verify(
        objects,
        node,
        loaded,
        prover=prover,
        policies=policies,
        policies_only=arguments.policy_only,
        paranoid=arguments.paranoid,
        progress=bar,
    )


def own_rules(objects: Objects, node: NodeSettings) -> dict[Family, LoadedRules]:
    """What svcc compiles for the node, read back."""
    from svcc.commands.rules import compiled_rules
    from svcc.compiler.pipeline import compile_objects

    compiled = compile_objects(objects, node)
    for note in compiled.notes:
        options.say(f"note: {note}")
    return compiled_rules(compiled)


def _check_families(
    objects: Objects,
    node: NodeSettings,
    given: dict[Family, LoadedRules],
    only: Family | None,
) -> None:
    from svcc.grammar.address import Family
    from svcc.verify.spec.expectation import expect

    wanted: Iterable[Family] = [only] if only is not None else list(Family)
    for family in wanted:
        if family in given:
            continue
        if only is not None or expect(objects, node, family).frontends:
            command = "iptables-save" if family is Family.IPV4 else "ip6tables-save"
            _bad(
                "--rules",
                f"no {family.label} rules were given, but there are {family.label} frontends; "
                f"add what {command} prints, or name the family to judge with --family",
            )


def _bad(what: str, message: str) -> None:
    from svcc.grammar.errors import InputError, Position, Problem

    raise InputError([Problem(Position(what), message)])
