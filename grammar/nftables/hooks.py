"""What the kernel takes in the chains of some hooks only, and in those that they lead to.

Sources: the ``validate`` of each expression (net/netfilter/nft_nat.c, nft_masq.c, nft_redir.c,
nft_reject.c, nft_reject_inet.c, nft_fib.c, nft_rt.c, nft_meta.c, nft_socket.c, nft_tproxy.c,
nft_synproxy.c, nft_osf.c, nft_xfrm.c, nft_flow_offload.c). It is asked for each way from a base
chain, with the type and hook of that chain (nf_tables_api.c, nft_chain_validate); what no base
chain leads to is not asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from svcc.grammar.nftables.program import (
    BaseChain,
    Hook,
    Nat,
    OtherStatement,
    Reject,
    SetField,
    Statement,
    TableFamily,
)
from svcc.grammar.nftables.walks import names_in

_INET: tuple[TableFamily, ...] = ("ip", "ip6", "inet")


@dataclass(frozen=True, slots=True)
class Bound:
    """``what`` stands in chains of these hooks; ``of_nat``: in those of type nat alone."""

    what: str
    hooks: tuple[Hook, ...]
    of_nat: bool = False

    def admits(self, base: BaseChain) -> bool:
        """Whether the kernel takes it where packets come from a base chain."""
        return base.hook in self.hooks and (base.type == "nat" or not self.of_nat)

    @property
    def where(self) -> str:
        """In which base chains, in words."""
        of = "type nat, hook" if self.of_nat else "hook"
        return f"{of} {' or '.join(self.hooks)}"


_ARRIVING: tuple[Hook, ...] = ("prerouting", "input", "forward")
_LEAVING: tuple[Hook, ...] = ("forward", "output", "postrouting")
_ALL: tuple[Hook, ...] = ("prerouting", "input", "forward", "output", "postrouting")

_OF_NAT = {
    "dnat": Bound("dnat", ("prerouting", "output"), of_nat=True),
    "redirect": Bound("redirect", ("prerouting", "output"), of_nat=True),
    "snat": Bound("snat", ("input", "postrouting"), of_nat=True),
    "masquerade": Bound("masquerade", ("postrouting",), of_nat=True),
}
_REJECT = Bound("reject", ("prerouting", "input", "forward", "output"))
_REJECT_INET = Bound("reject", (*_REJECT.hooks, "ingress"))
_OF_OTHERS: dict[str, tuple[Hook, ...]] = {
    "tproxy": ("prerouting",), "synproxy": ("input", "forward"), "osf": _ARRIVING,
    "flow": ("forward",), "ipsec in": _ARRIVING, "ipsec out": _LEAVING,
    "socket": ("prerouting", "input", "output"),
}  # fmt: skip
_PKTTYPE = Bound("meta pkttype set", ("prerouting",))


def bounds_of(statement: Statement, family: TableFamily) -> Iterator[Bound]:
    """What a statement asks of the base chains that lead to it.

    Packets of bridges and devices are no business of svcc: what stands there is not asked about.
    """
    if family not in _INET:
        return
    if isinstance(statement, Nat):
        yield _OF_NAT[statement.kind]
    elif isinstance(statement, Reject):
        yield _REJECT_INET if family == "inet" else _REJECT
    elif isinstance(statement, OtherStatement):
        words = statement.text.split()
        for start in (words[0], " ".join(words[:2])):
            if start in _OF_OTHERS:
                yield Bound(start, _OF_OTHERS[start])
    elif isinstance(statement, SetField) and statement.field.name == "meta pkttype":
        yield _PKTTYPE
    for name in names_in(statement):
        bound = _of_field(name)
        if bound is not None:
            yield bound


@lru_cache(maxsize=1 << 10)
def _of_field(name: str) -> Bound | None:
    start, *words = name.split()
    match start:
        case "fib":
            return Bound(name, _of_fib(frozenset(words[:-1]), words[-1]))
        case "rt" if words == ["mtu"]:
            return Bound(name, _LEAVING)
        case "socket":
            return Bound(name, _OF_OTHERS["socket"])
        case "meta" if words[-1] in ("secpath", "ipsec"):
            return Bound(name, _ARRIVING)
        case "meta" if words[-1] in ("sdif", "sdifname"):
            return Bound(name, ("input", "forward"))
        case _:
            return None


def _of_fib(keys: frozenset[str], result: str) -> tuple[Hook, ...]:
    if result != "type" or "iif" in keys:
        return _ARRIVING
    return _LEAVING if "oif" in keys else _ALL
