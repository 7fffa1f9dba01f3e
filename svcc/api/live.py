"""The rules of this network namespace, of both iptables variants."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from svcc.api.beside import Beside, tables_beside
from svcc.api.errors import bad_input
from svcc.api.rules import Rules

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.apply.iptables.tool import Iptables, Variant
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Family
    from svcc.grammar.ipvs.state import Ipvs
    from svcc.verify.confirm.findings import Finding
    from svcc.verify.prepare.loaded import LoadedRules
    from svcc.verify.report.explanation import Explanation


_COUNTED = re.compile(r"^#.*\n|\[\d+:\d+\]", re.MULTILINE)
NFT_LIST = "nft list ruleset"
JUDGED_FAMILIES = ("ip", "ip6", "inet", "netdev")
"""Families of tables that are judged; bridges are told of, and ARP is no way of IP packets."""


def live_rules(
    *,
    iptables: Variant | None = None,
    family: Family | None = None,
    note: Note | None = None,
) -> Rules:
    """What is loaded in this network namespace, virtual servers and sets included.

    Args:
        iptables: the variant to judge, ``legacy`` or ``nft``. By default that which has a
            service proxy's chains; where both have or neither, what ``iptables`` on PATH is.
        family: read no other.
        note: is told which variant was chosen, and what could not be read.

    Raises:
        InputError: a tool is missing or fails.
    """
    from svcc.apply.iptables.tool import chosen
    from svcc.apply.system.errors import ToolError
    from svcc.grammar.address import Family

    say = note or _nobody
    try:
        tools = chosen(iptables)
        loaded = _read(tools, Family if family is None else (family,))
    except ToolError as error:
        hint = "" if os.geteuid() == 0 else "; are you root?"
        raise bad_input("--live", f"{error}{hint}") from None
    name, beside = f"iptables-{tools.kind}", in_force_beside(tools, list(loaded), say)
    return _with_nftables(tools, _of_chosen(loaded, beside, name, iptables, say), say)


def stamp(iptables: Variant | None = None) -> object:
    """What is otherwise as soon as rules of this network namespace are.

    Where the kernel counts the changes of rules (nf_tables) they are not read. Raises as
    :func:`live_rules`.
    """
    from svcc.apply.iptables.tool import Iptables
    from svcc.apply.ipvs.read import printed
    from svcc.apply.nftables.generation import generation
    from svcc.apply.system.errors import ToolError
    from svcc.grammar.address import Family

    number: int | None = None
    with suppress(ToolError):
        number = generation()
    legacy = Iptables("legacy")
    try:
        held = [family for family in Family if legacy.may_hold_rules(family)]
        texts = [_without_counters(legacy.save_all(family)) for family in held]
        return number, tuple(texts), tuple(printed(Iptables(iptables)).items())
    except ToolError as error:
        raise bad_input("--audit", str(error)) from None


def _without_counters(text: str) -> str:
    """What iptables-save prints, but for the time and what was counted."""
    return _COUNTED.sub("", text)


def _of_chosen(
    loaded: dict[Family, LoadedRules],
    beside: Beside,
    name: str,
    iptables: Variant | None,
    say: Note,
) -> Rules:
    """The rules of the variant that has the service chains, or of the one that was asked for."""
    from svcc.verify.other_variant import has_service_chains

    ours, theirs = (
        any(has_service_chains(item.rules) for item in side.values())
        for side in (loaded, beside.loaded)
    )
    if theirs and not ours and iptables is None and len(beside.loaded) == len(loaded):
        say(
            f"note: the service chains are among the rules of {beside.name}, which are judged; "
            f"iptables is {name}"
        )
        other = replace(beside, name=name, loaded=loaded)
        return Rules(beside.loaded, name=beside.name, beside=other)
    return Rules(loaded, name=name, beside=beside)


def _with_nftables(tools: Iptables, rules: Rules, say: Note) -> Rules:
    """The rules together with the tables of nftables that packets pass as well."""
    from svcc.apply.nftables.tables import listing
    from svcc.apply.system.errors import ToolError
    from svcc.grammar.errors import InputError
    from svcc.verify.prepare.loaded import EVERYTHING
    from svcc.verify.rule_files import of_nftables

    tables = rules.beside.tables
    if not tables:
        return rules
    try:
        text = _printable(listing(tools))
        loaded = of_nftables(
            text, NFT_LIST, beside=rules.loaded, whole=EVERYTHING, of_iptables_too=False
        )
    except ToolError as error:
        return replace(rules, beside=replace(rules.beside, unread=str(error)))
    except InputError as error:
        for problem in error.problems[:3]:
            say(f"warning: {problem}")
        return rules
    left = tuple(table for table in tables if table.family not in JUDGED_FAMILIES)
    kept = {family: item for family, item in loaded.items() if family in rules.loaded}
    name = f"{rules.name} and nftables"
    return replace(rules, loaded=kept, name=name, beside=replace(rules.beside, tables=left))


def in_force_beside(tools: Iptables, families: list[Family], note: Note | None = None) -> Beside:
    """What is in force beside the rules of these tools."""
    tables, unread = tables_beside(tools)
    other = tools.other_variant()
    if other is None:
        return Beside(tables=tables, unread=unread)
    loaded, hidden = _of_other(other, families, note or _nobody)
    return Beside(f"iptables-{other.kind}", loaded, hidden, tables, unread)


def _nobody(text: str) -> None:
    """Whom nothing needs to be told."""


def _read(tools: Iptables, families: Iterable[Family]) -> dict[Family, LoadedRules]:
    """What is loaded.

    Raises:
        ToolError: a tool is missing or fails.
        InputError: a tool prints what it would not take itself.
    """
    from svcc.verify.prepare.loaded import EVERYTHING
    from svcc.verify.rule_files import from_text

    found = {}
    ipvs = _ipvs(tools)
    for family in families:
        text, name = _printable(tools.save_all(family)), tools.name(family, "save")
        found[family] = from_text(text, family, name, whole=EVERYTHING)
        found[family].rules.ipvs = ipvs
    return found


def _printable(text: str) -> str:
    """Without the bytes that are no UTF-8, which somebody's comment may hold."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def _ipvs(tools: Iptables) -> Ipvs | None:
    """What IPVS and ipset hold; None if that is nothing."""
    from svcc.apply.ipvs.read import printed
    from svcc.apply.system.addresses import virtual_ips
    from svcc.grammar.address import Family
    from svcc.verify.rule_files import ipvs_of

    texts = printed(tools)
    ipvs = ipvs_of({name.split()[0]: (_printable(text), name) for name, text in texts.items()})
    if ipvs is None or not (ipvs.servers or ipvs.sets):
        return None
    own = virtual_ips(tools)
    ipvs.addresses = {
        family: tuple(sorted(a.value for a in own if a.family is family)) for family in Family
    }
    return ipvs


