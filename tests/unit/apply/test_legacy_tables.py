"""Whether there are tables of iptables-legacy, which not everyone may know."""

from __future__ import annotations

from pathlib import Path

import pytest

from svcc.apply.iptables import tool
from svcc.grammar.address import Family


class Refused:
    """A file that this user may not read."""

    def read_text(self) -> str:
        raise PermissionError(13, "Permission denied")


def test_who_may_not_know_of_tables_takes_them_to_be_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    legacy = tool.Iptables("legacy")
    monkeypatch.setattr(tool, "_LEGACY_TABLES", {Family.IPV4: Refused()})
    assert legacy.may_hold_rules(Family.IPV4)
    names = tmp_path / "ip_tables_names"
    monkeypatch.setattr(tool, "_LEGACY_TABLES", {Family.IPV4: names})
    assert not legacy.may_hold_rules(Family.IPV4)
    names.write_text("nat\n")
    assert legacy.may_hold_rules(Family.IPV4)
