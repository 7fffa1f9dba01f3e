"""Match statements as alternatives of conditions.

Source: nft(8), "STATEMENTS"; src/evaluate.c and src/netlink_linearize.c of nftables for what
``==`` and ``!=`` ask of flags and sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from svcc.grammar.address import Family, Network
from svcc.grammar.iptables.program import (
    ConntrackMatch,
    MarkMatch,
    MultiportMatch,
    PortRange,
    RandomMatch,
    TcpFlags,
    TransportMatch,
)
from svcc.grammar.nftables.program import (
    AnonymousSet,
    Anything,
    Concatenation,
    Expression,
    Field,
    Flags,
    Match,
    Number,
    Numgen,
    Operation,
    Range,
    Set,
    SetReference,
    Symbol,
    Table,
)
from svcc.grammar.nftables.write import write_statement
from svcc.verify.netfilter.ip_vs import thresholds
from svcc.verify.nftables import fields
from svcc.verify.nftables.atoms import TRANSPORT_NAMES, Atom, Atoms, NeverError, protocol
from svcc.verify.nftables.fields import FULL_MARK, Alternatives, OutsideError
from svcc.verify.nftables.sets import _ADDRESS, Filled, Written, lasting
from svcc.verify.nftables.spread import Spread

_TCP_FLAGS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}
_LIMITING = ("limit", "quota", "ct")
"""What elements of a set may ask besides their key (nf_tables_api.c, set expressions)."""
MAX_PORTS = 15
"""As many ports stand in one condition, as many as iptables has in one (xt_multiport.h)."""
_TURNED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


@dataclass(slots=True)
class Matching:
    """Reads the match statements of one table's rules, for packets of one family."""

    family: Family
    table: Table
    written: Written
    filled: Filled
    spread: Spread

    def alternatives(self, statement: Match) -> Alternatives:
        """What a packet has to fulfil: any of these, of which no two are true at once.

        None at all: no packet fulfils it.
        """
        negated = statement.operator == "!="
        try:
            return self._alternatives(statement)
        except NeverError:
            return []
        except OutsideError:
            name = _field_name(statement.left)
            return [fields.outside(name, write_statement(statement), negated=negated)]

    def _alternatives(self, statement: Match) -> Alternatives:
        left, operator, right = statement.left, statement.operator, statement.right
        if operator in _TURNED:
            return _compared(left, operator, right, self.family)
        negated = operator == "!="
        if isinstance(left, Concatenation):
            keys = tuple(_name_of(part) for part in left.parts)
            self._ends_for_other_version(keys)
            return self._members(left, keys, right, negated=negated)
        if isinstance(left, Numgen):
            return _by_chance(left, right, negated=negated)
        if isinstance(left, Operation):
            return [_masked(left, right, negated=negated)]
        name = _name_of(left)
        self._ends_for_other_version((name,))
        if isinstance(right, AnonymousSet | SetReference):
            return self._members(left, (name,), right, negated=negated)
        of_bits = isinstance(right, Flags) or name in ("tcp flags", "ct status")
        if of_bits and (negated or statement.exact):
            return [_all_of(name, right, negated=negated)]
        if isinstance(right, Flags):
            return [_any_of(name, right.members)]
        if name == "tcp flags":
            return [_any_of(name, (right,))]
        return fields.single(name, right, self.family, negated=negated)

    def _ends_for_other_version(self, names: Iterable[str]) -> None:
        if any(fields.of_other_version(name, self.family) for name in names):
            raise NeverError

    # -- sets ----------------------------------------------------------------------------

    def _members(
        self, left: Expression, keys: tuple[str, ...], right: Expression, *, negated: bool
    ) -> Alternatives:
        if isinstance(right, SetReference):
            item = self.named(right.name)
            if self.filled.is_filled(item):
                return [(Atom("match", self.filled.asked(item, left, negated=negated)),)]
            elements = [element.key for element in lasting(item.elements.values())]
        elif isinstance(right, AnonymousSet):
            elements = [element.key for element in lasting(right.elements)]
        else:
            if not isinstance(right, Concatenation):
                raise OutsideError
            elements = [right]
        if any(isinstance(element, Anything) for element in elements):
            return [] if negated else [()]
        if not elements:
            return [()] if negated else []
        if len(keys) == 1:
            found = self._of_one_field(keys[0], elements, negated=negated)
            if found is not None:
                return found
        # As one condition where that is possible: a rule for each would be a shape of its own.
        try:
            return [(Atom("match", self.written.members(keys, elements, negated=negated)),)]
        except OutsideError:
            if negated:
                raise
        return [
            atoms for element in elements for atoms in self.values(keys, element, negated=False)
        ]

    def _of_one_field(
        self, name: str, elements: list[Expression], *, negated: bool
    ) -> Alternatives | None:
        """Several values of a field as one condition; None: each is one of its own."""
        if len(elements) == 1:
            return fields.single(name, elements[0], self.family, negated=negated)
        if name in _ADDRESS:
            blocks: list[Network] = []
            for element in elements:
                blocks += fields.blocks(element, self.family)
            match = self.written.addresses(blocks, _ADDRESS[name], negated=negated)
            return [(Atom("match", match),)]
        if name == "ct state":
            return [fields.states(tuple(elements), negated=negated)]
        if name.endswith((" dport", " sport")) and (negated or len(elements) <= MAX_PORTS):
            return [self._ports(name, elements, negated=negated)]
        if not negated:
            return None
        together: Atoms = ()
        for element in elements:
            (atoms,) = fields.single(name, element, self.family, negated=True)
            if any(atom.slot != "match" for atom in atoms):
                raise OutsideError
            together += atoms
        return [together]

    def _ports(self, name: str, elements: list[Expression], *, negated: bool) -> Atoms:
        ranges = tuple(PortRange(*fields.number_range(element)) for element in elements)
        which: Literal["sports", "dports"] = "sports" if name.endswith("sport") else "dports"
        ports = Atom("match", MultiportMatch(which, ranges, negated))
        of = name.split()[0]
        return (ports,) if of == "th" else (protocol(fields.PROTOCOLS[of]), ports)

    def named(self, name: str) -> Set:
        """A set or map of the table.

        Raises:
            OutsideError: there is none of that name.
        """
        item = self.table.sets.get(name)
        if item is None or any(option.split()[0] in _LIMITING for option in item.options):
            raise OutsideError
        return item

    def values(self, keys: tuple[str, ...], element: Expression, *, negated: bool) -> Alternatives:
        """That some fields have the values of an element.

        Raises:
            OutsideError: that is not in the model.
        """
        parts = element.parts if isinstance(element, Concatenation) else (element,)
        if len(parts) != len(keys):
            raise OutsideError
        found: Alternatives = [()]
        for name, value in zip(keys, parts, strict=True):
            if isinstance(value, Anything):
                continue
            each = fields.single(name, value, self.family, negated=negated)
            found = (
                [(*known, *each[0]) for known in found]
                if len(each) == 1
                else [(*known, *atoms) for known in found for atoms in each]
            )
        return found


