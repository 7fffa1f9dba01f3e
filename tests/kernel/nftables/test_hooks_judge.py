"""The kernel judges what the reader takes in the chains of which hook."""

from __future__ import annotations

from itertools import cycle, product

import pytest

from svcc.grammar.errors import InputError
from svcc.grammar.nftables.parse import parse
from tests.support.kernel.testbed import Testbed

pytestmark = pytest.mark.kernel

RULES = """\
meta l4proto tcp dnat {ip} to {host}
snat {ip} to {host}
meta l4proto tcp dnat {ip} to {ip} saddr map {{ {host} : {host} }}
masquerade
meta l4proto tcp redirect to :80
redirect
notrack
reject
reject with tcp reset
fib daddr type local
fib daddr . iif type local
fib saddr . oif type local
fib saddr oif missing
fib saddr . iif oif 0
fib daddr . mark . iif oifname "lo"
fib daddr . mark oif exists
fib daddr type vmap {{ local : drop }}
fib saddr . iif oif != 0 accept
fib daddr . iif type . meta mark {{ local . 1 }} drop
rt mtu 1000
rt classid 1
rt ipsec exists
tcp option maxseg size set rt mtu
socket transparent 1
socket mark 1
socket wildcard 1
meta mark set socket mark
meta l4proto tcp tproxy {ip} to :80
meta l4proto tcp synproxy mss 1460 wscale 7
ipsec in reqid 1
ipsec out reqid 1
meta pkttype set host
meta pkttype host
meta secpath exists
meta ipsec missing
meta sdif 1
meta sdifname "lo"
meta iif "lo"
meta oif "lo"
meta skuid 0
ct mark set 1
ct zone set 1
meta mark set 1
meta nftrace set 1
meta rtclassid 1
add @s {{ {ip} saddr }}
add @links {{ fib saddr oif }}
tcp option maxseg size set 1400
log
limit rate 1/second
"""
NAMES = {
    "ip": {"ip": "ip", "host": "10.0.0.1", "address": "ipv4_addr"},
    "ip6": {"ip": "ip6", "host": "fd00::1", "address": "ipv6_addr"},
    "inet": {"ip": "ip", "host": "10.0.0.1", "address": "ipv4_addr"},
}
BASES = [
    *(("filter", hook) for hook in ("prerouting", "input", "forward", "output", "postrouting")),
    *(("nat", hook) for hook in ("prerouting", "input", "output", "postrouting")),
    ("route", "output"),
]
WAYS = ("jump other", "goto other", "meta l4proto vmap {{ tcp : jump other }}", "")
"""How packets come to the rule; the last: it stands in the base chain."""


def text_of(family: str, rule: str, base: tuple[str, str], way: str) -> str:
    """A table with one rule, to which packets come from a base chain."""
    names = NAMES[family]
    kind, hook = base
    device = ' device "lo"' if hook == "ingress" else ""
    return (
        f"table {family} t {{\nset s {{\ntype {names['address']}\nflags dynamic\n}}\n"
        "set links {\ntype iface_index\nflags dynamic\n}\n"
        f"chain other {{\n{rule.format(**names) if way else 'accept'}\n}}\nchain base {{\n"
        f"type {kind} hook {hook}{device} priority 0\n{way or rule.format(**names)}\n}}\n}}\n"
    )


def taken(text: str) -> bool:
    """Whether the reader takes it; what else it may have against a text is no matter here."""
    try:
        parse(text, source="text")
    except InputError as error:
        return not all("the kernel refuses" in problem.message for problem in error.problems)
    return True


@pytest.mark.parametrize("family", ["ip", "ip6", "inet"])
def test_the_reader_refuses_in_a_hook_what_the_kernel_refuses_there(
    testbed: Testbed, family: str
) -> None:
    bases = [*BASES, ("filter", "ingress")] if family == "inet" else BASES
    refused = 0
    wrong = []
    for (rule, base), way in zip(product(RULES.splitlines(), bases), cycle(WAYS), strict=False):
        way = way.format()
        text = text_of(family, rule, base, way)
        try:
            testbed.node.run("nft", "-f", "-", text=text)
            by_kernel = ""
        except RuntimeError as error:
            by_kernel = str(error)
        testbed.node.run("nft", "flush", "ruleset")
        refused += bool(by_kernel)
        if taken(text) is bool(by_kernel):
            wrong.append(f"{rule} | {base} | {way}: {by_kernel or 'taken'}")
    assert not wrong, "\n".join(wrong)
    assert refused > len(bases) * 5
