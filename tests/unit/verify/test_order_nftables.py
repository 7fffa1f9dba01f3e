"""Every step between nftables mode and another is safe, and a wrong order is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from svcc.api.applying.order import TooManyError
from svcc.apply.moments import Moment, moments_from_nftables, moments_to_nftables
from svcc.compiler.pipeline import Compiled
from svcc.grammar.address import Address
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.nftables.program import Ruleset
from tests.support.clusters.cases import case_names
from tests.unit.verify.test_order import case_in_mode, ipvs_of, planned, problems, tables_of

NONE = Ruleset()


def of_nftables(what: Compiled) -> Ruleset:
    assert what.tables is not None
    return what.tables


def to_nftables(old: Compiled, new: Compiled) -> list[Moment]:
    both = (NONE, of_nftables(new))
    return list(moments_to_nftables(planned(old, None), tables_of(old), ipvs_of(old), both))


def from_nftables(old: Compiled, new: Compiled) -> list[Moment]:
    steps = planned(None, new, drain=15)
    return list(moments_from_nftables(steps, tables_of(None), Ipvs(), of_nftables(old)))


def between(name: str, other: str, *, back: bool) -> tuple[list[Moment], tuple[Address, ...]]:
    """The moments of a case from another mode to nftables mode, or ``back``."""
    (one, addresses), (tables, _) = case_in_mode(name, other), case_in_mode(name, "nftables")
    return (from_nftables(tables, one) if back else to_nftables(one, tables)), addresses


REFUSED = {
    # IPVS sends on what the tables have sent to one of its virtual servers.
    ("backend-that-is-a-node-port", "ipvs", False),
    ("backend-that-is-a-node-port", "ipvs", True),
    ("balancer-address-that-is-its-backend", "ipvs", False),
}
"""Changes that apply does not make; by iptables mode each step is safe."""

TOO_MANY = {("many-services", "ipvs")}
"""Changes of which apply says that their order is not proved."""


@pytest.mark.slow
@pytest.mark.parametrize("name", case_names())
@pytest.mark.parametrize("other", ["iptables", "ipvs"])
@pytest.mark.parametrize("back", [False, True])
def test_every_moment_between_the_modes_is_safe(name: str, other: str, back: bool) -> None:
    found, addresses = between(name, other, back=back)
    assert len(found) > 3
    if (name, other) in TOO_MANY:
        with pytest.raises(TooManyError):
            problems(found, addresses)
        return
    wrong = problems(found, addresses)
    assert bool(wrong) is ((name, other, back) in REFUSED), "\n".join(wrong[:10])


def in_wrong_order(found: Sequence[Moment], *, back: bool) -> list[Moment]:
    """The same steps in the wrong order: what served before goes first."""
    if back:
        return [found[0], *(replace(moment, nftables=NONE) for moment in found[1:])]
    return [*(replace(moment, nftables=NONE) for moment in found[:-1]), found[-1]]


@pytest.mark.parametrize("other", ["iptables", "ipvs"])
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("name", ["node-port", "external-local"])
def test_a_wrong_order_is_found(name: str, other: str, back: bool) -> None:
    found, addresses = between(name, other, back=back)
    assert not problems(found, addresses)
    wrong = problems(in_wrong_order(found, back=back), addresses)
    assert any("before: sent to" in text for text in wrong), wrong


@pytest.mark.parametrize("back", [False, True])
def test_frontends_that_rules_alone_name_are_judged(back: bool) -> None:
    """Those of iptables mode stand in no set and on no virtual server; node ports neither."""
    found, addresses = between("node-port", "iptables", back=back)
    wrong = problems(in_wrong_order(found, back=back), addresses)
    ports = {text.split(" -> ")[1].split(" ")[0].rpartition(":")[2] for text in wrong}
    assert len(ports) > 1, wrong