def _by_chance(left: Numgen, right: Expression, *, negated: bool) -> Alternatives:
    """``numgen random mod N`` is one number, or one of some."""
    if left.kind != "random" or isinstance(right, AnonymousSet | SetReference):
        raise OutsideError
    first, last = fields.number_range(right, 0, FULL_MARK)
    low, high = left.offset, left.offset + left.modulus - 1
    weight = max(0, min(last, high) - max(first, low) + 1)
    if weight in (0, left.modulus):
        return [()] if bool(weight) != negated else []
    (threshold,) = thresholds([weight, left.modulus - weight])
    return [(Atom("match", RandomMatch(threshold, negated)),)]


def _name_of(expression: Expression) -> str:
    """The name of a field.

    Raises:
        OutsideError: it is none.
    """
    if isinstance(expression, Field):
        return expression.name
    raise OutsideError


def _field_name(expression: Expression) -> str:
    match expression:
        case Field(name):
            return name
        case Operation():
            return _field_name(expression.left)
        case Concatenation(parts) if parts:
            return _field_name(parts[0])
        case _:
            return "nft"


def _compared(left: Expression, operator: str, right: Expression, family: Family) -> Alternatives:
    name = _name_of(left)
    if not isinstance(right, Number) or not name.endswith((" dport", " sport")):
        raise OutsideError
    low = {"<": 0, "<=": 0, ">": right.value + 1, ">=": right.value}[operator]
    high = {"<": right.value - 1, "<=": right.value, ">": 65535, ">=": 65535}[operator]
    if low > high:
        raise NeverError
    return fields.single(name, Range(Number(low), Number(high)), family, negated=False)


