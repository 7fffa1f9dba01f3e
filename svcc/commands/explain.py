"""svcc explain."""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any, NoReturn

from svcc.commands import options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Family
    from svcc.verify.explain import Explainer, Explanation

MAX_SAID = 5

EXAMPLES = """\
what to explain:
  from 10.1.2.3 to 10.96.0.12:80/tcp    a packet; also: from node, port N, in INTERFACE, mark N
  shop/web, shop/web:http               every frontend of a Service, for every kind of sender
  SVC001                                what a finding of svcc verify means
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    from svcc.commands import verify

    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", nargs="+", metavar="WHAT", help="packet, Service or code")
    options.add_input(parser, required=False)
    options.add_node(parser)
    verify.add_rules(parser)
    options.add_kernel(parser)
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="format of the result"
    )
    options.add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Explain."""
    from svcc.verify.simulator.matching import UndecidableError

    words = " ".join(arguments.what).split()
    if len(words) == 1 and re.fullmatch(r"(?i)svc\d+", words[0]):
        return _code(words[0].upper())
    if not arguments.filename:
        _bad("-f", "give the objects: -f PATH (a code such as SVC001 needs none)")
    objects = options.load_objects(arguments)
    node = options.settings(arguments, objects)
    try:
        found = list(_explanations(arguments, objects, node, words))
    except UndecidableError as error:
        options.say(f"line {error.rule.line}: {error.what} is outside the model")
        return options.UNDECIDED
    if arguments.output == "json":
        json.dump([_json(sender, item) for sender, item in found], sys.stdout, indent=2)
        sys.stdout.write("\n")
    elif words[0] in ("from", "to"):
        sys.stdout.write(_packet_text(found[0][1]))
    else:
        sys.stdout.write(_service_text(found))
    return options.VIOLATED if any(item.wrong for _, item in found) else options.OK


def _code(number: str) -> int:
    from svcc.verify.spec.codes import CODES

    code = CODES.get(number)
    if code is None:
        _bad("explain", f"there is no {number}; there are {', '.join(sorted(CODES))}")
    sys.stdout.write(f"{code.number}: {code.title}\n")
    for title, text in (
        ("what it means", code.meaning),
        ("how it comes about", code.causes),
        ("how to mend it", code.remedy),
    ):
        sys.stdout.write(f"\n{title}\n{textwrap.indent(textwrap.fill(text, 90), '  ')}\n")
    return options.OK


def _explanations(
    arguments: argparse.Namespace, objects: Objects, node: NodeSettings, words: list[str]
) -> Iterable[tuple[str, Explanation]]:
    from svcc.grammar.address import Family
    from svcc.verify.explain import QuestionError, read_packet

    explainers = _explainers(arguments, objects, node)
    if words[0] not in ("from", "to"):
        found = [pair for each in explainers.values() for pair in each.service(words[0])]
        if len(words) > 1 or not found:
            _bad(
                "explain",
                f"{' '.join(words)!r} is no Service with frontends, no packet and no code; say for "
                "example shop/web, from 10.1.2.3 to 10.96.0.12:80/tcp, or SVC001",
            )
        return found
    family = Family.IPV6 if any("[" in word for word in words) else Family.IPV4
    try:
        packet = read_packet(words, node.primary_address(family))
    except QuestionError as error:
        _bad("explain", f"{error}; for example: from 10.1.2.3 to 10.96.0.12:80/tcp")
    if packet.family not in explainers:
        _bad("explain", f"there are no {packet.family.label} rules; give them with --rules")
    return [("", explainers[packet.family].packet(packet))]


def _explainers(
    arguments: argparse.Namespace, objects: Objects, node: NodeSettings
) -> dict[Family, Explainer]:
    from svcc.commands.verify import given_rules, own_rules
    from svcc.verify.explain import Explainer
    from svcc.verify.prepare.termination import check_ends

    loaded = given_rules(arguments) or own_rules(objects, node)
    for item in loaded.values():
        for endless in check_ends(item.rules):
            _bad(item.source, f"the walk through these rules does not end: {endless.reason}")
    return {family: Explainer(objects, node, family, item) for family, item in loaded.items()}


def _packet_text(item: Explanation) -> str:
    from svcc.verify.report.report import step_text

    packet, family = item.packet, item.packet.family
    lines = [
        f"packet    {packet}",
        f"for       {item.frontend or 'no frontend'}",
        f"expected  {item.expected}",
    ]
    before: tuple[object, ...] = ()
    for way in item.ways:
        lines.append(way.text(packet).lstrip())
        trace = way.result.trace
        same = 0
        while same < min(len(before), len(trace)) and before[same] == trace[same]:
            same += 1
        lines += ["    …"] if same else []
        lines += [f"    {step_text(step, family, item.source)}" for step in trace[same:]]
        before = trace
    return "\n".join([*lines, *_verdict(item)]) + "\n"


def _verdict(item: Explanation) -> list[str]:
    if not item.wrong:
        return ["right"]
    name = str(item.frontend or "no frontend:")
    said = dict.fromkeys(f"wrong: {failure.code} {name} {failure.says}" for failure in item.wrong)
    return list(said)[:MAX_SAID]


def _service_text(found: list[tuple[str, Explanation]]) -> str:
    lines: list[str] = []
    last = ""
    for sender, item in found:
        name = str(item.frontend)
        if name != last:
            lines.append(name)
            last = name
        verdict = "right" if not item.wrong else f"wrong: {item.wrong[0].code}"
        lines.append(f"  {sender:8} {verdict}; expected {item.expected}")
        lines += [f"    {way.text(item.packet)}" for way in item.ways]
    return "\n".join(lines) + "\n"


def _json(sender: str, item: Explanation) -> dict[str, Any]:
    from svcc.verify.confirm.judge import describe_result
    from svcc.verify.report.report import packet_json, step_json

    found: dict[str, Any] = {
        "frontend": None if item.frontend is None else str(item.frontend),
        "packet": packet_json(item.packet),
        "expected": item.expected,
        "verdict": "violated" if item.wrong else "proved",
        "ways": [
            {
                "share": str(way.share),
                "got": describe_result(item.packet, way.result),
                "trace": [
                    step_json(step, item.packet.family, item.source) for step in way.result.trace
                ],
            }
            for way in item.ways
        ],
    }
    if sender:
        found["sender"] = sender
    if item.wrong:
        found["wrong"] = [{"code": f.code, "message": f.says} for f in item.wrong]
    return found


def _bad(what: str, message: str) -> NoReturn:
    from svcc.grammar.errors import InputError, Position, Problem

    raise InputError([Problem(Position(what), message)])
