"""Translations: what ``dnat``, ``snat``, ``masquerade`` and ``redirect`` write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from svcc.grammar.address import Network
from svcc.grammar.nftables.datatypes import INET_SERVICE
from svcc.grammar.nftables.program import (
    Expression,
    Nat,
    Number,
    Range,
    Statement,
)
from svcc.grammar.nftables.reading.expressions import (
    start_of,
    translated_types,
)
from svcc.grammar.nftables.reading.parts import Parts
from svcc.grammar.nftables.reading.shapes import (
    Made,
    TextError,
    combined,
    fixed,
)

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token]

_NatKind = Literal["dnat", "snat", "masquerade", "redirect"]
_NatFamily = Literal["ip", "ip6"] | None
_NAT_FLAGS = ("random", "fully-random", "persistent")


def translation(parts: Parts, node: Node, header: str | None) -> Made[Statement]:
    """A translation; ``header``: the family of the packets, where the rule has told it.

    Raises:
        TextError: nft would not take it.
    """
    kind, written, with_port = "", None, False
    flags: tuple[str, ...] = ()
    target: Node | None = None
    for child in node.children:
        token_type = getattr(child, "type", "")
        if token_type == "NAT_KIND":
            kind = str(child)
        elif token_type == "NAT_FAMILY":
            written = "ip" if str(child) == "ip" else "ip6"
        elif token_type == "ADDRESS_AND_PORT":
            with_port = str(child).startswith("addr")
            if not with_port:
                message = f"dnat {child} is not known to svcc; write a map of addresses"
                raise TextError(cast("Token", child).start_pos or 0, message)
        elif cast("Node", child).data == "nat_flags":
            given = {str(token) for token in cast("Node", child).children}
            flags = tuple(flag for flag in _NAT_FLAGS if flag in given)
        else:
            target = cast("Node", child)
    if parts.family == "inet" and written is None and kind in ("dnat", "snat"):
        with_address = target and cast("Node", target.children[0]).data == "nat_address"
        written = header if with_address else None
        if with_address and written is None:
            message = f"in an inet table write {kind} ip to or {kind} ip6 to"
            raise TextError(start_of(node), message)
    address, port = _nat_target(parts, node, target, kind, written)

    def build(address: Expression | None, port: Expression | None) -> Nat:
        return Nat(cast("_NatKind", kind), cast("_NatFamily", written), address, port, flags,
                   with_port)  # fmt: skip

    return combined(build, address, port)


def _nat_target(
    parts: Parts, node: Node, target: Node | None, kind: str, written: str | None
) -> tuple[Made[Expression | None], Made[Expression | None]]:
    none: Made[Expression | None] = fixed(None)
    if target is None:
        if kind in ("dnat", "snat"):
            raise TextError(start_of(node), f"{kind} to what? write {kind} to ADDRESS")
        return none, none
    given = cast("list[Node]", target.children)
    types = translated_types(parts.family, written)
    if kind in ("masquerade", "redirect"):
        if len(given) == 2:
            raise TextError(start_of(target), f"{kind} to takes a port; write {kind} to :PORT")
        return none, _port(parts, given[0])
    if given[0].data == "nat_port":
        return none, _port(parts, given[0])
    port = _port(parts, given[1]) if len(given) == 2 else none
    inner = cast("Node", given[0].children[0])
    if inner.data == "mapping":
        parts.use(
            cast("Node", inner.children[1]),
            parts.of.types(cast("Node", inner.children[0])),
            types,
        )
        address = parts.of.mapping(inner, types)
    else:
        address = parts.of.general(inner, types[:1])
    if isinstance(address.value, Network):
        raise TextError(start_of(inner), "a block of addresses; write FIRST-LAST")
    return cast("Made[Expression | None]", address), port


def _port(parts: Parts, node: Node) -> Made[Expression | None]:
    inner = cast("Node", node.children[0])
    made = parts.assigned(inner, (INET_SERVICE,))
    if isinstance(made.value, Number | Range) or inner.data == "mapping":
        return cast("Made[Expression | None]", made)
    raise TextError(start_of(inner), "this is no port; write a number")
