"""The choice of a backend: each with the same share, as exactly as the kernel can.

The kernel stores a probability in units of 2**-31 (net/netfilter/xt_statistic.c). Each
threshold is chosen for what must be left over after it, given what really is left before it,
so that rounding does not add up: in one chain no share is off by more than 2**-31.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from svcc.compiler.lower.shared.chains import Chains
from svcc.compiler.lower.shared.matches import protocol_match
from svcc.compiler.lower.shared.names import digest
from svcc.compiler.resolve.forwarding import Backend
from svcc.grammar.iptables.program import (
    PROBABILITY_ONE,
    Goto,
    Match,
    NatTarget,
    RandomMatch,
    RecentMatch,
    Rule,
)

LINEAR_BACKENDS = 16
"""Up to this many backends a list is as fast as a tree."""
LEAF_BACKENDS = 8


@lru_cache(maxsize=4096)
def thresholds(weights: tuple[int, ...]) -> tuple[int, ...]:
    """Thresholds of successive choices with these weights; the last needs none."""
    total = remaining = sum(weights)
    left = Fraction(1)
    found = []
    for weight in weights[:-1]:
        remaining -= weight
        threshold = round(PROBABILITY_ONE * (1 - Fraction(remaining, total) / left))
        found.append(threshold)
        left *= Fraction(PROBABILITY_ONE - threshold, PROBABILITY_ONE)
    return tuple(found)


@lru_cache(maxsize=4096)
def _equal(count: int) -> tuple[RandomMatch | None, ...]:
    return (*(RandomMatch(t) for t in thresholds((1,) * count)), None)


class Choice:
    """Writes the rules that send a service port's packets to one of its backends.

    ``identity`` names the service port in the lists that remember clients; every chain of
    the service port shares them, so that a client keeps its backend whichever frontend it
    uses.
    """

    def __init__(
        self, chains: Chains, protocol: int, identity: str, affinity_timeout: int | None
    ) -> None:
        self._chains = chains
        self._protocol = protocol
        self._identity = identity
        self._timeout = affinity_timeout
        self._number = 0

    def write(self, chain: str, backends: tuple[Backend, ...]) -> None:
        """Append the choice to a chain; it always ends there."""
        if self._timeout is not None:
            for backend in backends:
                known = RecentMatch(
                    operation="update", name=self._list(backend), seconds=self._timeout, reap=True
                )
                self._translate(chain, backend, (known,))
        self._number = 0
        self._spread(chain, chain, backends)

    def _spread(self, root: str, chain: str, backends: tuple[Backend, ...]) -> None:
        if len(backends) <= (LINEAR_BACKENDS if root == chain else LEAF_BACKENDS):
            for backend, chance in zip(backends, _equal(len(backends)), strict=True):
                matches: tuple[Match, ...] = () if chance is None else (chance,)
                if self._timeout is not None:
                    matches = (*matches, RecentMatch(operation="set", name=self._list(backend)))
                self._translate(chain, backend, matches)
            return
        size = -(-len(backends) // self._chains.branches.backends)
        groups = [backends[start : start + size] for start in range(0, len(backends), size)]
        chances = (*thresholds(tuple(len(group) for group in groups)), None)
        for group, threshold in zip(groups, chances, strict=True):
            self._number += 1
            name = f"{root}-{self._number}"
            matches = () if threshold is None else (RandomMatch(threshold),)
            self._chains.add(chain, Goto(name), matches=matches)
            self._spread(root, name, group)

    def _translate(self, chain: str, backend: Backend, matches: tuple[Match, ...]) -> None:
        rule = Rule(
            chain=chain,
            protocol=protocol_match(self._protocol),
            matches=matches,
            target=NatTarget(
                name="DNAT",
                first_address=backend.address,
                last_address=None,
                first_port=backend.port,
            ),
        )
        self._chains.append(rule)

    def _list(self, backend: Backend) -> str:
        return "SVCC-" + digest(f"{self._identity}|{backend.address:x}|{backend.port}", 16)
