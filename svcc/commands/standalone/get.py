"""svcc get."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from svcc.api.errors import bad_input
from svcc.commands import arguments as given_by
from svcc.commands import options
from svcc.commands.exit_codes import FAILED, OK
from svcc.commands.terminal import say

if TYPE_CHECKING:
    from svcc.api import Objects

KINDS = {
    "services": ("service", "svc"),
    "endpointslices": ("endpointslice",),
    "endpoints": ("ep",),
    "virtual-servers": ("virtual-server", "vs"),
}
"""What can be asked for, with its other names."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "kind",
        metavar="KIND",
        choices=[name for kind, others in KINDS.items() for name in (kind, *others)],
        help="services (svc), endpointslices, endpoints (ep), or virtual-servers: what ipvsadm -Ln "
        "would list in ipvs mode",
    )
    parser.add_argument("name", metavar="NAME", nargs="*", help="these only")
    options.add_input(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "-n", "--namespace", default="default", metavar="NAMESPACE", help="(default: default)"
    )
    where.add_argument("-A", "--all-namespaces", action="store_true", help="all namespaces")
    options.add_output(parser)
    options.add_node(parser)
    options.add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Get."""
    kind = next(kind for kind, others in KINDS.items() if arguments.kind in (kind, *others))
    if kind == "virtual-servers":
        return _virtual_servers(arguments)
    if arguments.all_namespaces and arguments.name:
        raise bad_input("-A", "a name is looked up in one namespace; name it with -n")
    objects = given_by.documents(arguments, arguments.lock)
    missing = sorted(set(arguments.name) - _names(kind, objects, arguments))
    if missing:
        for name in missing:
            say(f'{kind} "{name}" not found in namespace {arguments.namespace}')
        return FAILED
    text = _shown(kind, objects, arguments)
    if not text:
        where = "" if arguments.all_namespaces else f" in {arguments.namespace} namespace"
        say(f"No resources found{where}.")
    sys.stdout.write(text)
    return OK


def _names(kind: str, objects: Objects, arguments: argparse.Namespace) -> set[str]:
    if kind == "services":
        return {s.name for s in objects.services if s.namespace == arguments.namespace}
    slices = [item for item in objects.slices if item.namespace == arguments.namespace]
    if kind == "endpoints":
        return {item.service for item in slices}
    return {item.name for item in slices if not item.from_endpoints}


def _shown(kind: str, objects: Objects, arguments: argparse.Namespace) -> str:
    from svcc.api.standalone.shown import shown_endpoints, shown_services, shown_slices

    def asked(namespace: str, name: str) -> bool:
        if arguments.name and name not in arguments.name:
            return False
        return bool(arguments.all_namespaces) or namespace == arguments.namespace

    output, every = arguments.output, arguments.all_namespaces
    is_one = len(arguments.name) == 1
    if kind == "services":
        services = [s for s in objects.services if asked(s.namespace, s.name)]
        if not services:
            return ""
        return shown_services(objects, services, output=output, all_namespaces=every, is_one=is_one)
    if kind == "endpointslices":
        slices = [s for s in objects.slices if not s.from_endpoints and asked(s.namespace, s.name)]
        show = shown_slices
    else:
        slices = [s for s in objects.slices if asked(s.namespace, s.service)]
        show = shown_endpoints
    if not slices:
        return ""
    return show(objects, slices, output=output, all_namespaces=every, is_one=is_one)


def _virtual_servers(arguments: argparse.Namespace) -> int:
    from svcc.api.standalone.shown import shown_virtual_servers

    if arguments.output or arguments.name:
        raise bad_input("virtual-servers", "they are listed as ipvsadm does: no -o and no NAME")
    if arguments.proxy_mode not in (None, "ipvs"):
        raise bad_input("--mode", "virtual servers are those of ipvs mode")
    arguments.proxy_mode = "ipvs"
    objects = given_by.objects(arguments)
    sys.stdout.write(shown_virtual_servers(objects, given_by.node(arguments, objects)))
    return OK
