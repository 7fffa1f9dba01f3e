"""The text of nftables objects, spelled as ``nft list ruleset`` spells it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import assert_never

from svcc.grammar.address import Address, Network
from svcc.grammar.nftables.priorities import shown
from svcc.grammar.nftables.program import (
    AnonymousSet,
    Anything,
    AnyVerdict,
    BaseChain,
    Chain,
    Concatenation,
    Counter,
    DynamicSet,
    Element,
    Expression,
    Field,
    Flags,
    Goto,
    Jhash,
    Jump,
    Limit,
    Log,
    MapLookup,
    Match,
    Nat,
    Notrack,
    Number,
    Numgen,
    Operation,
    OtherStatement,
    Range,
    Reject,
    Rule,
    Ruleset,
    Set,
    SetField,
    SetReference,
    Statement,
    String,
    Symbol,
    Table,
    Types,
    Verdict,
    VerdictMap,
)
from svcc.grammar.nftables.times import write_time

_RANKS = {"|": 0, "^": 1, "&": 2, "<<": 3, ">>": 3}
_FLAG_ORDER = ("constant", "dynamic", "interval", "timeout")


def write(ruleset: Ruleset) -> str:
    """All tables, as ``nft list ruleset`` prints them."""
    return "".join(write_table(table) for table in ruleset.tables.values())


def write_table(table: Table) -> str:
    """One table with all that is in it."""
    head = []
    if table.comment is not None:
        head.append(f"\tcomment {_quoted(table.comment)}")
    if table.flags:
        head.append(f"\tflags {','.join(sorted(table.flags))}")
    blocks = [[f"\t{item.text}"] for item in table.others]
    blocks += [_set_lines(item) for item in table.sets.values()]
    blocks += [_chain_lines(chain) for chain in table.chains.values()]
    body = "\n\n".join("\n".join(lines) for lines in blocks)
    lines = [f"table {table.family} {table.name} {{", *head, *([body] if body else []), "}"]
    return "\n".join(lines) + "\n"


def _set_lines(item: Set) -> list[str]:
    lines = [f"\t{'set' if item.data is None else 'map'} {item.name} {{"]
    lines += [f"\t\t{line}" for line in set_definition(item)]
    if item.elements:
        shown_elements = ",\n\t\t\t     ".join(map(write_element, item.elements.values()))
        lines.append(f"\t\telements = {{ {shown_elements} }}")
    lines.append("\t}")
    return lines


def set_definition(item: Set) -> list[str]:
    """All of a set or map but its elements, line by line."""
    lines = [set_type(item)]
    if item.size is not None:
        lines.append(f"size {item.size}")
    if item.flags:
        lines.append(f"flags {','.join(f for f in _FLAG_ORDER if f in item.flags)}")
    if item.timeout is not None:
        lines.append(f"timeout {write_time(item.timeout)}")
    if item.gc_interval is not None:
        lines.append(f"gc-interval {write_time(item.gc_interval)}")
    lines += item.options
    if item.comment is not None:
        lines.append(f"comment {_quoted(item.comment)}")
    return lines


def set_type(item: Set) -> str:
    """``type …`` or ``typeof …``, with the data of a map."""
    word = "type" if isinstance(item.key, Types) else "typeof"
    data = "" if item.data is None else f" : {_type(item.data)}"
    return f"{word} {_type(item.key)}{data}"


def _type(of: Types | Expression) -> str:
    return " . ".join(of.names) if isinstance(of, Types) else write_expression(of)


def _chain_lines(chain: Chain) -> list[str]:
    lines = [f"\tchain {chain.name} {{"]
    if chain.comment is not None:
        lines.append(f"\t\tcomment {_quoted(chain.comment)}")
    if chain.base is not None:
        lines.append(f"\t\t{write_base(chain.base)}")
    lines += [f"\t\t{write_rule(rule)}" for rule in chain.rules]
    lines.append("\t}")
    return lines


def write_base(base: BaseChain) -> str:
    """Where a chain is hooked in."""
    device = f' device "{base.device}"' if base.device else ""
    priority = shown(base.priority, base.hook)
    return f"type {base.type} hook {base.hook}{device} priority {priority}; policy {base.policy};"


def write_rule(rule: Rule) -> str:
    """One rule."""
    words = [write_statement(statement) for statement in rule.statements]
    if rule.comment is not None:
        words.append(f"comment {_quoted(rule.comment)}")
    return " ".join(words)


def write_element(element: Element) -> str:
    """An element as it stands in a set, a map or an anonymous one."""
    text = write_expression(element.key)
    if element.timeout is not None:
        text += f" timeout {write_time(element.timeout)}"
    for statement in element.statements:
        text += f" {write_statement(statement)}"
    if element.comment is not None:
        text += f" comment {_quoted(element.comment)}"
    return text if element.data is None else f"{text} : {_data(element.data)}"


def _data(data: Expression | AnyVerdict) -> str:
    if isinstance(data, Verdict | Jump | Goto):
        return write_verdict(data)
    return write_expression(data)


def write_verdict(verdict: AnyVerdict) -> str:
    """A verdict."""
    match verdict:
        case Verdict():
            return verdict.name
        case Jump():
            return f"jump {verdict.chain}"
        case Goto():
            return f"goto {verdict.chain}"
        case _:
            assert_never(verdict)


def write_statement(statement: Statement) -> str:
    """One statement of a rule."""
    match statement:
        case Match():
            return _match(statement)
        case Verdict() | Jump() | Goto():
            return write_verdict(statement)
        case VerdictMap():
            elements = write_expression(statement.elements)
            return f"{write_expression(statement.key)} vmap {elements}"
        case Nat():
            return _nat(statement)
        case Reject():
            return "reject" if statement.kind is None else f"reject with {statement.kind}"
        case SetField():
            return f"{statement.field.name} set {write_expression(statement.value)}"
        case DynamicSet():
            return _dynamic(statement)
        case Notrack():
            return "notrack"
        case Counter():
            return f"counter packets {statement.packets} bytes {statement.bytes}"
        case Limit():
            return f"limit {statement.text}"
        case Log():
            return f"log {statement.text}".rstrip()
        case OtherStatement():
            return statement.text
        case _:
            assert_never(statement)


def _match(asked: Match) -> str:
    operator, right = asked.operator, write_expression(asked.right)
    if isinstance(asked.left, Operation) and isinstance(asked.left.right, Flags | Symbol):
        left, mask = write_expression(asked.left.left), write_expression(asked.left.right)
        if isinstance(asked.left.right, Symbol):
            return f"{left} & {mask} {operator} {right}"
        shown_operator = "" if operator == "==" else f"{operator} "
        return f"{left} {shown_operator}{right} / {mask}"
    left = write_expression(asked.left)
    # nft prints == only where the left side is calculated, or where any bit would do without.
    if operator == "==" and not isinstance(asked.left, Operation) and not asked.exact:
        return f"{left} {right}"
    return f"{left} {asked.operator} {right}"


def _nat(statement: Nat) -> str:
    words: list[str] = [statement.kind]
    if statement.family is not None:
        words.append(statement.family)
    if statement.with_port:
        words.append("addr . port")
    if statement.address is not None:
        text = write_expression(statement.address)
        if statement.port is not None:
            is_ipv6 = isinstance(statement.address, Address) and ":" in text
            text = f"{f'[{text}]' if is_ipv6 else text}:{write_expression(statement.port)}"
        words.append(f"to {text}")
    elif statement.port is not None:
        words.append(f"to :{write_expression(statement.port)}")
    if statement.flags:
        words.append(",".join(statement.flags))
    return " ".join(words)


def _dynamic(statement: DynamicSet) -> str:
    words = [statement.operation, f"@{statement.name}", "{", write_expression(statement.key)]
    if statement.timeout is not None:
        words.append(f"timeout {write_time(statement.timeout)}")
    words += [write_statement(kept) for kept in statement.statements]
    if statement.data is not None:
        words += [":", _data(statement.data)]
    return " ".join([*words, "}"])


def write_expression(expression: Expression) -> str:
    """An expression, a value or several."""
    match expression:
        case Field() | Symbol():
            return expression.name
        case Number():
            return f"0x{expression.value:08x}" if expression.hexadecimal else str(expression.value)
        case Address():
            return _address(expression)
        case Concatenation():
            return " . ".join(map(write_expression, expression.parts))
        case String():
            return f'"{expression.text}"'
        case Network():
            return _network(expression)
        case Range():
            return f"{write_expression(expression.first)}-{write_expression(expression.last)}"
        case Flags():
            return ",".join(map(write_expression, expression.members))
        case Operation():
            return _operation(expression)
        case Numgen():
            offset = f" offset {expression.offset}" if expression.offset else ""
            return f"numgen {expression.kind} mod {expression.modulus}{offset}"
        case Jhash():
            seed = "" if expression.seed is None else f" seed 0x{expression.seed:x}"
            offset = f" offset {expression.offset}" if expression.offset else ""
            what = write_expression(expression.expression)
            return f"jhash {what} mod {expression.modulus}{seed}{offset}"
        case SetReference():
            return f"@{expression.name}"
        case AnonymousSet():
            return _braces(map(write_element, expression.elements))
        case MapLookup():
            elements = write_expression(expression.elements)
            return f"{write_expression(expression.key)} map {elements}"
        case Anything():
            return "*"
        case _:
            assert_never(expression)


def _operation(operation: Operation) -> str:
    rank = _RANKS[operation.operator]
    texts = []
    for operand, least in ((operation.left, rank), (operation.right, rank + 1)):
        text = write_expression(operand)
        lower = isinstance(operand, Operation) and _RANKS[operand.operator] < least
        texts.append(f"({text})" if lower else text)
    return f"{texts[0]} {operation.operator} {texts[1]}"


def _braces(items: Iterable[str]) -> str:
    return f"{{ {', '.join(items)} }}"


@lru_cache(maxsize=1 << 16)
def _address(address: Address) -> str:
    return str(address)


@lru_cache(maxsize=1 << 12)
def _network(network: Network) -> str:
    return str(network)


def _quoted(text: str) -> str:
    return f'"{text}"'
