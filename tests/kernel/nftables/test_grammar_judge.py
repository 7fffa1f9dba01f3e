"""nft judges the grammar: what the reader takes, nft takes, and lists as the same program."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from svcc.grammar.errors import InputError
from svcc.grammar.nftables.parse import parse
from svcc.grammar.nftables.program import Ruleset, Types
from svcc.grammar.nftables.read_json import parse_json
from svcc.grammar.nftables.write import write
from tests.support.kernel.testbed import Testbed

pytestmark = pytest.mark.kernel

HEAD = """\
table {family} t {{
	set clients {{
		type {address}
		size 65535
		flags dynamic,timeout
		timeout 3h
	}}
	set nets {{
		type {address}
		flags interval
		elements = {{ {net}, {host} }}
	}}
	map services {{
		type {address} . inet_proto . inet_service : verdict
		elements = {{ {host} . tcp . 80 : goto other, {host} . udp . 53 comment "dns" : drop }}
	}}
	map backends {{
		typeof {ip} daddr . meta l4proto . th dport . numgen random mod 2 : {ip} daddr . th dport
		elements = {{ {host} . tcp . 80 . 0 : {host} . 8080, {host} . tcp . 80 . 1 : {host} . 81 }}
	}}
	chain other {{
	}}
"""
NAMES = {
    "ip": {"ip": "ip", "address": "ipv4_addr", "host": "10.0.0.1", "net": "10.1.0.0/16"},
    "ip6": {"ip": "ip6", "address": "ipv6_addr", "host": "fd00::1", "net": "fd00:1::/64"},
}
RULES = """\
{ip} saddr {host} accept
{ip} saddr != {net} drop
{ip} daddr {{ {host}, {net} }} tcp dport 80 counter accept comment "two"
{ip} daddr @nets tcp dport != {{ 22, 80-90 }} reject
{ip} daddr . meta l4proto . th dport vmap @services
{ip} daddr . tcp dport {{ {host} . 80, {host} . 1-5 }} drop
ct state established,related accept
ct state new jump other
ct state vmap {{ established : accept, invalid : drop, new : goto other }}
ct state == new ct status dnat continue
ct state ! new return
ct direction original ct mark 0x3 accept
ct original {ip} saddr {host} meta l4proto tcp ct original proto-dst 80 drop
meta mark and 0x4000 == 0x4000 ct mark set meta mark or 0x1
meta mark set meta mark & 0xffffbfff | 0x1
meta mark set numgen inc mod 3 offset 4
meta mark set jhash {ip} saddr . {ip} daddr mod 7 seed 0x7 offset 3
mark set 0x10 iifname lo oifname "eth*"
meta iifname != {{ "lo", "eth0" }} iif "lo" drop
meta l4proto {{ tcp, udp }} th dport 53 accept
meta l4proto tcp dnat to {host}
meta l4proto tcp redirect to :8080
tcp flags syn / fin,syn,rst,ack drop
tcp flags & (syn | ack) == syn | ack drop
tcp flags == syn reject with tcp reset
tcp sport 1024-65535 tcp dport > 1023 ct state invalid drop
udp dport {{ 53, 67-68 }} counter packets 3 bytes 4 return
fib daddr type local fib saddr . iif oif != 0 accept
fib daddr . iif type {{ local, broadcast }} accept
fib saddr . mark . iif oif missing fib daddr oif exists drop
numgen random mod 3 vmap {{ 0 : jump other, 1 : goto other, 2 : accept }}
dnat {ip} to {ip} daddr . meta l4proto . th dport . numgen random mod 2 map @backends
meta l4proto tcp dnat {ip} to numgen random mod 2 map {{ 0 : {host} . 80, 1 : {host} . 81 }}
dnat to {ip} saddr map {{ {host} : {host} }}
update @clients {{ {ip} saddr timeout 1m }}
add @clients {{ {ip} saddr }} accept
limit rate 10/second burst 7 packets accept
limit rate over 1 mbytes/minute drop
log prefix "svcc: " level warn drop
meta skuid 1000 meta pkttype host accept
meta nftrace set 1
notrack
masquerade random,fully-random
"""
DOUBTFUL = """\
meta l4proto {{ tcp, udp }} tcp dport 80
meta l4proto {{ tcp, udp }} th dport 80
meta l4proto {{ tcp }} tcp dport 80
meta l4proto != udp tcp dport 80
meta l4proto 17 tcp dport 80
meta l4proto {{ 6, 17 }} udp dport 80
meta l4proto {{ 6-17 }} udp dport 80
tcp dport 80 meta l4proto udp
tcp dport 80 udp dport 80
th dport 80 udp sport 5
meta l4proto udp {ip} saddr . tcp dport {{ {host} . 80 }} drop
{ip} saddr . udp dport {{ {host} . 80 }} tcp dport 80
{ip} saddr . meta l4proto {{ {host} . udp }} tcp dport 80
meta l4proto udp tcp dport vmap {{ 80 : accept }}
meta l4proto udp meta mark set tcp dport map {{ 80 : 1 }}
meta l4proto udp tcp option maxseg size set 1400
meta l4proto udp reject with tcp reset
meta l4proto {{ tcp, udp }} reject with tcp reset
meta l4proto != udp reject with tcp reset
meta nftrace set mark
meta nftrace set meta length
meta priority set meta mark
meta mark set meta length
ct zone set mark
tcp dport set tcp sport
tcp dport set meta mark
{ip} saddr set {ip} daddr
"""
"""Half of them nft refuses, for two protocols or types."""
WORD = re.compile(r'"[^"]*"|[!=<>]=|@?[\w:./-]+|\S')
COUNT = 600


def lines(family: str) -> list[str]:
    """Rules for a table of a family, as people write them."""
    return RULES.format(**NAMES[family]).splitlines()


def text_of(family: str, rules: list[str]) -> str:
    """A table that has each rule in a chain of its own."""
    head = HEAD.format(family=family, **NAMES[family])
    chains = "".join(
        f"\tchain c{number} {{\n\t\t{rule}\n\t}}\n" for number, rule in enumerate(rules)
    )
    return f"{head}{chains}}}\n"


def damaged(rules: list[str], seed: int) -> Iterator[str]:
    """Rules with a word left out, doubled, exchanged or taken from another rule."""
    chosen = random.Random(seed)
    words = [word for rule in rules for word in WORD.findall(rule)]
    while True:
        found = WORD.findall(chosen.choice(rules))
        for _ in range(chosen.choice((1, 1, 1, 2))):
            place = chosen.randrange(len(found))
            match chosen.randrange(4):
                case 0 if len(found) > 1:
                    del found[place]
                case 1:
                    found.insert(place, chosen.choice(words))
                case 2:
                    found[place] = chosen.choice(words)
                case _:
                    other = chosen.randrange(len(found))
                    found[place], found[other] = found[other], found[place]
        yield " ".join(found)


def taken(family: str, rule: str) -> Ruleset | None:
    """What the reader makes of a rule; None: it refuses it."""
    try:
        return parse(text_of(family, [rule]), source="rule")
    except InputError:
        return None


def refused(testbed: Testbed, text: str) -> str:
    """What nft says against a text; nothing where it takes it."""
    try:
        testbed.node.run("nft", "-c", "-f", "-", text=text)
    except RuntimeError as error:
        # Which interfaces there are is no matter of grammar.
        return "" if "Interface does not exist" in str(error) else str(error)
    return ""


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_rules_are_listed_as_the_same_program(testbed: Testbed, family: str) -> None:
    text = text_of(family, lines(family))
    testbed.node.run("nft", "-f", "-", text=text)
    loaded = parse(text, source="written")
    listed = testbed.node.run("nft", "-a", "list", "ruleset")
    assert parse(listed, source="listed") == loaded
    testbed.node.run("nft", "flush", "ruleset")
    testbed.node.run("nft", "-f", "-", text=write(loaded))
    again = testbed.node.run("nft", "-s", "list", "ruleset")
    assert parse(again, source="listed again") == loaded


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_what_the_reader_takes_nft_takes(testbed: Testbed, family: str) -> None:
    rules = [
        rule
        for _, rule in zip(range(COUNT), damaged(lines(family), seed=7), strict=False)
        if taken(family, rule) is not None
    ]
    assert len(rules) > COUNT // 20
    if refused(testbed, text_of(family, rules)):
        said = {rule: refused(testbed, text_of(family, [rule])) for rule in rules}
        assert not {rule: message for rule, message in said.items() if message}


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_the_reader_refuses_what_nft_refuses(testbed: Testbed, family: str) -> None:
    rules = DOUBTFUL.format(**NAMES[family]).splitlines()
    taken_by_both = {rule for rule in rules if taken(family, rule) is not None}
    assert 10 < len(taken_by_both) < len(rules) - 10
    assert not refused(testbed, text_of(family, sorted(taken_by_both)))
    for rule in set(rules) - taken_by_both:
        assert refused(testbed, text_of(family, [rule])), rule


@pytest.mark.parametrize("deep", [14, 15])
def test_ways_are_as_long_as_the_kernel_allows(testbed: Testbed, deep: int) -> None:
    """It tells of loops and depth when a table is loaded, not when it is checked."""
    chains = [f"chain c{n} {{\ngoto c{n + 1}\n}}\n" for n in range(deep)]
    base = "chain base {\ntype filter hook input priority 0\njump c0\n}\n"
    text = f"table ip t {{\n{''.join(chains)}chain c{deep} {{\n}}\n{base}}}\n"
    if deep < 15:
        testbed.node.run("nft", "-f", "-", text=text)
        assert parse(text, source="deep").tables
        return
    with pytest.raises(RuntimeError, match="Too many links"):
        testbed.node.run("nft", "-f", "-", text=text)
    with pytest.raises(InputError, match="more than 15 chains"):
        parse(text, source="deep")


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_json_is_read_as_the_text_is(testbed: Testbed, family: str) -> None:
    testbed.node.run("nft", "-f", "-", text=text_of(family, lines(family)))
    of_text = parse(testbed.node.run("nft", "list", "ruleset"), source="text")
    (table,) = of_text.tables.values()
    # What nft leaves out of its JSON: a flag, and the expressions of a typeof.
    table.sets["clients"].flags -= {"dynamic"}
    address = NAMES[family]["address"]
    backends = table.sets["backends"]
    backends.key = Types((address, "inet_proto", "inet_service", "integer"))
    backends.data = Types((address, "inet_service"))
    of_json = parse_json(testbed.node.run("nft", "-j", "list", "ruleset"), source="json")
    assert of_json == of_text
