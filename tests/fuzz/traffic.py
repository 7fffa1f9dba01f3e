"""Random first packets of connections for the fuzz."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random

from svcc.grammar.address import Family
from tests.fuzz.rules import PLACES
from tests.fuzz.wires import Shot
from tests.support.kernel.packets import PROTOCOLS, Flow
from tests.support.kernel.testbed import Sender
from tests.support.readings.outcomes import is_loopback

_SOURCES: dict[Family, dict[Sender, tuple[str, ...]]] = {
    Family.IPV4: {
        "pod0": ("10.244.1.",),
        "ext0": ("10.244.2.", "203.0.113.", "192.168.7.", "198.18.0."),
    },
    Family.IPV6: {
        "pod0": ("fd00:244:1::",),
        "ext0": ("fd00:244:2::", "2001:db8::", "fd00:7::", "2001:db8:2::"),
    },
}
_OWN = {
    Family.IPV4: ("192.168.7.10", "192.168.7.11", "172.16.5.10", "10.244.1.1"),
    Family.IPV6: ("fd00:7::10", "fd00:16:5::10", "fd00:244:1::1"),
}
_LOOPBACK = {Family.IPV4: "127.0.0.1", Family.IPV6: "::1"}
_PORTS = (80, 80, 443, 8080, 81, 5353)


class Traffic:
    """Packets of one family from one source of chance.

    Source ports run through a wide range, so that no connection is taken for another and no
    translation has to avoid one.
    """

    def __init__(
        self, random: Random, family: Family, natural_source: Callable[[str], str | None]
    ) -> None:
        self._random = random
        self._family = family
        self._natural_source = natural_source
        self._ports = itertools.cycle(range(11000, 64000))
        self._hosts = itertools.cycle(range(20, 240))

    def burst(self, count: int) -> list[Shot]:
        """Some packets; now and then one has the source of an earlier one."""
        shots: list[Shot] = []
        while len(shots) < count:
            again = self._random.choice(shots) if shots and self._random.random() < 0.2 else None
            shots.append(self._shot(again))
        return shots

    def _shot(self, again: Shot | None) -> Shot:
        chance = self._random
        sender: Sender = chance.choice(("pod0", "ext0", "ext0", "node")) if not again else again[0]
        targets = [*PLACES[self._family].virtual] * 2 + [*_OWN[self._family]]
        if sender == "node":
            targets.append(_LOOPBACK[self._family])
        destination = chance.choice(targets)
        if sender == "node":
            source = self._own(destination)
        elif again:
            source = again[1].source
        else:
            source = self._far(sender)
        if source == destination and sender != "node":
            return self._shot(None)
        # Sports that rules tell apart are equally likely.
        port = (next(self._ports) * 7919) % 53000 + 11000
        protocol = chance.choice((*PROTOCOLS.values(), PROTOCOLS["tcp"]))
        return sender, Flow(source, port, destination, chance.choice(_PORTS), protocol)

    def _own(self, destination: str) -> str:
        natural = self._natural_source(destination)
        assert natural is not None
        if is_loopback(destination) or self._random.random() < 0.6:
            return natural
        return self._random.choice(_OWN[self._family])

    def _far(self, sender: Sender) -> str:
        if sender == "pod0" and self._random.random() < 0.1:
            return PLACES[self._family].virtual[4]
        start = self._random.choice(_SOURCES[self._family][sender])
        host = next(self._hosts)
        return f"{start}{host:x}" if self._family is Family.IPV6 else f"{start}{host}"
