"""What a violation is due to."""

from __future__ import annotations

from dataclasses import dataclass

DUMMY_DEVICE = "dummy device"
"""What the addresses of virtual servers are bound to."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A rule, virtual server, real server, entry of a set or address that is at fault, or missing.

    ``text`` is what is at fault as the tool prints it; empty where something is missing.
    """

    file: str
    """As it was given; empty where nothing was read."""
    line: int
    """1-based; 0 where it has none. Of what is missing: what it should stand behind."""
    table: str
    """Of iptables; empty for others."""
    chain: str
    """The chain; or the virtual server (``-t 10.96.0.1:443``), the set, the device."""
    text: str
    missing: str = ""
    """What is missing there, in words."""
    behind: str = ""
    """The rule that it should stand behind; empty: at the beginning."""
    remedy: str = ""
    """With which change the packet sees what it must; empty: none was found, the rule decides."""
    effect: str = ""
    """What the rule did to the packet; empty: nothing."""

    @property
    def key(self) -> tuple[object, ...]:
        """What findings of one cause share."""
        return self.file, self.line, self.table, self.chain, self.text, self.missing

    def words(self) -> str:
        """As a line: the place, and what is wrong there."""
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " * bool(self.file)
        where = f"{self.table} " if self.table else ""
        if not self.missing:
            return f"{place}{where}{self.text}" + (f"  [{self.remedy}]" if self.remedy else "")
        stands = f", behind {self.behind}" if self.behind else ""
        return f"{place}{where}{self.chain} lacks {self.missing}{stands}"
