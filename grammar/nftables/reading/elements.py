"""Elements: of lists, and those that packets add to sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from svcc.grammar.nftables.datatypes import GUESSED, VERDICT, Datatype
from svcc.grammar.nftables.program import (
    AnyVerdict,
    DynamicSet,
    Element,
    Expression,
    Flags,
    Operation,
    Statement,
)
from svcc.grammar.nftables.reading.expressions import (
    Datatypes,
    start_of,
)
from svcc.grammar.nftables.reading.parts import Parts, SetTypes, SetUse, as_text
from svcc.grammar.nftables.reading.shapes import (
    Made,
    TextError,
    combined,
    fixed,
)
from svcc.grammar.nftables.times import read_time

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token]

_SetOperation = Literal["add", "update", "delete"]


def filling(parts: Parts, node: Node, sets: SetTypes) -> Made[Statement]:
    """``add|update|delete @SET { … }``, in the new and the old form.

    Raises:
        TextError: nft would not take it.
    """
    children = node.children
    if node.data == "dynamic":
        operation, reference, stored = children
    else:
        operation, stored, reference = children
    name = parts.holes.read(cast("Token", reference), lambda text: text[1:])
    key, *options = cast("list[Node]", cast("Node", stored).children)
    types = parts.of.types(key)
    known = sets.get(name.value)
    data_types = known[1] if known and known[1] else (GUESSED,)
    timeout: Made[int | None] = fixed(None)
    data: Made[Expression | AnyVerdict | None] = fixed(None)
    statements: list[Statement] = []
    for option in options:
        match option.data:
            case "timeout":
                timeout = parts.holes.read(cast("Token", option.children[0]), read_time)
            case "expires" | "counter" | "comment":
                pass
            case "limit" | "other":
                statements.append(as_text(option))
            case "plain_verdict" | "jump" | "goto":
                data = cast("Made[Expression | AnyVerdict | None]", parts.verdict(option))
            case _:
                data = cast(
                    "Made[Expression | AnyVerdict | None]", parts.assigned(option, data_types)
                )
    wanted = () if data.value is not None else None
    parts.fills(cast("Token", reference), SetUse(types, wanted, is_dynamic=True))
    kept = tuple(statements)

    def build(
        name: str, key: Expression, timeout: int | None, data: Expression | None
    ) -> DynamicSet:
        return DynamicSet(cast("_SetOperation", str(operation)), name, key, timeout, data, kept)

    return combined(build, name, parts.of.left(key), timeout, data)


def element(
    parts: Parts, tree: Node, keys: Datatypes, data: Datatypes | None, may_lack: bool
) -> Made[Element]:
    """An element of a list; ``may_lack``: it may be a key of a map without its data.

    Raises:
        TextError: nft would not take it.
    """
    key_node, *rest = cast("list[Node]", tree.children)
    if key_node.data == "either" or (key_node.data == "single" and keys[0].is_bitmask):
        key: Made[Expression] = _either(parts, key_node, keys[0])
    elif key_node.data == "anything":
        key = parts.of.general(key_node, keys)
    else:
        key = (
            parts.of.general(key_node, keys)
            if key_node.data == "concatenation"
            else (_single_key(parts, key_node, keys))
        )
    comment: Made[str | None] = fixed(None)
    timeout: Made[int | None] = fixed(None)
    expires: Made[int | None] = fixed(None)
    value: Made[Expression | AnyVerdict | None] = fixed(None)
    statements: list[Statement] = []
    for node in rest:
        match node.data:
            case "comment":
                comment = parts.comment(node)
            case "timeout":
                timeout = parts.holes.read(cast("Token", node.children[0]), read_time)
            case "expires":
                expires = parts.holes.read(cast("Token", node.children[0]), read_time)
            case "counter":
                pass
            case "limit" | "other":
                statements.append(as_text(node))
            case _:
                value = _data(parts, node, data)
    if data is not None and value.value is None and not may_lack:
        raise TextError(start_of(key_node), "an element of a map needs : DATA")
    kept = tuple(statements)
    if not kept and timeout.value is expires.value is None:
        return combined(Element, key, value, comment)
    return combined(
        lambda k, v, c, t, e: Element(k, v, c, t, kept, e),
        key,
        value,
        comment,
        timeout,
        expires,
    )


def _single_key(parts: Parts, node: Node, keys: Datatypes) -> Made[Expression]:
    if len(keys) > 1:
        wanted = " . ".join(datatype.name for datatype in keys)
        raise TextError(start_of(node), f"1 part where {wanted} is wanted")
    return parts.of.general(node, keys)


def _either(parts: Parts, node: Node, datatype: Datatype) -> Made[Expression]:
    """Bits of an element: all of them at once, unlike those of a comparison."""
    found = parts.of.flags(node, datatype)
    if not isinstance(found, Flags):
        return fixed(found)
    whole: Expression = found.members[0]
    for member in found.members[1:]:
        whole = Operation("|", whole, member)
    return fixed(whole)


def _data(parts: Parts, node: Node, data: Datatypes | None) -> Made[Expression | AnyVerdict | None]:
    if data is None:
        raise TextError(start_of(node), "an element of a set has no data; declare a map")
    if node.data in ("plain_verdict", "jump", "goto"):
        if data != (VERDICT,):
            raise TextError(start_of(node), f"a verdict where {data[0].name} is wanted")
        return cast("Made[Expression | AnyVerdict | None]", parts.verdict(node))
    if data == (VERDICT,):
        raise TextError(start_of(node), "a verdict is wanted, such as accept or goto CHAIN")
    if node.data != "concatenation":
        data = data[:1]
    return cast("Made[Expression | AnyVerdict | None]", parts.of.general(node, data))