def _any_of(name: str, values: tuple[Expression, ...]) -> Atoms:
    if name == "ct state":
        return fields.states(values, negated=False)
    if name == "ct status":
        return fields.status(values)
    if name == "tcp flags":
        return _tcp(TcpFlags(_all_flags(values), 0, True))
    raise OutsideError


def _all_of(name: str, value: Expression, *, negated: bool) -> Atoms:
    """All bits of a field compared at once, as the kernel does but for ``FIELD a,b``."""
    if name == "tcp flags":
        return _tcp(TcpFlags(0xFF, _tcp_flags(value), negated))
    if name == "ct state" and negated:
        # A connection is in one state alone, so it never is in several.
        return ()
    raise OutsideError


def _tcp(flags: TcpFlags) -> Atoms:
    return (
        protocol(6),
        Atom("match", TransportMatch(TRANSPORT_NAMES[6], None, None, flags)),
    )


def _tcp_flags(value: Expression) -> int:
    match value:
        case Symbol(name) if name in _TCP_FLAGS:
            return _TCP_FLAGS[name]
        case Number(bits):
            return bits
        case Flags(members):
            return _all_flags(members)
        case Operation("|", left, right):
            return _tcp_flags(left) | _tcp_flags(right)
        case _:
            raise OutsideError


def _all_flags(values: Iterable[Expression]) -> int:
    bits = 0
    for value in values:
        bits |= _tcp_flags(value)
    return bits


def _masked(left: Operation, right: Expression, *, negated: bool) -> Atoms:
    """``FIELD & MASK == VALUE``."""
    if left.operator != "&":
        raise OutsideError
    name = _name_of(left.left)
    if name == "tcp flags":
        return _tcp(TcpFlags(_tcp_flags(left.right), _tcp_flags(right), negated))
    if name in ("ct state", "ct status"):
        bits = left.right.members if isinstance(left.right, Flags) else (left.right,)
        return _connection_bits(name, bits, right, negated=negated)
    if not isinstance(left.right, Number) or not isinstance(right, Number):
        raise OutsideError
    mask, value = left.right.value & FULL_MARK, right.value
    if name in ("meta mark", "mark"):
        return (Atom("match", MarkMatch(value, mask, negated)),)
    if name == "ct mark":
        if value & ~mask:
            raise OutsideError
        return (fields.connection_mark(value, mask, negated=negated),)
    raise OutsideError


def _connection_bits(
    name: str, bits: tuple[Expression, ...], right: Expression, *, negated: bool
) -> Atoms:
    """Of some bits, none or any are set."""
    if isinstance(right, Number) and right.value == 0:
        any_is_set = negated
    elif len(bits) == 1 and right == bits[0]:
        any_is_set = not negated
    else:
        raise OutsideError
    if name == "ct state":
        return fields.states(bits, negated=not any_is_set)
    if any_is_set:
        return fields.status(bits)
    (atom,) = fields.status(bits)
    assert isinstance(atom.asked, ConntrackMatch)
    names = atom.asked.states or frozenset()
    # Where there is no connection the rule ends.
    none = ConntrackMatch(states=names | {"UNTRACKED"}, states_negated=True)
    return (Atom("match", none),)
