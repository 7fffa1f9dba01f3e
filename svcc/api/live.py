"""The rules of this network namespace, of both iptables variants."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

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
    from svcc.verify.other_variant import has_service_chains

    say = note or _nobody
    try:
        tools = chosen(iptables)
        loaded = _read(tools, Family if family is None else (family,))
    except ToolError as error:
        hint = "" if os.geteuid() == 0 else "; are you root?"
        raise bad_input("--live", f"{error}{hint}") from None
    name, other = f"iptables-{tools.kind}", tools.other_variant()
    if other is None:
        return Rules(loaded, name=name)
    beside_name = f"iptables-{other.kind}"
    beside, hidden = _of_other(other, list(loaded), say)
    ours, theirs = (
        any(has_service_chains(item.rules) for item in side.values()) for side in (loaded, beside)
    )
    if theirs and not ours and iptables is None and len(beside) == len(loaded):
        say(
            f"note: the service chains are among the rules of {beside_name}, which are judged; "
            f"iptables is {name}"
        )
        return Rules(beside, name=beside_name, beside=loaded, beside_name=name)
    return Rules(loaded, name=name, beside=beside, beside_name=beside_name, hidden=hidden)


def _nobody(text: str) -> None:
    """Whom nothing needs to be told."""


def _read(tools: Iptables, families: Iterable[Family]) -> dict[Family, LoadedRules]:
    """What is loaded.

    Raises:
        ToolError: a tool is missing or fails.
        InputError: a tool prints what it would not take itself.
    """
    from svcc.verify.rule_files import from_text

    found = {}
    ipvs = _ipvs(tools)
    for family in families:
        found[family] = from_text(
            _printable(tools.save_all(family)), family, tools.name(family, "save")
        )
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
    """What stays open because of the other variant's rules: whether they touch packets to
    Services.
    """
    from svcc.verify.confirm.findings import Finding
    from svcc.verify.other_variant import has_service_chains, touching
    from svcc.verify.spec import codes
    from svcc.verify.spec.properties import REACHES

    say = note or _nobody
    subject, code = f"rules of {rules.beside_name}", codes.OUTSIDE_THE_MODEL
    for family, reason in rules.hidden.items():
        say(f"warning: {family.label}: {reason}")
        yield Finding(REACHES, subject, family, "undecided", None, reason, code)
    for family, item in rules.beside.items():
        what = touching(objects, settings, item.rules)
        if has_service_chains(item.rules):
            what = f"a service proxy's chains; {what}" if what else "a service proxy's chains"
        if what is None:
            continue
        reason = (
            f"{rules.beside_name} holds rules that can touch these packets, too ({what}), and "
            f"both are in force; only {rules.name} is judged"
        )
        say(
            f"warning: {family.label}: {reason}; remove what is not wanted, or judge it with "
            f"--iptables {rules.beside_name.removeprefix('iptables-')}"
        )
        yield Finding(REACHES, subject, family, "undecided", None, reason, code)
