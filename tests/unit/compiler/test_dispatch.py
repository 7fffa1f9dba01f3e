"""The tree of destinations leads every packet to its entry and loses none."""

from __future__ import annotations

from random import Random

import pytest

from svcc.compiler.lower.shared.chains import Branches, Chains
from svcc.compiler.lower.shared.dispatch import (
    LEAF_ADDRESSES,
    LINEAR,
    Entry,
    cut,
    dispatch_addresses,
    dispatch_ports,
)
from svcc.grammar.address import Family, prefix_mask
from svcc.grammar.iptables.program import Goto, Jump, Rule, TransportMatch, Verdict

ROOT = "SVCC-SERVICES"
NARROW = Branches(8, 8, 4)


class Walker:
    """Walks the rules of one table as the kernel would, for one packet each."""

    def __init__(self, chains: Chains) -> None:
        self._chains: dict[str, list[Rule]] = {}
        for rule in chains.finish().commands:
            assert isinstance(rule, Rule)
            self._chains.setdefault(rule.chain, []).append(rule)
        self.steps = 0

    def targets(self, chain: str, address: int, protocol: int, port: int) -> list[str]:
        """The leaves that the packet reaches, in order."""
        found: list[str] = []
        for rule in self._chains.get(chain, []):
            self.steps += 1
            if not _holds(rule, address, protocol, port):
                continue
            assert isinstance(rule.target, Goto | Jump)
            if rule.target.chain not in self._chains:
                found.append(rule.target.chain)
            found += self.targets(rule.target.chain, address, protocol, port)
            if isinstance(rule.target, Goto):
                break
        return found


def _holds(rule: Rule, address: int, protocol: int, port: int) -> bool:
    if rule.destination and address & rule.destination.mask != rule.destination.address:
        return False
    if rule.protocol and rule.protocol.number != protocol:
        return False
    for match in rule.matches:
        assert isinstance(match, TransportMatch)
        assert match.destination_ports
        if not match.destination_ports.first <= port <= match.destination_ports.last:
            return False
    return True


def named(number: int) -> Goto:
    return Goto(f"ENTRY-{number}")


def skewed(kind: str, random: Random, family: Family) -> list[int]:
    """Addresses whose plain bits would make a lopsided tree."""
    base = 10 << (family.bits - 8)
    if kind == "dense":
        return [base + number for number in range(600)]
    if kind == "spread":
        return [random.getrandbits(family.bits) for _ in range(600)]
    if kind == "powers":
        return [base + (1 << n) for n in range(min(family.bits - 9, 100))] + [
            base + 5 + n for n in range(80)
        ]
    # A chain of ever longer prefixes with one address each, and a clump at the end.
    comb = [base | ((1 << n) - 1) << (family.bits - 9 - n) for n in range(min(20, family.bits))]
    return comb + [comb[-1] ^ n for n in range(1, 120)]


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("kind", ["dense", "spread", "powers", "comb"])
@pytest.mark.parametrize("branches", [NARROW, Branches(64, 64, 64)])
def test_every_address_finds_its_entry_only(kind: str, family: Family, branches: Branches) -> None:
    random = Random(kind)
    addresses = sorted(set(skewed(kind, random, family)))
    assert len(addresses) > LINEAR
    entries = [Entry(a, 6, 80, named(number)) for number, a in enumerate(addresses)]
    random.shuffle(entries)
    chains = Chains("nat", family, branches)
    gates = dispatch_addresses(chains, ROOT, entries, stem="SVCC-T")
    walker = Walker(chains)
    for number, address in enumerate(addresses):
        assert walker.targets(ROOT, address, 6, 80) == [f"ENTRY-{number}"]
        assert walker.targets(ROOT, address, 17, 80) == []
        assert walker.targets(ROOT, address, 6, 81) == []
        assert any(address & prefix_mask(family, gate.length) == gate.prefix for gate in gates)
    taken = set(addresses)
    for address in {a ^ 1 for a in addresses} - taken:
        assert walker.targets(ROOT, address, 6, 80) == []
    assert len(gates) <= branches.addresses
    assert all(len(rule.chain) <= 28 for rule in chains.finish().commands if isinstance(rule, Rule))


