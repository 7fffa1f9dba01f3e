"""From parsed arguments to the values that the library takes."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from svcc.api.errors import bad_input
from svcc.commands.terminal import say

if TYPE_CHECKING:
    from svcc.api import Configuration, Family, Flags, NodeSettings, Objects, Problem, Rules
    from svcc.api.inputs import Note
    from svcc.api.standalone.names import NameSettings, Zone

MAX_NAMED = 5

_SWITCHES = (
    "masquerade_all", "iptables_localhost_nodeports", "conntrack_tcp_be_liberal",
    "ipvs_strict_arp",
)  # fmt: skip
_SETTINGS = (
    "node_ip", "pod_cidr", "zone", "cluster_cidr", "service_cluster_ip_range", "detect_local_mode",
    "pod_bridge_interface", "pod_interface_name_prefix", "nodeport_addresses",
    "iptables_masquerade_bit", "ipvs_scheduler", "ipvs_exclude_cidrs", "ipvs_tcp_timeout",
    "ipvs_tcpfin_timeout", "ipvs_udp_timeout",
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
        simulate=_simulated_networks(arguments),
        lock=arguments.lock,
    )
    if arguments.verbose:
        for kind, count in sorted(found.skipped_kinds.items()):
            say(f"passed over: {count} of kind {kind}")
    return found


def documents(arguments: argparse.Namespace, lock: str | None = None) -> Objects:
    """The objects that -f names, with what was given of each.

    Raises:
        InputError: bad input.
    """
    from svcc.api import load

    return load(
        *arguments.filename,
        recursive=arguments.recursive,
        exclude=arguments.exclude,
        note=say,
        notes=arguments.verbose,
        lock=lock,
        documents=True,
    )


def _simulated_networks(arguments: argparse.Namespace) -> bool | list[str]:
    """What ``load`` takes: the networks of simulated pods; False where none are simulated.

    They are the cluster's pod network, too, unless something says how pods are told.
    """
    if not getattr(arguments, "simulate", False):
        return False
    if arguments.rules or arguments.live or arguments.against:
        raise bad_input("--simulate", "not with rules of a cluster, whose addresses are its own")
    from svcc.api.inputs import simulated_pod_networks

    of_cluster = arguments.cluster_cidr.split(",") if arguments.cluster_cidr else []
    given = simulated_pod_networks(arguments.pod_cidr or of_cluster)
    if not (arguments.config or arguments.cluster_cidr or arguments.detect_local_mode):
        arguments.cluster_cidr = ",".join(given)
    arguments.pod_cidr = None
    if arguments.hostname_override is None:
        arguments.all_nodes = True
    return given


def node(
    arguments: argparse.Namespace,
    objects: Objects,
    note: Note | None = say,
    *,
    name: str | None = None,
) -> NodeSettings:
    """The settings of the one node; ``name``: which it is if --node does not say.

    Raises:
        InputError: bad input.
    """
    from svcc.api import node_settings

    given = arguments.hostname_override
    return node_settings(
        objects,
        configuration(arguments),
        node=name if given is None else given,
        environment=os.environ,
        note=note,
        **flags(arguments),
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
        objects, configuration(arguments), environment=os.environ, note=say, **flags(arguments)
    )


def judged(
    arguments: argparse.Namespace, objects: Objects, note: Note | None = say
) -> tuple[list[NodeSettings], dict[str, Rules] | Rules | None]:
    """The nodes that are asked about, and their rules: by node where they say whose they are.

    Raises:
        InputError: bad input.
    """
    from svcc.api import InputError, read_node_rules

    every = bool(getattr(arguments, "all_nodes", False))
    paths, problems = _paths_by_node(arguments)
    if paths is None:
        found = rules(arguments)
        tell_problems(found)
        if every:
            return nodes(arguments, objects), found
        name = found.node if found is not None and found.node else None
        return [node(arguments, objects, note, name=name)], found
    given = arguments.hostname_override
    if given is not None and (key := given.strip().lower()) in paths:
        paths = {key: paths[key]}
    by_node: dict[str, Rules] = dict(read_node_rules(paths, family=family(arguments)))
    if problems and by_node:
        first = next(iter(by_node))
        by_node[first] = replace(by_node[first], problems=(*problems, *by_node[first].problems))
    elif problems:
        raise InputError(problems)
    for item in by_node.values():
        tell_problems(item)
    if every:
        return nodes(arguments, objects), by_node
    if given is not None:
        return [node(arguments, objects, note)], by_node
    return [node(arguments, objects, note, name=name) for name in by_node], by_node


def one_judged(
    arguments: argparse.Namespace, objects: Objects, note: Note | None = say
) -> tuple[NodeSettings, Rules | None]:
    """The one node that is asked about, and its rules.

    Raises:
        InputError: bad input, or there are rules of several nodes.
    """
    found, of_nodes = judged(arguments, objects, note)
    if len(found) > 1:
        names = ", ".join(settings.node_name for settings in found[:MAX_NAMED])
        raise bad_input("--node", f"there are rules of several nodes ({names}); name one")
    if isinstance(of_nodes, dict):
        name = found[0].node_name
        if name not in of_nodes:
            raise bad_input("--rules", f"there are no rules of node {name}")
        return found[0], of_nodes[name]
    return found[0], of_nodes


def tell_problems(rules: Rules | None) -> None:
    """Say what of a bundle is not as it was written."""
    for problem in rules.problems if rules is not None else ():
        say(str(problem))


def _paths_by_node(
    arguments: argparse.Namespace,
) -> tuple[dict[str, list[str]] | None, list[Problem]]:
    """What --rules names for each node, and what is wrong with the folder of all; None where it
    does not say whose rules they are.
    """
    given: list[str] = arguments.rules
    if given and not arguments.live:
        from svcc.api.rules import node_folders

        named = [split_rules(text) for text in given]
        if any(node for node, _ in named):
            paths: dict[str, list[str]] = {}
            for node, path in named:
                if not node or not path:
                    raise bad_input(
                        f"--rules {path or node}", "write NODE=PATH for each, or for none of them"
                    )
                paths.setdefault(node, []).append(path)
            return paths, []
        if len(given) == 1 and (found := node_folders(given[0])) is not None:
            return found
    return None, []


def split_rules(text: str) -> tuple[str, str]:
    """The node that ``NODE=PATH`` names, empty if it names none, and the path."""
    node, equals, path = text.partition("=")
    if equals and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", node) and not os.path.exists(text):
        return node.lower(), path
    return "", text


def to_load(arguments: argparse.Namespace, *, proved: bool) -> tuple[Objects, NodeSettings]:
    """The objects and this node, for commands that load rules; of a folder's rules objects need
    not be given unless they are to be ``proved``.

    Raises:
        InputError: bad input.
    """
    from svcc.api import Objects

    if arguments.rules is not None:
        for flag, value in (
            ("--mode", arguments.proxy_mode),
            ("--no-comments", arguments.no_comments),
        ):
            if value:
                raise bad_input(flag, "not together with --rules, which are what they are")
        if not arguments.filename and not proved:
            nothing = Objects()
            return nothing, node(arguments, nothing, None)
    if not arguments.filename:
        hint = "name the objects that the rules are proved by, or give --no-verify"
        raise bad_input("-f", "name the objects" if arguments.rules is None else hint)
    found = objects(arguments)
    return found, node(arguments, found)


def name_settings(arguments: argparse.Namespace) -> NameSettings:
    """How Services are named.

    Raises:
        InputError: bad input.
    """
    from svcc.api.standalone.names import TTL, name_settings

    return name_settings(
        cluster_domain=arguments.cluster_domain,
        kubelet_config=arguments.kubelet_config,
        ttl=getattr(arguments, "dns_ttl", TTL),
        reverse_networks=getattr(arguments, "dns_reverse_zone", ()),
    )


def zones(arguments: argparse.Namespace, cluster_domain: str) -> list[Zone]:
    """The zones that --dns-zone names.

    Raises:
        InputError: bad input.
    """
    if not arguments.dns_zone:
        return []
    from svcc.api.standalone.names import read_zones

    return read_zones(arguments.dns_zone, cluster_domain, note=say)


def family(arguments: argparse.Namespace) -> Family | None:
    """What --family names, if anything."""
    from svcc.api import Family

    known = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
    return known.get(getattr(arguments, "family", None) or "")


def rules(arguments: argparse.Namespace) -> Rules | None:
    """The rules of one node that were named or are loaded; None to judge our own.

    Raises:
        InputError: bad input.
    """
    from svcc.api import live_rules, read_rules

    if arguments.rules and arguments.live:
        raise bad_input("--live", "give --rules or --live, not both")
    only = family(arguments)
    if arguments.rules:
        return read_rules(*arguments.rules, family=only)
    if arguments.live and arguments.proxy_mode == "userspace":
        raise bad_input(
            "--live", "nginx does not tell what it runs with; name its configuration with --rules"
        )
    if arguments.live:
        return live_rules(iptables=arguments.iptables, family=only, note=say)
    return None


def configuration(arguments: argparse.Namespace) -> Configuration:
    """What --config names; warnings about it are said.

    Raises:
        InputError: it cannot be read, or a setting is wrong.
    """
    from svcc.api import load_configuration

    found = load_configuration(arguments.config or None)
    for problem in found.warnings:
        say(str(problem))
    if arguments.verbose and found.ignored:
        say(f"{arguments.config}: warning: passed over: {', '.join(found.ignored)}")
    return found


def flags(arguments: argparse.Namespace) -> Flags:
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
