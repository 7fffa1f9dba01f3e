"""What an apply in nftables mode does."""

from __future__ import annotations

from dataclasses import dataclass

from svcc.apply.nftables.delta import Delta, replacement
from svcc.apply.nftables.udp_reach import TableReach
from svcc.apply.system import conntrack
from svcc.apply.system.conntrack import Endpoint, Flow
from svcc.apply.system.errors import ToolError
from svcc.apply.system.tools import Tools, call
from svcc.grammar.address import Family
from svcc.grammar.nftables.program import Ruleset


@dataclass(frozen=True, slots=True)
class Transact:
    """Give nft one transaction: the kernel takes all of it or nothing.

    Otherwise the tables are made anew (``whole``), for the changes that nft will not see in
    tables that are there: 1.0.6 reads ``th`` in a map's ``typeof`` as something else than in a
    rule that is added later ("conflicting protocols specified: ip vs. th").
    """

    delta: Delta
    current: Ruleset
    wanted: Ruleset

    @property
    def whole(self) -> Delta:
        """The change with every table made anew."""
        return replacement(self.current, self.wanted)

    def describe(self) -> str:
        """One line for the person at the terminal."""
        return self.delta.describe()

    def text(self) -> str:
        """The input of ``nft -f``."""
        return self.delta.script

    def run(self, tools: Tools) -> None:
        """Load it.

        Raises:
            ToolError: nft is not installed or refuses; nothing was changed.
        """
        result = call(tools, "nft", ["-f", "-"], self.delta.script)
        if result.code and (whole := self.whole.script) != self.delta.script:
            result = call(tools, "nft", ["-f", "-"], whole)
        if result.code:
            lines = result.error.strip().splitlines()
            raise ToolError(f"nft refuses the rules: {lines[0] if lines else 'without a reason'}")


@dataclass(frozen=True, slots=True)
class ReleaseTranslated:
    """Delete UDP flows that the tables would no longer make."""

    family: Family
    before: TableReach
    now: TableReach

    def describe(self) -> str:
        """One line for the person at the terminal."""
        return f"{self.family.label} conntrack: UDP flows of changed frontends released"

    def run(self, tools: Tools) -> int:
        """Delete them; how many kinds of flows there were.

        Raises:
            ToolError: conntrack(8) is not installed or not allowed.
        """
        stale: list[Flow] = []
        known: dict[Endpoint, tuple[frozenset[Endpoint], frozenset[Endpoint]]] = {}
        for flow in conntrack.udp_flows(tools, self.family):
            if flow.destination not in known:
                local = conntrack.is_local(self.family, flow.destination[0])
                known[flow.destination] = (
                    self.before.backends(flow.destination, local=local),
                    self.now.backends(flow.destination, local=local),
                )
            old, new = known[flow.destination]
            # With nobody to serve it now, a flow is ours to delete only if we had sent it there.
            if flow.answering not in new and (new or flow.answering in old):
                stale.append(flow)
        for flow in stale:
            conntrack.delete(tools, self.family, flow)
        return len(stale)


TableStep = Transact | ReleaseTranslated