@pytest.mark.parametrize("kind", ["dense", "spread", "powers", "comb"])
@pytest.mark.parametrize(("width", "part"), [(8, (2, 9)), (64, (2, 65))])
def test_a_cut_leaves_no_heavy_part(kind: str, width: int, part: tuple[int, int]) -> None:
    addresses = sorted(set(skewed(kind, Random(1), Family.IPV4)))
    parts = cut(addresses, 32, width)
    assert sorted(a for p in parts for a in p.addresses) == addresses
    heaviest = max(len(p.addresses) for p in parts)
    assert heaviest <= max(LEAF_ADDRESSES, len(addresses) * part[0] / part[1] + 1)


def test_walks_are_short() -> None:
    """10,000 addresses: fewer rules are looked at than a list of 64 has."""
    random = Random(3)
    addresses = sorted({(10 << 24) + random.randrange(1 << 20) for _ in range(10_000)})
    chains = Chains("nat", Family.IPV4, NARROW)
    dispatch_addresses(chains, ROOT, [Entry(a, 6, 80, named(a)) for a in addresses], stem="SVCC-T")
    longest = 0
    for address in addresses[::50]:
        walker = Walker(chains)
        assert walker.targets(ROOT, address, 6, 80)
        longest = max(longest, walker.steps)
    assert longest < LINEAR


def test_few_entries_are_a_list() -> None:
    chains = Chains("nat", Family.IPV4, NARROW)
    entries = [Entry(100 + n, 6, 80, named(n)) for n in range(LINEAR)]
    dispatch_addresses(chains, ROOT, entries, stem="SVCC-T")
    table = chains.finish()
    assert list(table.chains) == [ROOT]
    assert len(table.commands) == LINEAR


def test_an_address_with_very_many_ports() -> None:
    entries = [
        Entry(77, protocol, port, named(port + protocol * 100_000))
        for protocol in (6, 17, 132)
        for port in range(1000, 3000, 3)
    ]
    chains = Chains("nat", Family.IPV4, NARROW)
    dispatch_addresses(chains, ROOT, entries, stem="SVCC-T")
    walker = Walker(chains)
    for entry in entries:
        assert isinstance(entry.target, Goto)
        assert walker.targets(ROOT, 77, entry.protocol, entry.port) == [entry.target.chain]
        assert walker.targets(ROOT, 77, entry.protocol, entry.port + 1) == []
        assert walker.targets(ROOT, 78, entry.protocol, entry.port) == []


@pytest.mark.parametrize("count", [1, LINEAR, LINEAR + 1, 2768])
def test_node_ports(count: int) -> None:
    chains = Chains("nat", Family.IPV4, NARROW)
    ports = Random(count).sample(range(30000, 32768), count)
    entries = [Entry(None, 6, port, named(port)) for port in ports]
    dispatch_ports(chains, ROOT, entries, stem="SVCC-NP")
    walker = Walker(chains)
    for port in range(29990, 32780):
        wanted = [f"ENTRY-{port}"] if port in set(ports) else []
        assert walker.targets(ROOT, 1, 6, port) == wanted
        if port % 100 == 0:
            assert walker.targets(ROOT, 1, 17, port) == []


def test_one_more_address_changes_few_chains() -> None:
    """Chains are named after their own addresses, so that an update stays small."""
    random = Random(5)
    addresses = {(10 << 24) + random.randrange(1 << 16) for _ in range(1000)}
    extra = max(addresses) + 5

    def tree(members: set[int]) -> dict[str, list[Rule]]:
        chains = Chains("nat", Family.IPV4, NARROW)
        entries = [Entry(a, 6, 80, Verdict("DROP")) for a in members]
        dispatch_addresses(chains, ROOT, entries, stem="SVCC-T")
        found: dict[str, list[Rule]] = {}
        for rule in chains.finish().commands:
            assert isinstance(rule, Rule)
            found.setdefault(rule.chain, []).append(rule)
        return found

    before, after = tree(addresses), tree(addresses | {extra})
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    assert len(changed) <= len(before) / 5
