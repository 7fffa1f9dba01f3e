"""Which packets are masqueraded because they are sent back to where they came from."""

from __future__ import annotations

from random import Random

import pytest

from svcc.compiler.lower.shared.chains import Branches, Chains
from svcc.compiler.lower.shared.hairpin import HAIRPIN, POSTROUTING, SENT_TO_ITSELF, masquerade
from svcc.grammar.address import Family, parse_address
from svcc.grammar.iptables.program import BpfMatch, ConntrackMatch, Goto, Rule, SetMark

MARK = SetMark(0x4000, 0x4000)


def rules_of(chains: Chains) -> dict[str, list[Rule]]:
    found: dict[str, list[Rule]] = {}
    for rule in chains.finish().commands:
        assert isinstance(rule, Rule)
        found.setdefault(rule.chain, []).append(rule)
    return found


def marks(rules: dict[str, list[Rule]], chain: str, protocol: int, port: int) -> bool:
    for rule in rules[chain]:
        assert rule.protocol
        (match,) = rule.matches
        assert isinstance(match, ConntrackMatch)
        span = match.original_destination_ports
        assert span
        if rule.protocol.number != protocol or not span.first <= port <= span.last:
            continue
        if isinstance(rule.target, Goto):
            return marks(rules, rule.target.chain, protocol, port)
        assert rule.target == MARK
        return True
    return False


@pytest.mark.parametrize("count", [1, 16, 40, 700])
def test_exactly_the_given_node_ports(count: int) -> None:
    ports = {
        (protocol, port)
        for protocol in (6, 132)
        for port in Random(count).sample(range(30000, 32768), count)
    }
    chains = Chains("nat", Family.IPV4, Branches(8, 8, 4))
    masquerade(chains, 0x4000, [], ports)
    rules = rules_of(chains)
    for protocol in (6, 17, 132):
        for port in range(29999, 32769):
            assert marks(rules, HAIRPIN, protocol, port) == ((protocol, port) in ports)
    assert all(len(name) <= 28 for name in rules)
    assert max(len(r) for r in rules.values()) <= 32


def test_neighbouring_ports_are_one_rule() -> None:
    chains = Chains("nat", Family.IPV4, Branches(8, 8, 4))
    masquerade(chains, 0x4000, [], [(6, port) for port in range(30000, 30500)])
    assert len(rules_of(chains)[HAIRPIN]) == 1


def test_hairpins_are_marked_before_unmarked_packets_leave() -> None:
    chains = Chains("nat", Family.IPV4, Branches(8, 8, 4))
    masquerade(chains, 0x4000, [], [])
    first, second, third, fourth = rules_of(chains)[POSTROUTING]
    assert SENT_TO_ITSELF[Family.IPV4] in first.matches
    assert (second.target, third.target) != (third.target, fourth.target)
    assert third.target == SetMark(0, 0x4000)


@pytest.mark.parametrize(
    ("source", "destination", "same"),
    [
        ("10.244.1.5", "10.244.1.5", True),
        ("10.244.1.5", "10.244.1.6", False),
        ("fd00:244::5", "fd00:244::5", True),
        ("fd00:244::5", "fd00:244::6", False),
        ("fd00:244::5", "fd00:245::5", False),
        ("fd00:244:0:1::5", "fd00:244::5", False),
        ("fd00:244::1:0:5", "fd00:244::5", False),
    ],
)
def test_bytecode(source: str, destination: str, same: bool) -> None:
    left, right = parse_address(source), parse_address(destination)
    size = left.family.bits // 8
    addresses = left.value.to_bytes(size, "big") + right.value.to_bytes(size, "big")
    header = bytes(12 if left.family is Family.IPV4 else 8) + addresses
    assert bool(run(SENT_TO_ITSELF[left.family], header)) is same


def run(program: BpfMatch, packet: bytes) -> int:
    """The result of a classic BPF program (Documentation/networking/filter.rst)."""
    accumulator = index = position = 0
    while True:
        code, jump_true, jump_false, value = program.instructions[position]
        position += 1
        if code == 0x20:
            accumulator = int.from_bytes(packet[value : value + 4], "big")
        elif code == 0x07:
            index = accumulator
        elif code == 0x1D:
            position += jump_true if accumulator == index else jump_false
        else:
            assert code == 0x06
            return value
