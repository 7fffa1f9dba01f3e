"""Rules of a chain as rules of iptables.

A rule of nftables is a list of statements; each ends the rule where it does not hold. A rule of
iptables has its conditions and then one target. Where something is done before the last statement
(a mark is set and then a source rewritten) and what is asked could look at it, the rest of the rule
becomes a chain of its own, whose name nobody else can have. What fits nowhere becomes a target that
both models take for unknown, with the rule's own text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from svcc.grammar.address import Family
from svcc.grammar.iptables import program
from svcc.grammar.iptables.ruleset import Chain
from svcc.grammar.nftables.program import (
    AnonymousSet,
    AnyVerdict,
    Counter,
    DynamicSet,
    Element,
    Expression,
    Field,
    Goto,
    Jump,
    Limit,
    Log,
    MapLookup,
    Match,
    Nat,
    Notrack,
    OtherStatement,
    Reject,
    Rule,
    SetField,
    Statement,
    Verdict,
    VerdictMap,
)
from svcc.grammar.nftables.write import write_statement
from svcc.verify.nftables import actions, fields
from svcc.verify.nftables.atoms import Atom, Atoms, NeverError, protocol, rule_of, unknown
from svcc.verify.nftables.choices import Choice, Choices, Data, choices
from svcc.verify.nftables.fields import OutsideError
from svcc.verify.nftables.matching import Matching
from svcc.verify.nftables.origin import Origin
from svcc.verify.nftables.rests import (
    asks_lists,
    goes_on,
    is_certain,
    is_unstable,
    leaves_by,
)

_WITHOUT_EFFECT, _CONDITION = "counter name ", "limit name "
"""Statements about named objects: one counts, one ends the rule for some packets of every kind
(nft_objref.c). Of any other that is carried as text, the text may hold the rest of the rule."""
HOOK_NAMES = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})

_VERDICTS = {
    "accept": program.Verdict("ACCEPT"),
    "drop": program.Verdict("DROP"),
    "return": program.Verdict("RETURN"),
}


def chain_name(name: str) -> str:
    """A chain's name among those of a table; names of hooks are base chains'."""
    return f"chain {name}" if name in HOOK_NAMES else name


@dataclass(slots=True)
class ChainReader:
    """Translates the chains of one table for packets of one family.

    ``parts`` has the chains that rests of rules became.
    """

    family: Family
    matching: Matching
    parts: dict[str, Chain] = field(default_factory=dict)
    _jumps: dict[str, program.Jump] = field(default_factory=dict)
    _gotos: dict[str, program.Goto] = field(default_factory=dict)

    def rules(self, chain: str, rules: Sequence[Rule]) -> list[program.Rule]:
        """The rules of a chain, translated."""
        found: list[program.Rule] = []
        for rule in rules:
            _RuleReader(self, chain, rule, found).read(rule.statements, (), inner=False)
        return found

    def jump(self, chain: str) -> program.Jump:
        """A jump to a chain of nftables."""
        known = self._jumps.get(chain)
        if known is None:
            known = self._jumps[chain] = program.Jump(chain_name(chain))
        return known

    def goto(self, chain: str) -> program.Goto:
        """A goto to a chain of nftables."""
        known = self._gotos.get(chain)
        if known is None:
            known = self._gotos[chain] = program.Goto(chain_name(chain))
        return known

    def part(self, of: str) -> Chain:
        """A new chain for the rest of a rule."""
        name = f"{of} part {len(self.parts) + 1}"
        chain = self.parts[name] = Chain(name, None)
        return chain


@dataclass(slots=True)
class _RuleReader:
    """One rule. ``into`` gets what it becomes."""

    reader: ChainReader
    chain: str
    rule: Rule
    into: list[program.Rule]
    origin: Origin = field(init=False)

    def __post_init__(self) -> None:
        self.origin = Origin(self.chain, self.rule)

    def read(self, statements: Sequence[Statement], atoms: Atoms, *, inner: bool) -> None:
        """Translate statements behind conditions.

        ``inner``: in a chain of its own that is jumped to, where ``return`` and ``goto`` mean
        something else.
        """
        records = False
        for place, statement in enumerate(statements):
            rest = statements[place + 1 :]
            if records and isinstance(statement, Match | VerdictMap | Nat):
                # What was recorded is so whether this holds or not.
                asked = tuple(a for a in atoms if not isinstance(a.asked, program.RecentMatch))
                if any(is_unstable(atom) for atom in asked) or asks_lists(atoms):
                    self._behind(atoms, None, statements[place:], inner=inner)
                    return
                self._emit(atoms, None)
                atoms, records = asked, False
            match statement:
                case Counter() | Log():
                    pass
                case Match():
                    alternatives = self.reader.matching.alternatives(statement)
                    if len(alternatives) != 1:
                        self._each(alternatives, atoms, statement, rest, inner=inner)
                        return
                    atoms += alternatives[0]
                case Limit():
                    atoms += (unknown(statement.text, "limit"),)
                case DynamicSet():
                    recorded = self._recorded(statement)
                    if recorded is None:
                        return
                    if len(recorded) > 1:
                        # Who is in the list already is not recorded, and goes on all the same.
                        if asks_lists(atoms) or any(is_unstable(atom) for atom in atoms):
                            self._behind(atoms, None, statements[place:], inner=inner)
                            return
                        self._emit(atoms + recorded, None)
                        continue
                    records |= bool(recorded)
                    atoms += recorded
                case SetField() | Notrack():
                    left = self._done(statement, atoms, rest, inner=inner)
                    if left is None:
                        return
                    atoms = left
                case Verdict() | Jump() | Goto():
                    self._verdict(statement, atoms, inner=inner)
                    return
                case OtherStatement() if statement.text.startswith(_WITHOUT_EFFECT):
                    pass
                case OtherStatement() if statement.text.startswith(_CONDITION):
                    atoms += (unknown(statement.text, "limit"),)
                case VerdictMap() | Nat() | Reject() | OtherStatement():
                    self._last(statement, atoms, inner=inner)
                    return
                case _:
                    assert_never(statement)
        if records:
            self._emit(atoms, None)

    # -- conditions ----------------------------------------------------------------------

    def _each(
        self,
        alternatives: fields.Alternatives,
        atoms: Atoms,
        statement: Match,
        rest: Sequence[Statement],
        *,
        inner: bool,
    ) -> None:
        """The rule once for each alternative: no packet fulfils two of them, as long as nothing
        that they ask about is changed.
        """
        changes = any(isinstance(s, SetField | VerdictMap | Jump) for s in rest)
        if changes and any(is_unstable(atom) for other in alternatives for atom in other):
            self._outside(atoms, write_statement(statement))
            return
        for other in alternatives:
            self.read(rest, atoms + other, inner=inner)

    def _recorded(self, statement: DynamicSet) -> Atoms | None:
        """What filling a set comes to; None: the rule ends."""
        key = statement.key
        if isinstance(key, Field) and fields.of_other_version(key.name, self.reader.family):
            return None
        try:
            item = self.reader.matching.named(statement.name)
        except OutsideError:
            return (unknown(write_statement(statement)),)
        filled = self.reader.matching.filled
        if statement.statements or (statement.operation != "delete" and filled.may_be_full(item)):
            # A limit of its own may end the rule, and so does a set that has no room.
            return (unknown(write_statement(statement)),)
        found = filled.recorded(item, statement)
        return tuple([Atom("match", match) for match in found])

    # -- what is done on the way -----------------------------------------------------------

    def _done(
        self,
        statement: SetField | Notrack,
        atoms: Atoms,
        rest: Sequence[Statement],
        *,
        inner: bool,
    ) -> Atoms | None:
        """Something that is done before the rule's end. What is asked of the packet behind it, or
        None if the rest of the rule was translated elsewhere.
        """
        if isinstance(statement, Notrack):
            target: program.Target | None = program.Notrack()
        elif isinstance(statement.value, MapLookup):
            self._chosen_setting(statement, statement.value, atoms, rest, inner=inner)
            return None
        else:
            try:
                target = actions.setting(statement, statement.value)
            except OutsideError:
                self._outside(atoms, write_statement(statement))
                return None
        if target is None:
            return atoms
        if not any(not isinstance(s, Counter | Log) for s in rest):
            self._emit(atoms, target)
            return None
        if any(is_unstable(atom) for atom in atoms):
            self._behind(atoms, target, rest, inner=inner)
            return None
        self._emit(atoms, target)
        return atoms

    def _behind(
        self,
        atoms: Atoms,
        target: program.Target | None,
        rest: Sequence[Statement],
        *,
        inner: bool,
    ) -> None:
        """The rest of a rule in a chain of its own, behind a target."""
        leaves = any(self._leaves(statement) for statement in rest)
        if leaves and (inner or not all(is_certain(statement) for statement in rest)):
            self._outside(atoms, " ".join(map(write_statement, rest)))
            return
        part = self.reader.part(self.chain)
        self._emit(atoms, program.Goto(part.name) if leaves else program.Jump(part.name))
        within = _RuleReader(self.reader, self.chain, self.rule, part.rules)
        if target is not None:
            within._emit((), target)
        within.read(rest, (), inner=not leaves)

    def _leaves(self, statement: Statement) -> bool:
        """Whether a statement may leave the chain, so that it matters which it stands in."""
        if not isinstance(statement, VerdictMap):
            return isinstance(statement, Goto) or statement == Verdict("return")
        if isinstance(statement.elements, AnonymousSet):
            elements: Iterable[Element] = statement.elements.elements
        else:
            known = self.reader.matching.table.sets.get(statement.elements.name)
            if known is None:
                return True
            elements = known.elements.values()
        return any(element.data is None or leaves_by(element.data) for element in elements)

    def _chosen_setting(
        self,
        statement: SetField,
        lookup: MapLookup,
        atoms: Atoms,
        rest: Sequence[Statement],
        *,
        inner: bool,
    ) -> None:
        try:
            found = choices(self.reader.matching, lookup.key, lookup.elements)
        except OutsideError:
            self._outside(atoms, write_statement(statement))
            return
        within = self._apart(found, atoms)
        for choice in found.found:
            if isinstance(choice.data, Verdict | Jump | Goto) or any(map(self._leaves, rest)):
                self._outside(atoms, write_statement(statement))
                return
        for choice in found.found:
            part = self.reader.part(self.chain)
            within._emit(choice.atoms, program.Goto(part.name), choice.element)
            once = _RuleReader(self.reader, self.chain, self.rule, part.rules)
            assert not isinstance(choice.data, Verdict | Jump | Goto)
            once.read((SetField(statement.field, choice.data), *rest), (), inner=True)

    def _apart(self, found: Choices, atoms: Atoms) -> _RuleReader:
        """A chain for choices that exclude each other only if none is looked at behind another."""
        part = self.reader.part(self.chain)
        if found.found:
            self._emit(atoms, program.Jump(part.name))
        return _RuleReader(self.reader, self.chain, self.rule, part.rules)

    # -- the end of a rule -----------------------------------------------------------------

    def _last(
        self, statement: VerdictMap | Nat | Reject | OtherStatement, atoms: Atoms, *, inner: bool
    ) -> None:
        try:
            match statement:
                case VerdictMap():
                    found = choices(
                        self.reader.matching, statement.key, statement.elements, may_spread=True
                    )
                    self._verdicts(found, atoms, statement, inner=inner)
                case Nat():
                    self._translation(statement, atoms)
                case Reject():
                    if statement.kind == "tcp reset":
                        atoms += (protocol(6),)
                    self._emit(atoms, program.Reject(_reject_type(statement, self.reader.family)))
                case OtherStatement():
                    self._outside(atoms, statement.text)
                case _:
                    assert_never(statement)
        except OutsideError:
            self._outside(atoms, write_statement(statement))

    def _translation(self, statement: Nat, atoms: Atoms) -> None:
        if actions.of_other_version(statement, self.reader.family):
            return
        address = statement.address
        if not isinstance(address, MapLookup):
            self._emit(atoms, actions.translation(statement, None))
            return
        found = choices(
            self.reader.matching,
            address.key,
            address.elements,
            may_spread=statement.kind == "dnat",
        )
        targets = [actions.translation(statement, _value(choice.data)) for choice in found.found]
        for choice, target in zip(found.found, targets, strict=True):
            self._emit(atoms + choice.atoms, target, choice.element)

    def _verdicts(
        self, found: Choices, atoms: Atoms, statement: VerdictMap, *, inner: bool
    ) -> None:
        """A verdict by each element."""
        some_go_on = any(goes_on(choice.data) for choice in found.found)
        rest = any(choice.is_rest for choice in found.found)
        if not some_go_on or not (found.by_chance or found.changeable or rest):
            if inner and any(leaves_by(choice.data) for choice in found.found):
                raise OutsideError
            for choice in found.found:
                self._verdict(
                    _verdict_of(choice), atoms + choice.atoms, inner=inner, element=choice.element
                )
            return
        if any(leaves_by(choice.data) for choice in found.found):
            raise OutsideError
        within = self._apart(found, atoms)
        for choice in found.found:
            verdict = _verdict_of(choice)
            if isinstance(verdict, Jump):
                verdict = Goto(verdict.chain)
            elif verdict.name == "continue" if isinstance(verdict, Verdict) else False:
                verdict = Verdict("return")
            within._verdict(verdict, choice.atoms, inner=False, element=choice.element)

    def _verdict(
        self, verdict: AnyVerdict, atoms: Atoms, *, inner: bool, element: Element | None = None
    ) -> None:
        if inner and leaves_by(verdict):
            self._outside(atoms, write_statement(verdict))
            return
        match verdict:
            case Jump():
                self._emit(atoms, self.reader.jump(verdict.chain), element)
            case Goto():
                self._emit(atoms, self.reader.goto(verdict.chain), element)
            case Verdict("continue"):
                if any(isinstance(atom.asked, program.RecentMatch) for atom in atoms):
                    self._emit(atoms, None, element)
            case Verdict():
                self._emit(atoms, _VERDICTS[verdict.name], element)
            case _:
                assert_never(verdict)

    # -- rules -----------------------------------------------------------------------------

    def _outside(self, atoms: Atoms, text: str) -> None:
        self._emit(atoms, actions.outside(text))

    def _emit(
        self, atoms: Atoms, target: program.Target | None, element: Element | None = None
    ) -> None:
        origin, line = self.origin, self.rule.line
        if element is not None:
            origin, line = Origin(self.chain, self.rule, element), element.line or line
        try:
            rule = rule_of(
                self.chain,
                atoms,
                target,
                line=line,
                written=origin,
                as_match=self.reader.matching.written.one_address,
                family=self.reader.family,
            )
        except NeverError:
            return
        except OutsideError:
            text = str(origin)
            rule = program.Rule(
                chain=self.chain, target=actions.outside(text), line=line, written=origin
            )
        if self.rule.comment is not None:
            rule.matches = (*rule.matches, program.Comment(self.rule.comment))
        self.into.append(rule)


def _verdict_of(choice: Choice) -> AnyVerdict:
    if isinstance(choice.data, Verdict | Jump | Goto):
        return choice.data
    raise OutsideError


def _value(data: Data) -> Expression:
    if isinstance(data, Verdict | Jump | Goto):
        raise OutsideError
    return data


def _reject_type(statement: Reject, family: Family) -> str:
    """As iptables calls it; nothing in the models depends on it."""
    if statement.kind is None:
        return "icmp-port-unreachable" if family is Family.IPV4 else "icmp6-port-unreachable"
    return statement.kind.replace(" ", "-")
