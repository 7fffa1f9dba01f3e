"""Running iptables-save and iptables-restore of one variant."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from svcc.apply.system.errors import ToolError, UnreadableTableError
from svcc.apply.system.tools import (
    Result,
    Runner,
    call,
    find_tool,
    how_it_ended,
    is_installed,
    offending_line,
    run_tool,
)
from svcc.grammar.address import Family

Variant = Literal["legacy", "nft"]

_PREFIX = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_LEGACY_TABLES = {
    Family.IPV4: Path("/proc/thread-self/net/ip_tables_names"),
    Family.IPV6: Path("/proc/thread-self/net/ip6_tables_names"),
}
_INCOMPATIBLE = re.compile(r"^# Table `(\w+)' is incompatible", re.MULTILINE)
_NFT_FAMILY = {Family.IPV4: "ip", Family.IPV6: "ip6"}
_WAIT_FOREVER = 1 << 30


class Iptables:
    """The save and restore tools of both families.

    ``variant`` None: what ``iptables`` and ``ip6tables`` on PATH are. ``keep_open`` lists
    descriptors that every tool inherits (see :mod:`svcc.apply.system.lock`).
    """

    def __init__(self, variant: Variant | None = None, *, run: Runner = run_tool) -> None:
        self.variant = variant
        self.keep_open: tuple[int, ...] = ()
        self._run = run
        self._kind: Variant | None = None

    def run(self, arguments: Sequence[str], text: str | None = None) -> Result:
        """Run any tool as the others are run."""
        return self._run(arguments, text, self.keep_open)

    def name(self, family: Family, action: Literal["save", "restore"]) -> str:
        """``iptables-save``, ``ip6tables-legacy-restore``, …"""
        parts = [_PREFIX[family], self.variant, action]
        return "-".join(part for part in parts if part)

    @property
    def kind(self) -> Variant | None:
        """The variant in use; None if iptables is not installed."""
        if self.variant is None and self._kind is None:
            path = find_tool(self.name(Family.IPV4, "save"))
            if path is not None:
                version = self.run([path, "--version"]).output
                self._kind = "nft" if "nf_tables" in version else "legacy"
        return self.variant or self._kind

    def save(self, family: Family, tables: Sequence[str]) -> dict[str, str]:
        """Tables by name, as iptables-save prints them; empty text where nft has none.

        Raises:
            ToolError: the tool is missing or failed.
            UnreadableTableError: one of the tables has rules that nft(8) made.
        """
        if self.kind == "nft":
            # iptables-nft-save fetches the rules of all tables however many it prints.
            sections = _sections(self._printed(family, tables))
            return {table: sections.get(table, "") for table in tables}
        # Reading a legacy table creates it, and mangle is used in ipvs mode only.
        existing = self._legacy_tables(family)
        wanted = [table for table in tables if table != "mangle" or table in existing]
        if set(wanted) <= set(existing):
            texts = _sections(self._call(family, "save", [], None).output)
        else:
            texts = {t: self._call(family, "save", ["-t", t], None).output for t in wanted}
        return {table: texts.get(table, "") for table in tables}

    def save_all(self, family: Family) -> str:
        """Every table that there is, as iptables-save prints it; none is made by asking.

        Raises:
            ToolError: the tool is missing or failed.
            UnreadableTableError: one of the tables has rules that nft(8) made.
        """
        return self._printed(family, None)

    def _printed(self, family: Family, tables: Sequence[str] | None) -> str:
        """What iptables-save prints; of ``tables`` (None: of all) nothing may be hidden."""
        output = self._call(family, "save", [], None).output
        for table in _INCOMPATIBLE.findall(output):
            if tables is None or table in tables:
                raise UnreadableTableError(
                    f"{self.name(family, 'save')} cannot print table {table}, which has rules "
                    f"made with nft(8) (nft list table {_NFT_FAMILY[family]} {table} shows "
                    "them); move those to a table of another name"
                )
        return output

    def restore(self, family: Family, script: str, wait: float | None) -> None:
        """Feed a script to iptables-restore: all of it is loaded, or nothing.

        Args:
            family: whose tool.
            script: one table, ``*NAME`` to ``COMMIT``.
            wait: seconds to wait for the xtables lock, None without limit.

        Raises:
            ToolError: the tool is missing or refused the script.
        """
        seconds = _WAIT_FOREVER if wait is None else math.ceil(max(wait, 0))
        self._call(family, "restore", ["--noflush", f"--wait={seconds}"], script)

    def other_variant(self) -> Iptables | None:
        """The tools that this object does not use, None if they are not installed."""
        if self.kind is None:
            return None
        other = Iptables("legacy" if self.kind == "nft" else "nft", run=self._run)
        other.keep_open = self.keep_open
        return other if is_installed(other.name(Family.IPV4, "save")) else None

    def may_hold_rules(self, family: Family) -> bool:
        """False if the kernel has no table of this variant in this namespace.

        Reading a legacy table creates it, so the question is put to /proc first, which answers
        root and root's group only.
        """
        if self.variant != "legacy":
            return True
        try:
            return bool(_LEGACY_TABLES[family].read_text().split())
        except PermissionError:
            return True
        except OSError:
            return False

    def _legacy_tables(self, family: Family) -> list[str]:
        try:
            return _LEGACY_TABLES[family].read_text().split()
        except OSError:
            return []

    def _call(
        self,
        family: Family,
        action: Literal["save", "restore"],
        arguments: list[str],
        text: str | None,
    ) -> Result:
        name = self.name(family, action)
        result = call(self, name, arguments, text)
        if result.code:
            raise ToolError(_failure(name, arguments, result, text))
        return result


def chosen(variant: Variant | None, *, run: Runner = run_tool) -> Iptables:
    """The tools to use: what is asked for, else what ``iptables`` is, if the kernel has that.

    A kernel may be without nf_tables of a family while iptables is iptables-nft. That shows
    only when a table is made, so one is made in a namespace that is gone afterwards.
    """
    tools = Iptables(variant, run=run)
    unshare = find_tool("unshare")
    restore = find_tool(tools.name(Family.IPV4, "restore"))
    if variant is not None or tools.kind != "nft" or unshare is None or restore is None:
        return tools
    result = tools.run([unshare, "--net", restore], f"*nat\n:{_PROBE} - [0:0]\nCOMMIT\n")
    legacy = Iptables("legacy", run=run)
    is_there = is_installed(legacy.name(Family.IPV4, "restore"))
    return legacy if result.code and _NOT_SUPPORTED in result.error and is_there else tools


_PROBE = "SVCC-PROBE"
_NOT_SUPPORTED = "Operation not supported"


def _sections(text: str) -> dict[str, str]:
    """The text of each table, behind ``*NAME``."""
    sections = ("\n" + text).split("\n*")[1:]
    return {section.split("\n", 1)[0]: section.split("\n", 1)[-1] for section in sections}


def _failure(name: str, arguments: list[str], result: Result, text: str | None) -> str:
    reason = " ".join(line.strip() for line in result.error.splitlines() if _tells(line))
    message = f"{' '.join([name, *arguments])} failed ({how_it_ended(result)})"
    if reason:
        message += f": {reason}"
    if text is not None and (line := offending_line(result.error, text)):
        message += f" [{line}]"
    return message


def _tells(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("Try `", "# Warning:"))
