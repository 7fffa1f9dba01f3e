"""svcc's command line, in this process or in one of its own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import (
    ExitStack,
    chdir,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
)
from dataclasses import dataclass
from typing import Any

import jsonschema

from svcc.cli import main
from tests.paths import ROOT
from tests.support.kernel.namespace import Namespace

SCHEMA = json.loads((ROOT / "docs" / "schema" / "verify.json").read_text())


@dataclass(frozen=True, slots=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The result of ``svcc verify -o json``, which is as published."""
        found: dict[str, Any] = json.loads(self.out)
        jsonschema.validate(found, SCHEMA)
        return found

    def verdicts(self, frontend: str) -> dict[str, tuple[str, str]]:
        """Property → verdict and code, of the frontends whose names have a text in them."""
        return {
            item["property"]: (item["verdict"], item.get("code", ""))
            for item in self.json()["properties"]
            if frontend in item["frontend"]
        }

    def codes(self) -> set[str]:
        """The codes of all findings."""
        return {finding["code"] for finding in self.json()["findings"]}


def svcc(*arguments: object, text: str | None = None, inside: Namespace | None = None) -> Done:
    """Run a command at the top of the repository, in this process.

    A start of the interpreter with all of its modules takes longer than most commands.

    Args:
        arguments: of the command line.
        text: what it reads from standard input, nothing by default.
        inside: the network namespace that it runs in.
    """
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        code = run([str(argument) for argument in arguments], text=text, inside=inside)
    return Done(code, output.getvalue(), errors.getvalue())


def run(
    arguments: Sequence[str], *, text: str | None = None, inside: Namespace | None = None
) -> int:
    """As :func:`svcc`, to wherever standard output and error go now; returns the exit code."""
    with ExitStack() as stack:
        stack.enter_context(chdir(ROOT))
        stack.enter_context(_standard_input(text or ""))
        if inside is not None:
            stack.enter_context(inside.entered())
        try:
            return main(arguments)
        except SystemExit as end:
            # What argparse does after --help, --version and bad usage.
            return end.code if isinstance(end.code, int) else 1


def svcc_process(
    *arguments: object, text: str | None = None, inside: Namespace | None = None
) -> Done:
    """As :func:`svcc`, in a process of its own: real streams, another seed of hashes."""
    with nullcontext() if inside is None else inside.entered():
        done = subprocess.run(
            [sys.executable, "-m", "svcc", *map(str, arguments)],
            cwd=ROOT,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def _standard_input(text: str) -> Iterator[None]:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
    try:
        yield
    finally:
        sys.stdin = before
