"""Options that several commands share, named as kube-proxy, kubectl and iptables name them."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.configuration import Configuration, Overrides
    from svcc.compiler.settings.node import NodeSettings

OK, VIOLATED, BAD_INPUT, UNDECIDED = 0, 1, 2, 3
FAILED = 1


def add_input(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The objects."""
    group = parser.add_argument_group("objects")
    group.add_argument(
        "-f",
        "--filename",
        action="append",
        required=required,
        metavar="PATH",
        help="file, folder (*.yaml, *.yml, *.json) or - for standard input; repeatable",
    )
    group.add_argument("-R", "--recursive", action="store_true", help="look into subfolders too")


def add_node(parser: argparse.ArgumentParser, *, all_nodes: bool = False) -> None:
    """The node and its settings."""
    group = parser.add_argument_group(
        "node", "A flag wins over the variable SVCC_NAME, which wins over --config."
    )
    group.add_argument("--config", metavar="FILE", help="a KubeProxyConfiguration file")
    which = group.add_mutually_exclusive_group()
    which.add_argument(
        "--node",
        "--hostname-override",
        dest="hostname_override",
        metavar="NAME",
        help="the node's name (default: this host's)",
    )
    if all_nodes:
        which.add_argument("--all-nodes", action="store_true", help="every Node among the objects")
    group.add_argument(
        "--mode",
        "--proxy-mode",
        dest="proxy_mode",
        metavar="MODE",
        help="iptables or ipvs (default: iptables)",
    )
    group.add_argument(
        "--node-ip", action="append", metavar="IP", help="address of the node; repeatable"
    )
    group.add_argument(
        "--pod-cidr", action="append", metavar="CIDR", help="pod network of the node; repeatable"
    )
    group.add_argument("--zone", metavar="ZONE", help="zone of the node")
    group.add_argument(
        "--cluster-cidr", metavar="CIDR[,CIDR]", help="pod network of the cluster, per family"
    )
    group.add_argument(
        "--detect-local-mode",
        metavar="MODE",
        help="ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix",
    )
    group.add_argument("--pod-bridge-interface", metavar="NAME", help="for BridgeInterface")
    group.add_argument(
        "--pod-interface-name-prefix", metavar="PREFIX", help="for InterfaceNamePrefix"
    )
    group.add_argument(
        "--nodeport-addresses",
        metavar="CIDR[,CIDR]",
        help="local addresses that node ports answer on, or primary",
    )
    for name, text in (
        ("--masquerade-all", "masquerade everything sent to a cluster IP"),
        ("--iptables-localhost-nodeports", "node ports on loopback (default: true)"),
        ("--conntrack-tcp-be-liberal", "do not drop packets of no known connection"),
    ):
        group.add_argument(name, nargs="?", const="true", metavar="true|false", help=text)
    group.add_argument(
        "--iptables-masquerade-bit", type=int, metavar="BIT", help="0 to 31 (default: 14)"
    )
    group.add_argument(
        "--ipvs-scheduler",
        metavar="NAME",
        help="rr (default), wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq or mh",
    )
    group.add_argument(
        "--ipvs-strict-arp",
        nargs="?",
        const="true",
        metavar="true|false",
        help="answer ARP for an address on its own interface only",
    )
    group.add_argument(
        "--ipvs-exclude-cidrs",
        metavar="CIDR[,CIDR]",
        help="leave virtual servers with these addresses to others",
    )
    for name, what in (("tcp", "a TCP"), ("tcpfin", "a closed TCP"), ("udp", "a UDP")):
        group.add_argument(
            f"--ipvs-{name}-timeout",
            metavar="DURATION",
            help=f"after which {what} connection is forgotten (default: the kernel's)",
        )


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """-v."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="say what was passed over in the input"
    )


def add_kernel(parser: argparse.ArgumentParser) -> None:
    """Which iptables, and how long to wait for it."""
    parser.add_argument(
        "--iptables",
        choices=("legacy", "nft"),
        help="which iptables to use (default: what iptables on PATH is)",
    )


def add_wait(parser: argparse.ArgumentParser) -> None:
    """-w."""
    parser.add_argument(
        "-w",
        "--wait",
        type=float,
        default=None,
        metavar="SECONDS",
        help="how long to wait for the lock (default: until it is free)",
    )


def say(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"{text}\n")


def load_objects(arguments: argparse.Namespace) -> Objects:
    """The objects that the arguments name.

    Raises:
        InputError: bad input.
    """
    from svcc.compiler.load.loader import load

    objects = load(arguments.filename, recursive=arguments.recursive)
    if arguments.verbose:
        for kind, count in sorted(objects.skipped_kinds.items()):
            say(f"passed over: {count} of kind {kind}")
    return objects


def overrides(arguments: argparse.Namespace) -> Overrides:
    """The settings that flags give.

    Raises:
        InputError: a flag's value is wrong.
    """
    from dataclasses import fields

    from svcc.compiler.settings.configuration import Overrides
    from svcc.grammar.errors import InputError, Position, Problem

    values: dict[str, Any] = {}
    for item in fields(Overrides):
        value = getattr(arguments, item.name, None)
        if value is None:
            continue
        if isinstance(value, list):
            value = tuple(value)
        if str(item.type).startswith("bool"):
            if value not in ("true", "false"):
                flag = "--" + item.name.replace("_", "-")
                raise InputError([Problem(Position(flag), f"{value!r} is neither true nor false")])
            value = value == "true"
        values[item.name] = value
    return Overrides(**values)


def configuration(arguments: argparse.Namespace) -> Configuration:
    """The --config file, or an empty configuration.

    Raises:
        InputError: bad input.
    """
    from svcc.compiler.settings.configuration import Configuration, load_configuration

    if not arguments.config:
        return Configuration()
    found = load_configuration(arguments.config)
    if arguments.verbose and found.ignored:
        say(f"{arguments.config}: warning: passed over: {', '.join(found.ignored)}")
    return found


def settings(
    arguments: argparse.Namespace, objects: Objects, *, with_notes: bool = True
) -> NodeSettings:
    """The settings of the one node.

    Raises:
        InputError: bad input, or a mode that is not built.
    """
    from svcc.compiler.settings.configuration import Overrides, node_settings

    found, notes = node_settings(
        objects,
        configuration(arguments),
        overrides(arguments),
        Overrides.from_environment(os.environ),
        hostname=socket.gethostname(),
    )
    for note in notes if with_notes else ():
        say(f"note: {note}")
    check_mode(found)
    return found


def every_node(arguments: argparse.Namespace, objects: Objects) -> list[NodeSettings]:
    """The settings of all Nodes.

    Raises:
        InputError: bad input, or a mode that is not built.
    """
    from svcc.compiler.settings.configuration import Overrides, all_node_settings

    found = all_node_settings(
        objects,
        configuration(arguments),
        overrides(arguments),
        Overrides.from_environment(os.environ),
    )
    for item in found:
        check_mode(item)
    return found


def check_mode(settings: NodeSettings) -> None:
    """Refuse a mode that this version has not.

    Raises:
        InputError: the mode is nftables.
    """
    from svcc.grammar.errors import InputError, Position, Problem

    if settings.mode == "nftables":
        message = f"mode {settings.mode} is not built yet; use --mode iptables or ipvs"
        raise InputError([Problem(Position("--mode"), message)])
