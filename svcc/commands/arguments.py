"""From parsed arguments to the values that the library takes."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, cast

from svcc.api.errors import bad_input
from svcc.commands.terminal import say

if TYPE_CHECKING:
    from svcc.api import Configuration, Family, Flags, NodeSettings, Objects, Rules
    from svcc.api.inputs import Note

_SWITCHES = (
    "masquerade_all", "iptables_localhost_nodeports", "conntrack_tcp_be_liberal",
    "ipvs_strict_arp",
)  # fmt: skip
_SETTINGS = (
    "node_ip", "pod_cidr", "zone", "cluster_cidr", "detect_local_mode", "pod_bridge_interface",
    "pod_interface_name_prefix", "nodeport_addresses", "iptables_masquerade_bit",
    "ipvs_scheduler", "ipvs_exclude_cidrs", "ipvs_tcp_timeout", "ipvs_tcpfin_timeout",
    "ipvs_udp_timeout",
)  # fmt: skip


def objects(arguments: argparse.Namespace, *, keep_going: bool = False) -> Objects:
    """The objects that -f names; with ``keep_going`` those that nothing is wrong with.

    Raises:
        InputError: bad input.
    """
    from svcc.api import load

    if arguments.config == "-" and "-" in arguments.filename:
        raise bad_input("--config", "standard input has the objects (-f -); name a file")
    found = load(
        *arguments.filename,
        recursive=arguments.recursive,
        exclude=arguments.exclude,
        keep_going=keep_going,
        note=say,
        notes=arguments.verbose,
    )
    if arguments.verbose:
        for kind, count in sorted(found.skipped_kinds.items()):
            say(f"passed over: {count} of kind {kind}")
    return found


def node(arguments: argparse.Namespace, objects: Objects, note: Note | None = say) -> NodeSettings:
    """The settings of the one node.

    Raises:
        InputError: bad input.
    """
    from svcc.api import node_settings

    return node_settings(
        objects,
        _configuration(arguments),
        node=arguments.hostname_override,
        environment=os.environ,
        note=note,
        **_flags(arguments),
    )


def nodes(arguments: argparse.Namespace, objects: Objects) -> list[NodeSettings]:
    """The settings of the one node, or with --all-nodes of all.

    Raises:
        InputError: bad input.
    """
    from svcc.api import all_node_settings

    if not arguments.all_nodes:
        return [node(arguments, objects)]
    return all_node_settings(
        objects, _configuration(arguments), environment=os.environ, note=say, **_flags(arguments)
    )


def family(arguments: argparse.Namespace) -> Family | None:
    """What --family names, if anything."""
    from svcc.api import Family

    known = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
    return known.get(getattr(arguments, "family", None) or "")


def rules(arguments: argparse.Namespace) -> Rules | None:
    """The rules that were named or are loaded; None to judge our own.

    Raises:
        InputError: bad input.
    """
    from svcc.api import live_rules, read_rules

    if arguments.rules and arguments.live:
        raise bad_input("--live", "give --rules or --live, not both")
    only = family(arguments)
    if arguments.rules:
        return read_rules(*arguments.rules, family=only)
    if arguments.live:
        return live_rules(iptables=arguments.iptables, family=only, note=say)
    return None


def _configuration(arguments: argparse.Namespace) -> Configuration:
    from svcc.api import load_configuration

    found = load_configuration(arguments.config or None)
    for problem in found.warnings:
        say(str(problem))
    if arguments.verbose and found.ignored:
        say(f"{arguments.config}: warning: passed over: {', '.join(found.ignored)}")
    return found


def _flags(arguments: argparse.Namespace) -> Flags:
    """The settings that flags give.

    Raises:
        InputError: a switch is neither true nor false.
    """
    found: dict[str, Any] = {"mode": arguments.proxy_mode}
    found |= {name: getattr(arguments, name) for name in _SETTINGS}
    for name in _SWITCHES:
        value = getattr(arguments, name)
        if value not in (None, "true", "false"):
            flag = "--" + name.replace("_", "-")
            raise bad_input(flag, f"{value!r} is neither true nor false")
        found[name] = None if value is None else value == "true"
    return cast("Flags", {name: value for name, value in found.items() if value is not None})
