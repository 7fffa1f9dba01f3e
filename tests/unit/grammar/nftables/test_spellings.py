"""What nft reads alike is the same program; what it refuses is refused, with a place."""

from __future__ import annotations

import pytest

from svcc.grammar.errors import InputError
from svcc.grammar.nftables.parse import parse
from svcc.grammar.nftables.program import OtherStatement, Ruleset, Statement
from svcc.grammar.nftables.write import write

SETS = """\
	set s {
		type ipv4_addr
		flags dynamic,timeout
	}
	map m {
		type ipv4_addr : verdict
	}
	chain d {
	}
"""


def table(rule: str) -> str:
    """A table with one rule, in line 11."""
    return f"table ip t {{\n{SETS}\tchain c {{\n\t\t{rule}\n\t}}\n}}\n"


def statements(rule: str) -> tuple[Statement, ...]:
    """What a rule consists of."""
    (found,) = parse(table(rule), source="text").tables["ip", "t"].chains["c"].rules
    return found.statements


@pytest.mark.parametrize(
    ("spelled", "listed"),
    [
        ("meta mark and 0x4000 == 16384 mark set mark or 1",
         "meta mark & 0x00004000 == 0x00004000 meta mark set meta mark | 0x00000001"),
        ("meta l4proto 6", "meta l4proto tcp"),
        ("tcp dport http", "tcp dport 80"),
        ("tcp dport 010", "tcp dport 8"),
        ("tcp dport eq 3", "tcp dport 3"),
        ("tcp dport { 22 }", "tcp dport 22"),
        ("tcp dport {1,2,}", "tcp dport { 1, 2 }"),
        ("tcp dport { 2, 1 }", "tcp dport { 1, 2 }"),
        ("meta iifname lo meta oifname eth*", 'iifname "lo" oifname "eth*"'),
        ("ip saddr 10.0.0.9/24", "ip saddr 10.0.0.0/24"),
        ("ip saddr 10.0.0.9/32", "ip saddr 10.0.0.9"),
        ("ip saddr 10.0.0.0 - 10.0.0.3", "ip saddr 10.0.0.0-10.0.0.3"),
        ("ct state 0x8,established", "ct state established,new"),
        ("ct state (new|established)", "ct state established,new"),
        ("tcp flags 0x12", "tcp flags syn,ack"),
        ("tcp flags & (syn | ack) == syn", "tcp flags syn / syn,ack"),
        ("tcp flags & syn == 0", "tcp flags ! syn"),
        ("ct original saddr 10.0.0.1", "ct original ip saddr 10.0.0.1"),
        ("rt nexthop 10.0.0.1", "rt ip nexthop 10.0.0.1"),
        ("set update ip saddr @s", "update @s { ip saddr }"),
        ("set add ip saddr timeout 90s @s", "add @s { ip saddr timeout 1m30s }"),
        ("reject with icmp type port-unreachable", "reject"),
        ("reject with icmp type host-unreachable", "reject with icmp host-unreachable"),
        ("dnat ip addr . port to ip saddr map { 10.0.0.1 : 10.0.0.2 . 80 }",
         "dnat ip to ip saddr map { 10.0.0.1 : 10.0.0.2 . 80 }"),
        ("limit rate 10/second burst 5 packets", "limit rate 10/second"),
        ('log prefix "a" level warn', 'log prefix "a"'),
        ("meta skuid root", "meta skuid 0"),
        ("counter", "counter packets 7 bytes 9"),
        ("ct mark . ct status 1 . dnat", "ct mark . ct status 0x1 . 0x20"),
        ("ip saddr . icmp type { 10.0.0.1 . redirect, 10.0.0.2 . redirect }",
         "ip saddr . icmp type { 10.0.0.1 . 5, 10.0.0.2 . 5 }"),
        ("icmp type . ct mark redirect . 1", "icmp type . ct mark 5 . 0x1"),
    ],
)  # fmt: skip
def test_spellings_of_the_same(spelled: str, listed: str) -> None:
    assert statements(spelled) == statements(listed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tcp flags syn", "tcp flags == syn"),
        ("ct state established", "ct state != established"),
        ("add @s { ip saddr }", "add @s { ip saddr limit rate 1/second }"),
        ("tcp dport 80", "udp dport 80"),
        ("meta mark set meta mark & 0x1 | 0x2", "meta mark set meta mark & (0x1 | 0x2)"),
    ],
)
def test_what_is_not_the_same(one: str, other: str) -> None:
    assert statements(one) != statements(other)


