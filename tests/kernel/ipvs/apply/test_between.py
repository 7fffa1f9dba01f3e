"""What packets see after every single command of an apply, between all modes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from svcc.apply.iptables.tool import Iptables
from svcc.apply.system.tools import Result, run_tool
from svcc.compiler.pipeline import Compiled
from tests.kernel.ipvs.apply.shop import NEW, OLD, changes, compiled, put
from tests.support.effort import LONG
from tests.support.kernel import packets
from tests.support.kernel.packets import Flow
from tests.support.kernel.testbed import Delivered, Lost, Outcome, Refused, Sender, Sent, Testbed

pytestmark = pytest.mark.ipvs

TCP, UDP = packets.TCP, packets.UDP
REFUSED, LOST, UNTOUCHED = "refused", "lost", "untouched"
TRIES = 4


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of packet, and what it may see before and after: backends or a word."""

    sender: Sender
    source: str
    destination: str
    port: int
    protocol: int
    old: frozenset[str]
    new: frozenset[str]

    @property
    def frontend(self) -> tuple[str, int, int]:
        return (self.destination, self.port, self.protocol)

    def may_see(self) -> frozenset[str]:
        words = {REFUSED, LOST, UNTOUCHED}
        served = [bool(side - words) for side in (self.old, self.new)]
        if not any(served):
            return self.old | self.new
        # Who may pass and where to are not changed at once: the backends are the frontend's,
        # whichever senders reach them before and after.
        same = (one for one in KINDS if one.frontend == self.frontend)
        backends = frozenset().union(*(one.old | one.new for one in same)) - words
        if all(served):
            return backends
        # A frontend that comes or goes may be refused for a time.
        return backends | (self.old & words) | (self.new & words) | {REFUSED, LOST}


def kind(sender: Sender, source: str, to: str, old: str, new: str, protocol: int = TCP) -> Kind:
    host, _, port = to.rpartition(":")
    words = (frozenset(old.split()), frozenset(new.split()))
    return Kind(sender, source, host, int(port), protocol, *words)


POD, OUTSIDE, NODE = "10.244.1.77", "198.18.0.1", "192.168.7.10"
KINDS = [
    kind("pod0", POD, "10.96.0.10:80", "10.244.1.5 10.244.1.6 10.244.2.7", "10.244.1.6 10.244.3.8"),
    kind("node", NODE, "10.96.0.10:80", "10.244.1.5 10.244.1.6 10.244.2.7",
         "10.244.1.6 10.244.3.8"),
    kind("pod0", POD, "10.96.0.11:53", "10.244.1.9 10.244.2.9", "10.244.2.9 10.244.3.9", UDP),
    kind("pod0", POD, "10.96.0.12:80", REFUSED, "10.244.1.5"),
    kind("pod0", POD, "10.96.0.13:80", "10.244.1.5", UNTOUCHED),
    kind("pod0", POD, "10.96.0.14:80", UNTOUCHED, "10.244.1.5 10.244.2.7"),
    kind("ext0", "203.0.113.7", "198.51.100.20:80", "10.244.1.5 10.244.1.6", LOST),
    kind("ext0", "192.0.2.7", "198.51.100.20:80", LOST, "10.244.1.6 10.244.3.8"),
    kind("ext0", OUTSIDE, "198.51.100.20:80", LOST, LOST),
    kind("ext0", OUTSIDE, "198.51.100.21:80", LOST, UNTOUCHED),
    kind("ext0", OUTSIDE, "198.51.100.22:80", UNTOUCHED, "10.244.1.5"),
    kind("ext0", OUTSIDE, "192.168.7.10:30080", "10.244.1.5 10.244.1.6", UNTOUCHED),
    kind("ext0", OUTSIDE, "192.168.7.10:30081", UNTOUCHED, "10.244.1.6 10.244.3.8"),
    kind("pod0", "fd00:244:1::77", "fd00:96::a:80", "fd00:244:1::5 fd00:244:2::7", UNTOUCHED),
    kind("ext0", "2001:db8::7", "fd00:7::10:30086", "fd00:244:1::5", UNTOUCHED),
]  # fmt: skip


def label(outcome: Outcome, what: Kind) -> str:
    match outcome:
        case Sent(_, flow) | Delivered(flow):
            return UNTOUCHED if flow.destination == what.destination else flow.destination
        case Refused():
            # Nobody listens on the node's own ports.
            return UNTOUCHED if what.destination.startswith(("192.168", "fd00:7:")) else REFUSED
        case Lost():
            return LOST


@dataclass(slots=True)
class Watch:
    """Runs tools, and sends packets after each command that changes the node."""

    testbed: Testbed
    wrong: list[str] = field(default_factory=list)
    count: int = 0

    def run(self, arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
        result = run_tool(arguments, text, keep_open)
        if changes(arguments):
            self.count += 1
            self.look(f"after {arguments[0]} {self.count}: {(text or '')[:300]}")
        return result

    def look(self, when: str) -> None:
        for what in KINDS:
            for _ in range(TRIES):
                seen = self.send(what)
                if seen not in what.may_see():
                    self.wrong.append(f"{when}\n  {what}: {seen}")

    def send(self, what: Kind) -> str:
        flow = Flow(
            what.source, self.testbed.fresh_port(), what.destination, what.port, what.protocol
        )
        return label(self.testbed.send(what.sender, flow), what)

    def check_end(self, side: str) -> None:
        for what in KINDS:
            expected = getattr(what, side)
            seen = {self.send(what) for _ in range(8)}
            assert seen <= expected, f"{what}: {seen}"


WAYS = [("old", "new"), ("new", "old"), ("old", "old")] if LONG else [("old", "new")]


@pytest.fixture(scope="module")
def shared_testbed() -> Iterator[Testbed]:
    with Testbed() as made:
        yield made


@pytest.fixture(scope="module")
def shops() -> dict[tuple[str, str], Compiled]:
    return {
        (mode, name): compiled(documents, mode)
        for mode in ("iptables", "ipvs")
        for name, documents in (("old", OLD), ("new", NEW))
    }


@pytest.mark.parametrize(
    ("start", "end"),
    [("ipvs", "ipvs"), ("iptables", "ipvs"), ("ipvs", "iptables")],
    ids=lambda mode: str(mode),
)
@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_packets_see_the_old_or_the_new(
    shared_testbed: Testbed,
    shops: dict[tuple[str, str], Compiled],
    start: str,
    end: str,
    way: tuple[str, str],
) -> None:
    first, second = way
    with shared_testbed.node.entered():
        put(shops[start, first])
        watch = Watch(shared_testbed)
        watch.check_end(first)
        shared_testbed.node.run("conntrack", "-F")
        outcome = put(shops[end, second], Iptables("legacy", run=watch.run))
        assert not watch.wrong, "\n".join(watch.wrong[:20]) + "\n" + outcome.summary()
        assert outcome.warnings == ()
        assert watch.count >= 6 or start == end
        watch.check_end(second)
        assert not put(shops[end, second]).changed
