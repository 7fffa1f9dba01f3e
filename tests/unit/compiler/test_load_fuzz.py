"""Whatever the input is, loading it gives objects or an InputError."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from svcc.compiler.load.loader import load
from svcc.compiler.settings.configuration import load_configuration
from svcc.grammar.errors import InputError
from tests.paths import ROOT
from tests.support.effort import examples

EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
TEXTS = [path.read_bytes() for path in EXAMPLES]
JSON_TEXTS = [
    b"\n".join(json.dumps(value, indent=1).encode() for value in yaml.safe_load_all(text))
    for text in TEXTS
]
TOKENS = (b"*", b"&a ", b"[", b"]", b"{", b"}", b": ", b"- ", b"\n", b"'", b'"', b"!!binary ",
          b"\t", b"\x00", b"\xff", b"<<: ", b"null", b"99999999999999999999", b"-1", b"? ",
          b"%YAML 9.9\n", b"--- ", b"...\n", b".inf", b"|\n", b"\xef\xbb\xbf", b",",
          b"\\u0000", b"\\ud800", b"1e999", b"NaN", b'"kind": 1, ', b"[" * 3000,
          b"9" * 5000)  # fmt: skip


def said(run: Callable[[], object]) -> list[str] | None:
    """The problems that an InputError names; None if there was none."""
    try:
        run()
    except InputError as error:
        return [str(problem) for problem in error.problems]
    return None


def only_input_errors(data: bytes) -> None:
    problems = said(lambda: load(["-"], stdin=io.BytesIO(data)))
    assert problems != []
    for problem in problems or ():
        assert problem.startswith("<stdin>")
        assert "\n" not in problem


@examples(150, 5000)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    only_input_errors(data)


@examples(200, 5000)
@given(
    st.sampled_from(TEXTS + JSON_TEXTS),
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from(TOKENS), st.integers(0, 12)),
        min_size=1,
        max_size=4,
    ),
)
def test_damaged_manifests(text: bytes, edits: list[tuple[float, bytes, int]]) -> None:
    for place, token, removed in edits:
        at = int(place * len(text))
        text = text[:at] + token + text[at + removed :]
    only_input_errors(text)


@examples(100, 3000)
@given(st.floats(0, 1), st.sampled_from(TOKENS), st.integers(0, 12))
def test_damaged_configuration(tmp_path: Path, place: float, token: bytes, removed: int) -> None:
    text = next(path for path in EXAMPLES if path.name == "config.yaml").read_bytes()
    at = int(place * len(text))
    damaged = tmp_path / "config.yaml"
    damaged.write_bytes(text[:at] + token + text[at + removed :])
    assert said(lambda: load_configuration(str(damaged))) != []


ODD_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    (None, True, 0, -1, 1 << 70, 1.5, float("inf"), "", "None", "a b", "10.0.0.1", [], {}, [[]],
     [None], [0], [{}], {"a": None}, {"": []}, "x" * 300, "\n-A INPUT -j ACCEPT")
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))
        else:
            yield (*path, key)


@examples(150, 5000)
@given(st.sampled_from(TEXTS), st.data(), st.booleans())
def test_any_value_anywhere(text: bytes, data: st.DataObject, as_json: bool) -> None:
    documents = [value for value in yaml.safe_load_all(text) if value is not None]
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(places(documents))))
        parent: Any = documents
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = deepcopy(data.draw(ODD_VALUES))
    if as_json:
        # JSON itself has no infinity; the loader must refuse Python's word for it.
        damaged = "\n".join(json.dumps(value) for value in documents)
    else:
        damaged = yaml.safe_dump_all(documents)
    only_input_errors(damaged.encode())
