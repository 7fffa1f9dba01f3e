"""nginx's text: what is written is read back, and what is wrong has its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.grammar.errors import InputError
from svcc.grammar.nginx.directives import Configuration, Directive, quoted, write
from svcc.grammar.nginx.read import is_nginx, read, read_text
from tests.support.effort import examples

# Of words that no version of nginx knows, so that only their form is looked at.
_NAMES = st.from_regex(r"zz[a-z_]{1,8}", fullmatch=True)
_WORDS = st.one_of(
    st.from_regex(r"[a-z0-9.:/_$=*\[\]-]{1,12}", fullmatch=True),
    st.text(
        st.characters(codec="utf-8", exclude_characters="\\\r", exclude_categories=["Cc", "Cs"])
    ),
)
_SIMPLE = st.builds(Directive, _NAMES, st.lists(_WORDS, max_size=3).map(tuple))
_DIRECTIVES = st.recursive(
    _SIMPLE,
    lambda inner: st.builds(
        Directive,
        _NAMES,
        st.lists(_WORDS, max_size=2).map(tuple),
        st.lists(inner, max_size=3).map(tuple),
        comment=st.text(max_size=20),
    ),
    max_leaves=8,
)


@given(st.lists(_DIRECTIVES, max_size=4).map(tuple))
@examples(100, 3000)
def test_what_is_written_is_read_back(directives: tuple[Directive, ...]) -> None:
    configuration = Configuration(directives)
    assert read_text(write(configuration), "x") == configuration


def test_backslashes_are_not_written() -> None:
    """nginx and crossplane differ about them."""
    with pytest.raises(ValueError, match="backslash"):
        quoted("a\\b")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("user nobody", 1),
        ("\n\nuser nobody", 3),
        ("events {\n", 2),
        ("}\n", 1),
        ("user nobody; # a\n}", 2),
        ("stream {\n  proxy_pass a;\n}\n", 2),
        ("stream {\n  server {\n    listen;\n  }\n}\n", 3),
        ("# only\ninclude nothere.conf;\n", 2),
        ("events {}\nuser a # ; no end", 2),
    ],
)
def test_what_is_wrong_has_its_line(text: str, line: int) -> None:
    with pytest.raises(InputError) as caught:
        read_text(text, "here.conf")
    (problem,) = caught.value.problems
    assert problem.position.file == "here.conf"
    assert problem.position.line == line, problem


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read(str(tmp_path / "nothing"))
    (tmp_path / "latin").write_bytes(b"user \xff;")
    with pytest.raises(InputError, match="not UTF-8"):
        read(str(tmp_path / "latin"))


def test_lines_are_those_of_the_included_file(tmp_path: Path) -> None:
    (tmp_path / "main.conf").write_text("user a;\nstream {\n  include in/*.conf;\n}\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.conf").write_text("\nlog_format b x;\n")
    (tmp_path / "in" / "a.conf").write_text("log_format a x;\n")
    found = read(str(tmp_path / "main.conf")).directives
    assert found[1].block is not None
    places = [(d.arguments[0], Path(d.file).name, d.line) for d in found[1].block]
    assert places == [("a", "a.conf", 1), ("b", "b.conf", 2)]


def test_what_is_a_configuration() -> None:
    assert is_nginx("worker_processes 1;\n")
    assert is_nginx("# x\nevents { }\n")
    assert not is_nginx("*nat\n-A PREROUTING -j stream\nCOMMIT\n")
    assert not is_nginx("table ip stream { chain x { type nat hook input; } }")
    assert not is_nginx("")
