"""Classic BPF programs of ``-m bpf``, read as a condition on source and destination address.

Source: Documentation/networking/filter.rst; xt_bpf runs the program on the IP header, so
offsets are those of RFC 791 and RFC 8200. Programs that look at anything else are outside
the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from svcc.grammar.address import Family

Instructions = tuple[tuple[int, int, int, int], ...]

_LOAD_WORD, _TO_INDEX, _JUMP_EQUAL_INDEX, _JUMP_EQUAL, _RETURN = 0x20, 0x07, 0x1D, 0x15, 0x06

_HEADER_WORDS = {
    Family.IPV4: {12: ("source", 0), 16: ("destination", 0)},
    Family.IPV6: {
        **{8 + 4 * word: ("source", word) for word in range(4)},
        **{24 + 4 * word: ("destination", word) for word in range(4)},
    },
}


@dataclass(frozen=True, slots=True)
class Word:
    """A 32-bit word of an address; word 0 is the first."""

    side: str
    """``source`` or ``destination``."""
    index: int

    def of(self, family: Family, source: int, destination: int) -> int:
        """The word's value for concrete addresses."""
        address = source if self.side == "source" else destination
        return address >> (family.bits - 32 * (self.index + 1)) & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Equal:
    """``then`` where both operands are equal, else ``otherwise``."""

    left: Word | int
    right: Word | int
    then: Equal | bool
    otherwise: Equal | bool

    def holds(self, family: Family, source: int, destination: int) -> bool:
        """The condition's value for concrete addresses."""
        left, right = (
            operand if isinstance(operand, int) else operand.of(family, source, destination)
            for operand in (self.left, self.right)
        )
        branch = self.then if left == right else self.otherwise
        return branch if isinstance(branch, bool) else branch.holds(family, source, destination)


@lru_cache(maxsize=64)
def condition(program: Instructions, family: Family) -> Equal | bool | None:
    """What the program tests; None where it is outside the model."""
    try:
        return _at(program, family, 0, None, None)
    except _UnsupportedError:
        return None


class _UnsupportedError(Exception):
    pass


def _at(
    program: Instructions,
    family: Family,
    counter: int,
    accumulator: Word | int | None,
    index: Word | int | None,
) -> Equal | bool:
    while counter < len(program):
        code, if_true, if_false, constant = program[counter]
        counter += 1
        if code == _LOAD_WORD and constant in _HEADER_WORDS[family]:
            accumulator = Word(*_HEADER_WORDS[family][constant])
        elif code == _TO_INDEX and accumulator is not None:
            index = accumulator
        elif code == _RETURN:
            return constant != 0
        elif code in (_JUMP_EQUAL, _JUMP_EQUAL_INDEX) and accumulator is not None:
            right = index if code == _JUMP_EQUAL_INDEX else constant
            if right is None:
                raise _UnsupportedError
            return Equal(
                accumulator,
                right,
                _at(program, family, counter + if_true, accumulator, index),
                _at(program, family, counter + if_false, accumulator, index),
            )
        else:
            raise _UnsupportedError
    raise _UnsupportedError