def _of_other(
    tools: Iptables, families: list[Family], say: Note
) -> tuple[dict[Family, LoadedRules], dict[Family, str]]:
    """The other variant's rules, and why some that are there cannot be shown."""
    from svcc.apply.system.errors import ToolError, UnreadableTableError
    from svcc.grammar.errors import InputError

    found: dict[Family, LoadedRules] = {}
    hidden: dict[Family, str] = {}
    for family in families:
        if not tools.may_hold_rules(family):
            continue
        try:
            found |= _read(tools, [family])
        except UnreadableTableError as error:
            hidden[family] = str(error)
        except ToolError as error:
            # Mostly the kernel does not have the variant, so nothing of it can be loaded.
            say(f"warning: {error}")
        except InputError as error:
            hidden[family] = "; ".join(map(str, error.problems))
    return found, hidden


def open_questions(
    rules: Rules, objects: Objects, settings: NodeSettings, note: Note | None = None
) -> Iterator[Finding]:
    """What stays open of live rules: what else is in force can touch packets to Services, or
    there are no rules of a Service proxy.
    """
    from svcc.verify.confirm.findings import Finding
    from svcc.verify.spec import codes
    from svcc.verify.spec.properties import REACHES

    say = note or _nobody
    for family in rules.families if rules.name else ():
        reasons = [
            (codes.IN_FORCE_BESIDE, f"{doubt}; only {rules.name} is judged")
            for doubt in rules.beside.doubts(objects, settings, family)
        ]
        if missing := missing_proxy(rules, objects, settings, family):
            reasons.insert(0, (codes.NO_SERVICE_RULES, missing))
        for code, reason in reasons:
            advice, name = "", rules.beside.name
            if name and reason.startswith(name):
                variant = name.removeprefix("iptables-")
                advice = f"; remove what is not wanted, or judge it with --iptables {variant}"
            say(f"warning: {family.label}: {reason}{advice}")
            subject = "rules that are in force"
            yield Finding(REACHES, subject, family, "undecided", None, reason, code)


def missing_proxy(
    rules: Rules, objects: Objects, settings: NodeSettings, family: Family
) -> str | None:
    """Why live rules of a family are no Service proxy's, and cannot be judged as such.

    None if they are, or if they had nothing to do.
    """
    from svcc.verify.other_variant import DISPATCH, holds_service_rules
    from svcc.verify.spec.expectation import expect

    if not rules.name or any(holds_service_rules(r.rules) for r in rules.loaded.values()):
        return None
    if not expect(objects, settings, family).frontends:
        return None
    table = rules.beside.table_of_kube_proxy(family)
    if table is not None:
        return f"{table} could not be read; {table.command} prints it"
    chains = " nor ".join(DISPATCH)
    return (
        f"no rules of a Service proxy were found here: neither a chain {chains} nor a translation "
        f"in {rules.name}, no virtual server of IPVS, no table kube-proxy of nftables"
    )


def with_all_in_force(
    item: Explanation, rules: Rules, objects: Objects, settings: NodeSettings
) -> Explanation:
    """An explanation, with what else is in force: what that can touch is not decided."""
    from svcc.verify.other_variant import places_of

    family = item.packet.family
    missing = missing_proxy(rules, objects, settings, family)
    if missing and item.frontend is not None:
        return replace(item, verdict="undecided", wrong=(), undecided=(missing,), worlds=())
    places = places_of(item.packet, (way.result for way in item.ways))
    doubts = tuple(rules.beside.doubts(objects, settings, family, places))
    if not doubts:
        return item
    if item.verdict == "violated":
        return replace(item, notes=(*item.notes, *doubts))
    return replace(item, verdict="undecided", undecided=(*item.undecided, *doubts))
