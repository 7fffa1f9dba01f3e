"""What stands in the text where a translated rule comes from."""

from __future__ import annotations

from dataclasses import dataclass

from svcc.grammar.nftables.program import Element, Rule
from svcc.grammar.nftables.write import write_element, write_rule


@dataclass(slots=True)
class Origin:
    """A rule of a chain, and the element of a map by which it does what it does."""

    chain: str
    rule: Rule
    element: Element | None = None

    def __str__(self) -> str:
        text = f"{self.chain}: {write_rule(self.rule)}"
        return text if self.element is None else f"{text}, element {write_element(self.element)}"
