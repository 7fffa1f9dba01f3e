"""Chains, sets and maps that rules and elements name, and that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from svcc.grammar.errors import Position, Problem
from svcc.grammar.nftables.program import (
    AnonymousSet,
    AnyVerdict,
    Concatenation,
    Counter,
    DynamicSet,
    Element,
    Expression,
    Goto,
    Jhash,
    Jump,
    Limit,
    Log,
    MapLookup,
    Match,
    Nat,
    Notrack,
    Operation,
    OtherStatement,
    Reject,
    Rule,
    Ruleset,
    SetField,
    SetReference,
    Statement,
    Table,
    Verdict,
    VerdictMap,
)

Reference = Jump | Goto | SetReference


def undeclared(ruleset: Ruleset) -> Iterator[Problem]:
    """What nft would not find."""
    for table in ruleset.tables.values():
        for chain in table.chains.values():
            for rule in chain.rules:
                for reference in references_of_rule(rule):
                    yield from _missing(table, reference, ruleset.source, rule.line)
        for item in table.sets.values():
            for element in item.elements.values():
                if isinstance(element.data, Jump | Goto):
                    line = element.line
                    yield from _missing(table, element.data, ruleset.source, line)


def references_of_rule(rule: Rule) -> Iterator[Reference]:
    """The chains, sets and maps that a rule names."""
    for statement in rule.statements:
        yield from _of_statement(statement)


def _missing(table: Table, to: Reference, source: str, line: int) -> Iterator[Problem]:
    position = Position(source, line, 1)
    if isinstance(to, SetReference):
        if to.name not in table.sets:
            message = f"there is no set or map {to.name} in table {table.family} {table.name}"
            yield Problem(position, message)
    elif to.chain not in table.chains:
        message = f"there is no chain {to.chain} in table {table.family} {table.name}"
        yield Problem(position, message)
    elif table.chains[to.chain].base is not None:
        yield Problem(position, f"{to.chain} is a base chain; no rule can go there")


def _of_statement(statement: Statement) -> Iterator[Reference]:
    match statement:
        case Jump() | Goto():
            yield statement
        case Match():
            yield from _of_expressions(statement.left, statement.right)
        case VerdictMap():
            yield from _of_expressions(statement.key, statement.elements)
        case Nat():
            yield from _of_expressions(statement.address, statement.port)
        case SetField():
            yield from _of_expressions(statement.value)
        case DynamicSet():
            yield SetReference(statement.name)
            yield from _of_expressions(statement.key, statement.data)
        case Verdict() | Reject() | Notrack() | Counter() | Limit() | Log() | OtherStatement():
            return
        case _:
            assert_never(statement)


def _of_expressions(*expressions: Expression | None) -> Iterator[Reference]:
    for expression in expressions:
        match expression:
            case SetReference():
                yield expression
            case MapLookup():
                yield from _of_expressions(expression.key, expression.elements)
            case Concatenation():
                yield from _of_expressions(*expression.parts)
            case Operation():
                yield from _of_expressions(expression.left, expression.right)
            case Jhash():
                yield from _of_expressions(expression.expression)
            case AnonymousSet():
                for element in expression.elements:
                    yield from _of_element(element)
            case _:
                continue


def _of_element(element: Element) -> Iterator[Reference]:
    data: Expression | AnyVerdict | None = element.data
    if isinstance(data, Jump | Goto):
        yield data
    elif data is not None and not isinstance(data, Verdict):
        yield from _of_expressions(data)
