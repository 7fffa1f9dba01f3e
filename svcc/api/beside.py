"""What is in force in this network namespace beside the rules of one iptables variant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svcc.apply.iptables.tool import Iptables
    from svcc.apply.nftables.tables import NftTable
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Family
    from svcc.verify.prepare.loaded import LoadedRules
    from svcc.verify.slicing.box import Box


@dataclass(frozen=True, slots=True)
class Beside:
    """What packets must get through as well.

    ``name`` is the other variant of iptables, empty where it is not installed; ``loaded`` are its
    rules, and ``hidden`` says why those of a family cannot be shown. ``tables`` are those of
    nftables that no iptables prints, and ``unread`` says why they could not be listed.
    """

    name: str = ""
    loaded: Mapping[Family, LoadedRules] = field(default_factory=dict)
    hidden: Mapping[Family, str] = field(default_factory=dict)
    tables: tuple[NftTable, ...] = ()
    unread: str = ""

    def doubts(
        self,
        objects: Objects,
        settings: NodeSettings,
        family: Family,
        places: Iterable[Box] | None = None,
    ) -> list[str]:
        """What may touch packets to frontends, or to some ``places``, and what shows it."""
        from svcc.apply.nftables.tables import of_family
        from svcc.verify.other_variant import has_service_chains, touching

        found = [self.hidden[family]] if family in self.hidden else []
        found += [f"tables of nftables may be in force, too: {self.unread}"] * bool(self.unread)
        if family in self.loaded:
            item = self.loaded[family]
            what = touching(objects, settings, item.rules, places)
            if has_service_chains(item.rules) and (what is not None or places is None):
                what = f"a service proxy's chains; {what}" if what else "a service proxy's chains"
            if what is not None:
                found.append(
                    f"{self.name} holds rules that can touch these packets, too ({what}), and "
                    f"both are in force; {item.source} prints them"
                )
        found += [
            f"{table} is in force, too, and is not judged here; {table.command} prints it"
            for table in of_family(self.tables, family)
        ]
        return found

    def table_of_kube_proxy(self, family: Family) -> NftTable | None:
        """The table of kube-proxy's nftables mode."""
        from svcc.apply.nftables.tables import of_family

        return next((t for t in of_family(self.tables, family) if t.is_kube_proxys), None)


def tables_beside(tools: Iptables) -> tuple[tuple[NftTable, ...], str]:
    """The tables of nftables that can touch packets, and why they could not be listed."""
    from svcc.apply.nftables.tables import nft_tables
    from svcc.apply.system.errors import ToolError

    try:
        return nft_tables(tools), ""
    except ToolError as error:
        return (), str(error)
