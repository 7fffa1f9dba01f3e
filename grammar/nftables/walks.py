"""What chains lead to and what statements look at, before anything is translated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from svcc.grammar.nftables.program import (
    AnonymousSet,
    Chain,
    Concatenation,
    DynamicSet,
    Element,
    Expression,
    Field,
    Goto,
    Jhash,
    Jump,
    MapLookup,
    Match,
    Nat,
    Operation,
    Rule,
    SetField,
    Statement,
    Table,
    VerdictMap,
)


def elements_of(table: Table, statement: VerdictMap) -> Iterable[Element]:
    """The elements of a map of verdicts; none where there is no map of that name."""
    of = statement.elements
    if isinstance(of, AnonymousSet):
        return of.elements
    known = table.sets.get(of.name)
    return () if known is None else known.elements.values()


def goals(table: Table, rule: Rule) -> Iterator[Jump | Goto]:
    """The jumps and gotos that a rule may do."""
    for statement in rule.statements:
        if isinstance(statement, Jump | Goto):
            yield statement
        elif isinstance(statement, VerdictMap):
            for element in elements_of(table, statement):
                if isinstance(element.data, Jump | Goto):
                    yield element.data


def reached(table: Table, base: Chain) -> list[Chain]:
    """A chain and all that it leads to, each once."""
    found = {base.name: base}
    pending = [base]
    while pending:
        for rule in pending.pop().rules:
            for goal in goals(table, rule):
                chain = table.chains.get(goal.chain)
                if chain is not None and chain.name not in found:
                    found[chain.name] = chain
                    pending.append(chain)
    return list(found.values())


def names_in(statement: Statement) -> Iterator[str]:
    """The names of the fields that a statement looks at."""
    for expression in _expressions(statement):
        yield from (part.name for part in parts_of(expression) if isinstance(part, Field))


def _expressions(statement: Statement) -> Iterator[Expression]:
    match statement:
        case Match():
            yield statement.left
            yield statement.right
        case VerdictMap():
            yield statement.key
        case SetField():
            yield statement.value
        case DynamicSet():
            yield statement.key
        case Nat():
            yield from (part for part in (statement.address, statement.port) if part is not None)
        case _:
            return


def parts_of(expression: Expression) -> Iterator[Expression]:
    """An expression and what it consists of, elements of sets apart."""
    yield expression
    match expression:
        case Concatenation(parts):
            for part in parts:
                yield from parts_of(part)
        case Operation():
            yield from parts_of(expression.left)
            yield from parts_of(expression.right)
        case Jhash():
            yield from parts_of(expression.expression)
        case MapLookup():
            yield from parts_of(expression.key)
        case _:
            return
