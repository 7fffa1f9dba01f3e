"""What svcc holds at this moment, with what the kernel has counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from svcc.apply.frontends import Frontends, Names, named, together
from svcc.apply.held import Held
from svcc.apply.iptables.read import Tables
from svcc.apply.iptables.tool import Iptables
from svcc.apply.ipvs.plan import is_empty
from svcc.apply.ipvs.read import endpoint_key
from svcc.apply.modes import read_tables
from svcc.apply.reading import look_beside, own_rules_of
from svcc.apply.removal import both_variants
from svcc.apply.seen.changes import of_part
from svcc.apply.seen.of_rules import names_of, of_rules
from svcc.apply.seen.of_servers import of_servers
from svcc.apply.seen.of_tables import of_tables
from svcc.apply.system.errors import UnreadableTableError
from svcc.apply.system.tools import call, find_tool
from svcc.grammar.address import Family, Network
from svcc.grammar.ipvs.ipvsadm import VirtualKey

_COUNTED = re.compile(r"^\[(\d+):\d+\] (-A SVCC-.*)$", re.MULTILINE)
_STATISTICS = re.compile(r"^(TCP|UDP|SCTP|FWM) +(\S+)(?: +IPv6)? +(\d+) ", re.MULTILINE)
_PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}


@dataclass(frozen=True, slots=True)
class Now:
    """One reading, without a lock.

    ``variants`` are those of iptables whose rules ``held.rules`` are. ``drifted``: nftables
    tables are not as svcc left them. ``unread`` says what could not be read.
    """

    held: Held
    variants: tuple[str, ...] = ()
    drifted: bool = False
    unread: tuple[str, ...] = ()

    @property
    def modes(self) -> list[str]:
        """The modes of which anything is there."""
        from svcc.apply.iptables.read import is_ipvs_mode

        found = []
        if any(tables.tables for tables in self.held.tables):
            found.append("nftables")
        states = [tables for rules in self.held.rules for tables in rules.values()]
        if self.held.ipvs or any(map(is_ipvs_mode, states)):
            found.append("ipvs")
        if any(not is_ipvs_mode(tables) for tables in states):
            found.append("iptables")
        return found


def look(tools: Iptables, exclude: tuple[Network, ...] = ()) -> Now:
    """Read what is there, in all modes.

    Args:
        tools: whose iptables is looked at first.
        exclude: addresses whose virtual servers are somebody else's.

    Raises:
        ApplyError: it cannot be read.
    """
    rules: list[Mapping[Family, Tables]] = []
    variants: list[str] = []
    unread: list[str] = []
    for variant in both_variants(tools) if tools.kind is not None else ():
        found, failures = own_rules_of(variant)
        hidden = [error for error in failures.values() if isinstance(error, UnreadableTableError)]
        unread += map(str, hidden)
        if found:
            rules.append(found)
            variants.append(f"iptables-{variant.kind}")
    servers = look_beside(tools, None, exclude, 0, rules)
    ipvs = () if servers is None or is_empty(servers.before.ipvs) else (servers.before.ipvs,)
    reading = read_tables(tools)
    tables = (reading.tables,) if reading is not None and reading.tables.tables else ()
    drifted = reading is not None and reading.drifted
    return Now(Held(tables, tuple(rules), ipvs), tuple(variants), drifted, tuple(unread))


def counted_frontends(now: Now, tools: Iptables, names: Names) -> Frontends:
    """The frontends, with how many connections began at each where something counts that.

    Rules of nat see the first packet of each connection, IPVS counts connections; svcc's tables of
    nftables count nothing.

    Raises:
        ToolError: a tool failed.
    """
    servers = together(of_servers(ipvs, _server_counts(tools)) for ipvs in now.held.ipvs)
    parts = [servers, *map(of_tables, now.held.tables)]
    for rules, variant in zip(now.held.rules, now.variants, strict=True):
        counts = _rule_counts(tools, variant)
        parts.append(of_part(rules, of_rules(rules, counts), servers))
        names = {**names_of(rules), **names}
    return named(together(parts), names)


def _rule_counts(tools: Iptables, variant: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for family in ("iptables", "ip6tables"):
        path = find_tool(f"{family}-{variant.removeprefix('iptables-')}-save")
        if path is None:
            continue
        result = tools.run([path, "-c", "-t", "nat"])
        for match in _COUNTED.finditer(result.output):
            found[match[2]] = found.get(match[2], 0) + int(match[1])
    return found


def _server_counts(tools: Iptables) -> dict[VirtualKey, int]:
    result = call(tools, "ipvsadm", ["-Ln", "--stats", "--exact"])
    found = {}
    for match in _STATISTICS.finditer(result.output):
        if match[1] == "FWM":
            family = Family.IPV6 if "IPv6" in match[0] else Family.IPV4
            found[VirtualKey(family, 0, int(match[2]), 0)] = int(match[3])
        elif (key := endpoint_key(_PROTOCOLS[match[1]], match[2])) is not None:
            found[key] = int(match[3])
    return found
