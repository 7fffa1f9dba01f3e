"""svcc explain."""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from svcc.api.errors import bad_input
from svcc.commands import arguments as given_by
from svcc.commands import options
from svcc.commands.exit_codes import BAD_INPUT, OF_VERDICT, OK
from svcc.commands.terminal import say

if TYPE_CHECKING:
    from svcc.api import Answer, Explanation

MAX_SAID = 5

EXAMPLES = """\
what to explain:
  shop/web, web, web.shop, web.shop.svc.cluster.local, shop/web:http, shop/web:80
                                        every frontend of a Service, for every kind of sender
  10.96.0.12, 10.96.0.12:80/tcp, [fd00::1]:80
                                        an address of a Service
  30080, 192.168.7.10:30080             a node port
  10.244.1.5, 10.244.1.5:8080           a backend: which frontends send to it
  from pod to shop/web                  packets: from pod, outside, node or an address to any of
                                        these; also: port N, in INTERFACE, mark N
  SVC001                                what a finding of svcc verify means
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "what", nargs="+", metavar="WHAT", help="Service, address, port, packet or code"
    )
    options.add_input(parser, required=False)
    options.add_node(parser)
    options.add_rules(parser)
    options.add_family(parser)
    options.add_kernel(parser)
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="format of the result"
    )
    options.add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Explain."""
    from svcc.api import ask
    from svcc.verify.confirm.findings import worst

    words = " ".join(arguments.what).split()
    if len(words) == 1 and re.fullmatch(r"(?i)svc\d{3}", words[0]):
        return _code(words[0].upper())
    if not arguments.filename:
        raise bad_input("-f", "give the objects: -f PATH (a code such as SVC001 needs none)")
    objects = given_by.objects(arguments)
    nodes, rules = given_by.judged(arguments, objects)
    family = given_by.family(arguments)
    answers = {}
    for node in nodes:
        own = rules.get(node.node_name) if isinstance(rules, dict) else rules
        if own is None and rules is not None:
            raise bad_input("--rules", f"there are no rules of node {node.node_name}")
        asked = " ".join(words)
        answers[node.node_name] = ask(objects, node, asked, own, family=family, note=say)
    if arguments.output == "json":
        found = [item for each in answers.items() for item in _answer_json(*each, len(nodes) > 1)]
        json.dump(found, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        for name, answer in answers.items():
            sys.stdout.write(f"node {name}\n" if len(nodes) > 1 else "")
            sys.stdout.write(_answer_text(answer))
    given = rules.values() if isinstance(rules, dict) else (rules,)
    code = OF_VERDICT[worst(answer.verdict for answer in answers.values())]
    is_changed = any(item is not None and item.problems for item in given)
    return BAD_INPUT if code == OK and is_changed else code


def _answer_text(answer: Answer) -> str:
    said = "".join(f"{text}\n" for text in answer.said)
    if answer.explanations and not answer.explanations[0].sender:
        return said + "\n".join(map(_packet_text, answer.explanations))
    return said + _every_sender_text(answer)


def _answer_json(node: str, answer: Answer, several: bool) -> Iterator[dict[str, Any]]:
    about = {"node": node} if several else {}
    for text in answer.said:
        yield {**about, "says": text}
    for item in answer.explanations:
        yield {**about, **_json(item)}


def _code(number: str) -> int:
    from svcc.api import CODES

    code = CODES.get(number)
    if code is None:
        raise bad_input("explain", f"there is no {number}; there are {', '.join(sorted(CODES))}")
    sys.stdout.write(f"{code.number}: {code.title}\n")
    for title, text in (
        ("what it means", code.meaning),
        ("how it comes about", code.causes),
        ("how to mend it", code.remedy),
    ):
        sys.stdout.write(f"\n{title}\n{textwrap.indent(textwrap.fill(text, 90), '  ')}\n")
    return OK


def _packet_text(item: Explanation) -> str:
    from svcc.verify.report.explanation import share_text
    from svcc.verify.report.report import step_text

    packet, family = item.packet, item.packet.family
    lines = [
        f"packet    {packet}",
        f"for       {item.frontend or 'no frontend'}",
        f"expected  {_expected(item)}",
    ]
    before: tuple[object, ...] = ()
    for share, text, ways in item.together():
        lines.append(f"{share_text(share)}  {text}")
        for way in ways:
            trace = way.result.trace
            if len(ways) > 1:
                lines.append(f"  by one way of {len(ways)}, {share_text(way.share)}")
            same = 0
            while same < min(len(before), len(trace)) and before[same] == trace[same]:
                same += 1
            lines += ["    …"] if same else []
            lines += [f"    {step_text(step, family, item.source)}" for step in trace[same:]]
            before = trace
    return "\n".join([*lines, *_verdict(item)]) + "\n"


def _expected(item: Explanation) -> str:
    """What must become of the packet, and why."""
    return item.expected + "".join(f": {reason}" for reason in item.why)


def _verdict(item: Explanation) -> list[str]:
    said = [f"if        {world}" for world in item.worlds]
    said += [f"note: {note}" for note in item.notes]
    if item.verdict == "proved":
        return [*said, "right"]
    if item.verdict == "undecided":
        return said + list(dict.fromkeys(f"undecided: {reason}" for reason in item.undecided))
    name = str(item.frontend or "no frontend:")
    wrong = dict.fromkeys(f"wrong: {found.code} {name} {found.says}" for found in item.wrong)
    return said + list(wrong)[:MAX_SAID]


def _every_sender_text(answer: Answer) -> str:
    from svcc.verify.report.explanation import share_text

    lines: list[str] = []
    last = ""
    for item in answer.explanations:
        name = item.name
        if name != last:
            lines.append(name)
            last = name
        verdict = "right"
        if item.verdict == "violated":
            verdict = f"wrong: {item.wrong[0].code}"
        elif item.verdict == "undecided":
            verdict = f"undecided: {item.undecided[0]}"
        if item.sender == "other":
            verdict += f"; {item.packet}"
        lines.append(f"  {item.sender:8} {verdict}; expected {_expected(item)}")
        shown = [
            f"    {share_text(share):>18}  {text}"
            for share, text, ways in item.together()
            if answer.backend is None
            or ways[0].leads_to(answer.backend[0].value, answer.backend[1])
        ]
        if item.ways and not shown:
            shown = [f"    {'never':>18}  sent there"]
        lines += shown
        lines += [f"    if {world}" for world in item.worlds]
        lines += [f"    note: {note}" for note in item.notes]
    return "".join(f"{line}\n" for line in lines)


def _json(item: Explanation) -> dict[str, Any]:
    from svcc.verify.confirm.judge import describe_result
    from svcc.verify.report.report import packet_json, step_json

    found: dict[str, Any] = {
        "frontend": None if item.frontend is None else str(item.frontend),
        "packet": packet_json(item.packet),
        "expected": item.expected,
        "verdict": item.verdict,
        "outcomes": [{"share": str(share), "got": text} for share, text in item.outcomes()],
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
    if item.sender:
        found["sender"] = item.sender
    if item.wrong:
        found["wrong"] = [{"code": f.code, "message": f.says} for f in item.wrong]
    for name, texts in (
        ("why", item.why),
        ("undecided", item.undecided),
        ("world", item.worlds),
        ("notes", item.notes),
    ):
        if texts:
            found[name] = list(texts)
    return found
