"""Statements, rules and elements: from what lark found to the typed program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from svcc.grammar.address import Address, Network
from svcc.grammar.nftables import symbols
from svcc.grammar.nftables.datatypes import GUESSED, INET_SERVICE, VERDICT, Datatype
from svcc.grammar.nftables.fields import canonical, check_family
from svcc.grammar.nftables.program import (
    MAX_COMMENT,
    AnonymousSet,
    AnyVerdict,
    Comparison,
    Concatenation,
    Counter,
    DynamicSet,
    Element,
    Expression,
    Field,
    Flags,
    Goto,
    Jump,
    Limit,
    Log,
    Match,
    Nat,
    Notrack,
    Number,
    Operation,
    OtherStatement,
    Range,
    Reject,
    SetField,
    SetReference,
    Statement,
    Symbol,
    TableFamily,
    Verdict,
    VerdictMap,
)
from svcc.grammar.nftables.reading.expressions import (
    Datatypes,
    Expressions,
    ReadBody,
    field_type,
    start_of,
    translated_types,
)
from svcc.grammar.nftables.reading.shapes import (
    Holes,
    Made,
    TextError,
    combined,
    fixed,
    holes_of,
    together,
    tree_of,
)
from svcc.grammar.nftables.times import read_time

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token]

_Verdict = Literal["accept", "drop", "continue", "return"]
_NatKind = Literal["dnat", "snat", "masquerade", "redirect"]
_NatFamily = Literal["ip", "ip6"] | None
_SetOperation = Literal["add", "update", "delete"]

_COMPARISONS: dict[str, Comparison] = {
    "==": "==", "eq": "==", "!=": "!=", "ne": "!=", "<": "<", "lt": "<", ">": ">", "gt": ">",
    "<=": "<=", "le": "<=", ">=": ">=", "ge": ">=",
}  # fmt: skip
_DEFAULT_REJECTS = {"ip": "icmp port-unreachable", "ip6": "icmpv6 port-unreachable",
                    "inet": "icmpx port-unreachable"}  # fmt: skip
_REJECT_CODES = {"icmp": symbols.ICMP_CODE, "icmpv6": symbols.ICMPV6_CODE,
                 "icmpx": symbols.ICMPX_CODE}  # fmt: skip
_ENDS = ("queue", "fwd", "tproxy")
_NAT_FLAGS = ("random", "fully-random", "persistent")

SetTypes = Mapping[str, tuple[Datatypes, Datatypes | None]]
"""Sets and maps that are known so far: types of their keys and data."""


@dataclass(slots=True, frozen=True)
class SetUse:
    """How a text uses a named set: its keys' types, and those of the data wanted of a map.

    ``data`` empty: any data. ``is_dynamic``: elements are added by packets.
    """

    keys: Datatypes
    data: Datatypes | None
    is_dynamic: bool = False


@dataclass(slots=True)
class Shape:
    """What texts of one shape have in common beside the object."""

    holes: Holes
    tokens: list[Token]
    sets: list[tuple[int, SetUse]] = field(default_factory=list)
    """Which values are names of sets, and how those are used."""


RuleParts = tuple[tuple[Statement, ...], str | None]


class _Reader:
    def __init__(
        self, holes: Holes, shape: Shape, family: TableFamily, read_body: ReadBody, sets: SetTypes
    ) -> None:
        self._holes = holes
        self._shape = shape
        self._family = family
        self._sets = sets
        self._of = Expressions(holes, family, read_body)
        self._header: str | None = None

    def rule(self, tree: Node) -> Made[RuleParts]:
        statements: list[Made[Statement]] = []
        comment: Made[str | None] = fixed(None)
        ended = ""
        for node in cast("list[Node]", tree.children):
            if node.data == "comment":
                comment = self._comment(node)
                continue
            if ended:
                message = f"this has no effect after {ended}, which ends the rule; remove it"
                raise TextError(start_of(node), message)
            made = self.statement(node)
            statements.append(made)
            self._header = _header(made.value) or self._header
            ended = _ending(made.value)
        if not statements and comment.value is None:
            raise TextError(0, "a rule without statements")
        return combined(_pair, together(statements), comment)

    def statement(self, node: Node) -> Made[Statement]:
        children = cast("list[Node]", node.children)
        match node.data:
            case "plain_verdict" | "jump" | "goto":
                return cast("Made[Statement]", self.verdict(node))
            case "match":
                return self._match(children[0], "==", children[1], is_written=False)
            case "compared":
                operator = _COMPARISONS[str(children[1])]
                return self._match(children[0], operator, children[2], is_written=True)
            case "without":
                return self._without(children[0], children[2])
            case "verdict_map":
                key, elements = children
                made = self._elements(elements, self._of.types(key), (VERDICT,))
                return combined(VerdictMap, self._of.left(key), made)
            case "nat":
                return self._nat(node)
            case "reject":
                return fixed(self._reject(node))
            case "set_field":
                return self._set_field(node)
            case "dynamic" | "old_dynamic":
                return self._dynamic(node)
            case "notrack":
                return fixed(Notrack())
            case "counter":
                return self._counter(node)
            case _:
                return fixed(_as_text(node))

    def verdict(self, node: Node) -> Made[AnyVerdict]:
        token = cast("Token", node.children[0])
        match node.data:
            case "jump":
                return self._holes.read(token, Jump)
            case "goto":
                return self._holes.read(token, Goto)
            case _:
                return fixed(Verdict(cast("_Verdict", str(token))))

    def _comment(self, node: Node) -> Made[str | None]:
        return self._holes.read(cast("Token", node.children[0]), _comment)

    def _counter(self, node: Node) -> Made[Statement]:
        numbers = [self._holes.read(cast("Token", t), int) for t in node.children]
        return combined(Counter, *numbers)

    def _elements(
        self, node: Node, keys: Datatypes, data: Datatypes | None
    ) -> Made[AnonymousSet | SetReference]:
        token = cast("Token", node.children[0])
        if token.type == "SET_REFERENCE":
            index = self._holes.by_offset[token.start_pos or 0]
            self._shape.sets.append((index, SetUse(keys, data)))
        return self._of.elements(node, keys, data)

    def _match(
        self, left: Node, operator: Comparison, right: Node, *, is_written: bool
    ) -> Made[Statement]:
        types = self._of.types(left)
        made_left = self._of.left(left)
        if right.data == "masked":
            return self._masked(left, operator, right)
        if right.data == "elements":
            if operator not in ("==", "!="):
                message = f"{operator} is for one value; a set is compared with == or !="
                raise TextError(start_of(right), message)
            elements = self._elements(right, types, None)
            return combined(lambda a, b: Match(a, operator, _one(b)), made_left, elements)
        of_bits = types[0].is_bitmask and len(types) == 1
        if of_bits and right.data in ("single", "flags", "either"):
            value: Made[Expression] = fixed(self._of.flags(right, types[0]))
        else:
            value = self._of.general(right, types)
        if operator not in ("==", "!=") and not isinstance(value.value, Address | Number | Symbol):
            raise TextError(start_of(right), f"{operator} is for one value; write a number")
        plain = not isinstance(made_left.value, Operation)
        exact = of_bits and operator == "==" and is_written and plain
        return combined(lambda a, b: Match(a, operator, b, exact), made_left, value)

    def _masked(self, left: Node, operator: Comparison, right: Node) -> Made[Statement]:
        """``tcp flags syn / fin,syn``: the left bits of the right ones."""
        datatype = self._of.types(left)[0]
        if not datatype.is_bitmask:
            raise TextError(start_of(right), f"{datatype.name} is no set of bits; write & MASK")
        value, mask = (self._of.flags(cast("Node", n), datatype) for n in right.children)
        of = self._of.left(left)
        return combined(lambda a: Match(Operation("&", a, mask), operator, value), of)

    def _without(self, left: Node, right: Node) -> Made[Statement]:
        datatype = self._of.types(left)[0]
        if not datatype.is_bitmask:
            raise TextError(start_of(right), f"! is for sets of bits; write != for {datatype.name}")
        mask = self._of.flags(right, datatype)
        none = Number(0, hexadecimal=True)
        return combined(lambda a: Match(Operation("&", a, mask), "==", none), self._of.left(left))

    def _set_field(self, node: Node) -> Made[Statement]:
        token, assigned = cast("list[Node]", node.children)
        name = canonical(str(token))
        try:
            check_family(name, self._family)
        except ValueError as error:
            raise TextError(start_of(token), str(error)) from None
        datatype = field_type(cast("Token", token))
        value = self._assigned(assigned, (datatype,))
        return combined(lambda v: SetField(Field(name), v), value)

    def _assigned(self, node: Node, types: Datatypes) -> Made[Expression]:
        if node.data == "mapping":
            key, elements = cast("list[Node]", node.children)
            self._use(elements, self._of.types(key), types)
            return self._of.mapping(node, types)
        if types[0].is_bitmask and node.data in ("single", "flags"):
            return fixed(self._of.flags(node, types[0]))
        return self._of.general(node, types)

    def _use(self, node: Node, keys: Datatypes, data: Datatypes | None) -> None:
        token = cast("Token", node.children[0])
        if token.type == "SET_REFERENCE":
            index = self._holes.by_offset[token.start_pos or 0]
            self._shape.sets.append((index, SetUse(keys, data)))

    def _reject(self, node: Node) -> Reject:
        if not node.children:
            return Reject()
        token = cast("Token", node.children[0])
        words = [word for word in str(token).split() if word != "type"]
        if words[0] != "tcp":
            known = _REJECT_CODES[words[0]]
            if words[1] not in known:
                message = f"{words[0]} has no code {words[1]!r}; there are {', '.join(known)}"
                raise TextError(token.start_pos or 0, message)
        kind = " ".join(words)
        return Reject(None if kind == _DEFAULT_REJECTS.get(self._family) else kind)

    # -- translation -----------------------------------------------------------------------

    def _nat(self, node: Node) -> Made[Statement]:
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
        if self._family == "inet" and written is None and kind in ("dnat", "snat"):
            with_address = target and cast("Node", target.children[0]).data == "nat_address"
            written = self._header if with_address else None
            if with_address and written is None:
                message = f"in an inet table write {kind} ip to or {kind} ip6 to"
                raise TextError(start_of(node), message)
        address, port = self._nat_target(node, target, kind, written)

        def build(address: Expression | None, port: Expression | None) -> Nat:
            return Nat(cast("_NatKind", kind), cast("_NatFamily", written), address, port, flags,
                       with_port)  # fmt: skip

        return combined(build, address, port)

    def _nat_target(
        self, node: Node, target: Node | None, kind: str, written: str | None
    ) -> tuple[Made[Expression | None], Made[Expression | None]]:
        none: Made[Expression | None] = fixed(None)
        if target is None:
            if kind in ("dnat", "snat"):
                raise TextError(start_of(node), f"{kind} to what? write {kind} to ADDRESS")
            return none, none
        parts = cast("list[Node]", target.children)
        types = translated_types(self._family, written)
        if kind in ("masquerade", "redirect"):
            if len(parts) == 2:
                raise TextError(start_of(target), f"{kind} to takes a port; write {kind} to :PORT")
            return none, self._port(parts[0])
        if parts[0].data == "nat_port":
            return none, self._port(parts[0])
        port = self._port(parts[1]) if len(parts) == 2 else none
        inner = cast("Node", parts[0].children[0])
        if inner.data == "mapping":
            self._use(
                cast("Node", inner.children[1]),
                self._of.types(cast("Node", inner.children[0])),
                types,
            )
            address = self._of.mapping(inner, types)
        else:
            address = self._of.general(inner, types[:1])
        if isinstance(address.value, Network):
            raise TextError(start_of(inner), "a block of addresses; write FIRST-LAST")
        return cast("Made[Expression | None]", address), port

    def _port(self, node: Node) -> Made[Expression | None]:
        inner = cast("Node", node.children[0])
        made = self._assigned(inner, (INET_SERVICE,))
        if isinstance(made.value, Number | Range) or inner.data == "mapping":
            return cast("Made[Expression | None]", made)
        raise TextError(start_of(inner), "this is no port; write a number")

    # -- elements --------------------------------------------------------------------------

    def _dynamic(self, node: Node) -> Made[Statement]:
        children = node.children
        if node.data == "dynamic":
            operation, reference, stored = children
        else:
            operation, stored, reference = children
        name = self._holes.read(cast("Token", reference), lambda text: text[1:])
        key, *options = cast("list[Node]", cast("Node", stored).children)
        types = self._of.types(key)
        known = self._sets.get(name.value)
        data_types = known[1] if known and known[1] else (GUESSED,)
        timeout: Made[int | None] = fixed(None)
        data: Made[Expression | AnyVerdict | None] = fixed(None)
        statements: list[Statement] = []
        for option in options:
            match option.data:
                case "timeout":
                    timeout = self._holes.read(cast("Token", option.children[0]), read_time)
                case "expires" | "counter" | "comment":
                    pass
                case "limit" | "other":
                    statements.append(_as_text(option))
                case "plain_verdict" | "jump" | "goto":
                    data = cast("Made[Expression | AnyVerdict | None]", self.verdict(option))
                case _:
                    data = cast(
                        "Made[Expression | AnyVerdict | None]", self._assigned(option, data_types)
                    )
        index = self._holes.by_offset[cast("Token", reference).start_pos or 0]
        wanted = () if data.value is not None else None
        self._shape.sets.append((index, SetUse(types, wanted, is_dynamic=True)))
        kept = tuple(statements)

        def build(
            name: str, key: Expression, timeout: int | None, data: Expression | None
        ) -> DynamicSet:
            return DynamicSet(cast("_SetOperation", str(operation)), name, key, timeout, data, kept)

        return combined(build, name, self._of.left(key), timeout, data)

    def element(
        self, tree: Node, keys: Datatypes, data: Datatypes | None, may_lack: bool
    ) -> Made[Element]:
        key_node, *rest = cast("list[Node]", tree.children)
        if key_node.data == "either" or (key_node.data == "single" and keys[0].is_bitmask):
            key: Made[Expression] = self._either(key_node, keys[0])
        elif key_node.data == "anything":
            key = self._of.general(key_node, keys)
        else:
            key = (
                self._of.general(key_node, keys)
                if key_node.data == "concatenation"
                else (self._single_key(key_node, keys))
            )
        comment: Made[str | None] = fixed(None)
        timeout: Made[int | None] = fixed(None)
        expires: Made[int | None] = fixed(None)
        value: Made[Expression | AnyVerdict | None] = fixed(None)
        statements: list[Statement] = []
        for node in rest:
            match node.data:
                case "comment":
                    comment = self._comment(node)
                case "timeout":
                    timeout = self._holes.read(cast("Token", node.children[0]), read_time)
                case "expires":
                    expires = self._holes.read(cast("Token", node.children[0]), read_time)
                case "counter":
                    pass
                case "limit" | "other":
                    statements.append(_as_text(node))
                case _:
                    value = self._data(node, data)
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

    def _single_key(self, node: Node, keys: Datatypes) -> Made[Expression]:
        if len(keys) > 1:
            wanted = " . ".join(datatype.name for datatype in keys)
            raise TextError(start_of(node), f"1 part where {wanted} is wanted")
        return self._of.general(node, keys)

    def _either(self, node: Node, datatype: Datatype) -> Made[Expression]:
        """Bits of an element: all of them at once, unlike those of a comparison."""
        found = self._of.flags(node, datatype)
        if not isinstance(found, Flags):
            return fixed(found)
        whole: Expression = found.members[0]
        for member in found.members[1:]:
            whole = Operation("|", whole, member)
        return fixed(whole)

    def _data(self, node: Node, data: Datatypes | None) -> Made[Expression | AnyVerdict | None]:
        if data is None:
            raise TextError(start_of(node), "an element of a set has no data; declare a map")
        if node.data in ("plain_verdict", "jump", "goto"):
            if data != (VERDICT,):
                raise TextError(start_of(node), f"a verdict where {data[0].name} is wanted")
            return cast("Made[Expression | AnyVerdict | None]", self.verdict(node))
        if data == (VERDICT,):
            raise TextError(start_of(node), "a verdict is wanted, such as accept or goto CHAIN")
        if node.data != "concatenation":
            data = data[:1]
        return cast("Made[Expression | AnyVerdict | None]", self._of.general(node, data))


def read_rule(
    text: str, family: TableFamily, read_body: ReadBody, sets: SetTypes
) -> tuple[Made[RuleParts], Shape]:
    """A rule, and how later ones of its shape are read.

    Raises:
        TextError: nft would not take it.
    """
    tree = tree_of(text, "rule")
    holes, tokens = holes_of("rule", tree)
    shape = Shape(holes, tokens)
    return _Reader(holes, shape, family, read_body, sets).rule(tree), shape


def read_element(
    text: str,
    family: TableFamily,
    keys: Datatypes,
    data: Datatypes | None,
    read_body: ReadBody,
    *,
    may_lack: bool = False,
) -> tuple[Made[Element], Shape]:
    """An element, and how later ones of its shape are read; ``may_lack``: without data.

    Raises:
        TextError: nft would not take it.
    """
    tree = tree_of(text, "element")
    holes, tokens = holes_of("element", tree)
    shape = Shape(holes, tokens)
    made = _Reader(holes, shape, family, read_body, {}).element(tree, keys, data, may_lack)
    return made, shape


def read_typeof(
    text: str, family: TableFamily, read_body: ReadBody
) -> tuple[tuple[Expression, Datatypes], tuple[Expression | None, Datatypes] | None]:
    """``EXPRESSION [: EXPRESSION|verdict]``: expressions with their types; None: a verdict.

    Raises:
        TextError: nft would not take it.
    """
    tree = tree_of(text, "typeof")
    of = Expressions(Holes("typeof"), family, read_body)
    key, *rest = tree.children
    key_node = cast("Node", key)
    found = (of.left(key_node).value, of.types(key_node))
    if not rest:
        return found, None
    if getattr(rest[0], "type", "") == "VERDICT_TYPE":
        return found, (None, (VERDICT,))
    data = cast("Node", rest[0])
    return found, (of.left(data).value, of.types(data))


def _pair(statements: tuple[Statement, ...], comment: str | None) -> RuleParts:
    return statements, comment


def _comment(text: str) -> str:
    plain = text[1:-1] if text[:1] == '"' else text
    if len(plain.encode()) > MAX_COMMENT:
        raise ValueError(f"the comment is longer than {MAX_COMMENT} bytes")
    return plain


def _one(elements: Expression) -> Expression:
    """A set of one plain element, as nft lists it: without braces."""
    if isinstance(elements, AnonymousSet) and len(elements.elements) == 1:
        element = elements.elements[0]
        if element == Element(element.key):
            return element.key
    return elements


def _as_text(node: Node) -> Statement:
    text = " ".join(str(node.children[0]).split())
    match node.data:
        case "limit":
            return Limit(_limit(text.removeprefix("limit ")))
        case "log":
            return Log(str(node.children[0])[3:].strip())
        case _:
            return OtherStatement(str(node.children[0]).strip())


def _limit(text: str) -> str:
    """A rate as nft lists it: without the burst that it has anyway."""
    text = re.sub(r"\s*/\s*", "/", text.replace("until ", ""))
    return text.removesuffix(" burst 5 packets").removesuffix(" burst 0 bytes")


def _header(statement: Statement) -> str | None:
    """The family of the packets that pass a match, where it says so."""
    match statement:
        case Match(Field("meta nfproto"), "==", Symbol(name)):
            return {"ipv4": "ip", "ipv6": "ip6"}.get(name)
        case Match(Field(name)) | Match(Operation(left=Field(name))):
            return name.split()[0] if name.startswith(("ip ", "ip6 ")) else None
        case Match(Concatenation(parts)) | VerdictMap(Concatenation(parts)):
            names = [part.name.split()[0] for part in parts if isinstance(part, Field)]
            return next((name for name in names if name in ("ip", "ip6")), None)
        case VerdictMap(Field(name)):
            return name.split()[0] if name.startswith(("ip ", "ip6 ")) else None
        case _:
            return None


def _ending(statement: Statement) -> str:
    """What a statement is called if nothing may stand behind it, else nothing."""
    match statement:
        case Verdict():
            return "" if statement.name == "continue" else statement.name
        case Jump() | Goto():
            return "a jump"
        case Nat():
            return statement.kind
        case Reject():
            return "reject"
        case OtherStatement() if statement.text.startswith(_ENDS):
            return statement.text.split()[0]
        case _:
            return ""
