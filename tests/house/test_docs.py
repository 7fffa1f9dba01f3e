"""The documentation says what is true: its examples are run, its options exist."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from svcc.cli import COMMANDS, parser
from tests.house.docs import (
    CODES_FILE,
    FILES,
    KERNEL,
    blocks,
    codes_text,
    normal,
    python_blocks,
    run_block,
    run_python,
)
from tests.paths import ROOT
from tests.support.kernel.namespace import missing

EXAMPLES = [
    (path, number, match[0])
    for path in FILES
    for number, match in enumerate(blocks(path.read_text()))
]


def _name(value: object) -> str:
    return value.name if isinstance(value, Path) else str(value)[:20]


@pytest.mark.parametrize(
    ("path", "number", "block"), [e for e in EXAMPLES if not e[2].startswith(KERNEL)], ids=_name
)
def test_example_prints_what_the_document_says(path: Path, number: int, block: str) -> None:
    assert normal(run_block(block)) == normal(block), f"{path.name}, example {number}: make docs"


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("path", "number", "block"), [e for e in EXAMPLES if e[2].startswith(KERNEL)], ids=_name
)
def test_kernel_example(path: Path, number: int, block: str) -> None:
    if reason := missing():
        pytest.skip(reason)
    assert normal(run_block(block)) == normal(block), f"{path.name}, example {number}: make docs"


PYTHON = [(path, found) for path in FILES if (found := python_blocks(path.read_text()))]


@pytest.mark.parametrize("path", [path for path, _ in PYTHON], ids=_name)
def test_python_prints_what_the_document_says(path: Path) -> None:
    found = [m for m in python_blocks(path.read_text()) if not m[1].startswith(KERNEL)]
    for match, output in zip(found, run_python([match[1] for match in found]), strict=True):
        assert normal(output) == normal(match[2] or ""), f"{path.name}: make docs\n{match[1]}"


@pytest.mark.kernel
@pytest.mark.parametrize("path", [path for path, _ in PYTHON], ids=_name)
def test_python_in_a_namespace_prints_what_the_document_says(path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    found = [m for m in python_blocks(path.read_text()) if m[1].startswith(KERNEL)]
    for match, output in zip(found, run_python([match[1] for match in found]), strict=True):
        assert normal(output) == normal(match[2] or ""), f"{path.name}: make docs\n{match[1]}"


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8
    assert any(block.startswith(KERNEL) for _, _, block in EXAMPLES)
    programs = [match[1] for _, found in PYTHON for match in found]
    assert len(programs) >= 7
    assert any(program.startswith(KERNEL) for program in programs)


def test_a_wrong_python_example_is_found() -> None:
    assert run_python(["x = 2\n", "print(x + 1)\n"]) == ["", "3\n"]
    (output,) = run_python(["print(unknown)\n"])
    assert "NameError" in output


def _options(of: argparse.ArgumentParser) -> set[str]:
    """The options of a command, and of those below it."""
    found = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", of.format_help()))
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {option for each in action.choices.values() for option in _options(each)}
    return found


def test_every_option_is_documented_and_every_documented_option_exists() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    documented = set(re.findall(r"`(--[a-z][a-z-]+)", text))
    assert _options(parser()) - {"--help"} == documented
    for name, *_ in COMMANDS:
        assert f"svcc {name}" in text


def test_every_code_is_documented() -> None:
    assert CODES_FILE.read_text() == codes_text(), "make docs"


def test_links_lead_somewhere() -> None:
    for path in FILES:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
