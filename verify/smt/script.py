"""SMT-LIB scripts: what is declared, defined and asserted, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from svcc.verify.smt.term import Sort, Term, constant


class Declaration(NamedTuple):
    """A free constant."""

    constant: Term

    def __str__(self) -> str:
        return f"(declare-const {self.constant.symbol} {self.constant.sort})"


class Definition(NamedTuple):
    """A name for a term, so that other terms do not repeat it.

    It is written as a constant and what that is equal to: ``define-fun`` would have Z3 put the
    term back wherever it is named.
    """

    constant: Term
    meaning: Term

    def __str__(self) -> str:
        symbol = self.constant.symbol
        return (
            f"(declare-const {symbol} {self.constant.sort})\n(assert (= {symbol} {self.meaning}))"
        )


class Assertion(NamedTuple):
    """What holds."""

    term: Term

    def __str__(self) -> str:
        return f"(assert {self.term})"


Command = Declaration | Definition | Assertion


class Script:
    """Commands, written down as they come.

    ``declared`` are the free constants and ``definitions`` the defined ones, by name.
    """

    def __init__(self, commands: Iterable[Command] = ()) -> None:
        self.commands: list[Command] = []
        self.declared: dict[str, Term] = {}
        self.definitions: dict[str, Definition] = {}
        self._lines: list[str] = []
        """As many commands as were printed so far."""
        for command in commands:
            self.add(command)

    def add(self, command: Command) -> None:
        """Append a command."""
        if isinstance(command, Declaration):
            self.declared[command.constant.symbol] = command.constant
        elif isinstance(command, Definition):
            self.definitions[command.constant.symbol] = command
        self.commands.append(command)

    def declare(self, symbol: str, sort: Sort) -> Term:
        """A free constant, declared once."""
        known = self.declared.get(symbol)
        if known is None:
            known = constant(symbol, sort)
            self.add(Declaration(known))
        return known

    def define(self, symbol: str, meaning: Term) -> Term:
        """A name for a term."""
        known = constant(symbol, meaning.sort)
        definition = self.definitions[symbol] = Definition(known, meaning)
        self.commands.append(definition)
        return known

    def require(self, term: Term) -> None:
        """Assert a term."""
        self.commands.append(Assertion(term))

    def requiring(self, terms: Iterable[Term]) -> Script:
        """A script that asserts these terms as well."""
        return self.extended(map(Assertion, terms))

    def only(self, chosen: Callable[[Command], bool]) -> Script:
        """A script of some of the commands."""
        self._print()
        script = Script()
        for command, line in zip(self.commands, self._lines, strict=True):
            if chosen(command):
                script.add(command)
                script._lines.append(line)
        return script

    def extended(self, commands: Iterable[Command]) -> Script:
        """A script with more commands."""
        script = self.copy()
        for command in commands:
            script.add(command)
        return script

    def copy(self) -> Script:
        """A script that goes on from here, on its own."""
        self._print()
        script = Script()
        script.commands, script._lines = list(self.commands), list(self._lines)
        script.declared, script.definitions = dict(self.declared), dict(self.definitions)
        return script

    def knows(self, term: Term) -> bool:
        """Whether each name in a term is declared or defined here."""
        return all(
            symbol in self.declared or symbol in self.definitions for symbol in term.free_names
        )

    def substituted(self, substitute: Callable[[Term], Term]) -> list[Command]:
        """The commands with other names."""
        commands: list[Command] = []
        for command in self.commands:
            if isinstance(command, Definition):
                commands.append(
                    Definition(substitute(command.constant), substitute(command.meaning))
                )
            elif isinstance(command, Assertion):
                commands.append(Assertion(substitute(command.term)))
            else:
                commands.append(Declaration(substitute(command.constant)))
        return commands

    def __str__(self) -> str:
        """The commands alone, as Z3 reads them."""
        self._print()
        return "\n".join(self._lines)

    def _print(self) -> None:
        self._lines += map(str, self.commands[len(self._lines) :])

    def whole(self, goals: Iterable[Term] = ()) -> str:
        """A whole script, for any solver: can all of the goals be met?"""
        asserted = (str(Assertion(goal)) for goal in goals)
        return "\n".join(["(set-logic ALL)", str(self), *asserted, "(check-sat)\n"])