@pytest.mark.parametrize(
    "carried",
    [
        "queue num 1-3 bypass", 'xt match "comment"', 'xt target "MARK"', "# xt_recent",
        "synproxy mss 1460 wscale 7", "flow add @f", "tproxy to :3128", "quota over 3 mbytes",
        "ct count over 20", 'counter name "c"', "dup to 10.0.0.1", "last used never",
    ],
)  # fmt: skip
def test_what_is_carried_along(carried: str) -> None:
    assert statements(carried) == (OtherStatement(carried),)


@pytest.mark.parametrize(
    ("rule", "column", "message"),
    [
        ("ip6 saddr ::1 accept", 3, "no packet of a table of family ip"),
        ("tcp dport 99999", 13, "not a number from 0 to 65535"),
        ("tcp dport 9-3", 13, "the end must be above the start"),
        ("ct state foo", 12, "'foo' is no ct_state"),
        ("ip saddr { 10.0.0.1, fd00::1 }", 24, "of the other family"),
        ("ip saddr 10.0.0.0/33", 12, "a prefix length is 0 to 32"),
        ("accept counter", 10, "no effect after accept"),
        ("jump d drop", 10, "no effect after a jump"),
        ("dnat to", 10, "ends too early"),
        ("tcp dport { 1, 2 accept", 20, "cannot read 'accept'"),
        ("tcp dport { 1,, 2 }", 17, "an element is missing"),
        ("jump nowhere", 3, "no chain nowhere in this table"),
        ("ip saddr @nothing", 3, "no set or map nothing in this table"),
        ("ip saddr @m", 3, "m is a map"),
        ("ip saddr vmap @s", 3, "s is a set"),
        ("tcp dport @s", 3, "s has keys of ipv4_addr, this has inet_service"),
        ("ip saddr . tcp dport { 10.0.0.1 }", 26, "1 part where ipv4_addr . inet_service"),
        ("iifname set lo", 3, "cannot be set"),
        ("iifname averyverylongname", 11, "1 to 15 characters"),
        ("meta foo 1", 3, "svcc knows no field 'meta foo'"),
        ("frobnicate", 3, "cannot read 'frobnicate'"),
        ('comment "abc', 11, "the quotation"),
        ("tcp dport 1,2", 13, "no set of bits"),
        ("snat to 10.0.0.0/8", 11, "a block of addresses"),
        ("meta nftrace set mark", 20, "meta mark is of type mark, and integer is wanted"),
        ("tcp dport set meta mark & 1", 17, "meta mark is of type mark"),
        ("ip ttl set ip length", 14, "ip length is of type integer"),
        ("meta l4proto { tcp, udp } tcp dport 80", 29, "tcp dport is of tcp alone"),
        ("ip protocol udp ip saddr . tcp dport { 10.0.0.1 . 80 } accept", 19, "of tcp alone"),
        ("udp dport 53 reject with tcp reset", 16, "only tcp is refused with tcp reset"),
    ],
)
def test_refusals_have_a_place(rule: str, column: int, message: str) -> None:
    with pytest.raises(InputError) as refused:
        parse(table(rule), source="text")
    first = refused.value.problems[0]
    assert (first.position.line, first.position.column) == (12, column), first
    assert message in first.message


