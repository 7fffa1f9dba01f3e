"""What svcc says of what is loaded, held to the published schemas."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from tests.paths import ROOT
from tests.support.command import Done, svcc


def checked(name: str, text: str) -> dict[str, Any]:
    """A document as docs/schema/NAME.json has it."""
    found: dict[str, Any] = json.loads(text)
    schema = json.loads((ROOT / "docs" / "schema" / f"{name}.json").read_text())
    jsonschema.validate(found, schema)
    return found


def status() -> dict[str, Any]:
    """``svcc status -o json``."""
    done = svcc("status", "-o", "json")
    assert done.code in (0, 1), done.err
    return checked("status", done.out)


def listed(*arguments: str) -> list[dict[str, Any]]:
    """``svcc list -o json``."""
    done = svcc("list", *arguments, "-o", "json")
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = checked("list", done.out)["frontends"]
    return found


def backends() -> dict[str, list[str]]:
    """Frontends, as ``ADDRESS:PORT``, with their backends."""
    return {f"{item['address'] or '*'}:{item['port']}": item["backends"] for item in listed()}


def difference(done: Done) -> dict[str, Any]:
    """``svcc diff -o json``."""
    assert done.code in (0, 1), done.err
    found = checked("diff", done.out)
    assert found["changed"] == (done.code == 1) == bool(found["diff"])
    return found
