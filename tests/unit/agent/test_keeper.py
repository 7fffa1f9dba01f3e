"""What the keeper leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from svcc.agent import keeper as module
from svcc.agent.keeper import Keeper, Keeping, SyncError
from svcc.agent.sources.documents import Changes, Key
from svcc.apply.nftables.read import Reading
from svcc.apply.system.errors import ApplyError
from svcc.grammar.nftables.program import Ruleset


def test_nothing_is_loaded_while_an_apply_waits_to_be_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What goes back would go back behind it."""

    class Never:
        reading = Reading(Ruleset(), 1)

        def sync(self, *_: Any) -> None:
            raise AssertionError

    def waits() -> None:
        raise ApplyError("an apply waits to be confirmed")

    monkeypatch.setattr(module, "demand_none", waits)
    keeper: Any = Keeper(lambda *_: pytest.fail("asked for settings"), Keeping(), lambda _: None)
    keeper._partial, keeper._known = Never(), object()
    with pytest.raises(SyncError, match="waits to be confirmed") as raised:
        keeper.sync(Changes({}, frozenset({Key("Service", "a", "b")}), 0.0))
    assert raised.value.stage == "apply"