def test_a_later_rule_of_the_same_shape_may_ask_for_two_protocols() -> None:
    rules = [f"meta l4proto {number} tcp dport 80 accept" for number in (6, 6, 17)]
    with pytest.raises(InputError) as refused:
        parse(table("\n\t\t".join(rules)), source="text")
    (first,) = refused.value.problems
    assert (first.position.line, first.position.column) == (14, 19)


def test_all_independent_problems_are_told() -> None:
    rules = "tcp dport 99999\n\t\tct state new accept\n\t\tct state old accept\n\t\tgoto c9"
    with pytest.raises(InputError) as refused:
        parse(table(rules), source="text")
    assert [problem.position.line for problem in refused.value.problems] == [12, 14]


FILE = """\
#!/usr/sbin/nft -f
flush ruleset
define inside = { 10.0.0.0/8, 192.168.0.0/16 }
define web = 10.0.0.80
define ports = { 80, \\
    443 }
table ip t {
  set nets { type ipv4_addr; flags interval; elements = $inside; }
  chain in { type filter hook input priority filter + 10; policy drop;
    ip saddr $web tcp dport $ports accept; ct state related accept  # both in a line
    ip saddr { $inside, 203.0.113.1 } accept
  }
}
table ip t { chain more { }; }
add chain ip t out { type filter hook output priority 0; policy accept; }
add rule ip t in tcp dport 22 accept comment "ssh"
insert rule ip t in udp dport 53 accept
add element ip t nets { 172.16.0.0/12, 198.51.100.7 }
delete element ip t nets { 192.168.0.0/16 }
add table ip6 gone
delete table ip6 gone
destroy table ip never
add chain ip t old; rename chain ip t old new
"""
LISTED = """\
table ip t {
	set nets {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/8, 172.16.0.0/12, 198.51.100.7 }
	}

	chain in {
		type filter hook input priority filter + 10; policy drop;
		udp dport 53 accept
		ip saddr 10.0.0.80 tcp dport { 80, 443 } accept
		ct state related accept
		ip saddr { 10.0.0.0/8, 192.168.0.0/16, 203.0.113.1 } accept
		tcp dport 22 accept comment "ssh"
	}

	chain more {
	}

	chain out {
		type filter hook output priority filter; policy accept;
	}

	chain new {
	}
}
"""


def test_a_file_of_commands_is_what_it_leaves() -> None:
    assert parse(FILE, source="file") == parse(LISTED, source="listed")


def test_places_behind_variables_are_those_of_the_file() -> None:
    text = "define a = 10.0.0.1\ntable ip t {\n chain c {\n  ip saddr $a tcp dport x\n }\n}\n"
    with pytest.raises(InputError) as refused:
        parse(text, source="file")
    assert str(refused.value.problems[0]).startswith("file:4:25: error: 'x' is no inet_service")


def ways(*chains: list[str]) -> str:
    """A table with chains ``a``, ``b`` and so on, of which a base chain jumps to the first."""
    head = "chain base {\ntype filter hook input priority 0\njump a\n}\n"
    texts = [
        "\n".join([f"chain {name} {{", *rules, "}", ""])
        for name, rules in zip("abcdefghijklmnop", chains, strict=False)
    ]
    return f"table ip t {{\n{''.join(texts)}{head}}}\n"


