"""docs/how-to-add.md names every place: where it says that all are named, they are."""

from __future__ import annotations

import re
from types import UnionType
from typing import get_args

import pytest

from svcc.grammar.iptables import program
from svcc.verify.spec import codes
from svcc.verify.spec.properties import SENTENCES
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "how-to-add.md").read_text()
ROW = re.compile(r"^\| (?P<places>`[^|]+`) \| [^|]+ \| (?P<all>yes|inside the model)? \|$", re.M)
OUTSIDE_THE_MODEL = {program.NthMatch, program.OtherMatch}
"""Matches that the simulator is told about by who sends the packet."""


def section(title: str) -> str:
    """The text below a heading."""
    return PAGE.split(f"\n## {title}")[1].split("\n## ")[0]


def named_in(path: str, name: str) -> bool:
    """Whether a file names a class."""
    return re.search(rf"\b{name}\b", (ROOT / path).read_text()) is not None


@pytest.mark.parametrize(
    ("title", "union", "most"), [("A match", program.Match, 5), ("A target", program.Target, 4)]
)
def test_each_of_a_union_is_named_in_each_place(title: str, union: UnionType, most: int) -> None:
    classes = get_args(union)
    assert len(classes) > 8
    rows = [match for match in ROW.finditer(section(title)) if match["all"]]
    assert len(rows) >= most
    for row in rows:
        wanted = set(classes)
        if row["all"] == "inside the model":
            wanted -= OUTSIDE_THE_MODEL
        for path in re.findall(r"`([^`]+)`", row["places"]):
            missing = [c.__name__ for c in wanted if not named_in(path, c.__name__)]
            assert not missing, f"{path} does not name {missing}"


def test_every_property_has_a_row() -> None:
    text = (ROOT / "docs" / "verification.md").read_text()
    rows = dict(re.findall(r"^\| ([a-z-]+) \| (.+) \|$", text, re.M))
    for name, sentence in SENTENCES.items():
        assert rows.get(name, "").startswith(sentence), name


def test_every_code_is_given_somewhere() -> None:
    constants = {
        name: value
        for name, value in vars(codes).items()
        if isinstance(value, str) and re.fullmatch(r"SVC\d{3}", value)
    }
    assert sorted(constants.values()) == sorted(codes.CODES)
    sources = {
        path: path.read_text()
        for folder in ("compiler", "verify", "svcc/api", "svcc/commands")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "codes.py"
    }
    for name in constants:
        assert any(re.search(rf"\b{name}\b", text) for text in sources.values()), name
