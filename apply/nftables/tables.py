"""Tables of nftables that packets pass besides the rules of iptables.

svcc does not read what is in them. It is told from their base chains alone whether they can touch
packets: a chain at a hook that has rules, or a policy that drops. Source: nft(8),
libnftables-json(5), include/uapi/linux/netfilter.h.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from svcc.apply.system.errors import ToolError
from svcc.apply.system.tools import Tools, find_tool
from svcc.grammar.address import Family
from svcc.grammar.iptables.names import BUILT_IN_CHAINS

_FAMILIES = {
    "ip": (Family.IPV4,),
    "ip6": (Family.IPV6,),
    "inet": (Family.IPV4, Family.IPV6),
    "netdev": (Family.IPV4, Family.IPV6),
    "bridge": (Family.IPV4, Family.IPV6),
}
"""Whose packets pass the tables of a family; arp has none of either."""
_KUBE_PROXY = "kube-proxy"
_NOT_SUPPORTED = "not supported"


@dataclass(frozen=True, slots=True)
class NftTable:
    """A table of nftables with base chains that can touch packets; ``family`` as nft calls it."""

    family: str
    name: str

    @property
    def is_kube_proxys(self) -> bool:
        """Whether it is what kube-proxy writes in nftables mode (pkg/proxy/nftables)."""
        return self.name == _KUBE_PROXY and self.family in ("ip", "ip6")

    @property
    def command(self) -> str:
        """What prints it."""
        return f"nft list table {self.family} {self.name}"

    def sees(self, family: Family) -> bool:
        """Whether packets of an IP family pass it."""
        return family in _FAMILIES.get(self.family, ())

    def __str__(self) -> str:
        shown = f"table {self.family} {self.name}"
        return f"{shown} of kube-proxy's nftables mode" if self.is_kube_proxys else shown


def nft_tables(tools: Tools) -> tuple[NftTable, ...]:
    """The tables of this network namespace that can touch packets; none if nft is not installed.

    Raises:
        ToolError: nft fails.
    """
    path = find_tool("nft")
    if path is None:
        return ()

    def printed(*arguments: str) -> str:
        result = tools.run([path, "-j", "list", *arguments])
        if result.code:
            raise ToolError(f"nft list {' '.join(arguments)}: {' '.join(result.error.split())}")
        return result.output

    def has_rules(family: str, table: str, chain: str) -> bool:
        return any(kind == "rule" for kind, _ in _objects(printed("chain", family, table, chain)))

    try:
        chains = printed("chains")
    except ToolError as error:
        if _NOT_SUPPORTED in str(error):
            # A kernel without nf_tables.
            return ()
        raise
    return touching_tables(chains, has_rules)


def listing(tools: Tools) -> str:
    """All tables, as nft prints them.

    Raises:
        ToolError: nft is not installed or fails.
    """
    path = find_tool("nft")
    if path is None:
        raise ToolError("nft is not installed")
    result = tools.run([path, "list", "ruleset"])
    if result.code:
        raise ToolError(f"nft list ruleset: {' '.join(result.error.split())}")
    return result.output


def touching_tables(
    chains: str, has_rules: Callable[[str, str, str], bool]
) -> tuple[NftTable, ...]:
    """The tables that can touch packets.

    Args:
        chains: what ``nft -j list chains`` prints.
        has_rules: of family, table and chain, whether there is any rule.

    Raises:
        ToolError: that is not what nft prints.
    """
    found = [item for kind, item in _objects(chains) if kind == "chain"]
    tables: dict[NftTable, None] = {}
    for chain in found:
        table = NftTable(chain["family"], chain["table"])
        if table in tables or not chain.get("hook") or _is_of_iptables(chain):
            continue
        if table.family not in _FAMILIES:
            continue
        if (
            table.is_kube_proxys
            or chain.get("policy") == "drop"
            or has_rules(table.family, table.name, chain["name"])
        ):
            tables[table] = None
    return tuple(sorted(tables, key=lambda table: (table.family, table.name)))


def _is_of_iptables(chain: dict[str, Any]) -> bool:
    """Whether iptables-nft made the chain, and iptables-save prints it."""
    return chain["family"] in ("ip", "ip6") and chain["name"] in BUILT_IN_CHAINS.get(
        chain["table"], ()
    )


def _objects(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a listing holds, each with its kind.

    Raises:
        ToolError: that is not what nft prints.
    """
    try:
        for item in json.loads(text)["nftables"]:
            yield from item.items()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ToolError("nft -j list: it printed something that is not understood") from None


def of_family(tables: Iterable[NftTable], family: Family) -> Iterator[NftTable]:
    """The tables that packets of an IP family pass."""
    return (table for table in tables if table.sees(family))
