"""Real packets after every single step: each frontend is served or refused, never neither."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from svcc.apply.engine import apply
from svcc.apply.iptables.tool import Iptables, Variant
from svcc.apply.system.tools import Result, run_tool
from svcc.grammar.address import Family
from tests.support.kernel.wire import Wire
from tests.support.readings.wanted import Programs, wanted

pytestmark = pytest.mark.kernel

STAYS, GOES, COMES, NEVER = "10.96.0.20", "10.96.0.21", "10.96.0.22", "10.96.0.23"


def programs(wire: Wire, serving: Sequence[str], refused: Sequence[str]) -> Programs:
    frontends = {f"{address} 53": [f"{wire.first}:53"] for address in serving}
    return {
        Family.IPV4: wanted(frontends, [f"{address} 53" for address in refused]),
        Family.IPV6: wanted({}, family=Family.IPV6),
    }


@pytest.mark.parametrize("wire", [Family.IPV4], indirect=True)
def test_every_state_on_the_way(wire: Wire, variant: Variant) -> None:
    old = programs(wire, serving=[STAYS, GOES], refused=[COMES, NEVER])
    new = programs(wire, serving=[STAYS, COMES], refused=[GOES, NEVER])
    seen: list[dict[str, str]] = []

    def watched(arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
        result = run_tool(arguments, text, keep_open)
        if arguments[0].endswith("-restore") and "ip6" not in arguments[0]:
            seen.append({ip: wire.fate(ip) for ip in (STAYS, GOES, COMES, NEVER)})
        return result

    apply(old, route_localnet=False, tools=Iptables(variant), wait=None)
    apply(new, route_localnet=False, tools=Iptables(variant, run=watched), wait=None)
    before = {STAYS: "served", GOES: "served", COMES: "refused", NEVER: "refused"}
    after = {STAYS: "served", GOES: "refused", COMES: "served", NEVER: "refused"}
    assert seen == [before, after, after]
