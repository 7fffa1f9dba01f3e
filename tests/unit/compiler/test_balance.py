"""Every backend gets its share, as exactly as 31 bits allow."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.compiler.lower.shared.balance import LINEAR_BACKENDS, Choice, thresholds
from svcc.compiler.lower.shared.chains import Branches, Chains
from svcc.compiler.resolve.forwarding import Backend
from svcc.grammar.address import Family
from svcc.grammar.iptables.program import (
    PROBABILITY_ONE,
    Goto,
    NatTarget,
    RandomMatch,
    RecentMatch,
    Rule,
)

ULP = Fraction(1, PROBABILITY_ONE)
ROOT = "SVCC-SVC-TEST"


def chains_of(count: int, timeout: int | None = None) -> dict[str, list[Rule]]:
    chains = Chains("nat", Family.IPV4, Branches(8, 8, 4))
    backends = tuple(Backend(0x0A000000 + number, 8080) for number in range(count))
    Choice(chains, 6, "test/svc/tcp/ipv4", timeout).write(ROOT, backends)
    found: dict[str, list[Rule]] = {}
    for rule in chains.finish().commands:
        assert isinstance(rule, Rule)
        found.setdefault(rule.chain, []).append(rule)
    return found


def shares(chains: dict[str, list[Rule]]) -> tuple[dict[int, Fraction], int]:
    """The exact share of each backend, and how many chains lead to the deepest."""
    found: dict[int, Fraction] = {}
    deepest = 0
    waiting = [(ROOT, Fraction(1), 1)]
    while waiting:
        chain, left, depth = waiting.pop()
        deepest = max(deepest, depth)
        for rule in chains[chain]:
            chance = Fraction(1)
            for match in rule.matches:
                if isinstance(match, RandomMatch):
                    chance = Fraction(match.threshold, PROBABILITY_ONE)
            part = left * chance
            left -= part
            if isinstance(rule.target, Goto):
                waiting.append((rule.target.chain, part, depth + 1))
            else:
                assert isinstance(rule.target, NatTarget)
                assert rule.target.first_address is not None
                assert rule.target.first_address not in found
                found[rule.target.first_address] = part
        assert left == 0, "a choice that was entered always ends in a backend"
    return found, deepest


@pytest.mark.parametrize(
    "count", [*range(1, 70), 127, 128, 129, 500, 512, 513, 999, 1000, 1500, 1999, 2000]
)
def test_shares_are_equal(count: int) -> None:
    found, depth = shares(chains_of(count))
    assert len(found) == count
    assert sum(found.values()) == 1
    worst = max(abs(share - Fraction(1, count)) for share in found.values())
    assert worst <= ULP * depth
    if count <= LINEAR_BACKENDS:
        assert depth == 1


def test_a_large_service_is_a_shallow_tree() -> None:
    chains = chains_of(2000)
    _, depth = shares(chains)
    assert depth <= 5
    assert max(len(rules) for rules in chains.values()) <= 8
    assert all(len(name) <= 28 for name in chains)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30))
def test_weighted_choices_do_not_drift(weights: list[int]) -> None:
    """However many choices there are, no share is off by more than one unit."""
    left = Fraction(1)
    total = sum(weights)
    chosen = [*thresholds(tuple(weights)), PROBABILITY_ONE]
    for weight, threshold in zip(weights, chosen, strict=True):
        assert 0 < threshold <= PROBABILITY_ONE
        part = left * Fraction(threshold, PROBABILITY_ONE)
        left -= part
        assert abs(part - Fraction(weight, total)) <= ULP


def test_a_known_client_is_recognised_before_a_choice_is_made() -> None:
    rules = chains_of(3, timeout=600)[ROOT]
    operations = [
        match for rule in rules for match in rule.matches if isinstance(match, RecentMatch)
    ]
    assert [match.operation for match in operations] == ["update"] * 3 + ["set"] * 3
    assert [match.name for match in operations[:3]] == [match.name for match in operations[3:]]
    assert len({match.name for match in operations}) == 3
    assert all(len(match.name) <= 200 for match in operations)
    assert all(match.seconds == 600 and match.reap for match in operations[:3])
    for rule in rules[3:]:
        # The list must be entered only once the backend is chosen.
        assert isinstance(rule.matches[-1], RecentMatch)
