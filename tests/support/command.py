"""svcc's command line, run in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest

from svcc.cli import main
from tests.paths import ROOT

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


def svcc(capsys: pytest.CaptureFixture[str], *arguments: object) -> Done:
    """Run a command line."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return Done(code, captured.out, captured.err)