def test_as_many_chains_behind_one_another_as_the_kernel_allows() -> None:
    text = ways(*([f"goto {name}"] for name in "bcdefghijklmno"), ["accept"])
    assert parse(text, source="file").tables
    # What no base chain leads to is walked by nobody.
    assert parse(ways(["jump a"]).replace("type filter hook input priority 0", ""), source="file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('include "other.nft"\n', "svcc reads one file"),
        ("list ruleset\n", "shows something"),
        ("delete table ip t\n", "no table ip t before this"),
        ("table ip t {\n chain c { accept }\n}\n", "write } on the next line"),
        ("table ip t {\n set s { flags interval; }\n}\n", "has no type"),
        ("table ip t {\n chain c { type nat hook forward priority 0; }\n}\n", "no hook 'forward'"),
        ("table ip t {\n set s { type ipv4_addr; elements = { 10.0.0.0/8 }\n }\n}\n",
         "takes no ranges"),
        ("table ip t {\n set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, "
         "10.1.0.0/16 }\n }\n}\n", "overlaps"),
        ("table ip t {\n chain c {\n  ip saddr $x\n }\n}\n", "$x is not defined"),
        ("define x = 1\ndefine x = 2\n", "is defined already"),
        ("table ip t {\n", "the table has no end"),
        (ways(["jump b"], ["goto a"]), "chain a leads back to itself"),
        (ways(["accept", "ip saddr vmap { 10.0.0.1 : goto a }"]), "chain a leads back to itself"),
        (ways(*(["accept", f"goto {name}"] for name in "bcdefghijklmnop"), ["accept"]),
         "base leads through more than 15 chains"),
    ],
)  # fmt: skip
def test_files_that_nft_would_not_take(text: str, message: str) -> None:
    with pytest.raises(InputError, match=None) as refused:
        parse(text, source="file")
    assert message in refused.value.problems[0].message


def test_rules_of_an_iptables_that_nft_cannot_print() -> None:
    text = (
        "# Warning: table ip filter is managed by iptables-nft, do not touch!\n"
        "table ip filter {\n\tchain INPUT {\n"
        "\t\ttype filter hook input priority filter; policy accept;\n"
        '\t\tip protocol tcp xt match "comment" counter packets 1 bytes 2 jump X # handle 5\n'
        "\t\tcounter packets 1 bytes 2 # recent: SET name: X\n"
        "\t}\n\n\tchain X { # handle 2\n\t}\n}\n"
    )
    chain = parse(text, source="listed").tables["ip", "filter"].chains["INPUT"]
    assert chain.rules[0].handle == 5
    assert OtherStatement('xt match "comment"') in chain.rules[0].statements
    assert chain.rules[1].statements[-1] == OtherStatement("# recent: SET name: X")


def test_listings_of_every_version_of_a_set() -> None:
    text = (
        "table ip t { # handle 4\n\tset s { # handle 3\n\t\ttype ipv4_addr . inet_service\n"
        "\t\tsize 65535\n\t\tflags interval,timeout\n\t\ttimeout 1h30m\n\t\tgc-interval 10s\n"
        '\t\tauto-merge\n\t\tcomment "x"\n\t\telements = { 10.0.0.0/8 . 80-90 timeout 3h '
        'expires 2h59m59s992ms comment "one",\n\t\t\t     10.0.0.1 . 7 '
        "counter packets 3 bytes 4 }\n\t}\n}\n"
    )
    found: Ruleset = parse(text, source="listed")
    item = found.tables["ip", "t"].sets["s"]
    first, second = item.elements.values()
    assert (first.timeout, first.expires, first.comment) == (10_800_000, 10_799_992, "one")
    assert (first.line, second.line) == (10, 11)
    assert (item.timeout, item.gc_interval, item.size) == (5_400_000, 10_000, 65535)
    assert parse(write(found), source="written") == found


@pytest.mark.parametrize(
    ("hook", "name", "number"), [("output", "dstnat", -100), ("input", "srcnat", 100)]
)
def test_names_of_priorities_where_nft_1_1_has_them(hook: str, name: str, number: int) -> None:
    text = "table ip t {{\n chain c {{ type nat hook {} priority {}; policy accept; }}\n}}\n"
    named, numbered = (parse(text.format(hook, each), source="file") for each in (name, number))
    assert write(named) == write(numbered)
    with pytest.raises(InputError, match="no standard priority"):
        parse(text.format("prerouting", "srcnat"), source="file")
