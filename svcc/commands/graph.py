"""svcc graph."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from svcc.api.errors import bad_input
from svcc.commands import arguments as given_by
from svcc.commands import options
from svcc.commands.exit_codes import BAD_INPUT, OK
from svcc.commands.progress import Progress
from svcc.commands.terminal import say

SERVICE = """\
what SERVICE may be:
  shop/web, web, web.shop.svc.cluster.local, shop/web:http, shop/web:80
                              a Service, or one of its ports
  10.96.0.12, 10.96.0.12:80/tcp, [fd00::1]:80, 30080, 192.168.7.10:30080
                              an address of a Service, a node port
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = SERVICE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "service", nargs="?", default="", metavar="SERVICE", help="what to draw (default: all)"
    )
    parser.add_argument(
        "-n",
        "--namespace",
        default="",
        metavar="NAMESPACE",
        help="where SERVICE is; without SERVICE: draw the Services of this namespace",
    )
    options.add_input(parser)
    options.add_node(parser, all_nodes=True)
    options.add_rules(parser)
    parser.add_argument(
        "--no-verify", action="store_true", help="judge no rules, draw what must happen alone"
    )
    options.add_names(parser, zones=False)
    options.add_family(parser)
    options.add_kernel(parser)
    parser.add_argument(
        "-o",
        "--output",
        choices=("mermaid", "dot", "html", "json"),
        default="mermaid",
        help="format of the picture (default: mermaid)",
    )
    parser.add_argument("--output-file", metavar="FILE", help="write there, not to standard output")
    options.add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Draw."""
    from svcc.api.inside.graph import graph, picture_text

    if arguments.no_verify and (arguments.rules or arguments.live):
        raise bad_input("--no-verify", "not with rules to judge (--rules, --live)")
    objects = given_by.objects(arguments)
    nodes, rules = given_by.judged(arguments, objects)
    bar = Progress("verify")
    try:
        picture = graph(
            objects,
            nodes,
            arguments.service,
            rules,
            namespace=arguments.namespace,
            family=given_by.family(arguments),
            judge=not arguments.no_verify,
            cluster_domain=given_by.name_settings(arguments).cluster_domain,
            note=say,
            progress=bar,
        )
    finally:
        bar.clear()
    _write(arguments, picture_text(picture, arguments.output))
    given = rules.values() if isinstance(rules, dict) else (rules,)
    is_changed = any(item is not None and item.problems for item in given)
    return BAD_INPUT if is_changed else OK


def _write(arguments: argparse.Namespace, text: str) -> None:
    if arguments.output_file is None:
        sys.stdout.write(text)
        return
    try:
        Path(arguments.output_file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise bad_input(arguments.output_file, f"cannot write: {error.strerror}") from None
