"""All that svcc has loaded at one moment, in every mode, as a text that can be kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

from svcc.apply.iptables.read import TABLES, Tables, TableState
from svcc.apply.iptables.tool import Iptables, Variant
from svcc.apply.ipvs.compare import own_difference
from svcc.apply.ipvs.plan import is_empty
from svcc.apply.ipvs.servers import settings_for
from svcc.apply.modes import own_tables
from svcc.apply.nftables.delta import delta
from svcc.apply.reading import look_beside, own_rules_of
from svcc.apply.removal import both_variants
from svcc.apply.system import sysctl
from svcc.apply.system.errors import ApplyError, UnreadableTableError
from svcc.grammar.address import Family, Network, format_address, parse_address, parse_network
from svcc.grammar.errors import InputError
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.nftables.program import Ruleset

_FORMAT = 1
_CANNOT = "what is loaded cannot be kept to go back to"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What is svcc's.

    ``rules`` are those of each variant of iptables that can be asked here, the one in use first.
    ``ipvs`` is what is loaded beside them, None for nothing. ``settings`` are the kernel settings
    that svcc may change, by path below /proc/sys; ``exclude`` the addresses whose virtual servers
    it does not touch.
    """

    tables: Ruleset = field(default_factory=Ruleset)
    rules: Mapping[Variant, Mapping[Family, Tables]] = field(default_factory=dict)
    ipvs: Ipvs | None = None
    route_localnet: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    exclude: tuple[Network, ...] = ()


def take(tools: Iptables, wanted: Ipvs | None, exclude: tuple[Network, ...]) -> Saved:
    """Read all that is loaded of svcc's.

    Args:
        tools: whose iptables is in use.
        wanted: what an apply is about to load beside rules; virtual servers in it that are there
            become svcc's, whoever made them.
        exclude: addresses whose virtual servers are never touched.

    Raises:
        ApplyError: something cannot be read, or could not be loaded again as it is.
    """
    rules: dict[Variant, Mapping[Family, Tables]] = {}
    for variant in both_variants(tools) if tools.kind is not None else ():
        found, failures = own_rules_of(variant)
        for error in failures.values():
            if isinstance(error, UnreadableTableError):
                raise ApplyError(f"{_CANNOT}: {error}; nothing was changed")
        assert variant.kind is not None
        rules[variant.kind] = {family: _own_part(tables) for family, tables in found.items()}
    servers = look_beside(tools, wanted, exclude, 0, rules.values())
    ipvs = servers.before.ipvs if servers is not None else None
    values = {name: sysctl.value(name) for name in settings_for(Ipvs(strict_arp=True))}
    saved = Saved(
        tables=_without_memory(own_tables(tools)),
        rules=rules,
        ipvs=None if ipvs is None or is_empty(ipvs) else ipvs,
        route_localnet=bool(sysctl.read(sysctl.ROUTE_LOCALNET)),
        settings={name: value for name, value in values.items() if value is not None},
        exclude=exclude,
    )
    _must_be_kept(saved)
    return saved


def _own_part(tables: Tables) -> Tables:
    return {
        name: TableState(
            state.chains, {c: jumps for c in state.others if (jumps := state.jumps(c))}
        )
        for name, state in tables.items()
    }


def _without_memory(tables: Ruleset) -> Ruleset:
    """The tables without what packets have put into their sets."""
    made = Ruleset()
    for table in tables.tables.values():
        kept = copy(table)
        kept.sets = {
            name: replace(item, elements={}) if "dynamic" in item.flags else item
            for name, item in table.sets.items()
        }
        made.add(kept)
    return made


def _must_be_kept(saved: Saved) -> None:
    """That the text of what was read says the same.

    Raises:
        ApplyError: it does not: somebody else has put something into what is svcc's that svcc
            could not write again.
    """
    try:
        again = read(write(saved))
    except (InputError, ValueError) as error:
        raise ApplyError(f"{_CANNOT}: {error}; nothing was changed") from error
    differs: object = delta(again.tables, saved.tables).lines
    if not differs and saved.ipvs is not None:
        differs = own_difference(again.ipvs or Ipvs(), saved.ipvs)
    if differs:
        raise ApplyError(
            f"{_CANNOT}: there is something in it that svcc has not written; run apply without "
            "--confirm-timeout to have it as wanted; nothing was changed"
        )


def write(saved: Saved) -> str:
    """The text that :func:`read` reads."""
    from svcc.grammar.nftables.write import write as write_tables

    return json.dumps(
        {
            "format": _FORMAT,
            "tables": write_tables(saved.tables),
            "rules": {
                variant: {
                    family.name: {
                        name: {"chains": state.chains, "jumps": state.others}
                        for name, state in tables.items()
                    }
                    for family, tables in families.items()
                }
                for variant, families in saved.rules.items()
            },
            "ipvs": None if saved.ipvs is None else _ipvs_document(saved.ipvs),
            "route_localnet": saved.route_localnet,
            "settings": dict(saved.settings),
            "exclude": [
                f"{format_address(n.family, n.value)}/{n.prefix_length}" for n in saved.exclude
            ],
        }
    )


def _ipvs_document(ipvs: Ipvs) -> dict[str, Any]:
    from svcc.grammar.ipvs import ipset, ipvsadm

    return {
        "servers": ipvsadm.write(ipvs.servers),
        "sets": ipset.write(ipvs.sets),
        "addresses": [
            format_address(family, value)
            for family, values in ipvs.addresses.items()
            for value in values
        ],
        "timeouts": list(ipvs.timeouts),
    }


def read(text: str) -> Saved:
    """What :func:`write` wrote.

    Raises:
        ValueError: it is something else.
        InputError: what it says of a tool's text is none.
    """
    from svcc.grammar.nftables.parse import parse

    try:
        found = json.loads(text)
        if found["format"] != _FORMAT:
            raise ValueError("another svcc has written it")
        return Saved(
            tables=parse(found["tables"], source="what was loaded"),
            rules={
                variant: {
                    Family[family]: {
                        name: TableState(tables[name]["chains"], tables[name]["jumps"])
                        for name in TABLES
                    }
                    for family, tables in families.items()
                }
                for variant, families in found["rules"].items()
            },
            ipvs=None if found["ipvs"] is None else _ipvs_of(found["ipvs"]),
            route_localnet=bool(found["route_localnet"]),
            settings=found["settings"],
            exclude=tuple(map(parse_network, found["exclude"])),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not what svcc writes ({error!r})") from error


def _ipvs_of(document: dict[str, Any]) -> Ipvs:
    from svcc.grammar.ipvs import ipset, ipvsadm

    tcp, tcp_fin, udp = document["timeouts"]
    addresses: dict[Family, list[int]] = {family: [] for family in Family}
    for address in map(parse_address, document["addresses"]):
        addresses[address.family].append(address.value)
    return Ipvs(
        ipvsadm.parse(document["servers"], source="virtual servers that were loaded"),
        ipset.parse(document["sets"], source="sets that were loaded"),
        {family: tuple(values) for family, values in addresses.items()},
        (tcp, tcp_fin, udp),
    )
