"""Random tables of nftables against the kernel, and what the translation takes of it.

Longer runs: ``python -m tests.fuzz --nftables``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from svcc.grammar.address import Family
from svcc.verify.rule_files import of_nftables
from tests.fuzz.compare import disagreements
from tests.fuzz.nft_run import NftFuzz
from tests.fuzz.wires import Shot, Wires
from tests.support.effort import LONG
from tests.support.kernel.namespace import missing
from tests.support.kernel.packets import TCP, Flow

pytestmark = pytest.mark.kernel

SEED = 20
PAIRS = 40_000 if LONG else 2000


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    if reason := missing():
        pytest.skip(reason)
    with Wires() as made:
        yield made


@pytest.mark.parametrize("family", list(Family), ids=lambda family: family.label)
def test_translation_and_kernel_agree(wires: Wires, family: Family) -> None:
    said: list[str] = []
    tally = NftFuzz(wires, family, SEED).run(PAIRS, say=said.append)
    assert not tally.found, "\n".join(said)
    assert tally.pairs >= PAIRS
    kinds = " ".join(tally.kinds)
    for kind in ("delivered translated", "sent translated", "sent masqueraded", "refused", "lost"):
        assert kind in kinds, tally


HEAD = "type filter hook forward priority 0; policy accept;"
SHOT: Shot = ("pod0", Flow("10.244.1.20", 40001, "10.244.2.7", 80, TCP))
FACTS = {
    "accept ends its own chain alone": (
        f"table ip a {{ chain c {{ {HEAD}\naccept\n}}\n}}\n"
        f"table ip b {{ chain c {{ {HEAD}\nreject\n}}\n}}\n"
    ),
    "a look-up that fails ends the rule, not the chain": (
        "table ip a {\nmap m { type ipv4_addr : verdict; elements = { 10.9.9.9 : accept }\n}\n"
        f"chain c {{ {HEAD}\nip daddr vmap @m\nreject\n}}\n}}\n"
    ),
    "goto from a base chain ends it with its policy": (
        f"table ip a {{\nchain d {{\n}}\nchain c {{ {HEAD}\ngoto d\nreject\n}}\n}}\n"
    ),
    "a chain of type nat stands where nat does, whatever its priority": (
        "table ip a {\nchain c { type nat hook prerouting priority -190; policy accept;\n"
        "meta l4proto tcp dnat to 10.244.2.8:80\n}\n"
        "chain d { type filter hook prerouting priority -150; policy accept;\n"
        "ip daddr 10.244.2.8 drop\n}\n}\n"
    ),
    "of two chains of type nat the first that translates decides": (
        "table ip a {\nchain c { type nat hook prerouting priority -90; policy accept;\n"
        "meta l4proto tcp dnat to 10.244.2.8:80\n}\n"
        "chain d { type nat hook prerouting priority -110; policy accept;\n"
        "meta l4proto tcp dnat to 10.244.2.9:80\n}\n}\n"
    ),
    "at one priority the later registered is asked first": (
        "table ip a {\nchain c { type nat hook prerouting priority -100; policy accept;\n"
        "meta l4proto tcp dnat to 10.244.2.8:80\n}\n}\n"
        "table ip b {\nchain d { type nat hook prerouting priority -100; policy accept;\n"
        "meta l4proto tcp dnat to 10.244.2.9:80\n}\n}\n"
    ),
    "what a rule has done is done once": (
        f"table ip a {{\nchain c {{ {HEAD}\n"
        "meta mark & 0x1 == 0 meta mark set meta mark | 0x1 meta mark & 0x1 == 0x1 reject\n}\n}\n"
    ),
    "notrack comes too late where there is a connection": (
        "table ip a {\nchain c { type filter hook prerouting priority -150; policy accept;\n"
        f"notrack\n}}\nchain d {{ {HEAD}\nct state new reject\n}}\n}}\n"
    ),
    "an address in a block that the rule excludes is not matched": (
        f"table ip a {{ chain c {{ {HEAD}\n"
        "ip daddr != 10.244.0.0/16 ip daddr vmap { 10.244.2.7 : drop, 10.9.9.9 : drop }\n}\n}\n"
    ),
    "a chain that filters behind the translation sees where packets go": (
        "table ip a {\nchain c { type nat hook prerouting priority -100; policy accept;\n"
        "meta l4proto tcp dnat to 10.244.2.8:80\n}\n"
        "chain d { type filter hook prerouting priority -90; policy accept;\n"
        "ip daddr 10.244.2.8 ct status dnat drop\n}\n}\n"
    ),
    "a chain that filters behind the translation is passed before all others": (
        "table ip a {\nset s { type ipv4_addr; flags dynamic,timeout; timeout 1h;\n}\n"
        "chain c { type filter hook forward priority -300; policy accept;\n"
        "ip saddr @s tcp dport 80 drop\n}\n"
        "chain d { type filter hook prerouting priority 10; policy accept;\n"
        "add @s { ip saddr }\n}\n}\n"
    ),
    "a dormant table does nothing": (
        f"table ip a {{\nflags dormant\nchain c {{ {HEAD}\ndrop\n}}\n}}\n"
    ),
}


@pytest.mark.parametrize("text", list(FACTS.values()), ids=list(FACTS))
def test_what_the_translation_takes_of_the_kernel(wires: Wires, text: str) -> None:
    fuzz = NftFuzz(wires, Family.IPV4, SEED)
    assert fuzz.load(f"flush ruleset\n{text}") == ""
    wires.forget()
    observed = wires.burst([SHOT])
    rules = of_nftables(text, "nft")[Family.IPV4].rules
    wrong = list(disagreements(rules, [SHOT], observed))
    assert not wrong, wrong[0]


def test_a_wrong_translation_is_noticed(wires: Wires) -> None:
    fuzz = NftFuzz(wires, Family.IPV4, SEED)
    assert fuzz.load("flush ruleset\n") == ""
    wires.forget()
    observed = wires.burst([SHOT])
    rules = of_nftables(f"table ip b {{ chain c {{ {HEAD}\nreject\n}}\n}}\n", "nft")
    assert list(disagreements(rules[Family.IPV4].rules, [SHOT], observed))
