"""A question to Z3 as an SMT-LIB 2.6 script that says what it is about."""

from __future__ import annotations

import textwrap

from svcc.verify.slicing.regions import Region
from svcc.verify.smt.solver import Question
from svcc.verify.spec.properties import SENTENCES

_WIDTH = 96
_MEANINGS = {
    "unsat": "no such packet exists",
    "sat": "a packet that may be one, which is asked about further and sent through the rules",
    "unknown": "not decided; asked in another way, or the verdict is undecided",
}


def direction(region: Region) -> str:
    """Where a region's packets come from."""
    return "from the node" if region.from_node else "from a wire"


def script_text(region: Region, question: Question, place: str) -> str:
    """The whole script. ``place`` says which of the region's questions it is, such as 1/3."""
    properties = ", ".join(question.about) or "none: what helps to answer another question"
    lines = _comment("region", f"{region.name}, {direction(region)}")
    lines += _comment("question", place)
    lines += _comment("property", properties)
    for name in question.about:
        lines += _comment("", f"{name}: {SENTENCES[name]}")
    lines += _comment(
        "asked",
        "is there a packet of the region, and are there numbers of addresses, ports and lists, "
        "as the assertions have them, for which what is asserted last is true? It is what "
        "violates a property, or a part of it",
    )
    lines += [line for answer, text in _MEANINGS.items() for line in _comment(answer, text)]
    lines += _comment("Z3", question.outcome)
    return "\n".join([*lines, str(question)])


def _comment(title: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(text, _WIDTH - 14)
    return [f"; {title if n == 0 else '':10}{line}" for n, line in enumerate(wrapped)]
