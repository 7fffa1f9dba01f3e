"""Maps: what a rule does by the element that a packet falls under.

``numgen random mod N`` in a key makes a choice of N equally likely numbers (nft_numgen.c takes 32
random bits, so that the rest is below 2**-31). Elements that differ in it alone are chances one
after another, as the rules of iptables have them: the first of three has one in three, the next
one in two of what is left. Other choices count as such where :mod:`svcc.verify.nftables.spread`
says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from svcc.grammar.iptables.program import PROBABILITY_ONE, RandomMatch
from svcc.grammar.nftables.program import (
    AnonymousSet,
    Anything,
    AnyVerdict,
    Concatenation,
    Element,
    Expression,
    Field,
    Jhash,
    Numgen,
    SetReference,
    Verdict,
)
from svcc.verify.netfilter.ip_vs import thresholds
from svcc.verify.nftables.atoms import Atom, Atoms
from svcc.verify.nftables.fields import OutsideError, number_range, of_other_version
from svcc.verify.nftables.matching import Matching
from svcc.verify.nftables.sets import lasting
from svcc.verify.nftables.spread import ends, implied, is_own_chance

Data = Expression | AnyVerdict


@dataclass(slots=True)
class Choice:
    """One thing that a rule may do, by an element. ``is_rest``: if no other element holds."""

    atoms: Atoms
    data: Data
    element: Element
    is_rest: bool = False


@dataclass(slots=True)
class Choices:
    """All that a rule may do by a map.

    ``by_chance``: chances follow one another, so that each counts only where the rule does not
    go on behind those before it. ``changeable``: what rules can change stands in the key.
    """

    found: list[Choice]
    by_chance: bool
    changeable: bool


def choices(
    matching: Matching,
    key: Expression,
    of: SetReference | AnonymousSet,
    *,
    may_spread: bool = False,
) -> Choices:
    """What a map has for packets of the family.

    ``may_spread``: what it gives settles the rule, so that choices that are no chance of their own
    may count as such (:mod:`svcc.verify.nftables.spread`).

    Raises:
        OutsideError: its key or an element is not in the model.
    """
    if isinstance(of, SetReference):
        item = matching.named(of.name)
        if matching.filled.is_filled(item):
            raise OutsideError
        elements = lasting(item.elements.values())
    else:
        elements = lasting(of.elements)
    parts = key.parts if isinstance(key, Concatenation) else (key,)
    names: list[str] = []
    chance: Numgen | Jhash | None = None
    place = -1
    for number, part in enumerate(parts):
        if isinstance(part, Field):
            names.append(part.name)
        elif isinstance(part, Numgen | Jhash) and chance is None:
            chance, place = part, number
        else:
            raise OutsideError
    keys = tuple(names)
    changeable = any(name in ("meta mark", "mark", "ct mark") for name in names)
    asked, looked_at = ((), ()) if chance is None else implied(chance)
    if any(of_other_version(name, matching.family) for name in (*names, *looked_at)):
        return Choices([], False, False)
    if chance is None:
        return Choices(list(_plain(matching, keys, elements)), False, changeable)
    if not is_own_chance(chance) and not (
        may_spread and all(map(ends, elements)) and matching.spread.is_one_on_each_way
    ):
        raise OutsideError
    found = [
        Choice((*asked, *choice.atoms), choice.data, choice.element)
        for choice in _by_chance(matching, keys, elements, chance, place, len(parts))
    ]
    return Choices(found, True, changeable)


def _plain(
    matching: Matching, keys: tuple[str, ...], elements: Iterable[Element]
) -> Iterator[Choice]:
    rest: Choice | None = None
    for element in elements:
        assert element.data is not None
        if isinstance(element.key, Anything):
            rest = Choice((), element.data, element, is_rest=True)
            continue
        for atoms in matching.values(keys, element.key, negated=False):
            yield Choice(atoms, element.data, element)
    if rest is not None:
        yield rest


def _by_chance(
    matching: Matching,
    keys: tuple[str, ...],
    elements: Iterable[Element],
    numgen: Numgen | Jhash,
    place: int,
    length: int,
) -> Iterator[Choice]:
    groups: dict[tuple[Expression, ...], list[tuple[int, Element]]] = {}
    for element in elements:
        key = element.key
        parts = key.parts if isinstance(key, Concatenation) else (key,)
        if len(parts) != length or isinstance(key, Anything):
            raise OutsideError
        weight = _weight(parts[place], numgen)
        if weight:
            others = (*parts[:place], *parts[place + 1 :])
            groups.setdefault(others, []).append((weight, element))
    for others, members in groups.items():
        # A choice that goes on behind the rule is as none.
        kept = [(w, e) for w, e in members if e.data != Verdict("continue")]
        weights = tuple([weight for weight, _ in kept])
        left = numgen.modulus - sum(weights)
        if left < 0 or (left and not is_own_chance(numgen)):
            raise OutsideError
        chances = _chances(weights, left)
        for atoms in matching.values(keys, Concatenation(others), negated=False):
            for chance, (_, element) in zip(chances, kept, strict=True):
                assert element.data is not None
                yield Choice((*atoms, *chance), element.data, element)


def _weight(value: Expression, numgen: Numgen | Jhash) -> int:
    """How many of the numbers that can come an element has."""
    if isinstance(value, Anything):
        return numgen.modulus
    first, last = number_range(value, 0, 0xFFFFFFFF)
    low, high = numgen.offset, numgen.offset + numgen.modulus - 1
    return max(0, min(last, high) - max(first, low) + 1)


@lru_cache(maxsize=4096)
def _chances(weights: tuple[int, ...], left: int) -> tuple[Atoms, ...]:
    """The condition of each choice: nothing for one that is certain."""
    whole = [*weights, left] if left else list(weights)
    found: list[Atoms] = [
        (Atom("match", RandomMatch(min(PROBABILITY_ONE, threshold))),)
        for threshold in thresholds(whole)
    ]
    if not left:
        found.append(())
    return tuple(found[: len(weights)])
