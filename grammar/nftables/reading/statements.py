"""Statements, rules and elements: from what lark found to the typed program."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from svcc.grammar.address import Address
from svcc.grammar.nftables import symbols
from svcc.grammar.nftables.datatypes import MARK, VERDICT, Datatype
from svcc.grammar.nftables.fields import canonical, check_family, check_settable, datatype_of
from svcc.grammar.nftables.program import (
    AnonymousSet,
    Comparison,
    Concatenation,
    Element,
    Expression,
    Field,
    Goto,
    Jump,
    Match,
    Nat,
    Notrack,
    Number,
    Operation,
    OtherStatement,
    Reject,
    SetField,
    Statement,
    String,
    Symbol,
    TableFamily,
    Verdict,
    VerdictMap,
)
from svcc.grammar.nftables.reading.elements import element, filling
from svcc.grammar.nftables.reading.expressions import (
    Datatypes,
    Expressions,
    ReadBody,
    field_type,
    start_of,
)
from svcc.grammar.nftables.reading.parts import Parts, SetTypes, Shape, as_text
from svcc.grammar.nftables.reading.protocols import conflict, may_conflict
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
from svcc.grammar.nftables.reading.translation import translation

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token]

_COMPARISONS: dict[str, Comparison] = {
    "==": "==", "eq": "==", "!=": "!=", "ne": "!=", "<": "<", "lt": "<", ">": ">", "gt": ">",
    "<=": "<=", "le": "<=", ">=": ">=", "ge": ">=",
}  # fmt: skip
_DEFAULT_REJECTS = {"ip": "icmp port-unreachable", "ip6": "icmpv6 port-unreachable",
                    "inet": "icmpx port-unreachable"}  # fmt: skip
_REJECT_CODES = {"icmp": symbols.ICMP_CODE, "icmpv6": symbols.ICMPV6_CODE,
                 "icmpx": symbols.ICMPX_CODE}  # fmt: skip
_ENDS = ("queue", "fwd", "tproxy")

RuleParts = tuple[tuple[Statement, ...], str | None]


class _Reader:
    def __init__(self, parts: Parts, sets: SetTypes) -> None:
        self._parts = parts
        self._of = parts.of
        self._sets = sets
        self._header: str | None = None

    def rule(self, tree: Node) -> Made[RuleParts]:
        statements: list[Made[Statement]] = []
        comment: Made[str | None] = fixed(None)
        ended = ""
        for node in cast("list[Node]", tree.children):
            if node.data == "comment":
                comment = self._parts.comment(node)
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
        made_all = together(statements)
        if not may_conflict(made_all.value):
            return combined(_pair, made_all, comment)
        found = conflict(made_all.value)
        if found is not None:
            raise TextError(start_of(cast("list[Node]", tree.children)[found[0]]), found[1])
        return combined(_pair_of_one_protocol, made_all, comment)

    def statement(self, node: Node) -> Made[Statement]:
        children = cast("list[Node]", node.children)
        match node.data:
            case "plain_verdict" | "jump" | "goto":
                return cast("Made[Statement]", self._parts.verdict(node))
            case "match":
                return self._match(children[0], "==", children[1], is_written=False)
            case "compared":
                operator = _COMPARISONS[str(children[1])]
                return self._match(children[0], operator, children[2], is_written=True)
            case "without":
                return self._without(children[0], children[2])
            case "verdict_map":
                key, elements = children
                made = self._parts.elements(elements, self._of.types(key), (VERDICT,))
                return combined(VerdictMap, self._of.left(key), made)
            case "nat":
                return translation(self._parts, node, self._header)
            case "reject":
                return fixed(self._reject(node))
            case "set_field":
                return self._set_field(node)
            case "dynamic" | "old_dynamic":
                return filling(self._parts, node, self._sets)
            case "notrack":
                return fixed(Notrack())
            case "counter":
                return self._parts.counter(node)
            case _:
                return fixed(as_text(node))

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
            elements = self._parts.elements(right, types, None)
            return combined(lambda a, b: Match(a, operator, _one(b)), made_left, elements)
        of_bits = types[0].is_bitmask and len(types) == 1
        if of_bits and right.data in ("single", "flags", "either"):
            value: Made[Expression] = fixed(self._of.flags(right, types[0]))
        else:
            value = self._of.general(right, types)
        is_one = isinstance(value.value, Address | Number | String | Symbol)
        if operator not in ("==", "!=") and not is_one:
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
            check_family(name, self._parts.family)
            check_settable(name)
        except ValueError as error:
            raise TextError(start_of(token), str(error)) from None
        datatype = field_type(cast("Token", token))
        value = self._parts.assigned(assigned, (datatype,))
        message = _mismatch(datatype, value.value)
        if message:
            raise TextError(start_of(assigned), message)
        return combined(lambda v: SetField(Field(name), v), value)

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
        return Reject(None if kind == _DEFAULT_REJECTS.get(self._parts.family) else kind)


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
    return _Reader(Parts(holes, shape, family, read_body), sets).rule(tree), shape


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
    made = element(Parts(holes, shape, family, read_body), tree, keys, data, may_lack)
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


def _pair_of_one_protocol(statements: tuple[Statement, ...], comment: str | None) -> RuleParts:
    found = conflict(statements)
    if found is not None:
        raise TextError(0, found[1])
    return statements, comment


def _one(elements: Expression) -> Expression:
    """A set of one plain element, as nft lists it: without braces."""
    if isinstance(elements, AnonymousSet) and len(elements.elements) == 1:
        element = elements.elements[0]
        if element == Element(element.key):
            return element.key
    return elements


def _mismatch(datatype: Datatype, value: Expression) -> str | None:
    """What is wrong with a field that another one is set to.

    Marks take fields of more and more types, from one version of nft to the next.
    """
    while isinstance(value, Operation):
        value = value.left
    if not isinstance(value, Field) or datatype.name == MARK.name:
        return None
    other = datatype_of(value.name)
    is_number = other.name == "integer"
    if other.name == datatype.name and not is_number:
        return None
    if is_number and (other.bits == datatype.bits or value.name.startswith(("meta ", "ct "))):
        return None
    return f"{value.name} is of type {other.name}, and {datatype.name} is wanted"


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
