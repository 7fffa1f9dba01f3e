"""Expressions and values: from what lark found to the typed program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, cast

from svcc.grammar.address import Address
from svcc.grammar.nftables.datatypes import (
    BY_NAME,
    GUESSED,
    INET_SERVICE,
    IPV4_ADDR,
    IPV6_ADDR,
    Datatype,
    integer,
)
from svcc.grammar.nftables.fields import canonical, check_family, check_looked_at, datatype_of
from svcc.grammar.nftables.program import (
    AnonymousSet,
    Anything,
    Concatenation,
    Expression,
    Field,
    Flags,
    Jhash,
    MapLookup,
    Number,
    Numgen,
    Operation,
    Operator,
    SetReference,
    Symbol,
    TableFamily,
    Value,
)
from svcc.grammar.nftables.reading.shapes import Holes, Made, TextError, combined, fixed, together

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token]

Datatypes = tuple[Datatype, ...]
ReadBody = Callable[[str, Datatypes, Datatypes | None], AnonymousSet]
"""Reads ``{ … }`` with keys and data of given types."""

_OPERATORS: dict[str, Operator] = {
    "&": "&", "and": "&", "|": "|", "or": "|", "^": "^", "xor": "^", "<<": "<<", "lshift": "<<",
    ">>": ">>", "rshift": ">>",
}  # fmt: skip


def start_of(node: Node | Token) -> int:
    """Where a part of the text begins."""
    place = node.meta if hasattr(node, "meta") else node
    return getattr(place, "start_pos", None) or 0


class Expressions:
    """Makes expressions of one text; ``family`` is that of its table."""

    def __init__(self, holes: Holes, family: TableFamily, read_body: ReadBody) -> None:
        self._holes = holes
        self._family = family
        self._read_body = read_body

    # -- what is looked at ---------------------------------------------------------------

    def types(self, node: Node) -> Datatypes:
        """The type of each part of an expression.

        Raises:
            TextError: it has none.
        """
        match node.data:
            case "concatenation":
                return tuple(t for part in node.children for t in self.types(cast("Node", part)))
            case "field":
                return (field_type(cast("Token", node.children[0])),)
            case "operation":
                left = cast("Node", node.children[0])
                return self.types(left)
            case "numgen" | "jhash":
                return (integer(32),)
            case _:
                return (GUESSED,)

    def left(self, node: Node) -> Made[Expression]:
        """An expression whose values, if there are any, are of its own types."""
        if node.data == "operation":
            return self._operation(node, self.types(node)[0], is_left=True)
        return self.general(node, self.types(node))

    def general(self, node: Node, datatypes: Datatypes) -> Made[Expression]:
        """An expression for something of given types."""
        children = node.children
        match node.data:
            case "field":
                return self._field(cast("Token", children[0]))
            case "concatenation":
                return self._concatenation(node, datatypes)
            case "operation":
                return self._operation(node, datatypes[0])
            case "numgen":
                return self._numgen(node)
            case "jhash":
                return self._jhash(node)
            case "mapping":
                return self.mapping(node, datatypes)
            case "flags" | "either":
                return fixed(self.flags(node, datatypes[0]))
            case "elements":
                return self.elements(node, datatypes, None)
            case "bracketed":
                return self._holes.read(cast("Token", children[0]), IPV6_ADDR.read)
            case "anything":
                return fixed(Anything())
            case "classid":
                return fixed(Symbol(str(children[0])))
            case _:
                return self.item(node, datatypes[0])

    def _field(self, token: Token) -> Made[Expression]:
        name = canonical(str(token))
        try:
            check_family(name, self._family)
            check_looked_at(name)
            datatype_of(name)
        except ValueError as error:
            raise TextError(token.start_pos or 0, str(error)) from None
        return fixed(Field(name))

    def _concatenation(self, node: Node, datatypes: Datatypes) -> Made[Expression]:
        parts = cast("list[Node]", node.children)
        if datatypes == (GUESSED,):
            datatypes = (GUESSED,) * len(parts)
        if len(parts) != len(datatypes):
            wanted = " . ".join(datatype.name for datatype in datatypes)
            message = f"{len(parts)} parts where {wanted} is wanted"
            raise TextError(start_of(node), message)
        made = [self.general(part, (t,)) for part, t in zip(parts, datatypes, strict=True)]
        return combined(Concatenation, together(made))

    def _operation(
        self, node: Node, datatype: Datatype, *, is_left: bool = False
    ) -> Made[Expression]:
        left, operator, right = node.children
        sign = _OPERATORS[str(operator)]
        made_left = self.general(cast("Node", left), (datatype,))
        shifted = integer(32) if sign in ("<<", ">>") else datatype
        if sign == "&" and datatype.is_bitmask:
            mask: Made[Expression] = fixed(self.flags(cast("Node", right), datatype))
            return combined(lambda a, b: Operation(sign, a, b), made_left, mask)
        if is_left and getattr(right, "data", "") == "field":
            # Only a mark that is set is calculated from two fields.
            raise TextError(start_of(cast("Node", right)), "a number is wanted here, no field")
        made_right = self.general(cast("Node", right), (shifted,))
        return combined(lambda a, b: Operation(sign, a, b), made_left, made_right)

    def _numgen(self, node: Node) -> Made[Expression]:
        kind: Literal["random", "inc"] = "random" if str(node.children[0]) == "random" else "inc"
        modulus = self._holes.read(cast("Token", node.children[1]), _modulus)
        offset = self._option(node, "offset") or fixed(0)
        return combined(lambda m, o: Numgen(kind, m, o), modulus, offset)

    def _jhash(self, node: Node) -> Made[Expression]:
        of = self.left(cast("Node", node.children[0]))
        modulus = self._holes.read(cast("Token", node.children[1]), _modulus)
        seed: Made[int | None] = self._option(node, "seed") or fixed(None)
        return combined(Jhash, of, modulus, seed, self._option(node, "offset") or fixed(0))

    def _option(self, node: Node, name: str) -> Made[int] | None:
        for child in node.children[1:]:
            if getattr(child, "data", "") == name:
                token = cast("Token", cast("Node", child).children[0])
                return self._holes.read(token, _number_of_32_bits)
        return None

    def mapping(self, node: Node, datatypes: Datatypes) -> Made[Expression]:
        """``KEY map ELEMENTS``, where data of given types is wanted."""
        key, elements = cast("list[Node]", node.children)
        made = self.elements(elements, self.types(key), datatypes)
        return combined(MapLookup, self.left(key), made)

    def elements(
        self, node: Node, keys: Datatypes, data: Datatypes | None
    ) -> Made[AnonymousSet | SetReference]:
        """``@NAME`` or ``{ … }``."""
        token = cast("Token", node.children[0])
        if token.type == "SET_REFERENCE":
            return self._holes.read(token, _reference)
        return self._holes.read(token, lambda text: self._read_body(text, keys, data))

    # -- values --------------------------------------------------------------------------

    def item(self, node: Node, datatype: Datatype) -> Made[Expression]:
        """A value, a block or a range.

        Raises:
            TextError: it is none of the type.
        """
        children = cast("list[Token]", node.children)
        match node.data:
            case "single":
                return self._holes.read(children[0], _reader(datatype, children[0]))
            case "prefix":
                return self._holes.read(children[0], _block_reader(datatype, str(children[0])))
            case "range":
                return self._range(node, datatype)
            case _:
                raise TextError(start_of(node), f"{datatype.name} cannot be this")

    def _range(self, node: Node, datatype: Datatype) -> Made[Expression]:
        tokens = [cast("Token", cast("Node", child).children[0]) for child in node.children]
        texts = [self._holes.read(token, str) for token in tokens]
        of = _guess(tokens[0]) if datatype is GUESSED else datatype
        try:
            return combined(of.read_range, *texts)
        except ValueError as error:
            raise TextError(start_of(node), str(error)) from None

    def flags(self, node: Node, datatype: Datatype) -> Expression:
        """``a,b`` or ``a | b``: bits in their order, each once.

        Raises:
            TextError: the type is none of bits.
        """
        names = _leaves(node)
        if len(names) > 1 and not datatype.is_bitmask:
            raise TextError(start_of(node), f"{datatype.name} is no set of bits; write {{ … }}")
        read: list[Value] = []
        for name in names:
            token = cast("Token", name.children[0])
            read.append(Holes("").read(token, datatype.read).value)
        return bits(datatype, read)


def field_type(token: Token) -> Datatype:
    """The type of a field, however it is spelled.

    Raises:
        TextError: there is no such field.
    """
    try:
        return datatype_of(canonical(str(token)))
    except ValueError as error:
        raise TextError(token.start_pos or 0, str(error)) from None


def bits(datatype: Datatype, values: Sequence[Value]) -> Expression:
    """Values of a type of bits, all together, as nft lists them."""
    whole = 0
    for value in values:
        number = datatype.number(value)
        if number is None:
            return values[0] if len(values) == 1 else Flags(tuple(values))
        whole |= number
    known = sorted((n, name) for name, n in datatype.symbols.items() if n & whole)
    if sum(n for n, _ in known) != whole or not known:
        return values[0] if len(values) == 1 else Number(whole, hexadecimal=True)
    found = tuple(Symbol(name) for _, name in known)
    return found[0] if len(found) == 1 else Flags(found)


def _leaves(node: Node) -> list[Node]:
    """The values that are combined by ``,`` or ``|``.

    Raises:
        TextError: something else is among them.
    """
    match node.data:
        case "single":
            return [node]
        case "flags" | "either":
            parts = [part for part in node.children if hasattr(part, "data")]
        case "operation" if _OPERATORS[str(node.children[1])] == "|":
            parts = [node.children[0], node.children[2]]
        case _:
            raise TextError(start_of(node), "names of bits are wanted here, such as a | b")
    return [leaf for part in parts for leaf in _leaves(cast("Node", part))]


def _modulus(text: str) -> int:
    value = _number_of_32_bits(text)
    if not value:
        raise ValueError("a modulus is at least 1")
    return value


def _number_of_32_bits(text: str) -> int:
    value = integer(32).read(text)
    assert isinstance(value, Number)
    return value.value


def _reference(text: str) -> SetReference:
    return SetReference(text[1:])


def _guess(token: Token) -> Datatype:
    match token.type:
        case "IPV4":
            return IPV4_ADDR
        case "IPV6":
            return IPV6_ADDR
        case "NUMBER":
            return integer(64)
        case "QUOTED":
            return BY_NAME["string"]
        case _:
            return GUESSED


def _reader(datatype: Datatype, token: Token) -> Callable[[str], Value]:
    return (_guess(token) if datatype is GUESSED else datatype).read


def _block_reader(datatype: Datatype, text: str) -> Callable[[str], Expression]:
    if datatype is GUESSED:
        datatype = IPV6_ADDR if ":" in text else IPV4_ADDR
    return datatype.read_block


def translated_types(family: TableFamily, written: str | None) -> Datatypes:
    """What ``dnat to`` and the like take: an address and a port."""
    of = written or family
    address = {"ip": IPV4_ADDR, "ip6": IPV6_ADDR}.get(of, GUESSED)
    return (address, INET_SERVICE)


def is_of_family(expression: Expression, family: str) -> bool:
    """Whether an address may be what a translation of a family writes."""
    return not isinstance(expression, Address) or (expression.family.bits == 32) == (family == "ip")
