"""Lists of elements in braces, of named sets and of those in rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from svcc.grammar.nftables.datatypes import VERDICT
from svcc.grammar.nftables.program import AnonymousSet, Element, TableFamily
from svcc.grammar.nftables.reading.expressions import Datatypes
from svcc.grammar.nftables.reading.shapes import TextError, Words, pattern
from svcc.grammar.nftables.reading.statements import read_element

_ELEMENT = re.compile(r'[^,{}"]*+(?:"[^"\n]*"[^,{}"]*+)*+')
_BLANK = re.compile(r"\s*")
_COMMA = re.compile(r"\s*,?\s*")
_BROKEN = re.compile(r"(?<!\\)\n")
_END = r"\s*(?:,\s*|(?=\}))"
_MAX_TRIED = 24


@dataclass(slots=True)
class _Known:
    pattern: re.Pattern[str]
    make: Callable[[Words], Element]
    targets: list[int]


class Lists:
    """Reads lists in a table of a family.

    ``jumps`` gets the chains that elements jump to, with ``here`` at the time: where the text
    is that has the list.
    """

    def __init__(self, family: TableFamily) -> None:
        self._family = family
        self._known: dict[tuple[Datatypes, Datatypes | None, bool], list[_Known]] = {}
        self.jumps: dict[str, int] = {}
        self.here = 0
        self.end = 0

    def anonymous(self, text: str, keys: Datatypes, data: Datatypes | None) -> AnonymousSet:
        """``{ … }`` in a rule.

        Raises:
            TextError: nft would not take it.
        """
        elements = tuple([element for element, _ in self.read(text, 1, keys, data)])
        if not elements:
            raise TextError(0, "a list without elements; write at least one")
        return AnonymousSet(elements)

    def read(
        self,
        text: str,
        start: int,
        keys: Datatypes,
        data: Datatypes | None,
        *,
        may_lack: bool = False,
    ) -> Iterator[tuple[Element, int]]:
        """The elements of a list, from behind its brace on, with where each begins.

        ``end`` is where it ends, once all were read. ``may_lack``: keys of a map without data.

        Raises:
            TextError: nft would not take one; offsets are in ``text``.
        """
        shapes = self._known.setdefault((keys, data, may_lack), [])
        position = _blank(text, start)
        while text[position : position + 1] not in ("}", ""):
            for index, known in enumerate(shapes):
                found = known.pattern.match(text, position)
                if found is None:
                    continue
                words = found.groups()
                try:
                    element = known.make(words)
                except ValueError:
                    # The slow way finds the place in this very element.
                    break
                for target in known.targets:
                    self.jumps.setdefault(words[target], self.here)
                if index:
                    shapes.insert(0, shapes.pop(index))
                yield element, position
                position = found.end()
                break
            else:
                found = None
            if found is None or found.end() != position:
                element, end = self._slowly(text, position, keys, data, shapes, may_lack)
                yield element, position
                found = _COMMA.match(text, end)
                assert found is not None
                position = found.end()
        self.end = position + 1

    def _slowly(
        self,
        text: str,
        position: int,
        keys: Datatypes,
        data: Datatypes | None,
        shapes: list[_Known],
        may_lack: bool,
    ) -> tuple[Element, int]:
        found = _ELEMENT.match(text, position)
        assert found is not None
        end = found.end()
        if not found[0].strip():
            raise TextError(position, "an element is missing here; remove the comma")
        if text[end : end + 1] not in (",", "}"):
            raise TextError(end, "the list is not closed; write } behind its last element")
        one = found[0].rstrip()
        if (broken := _BROKEN.search(one)) is not None:
            raise TextError(position + broken.start(), "a line ends within an element; join them")
        try:
            made, shape = read_element(
                one, self._family, keys, data, self.anonymous, may_lack=may_lack
            )
        except TextError as error:
            raise TextError(position + error.offset, error.message) from None
        if data == (VERDICT,):
            for index in shape.holes.targets:
                self.jumps.setdefault(str(shape.tokens[index]), self.here)
        make = made.make
        if make is not None and len(shapes) < _MAX_TRIED and "\n" not in one:
            shapes.insert(0, _Known(pattern(one, shape.tokens, _END), make, shape.holes.targets))
        return made.value, end


def _blank(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    assert found is not None
    return found.end()
