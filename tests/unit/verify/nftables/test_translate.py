"""What rules of nftables become: the rules that both models judge."""

from __future__ import annotations

import pytest

from svcc.grammar.address import Family
from svcc.grammar.iptables.program import Jump, OtherMatch, OtherTarget, RandomMatch, Rule
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.iptables.write import write_rule
from svcc.grammar.nftables.parse import parse
from svcc.verify.netfilter.extensions import can_be_false
from svcc.verify.nftables.translate import translate

PREROUTING = "type nat hook prerouting priority dstnat; policy accept;"
FORWARD = "type filter hook forward priority filter; policy accept;"


def translated(body: str, family: Family = Family.IPV4, table: str = "ip t") -> RuleSet:
    return translate(parse(f"table {table} {{\n{body}\n}}\n", source="nft"), family)


def rules_of(
    statements: str, *, family: Family = Family.IPV4, table: str = "ip t", sets: str = ""
) -> list[Rule]:
    """What rules in a FORWARD chain become."""
    found = translated(
        f"{sets}\nchain other {{\n}}\nchain c {{\n{FORWARD}\n{statements}\n}}", family, table
    )
    (place,) = found.tables
    return found.tables[place]["FORWARD"].rules


def lines(statements: str, **where: str) -> list[str]:
    return [write_rule(rule, Family.IPV4) for rule in rules_of(statements, **where)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("ip daddr 10.0.0.1 tcp dport 80 drop",
         ["-A c -d 10.0.0.1/32 -p tcp -m tcp --dport 80 -j DROP"]),
        ("ip saddr != 10.0.0.0/8 accept", ["-A c ! -s 10.0.0.0/8 -j ACCEPT"]),
        ("udp dport 53-60 return", ["-A c -p udp -m udp --dport 53:60 -j RETURN"]),
        ("iifname \"cali*\" oifname != \"eth0\" drop", ["-A c -i cali+ ! -o eth0 -j DROP"]),
        ("ct state established,related accept",
         ["-A c -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]),
        ("ct state vmap { invalid : drop, new : continue, established : accept }",
         ["-A c -m conntrack --ctstate INVALID -j DROP",
          "-A c -m conntrack --ctstate ESTABLISHED -j ACCEPT"]),
        ("ct status dnat accept", ["-A c -m conntrack --ctstate DNAT -j ACCEPT"]),
        ("meta mark & 0x00004000 != 0x00000000 drop", ["-A c -m mark ! --mark 0x0/0x4000 -j DROP"]),
        ("meta mark set meta mark | 0x00004000", ["-A c -j MARK --set-xmark 0x4000/0x4000"]),
        ("meta mark set meta mark & 0xffffbfff", ["-A c -j MARK --set-xmark 0x0/0x4000"]),
        ("meta mark set meta mark ^ 0x00004000", ["-A c -j MARK --set-xmark 0x4000/0x0"]),
        ("fib daddr type local drop", ["-A c -m addrtype --dst-type LOCAL -j DROP"]),
        ("ip daddr { 10.0.0.1 } meta l4proto udp th dport 53 drop",
         ["-A c -d 10.0.0.1/32 -p udp -m udp --dport 53 -j DROP"]),
        ("meta l4proto { tcp, udp } th dport 53 drop",
         ["-A c -p tcp -m tcp --dport 53 -j DROP", "-A c -p udp -m udp --dport 53 -j DROP"]),
        ("tcp dport { 80, 443 } drop", ["-A c -p tcp -m multiport --dports 80,443 -j DROP"]),
        ("ip daddr 10.0.0.0/8 ip daddr 10.1.0.0/16 drop", ["-A c -d 10.1.0.0/16 -j DROP"]),
        ("ip daddr 10.0.0.0/8 ip daddr 11.1.0.0/16 drop", []),
        ("ip daddr != 10.0.0.0/8 ip daddr 10.1.0.0/16 drop", []),
        ("ip daddr != 10.0.0.0/8 ip daddr 11.1.0.0/16 drop", ["-A c -d 11.1.0.0/16 -j DROP"]),
        ("ip daddr 10.1.0.0/16 ip daddr != 11.0.0.0/8 drop", ["-A c -d 10.1.0.0/16 -j DROP"]),
        ("ip daddr != 10.1.0.0/16 ip daddr vmap { 10.1.2.3 : drop, 10.2.3.4 : drop }",
         ["-A c -d 10.2.3.4/32 -j DROP"]),
        ("tcp dport 80 meta l4proto udp drop", []),
        ("counter packets 1 bytes 2 log prefix \"x\" drop", ["-A c -j DROP"]),
        ("ip daddr . tcp dport vmap { 10.0.0.1 . 80 : goto other, 10.0.0.2 . 81 : drop }",
         ["-A c -d 10.0.0.1/32 -p tcp -m tcp --dport 80 -g other",
          "-A c -d 10.0.0.2/32 -p tcp -m tcp --dport 81 -j DROP"]),
    ],
)  # fmt: skip
def test_rules(written: str, wanted: list[str]) -> None:
    assert lines(written) == wanted


def test_a_rule_of_the_other_version_is_for_nobody() -> None:
    assert lines("ip6 daddr fd00::1 drop", table="inet t") == []
    assert lines("meta nfproto ipv6 drop", table="inet t") == []
    assert lines("ip daddr 10.0.0.1 drop", table="inet t") == ["-A c -d 10.0.0.1/32 -j DROP"]
    assert rules_of("ip daddr 10.0.0.1 drop", table="inet t", family=Family.IPV6) == []


def test_a_choice_by_chance_is_a_chance_of_what_is_left() -> None:
    found = translated(
        f"chain c {{\n{PREROUTING}\nmeta l4proto tcp dnat ip to numgen random mod 4 map "
        "{ 0 : 10.0.0.1 . 80, 2 : 10.0.0.2 . 80, 3 : 10.0.0.3 . 80 }\n}"
    )
    rules = found.tables["nat ip t"]["PREROUTING"].rules
    chances = [m.threshold / 2**31 for r in rules for m in r.matches if isinstance(m, RandomMatch)]
    assert chances == pytest.approx([1 / 4, 1 / 3, 1 / 2])


TURN = "numgen inc mod 2"
HASH = "jhash ip saddr . tcp sport mod 2"
PLACES = "map { 0 : 10.0.0.1 . 80, 1 : 10.0.0.2 . 80 }"
GOALS = "vmap { 0 : goto a, 1 : goto b }"


def outside(*rules: str, hook: str = PREROUTING, more: str = "") -> list[bool]:
    """Of each rule of a base chain that translates, whether it is outside the model."""
    text = "\n".join(rules)
    body = f"chain a {{\n{more}\n}}\nchain b {{\n}}\nchain c {{\n{hook}\n{text}\n}}"
    (chains,) = translated(body).tables.values()
    (hooked,) = (chain for name, chain in chains.items() if name.isupper())
    lines = {rule.line: isinstance(rule.target, OtherTarget) for rule in hooked.rules}
    return list(lines.values())


@pytest.mark.parametrize("choice", [TURN, HASH])
def test_a_choice_in_turn_or_by_a_hash_of_the_source_port_is_as_one_by_chance(choice: str) -> None:
    found = translated(
        f"chain c {{\n{PREROUTING}\nmeta l4proto tcp dnat ip to {choice} {PLACES}\n}}"
    )
    first, second = found.tables["nat ip t"]["PREROUTING"].rules
    (chance,) = (match for match in first.matches if isinstance(match, RandomMatch))
    assert chance.threshold == 2**30
    assert not any(isinstance(match, RandomMatch) for match in second.matches)
    assert outside(f"{choice} {GOALS}") == [False]


def test_choices_that_depend_on_others_are_outside_the_model() -> None:
    tcp, udp = "meta l4proto tcp", "meta l4proto udp"
    # One after the other ends the way of who meets it.
    assert outside(f"{tcp} {TURN} {GOALS}", f"{udp} {TURN} {GOALS}") == [False, False]
    # Two on one way go on in step.
    step = f"{tcp} dnat ip to {TURN} {PLACES}"
    assert outside(f"{tcp} {TURN} {GOALS}", more=step) == [True]
    back = f"{tcp} {TURN} vmap {{ 0 : return, 1 : accept }}"
    rest = f"{tcp} {HASH} vmap {{ 0 : goto b, 1 : accept }}"
    assert outside(f"{tcp} jump a", rest, more=back) == [False, True]
    # One that a packet may leave, or that other packets go through too.
    assert outside(f"{tcp} {TURN} vmap {{ 0 : goto a, 1 : continue }}") == [True]
    assert outside(f"{tcp} dnat ip to numgen inc mod 3 {PLACES}") == [True]
    assert outside(f"{tcp} {TURN} vmap {{ 0 : jump a, 1 : goto b }}") == [True]
    assert outside(f"{tcp} {TURN} {GOALS}", hook=FORWARD) == [True]
    assert outside(f"meta mark set {TURN} map {{ 0 : 1, 1 : 2 }} accept") == [True]


@pytest.mark.parametrize("of", ["ip saddr", "ip daddr . tcp dport", "tcp sport . meta mark"])
def test_a_hash_that_is_no_connection_s_own_is_outside_the_model(of: str) -> None:
    assert outside(f"meta l4proto tcp dnat ip to jhash {of} mod 2 {PLACES}") == [True]


def test_who_is_added_is_not_recorded_again() -> None:
    seen = "set seen {\ntype ipv4_addr\nflags dynamic,timeout\ntimeout 1h\n}"
    found = [
        line.replace(" --mask 255.255.255.255 --rsource", "")
        for line in lines("tcp dport 80 add @seen { ip saddr } accept", sets=seen)
    ]
    listed = '--name "ip t seen"'
    assert found == [
        f"-A c -p tcp -m tcp --dport 80 -m recent ! --rcheck --seconds 3600 {listed} "
        f"-m recent --set {listed}",
        "-A c -p tcp -m tcp --dport 80 -j ACCEPT",
    ]
    deleted = "delete @seen { ip saddr }\nip saddr @seen drop\n"
    assert any(isinstance(m, OtherMatch) for r in rules_of(deleted, sets=seen) for m in r.matches)


def test_jumps_by_chance_do_not_choose_anew() -> None:
    sets = "chain a {\n}\nchain b {\n}"
    first, *rest = rules_of("numgen random mod 2 vmap { 0 : jump a, 1 : jump b }", sets=sets)
    assert not rest
    assert isinstance(first.target, Jump)
    assert first.target.chain not in ("a", "b")


def test_what_is_done_before_the_end_is_done_once() -> None:
    """The second statement asks of the mark that the first has changed."""
    found = translated(
        "chain c {\ntype nat hook postrouting priority srcnat; policy accept;\n"
        "meta mark & 0x1 == 0x1 meta mark set meta mark ^ 0x1 masquerade\n}"
    )
    chains = found.tables["nat ip t"]
    (rule,) = chains["POSTROUTING"].rules
    assert isinstance(rule.target, Jump)
    part = [write_rule(r, Family.IPV4) for r in chains[rule.target.chain].rules]
    assert part == ["-A c -j MARK --set-xmark 0x1/0x0", "-A c -j MASQUERADE"]


@pytest.mark.parametrize(
    "statement",
    [
        "ip ttl 3 drop",
        "meta pkttype broadcast drop",
        "ip daddr @quota drop",
        "ip daddr @leaving drop",
        "quota over 10 mbytes drop",
        "jhash ip saddr mod 2 vmap { 0 : drop, 1 : accept }",
        "numgen inc mod 2 vmap { 0 : drop, 1 : accept }",
        "ct status != dnat drop",
        "meta mark << 2 == 4 drop",
        "queue",
        "ip daddr set 10.0.0.9",
    ],
)  # fmt: skip
def test_what_is_not_in_the_model_is_said_to_be_unknown(statement: str) -> None:
    sets = (
        "set quota {\ntype ipv4_addr\nquota 10 bytes\nelements = { 10.0.0.1 }\n}\n"
        "set leaving {\ntype ipv4_addr\nflags timeout\nelements = { 10.0.0.1 timeout 1h }\n}"
    )
    rules = rules_of(statement, sets=sets)
    assert rules
    for rule in rules:
        outside = [m for m in rule.matches if isinstance(m, OtherMatch)]
        assert outside or isinstance(rule.target, OtherTarget), write_rule(rule, Family.IPV4)
    assert statement.removeprefix("meta ").split()[0] in str(rules[0].written)
    assert rules[0].line


@pytest.mark.parametrize(
    ("head", "place", "hook"),
    [
        ("filter hook prerouting priority raw", "raw", "PREROUTING"),
        ("filter hook prerouting priority -110", "mangle", "PREROUTING"),
        ("nat hook prerouting priority -110", "nat", "PREROUTING"),
        ("filter hook input priority -5", "mangle", "INPUT"),
        ("filter hook forward priority 10", "filter", "FORWARD"),
        ("filter hook output priority filter", "filter", "OUTPUT"),
        ("filter hook forward priority security", "security", "FORWARD"),
        ("nat hook postrouting priority srcnat", "nat", "POSTROUTING"),
    ],
)
def test_base_chains_stand_where_their_priority_says(head: str, place: str, hook: str) -> None:
    found = translated(f"chain c {{\ntype {head}; policy drop;\n}}")
    assert list(found.tables) == [f"{place} ip t"]
    assert found.tables[f"{place} ip t"][hook].policy == "DROP"


@pytest.mark.parametrize(
    ("head", "rule"),
    [
        ("filter hook prerouting priority dstnat", "ip daddr 10.0.0.1 drop"),
        ("filter hook prerouting priority filter", "ip daddr 10.0.0.1 reject"),
        ("filter hook prerouting priority filter", 'oifname "eth0" drop'),
        ("filter hook prerouting priority filter", "jump out"),
    ],
)
def test_a_place_that_the_models_have_not(head: str, rule: str) -> None:
    of = (
        f"chain out {{\noifname . ip daddr {{ eth0 . 10.0.0.1 }} drop\n}}\nchain c {{\ntype {head};"
    )
    found = translated(f"{of}\n{rule}\n}}")
    (outside,) = found.tables["mangle ip t"]["PREROUTING"].rules
    assert isinstance(outside.target, OtherTarget)
    assert "hook prerouting priority" in str(outside.written)


@pytest.mark.parametrize("asked", ["fib saddr . mark . iif oif missing", "fib saddr . iif oif 0"])
def test_reverse_path_filtering(asked: str) -> None:
    """What it drops, no rule set says of a packet by its addresses and ports."""
    head = "type filter hook prerouting priority filter + 10; policy accept;"
    found = translated(f"chain c {{\n{head}\n{asked} drop\n}}\n")
    ((rule,), _) = ([*chain.rules] for chain in found.tables["mangle ip t"].values())
    (match,) = rule.matches
    assert can_be_false(match)


def test_what_filters_behind_the_translation_stands_first_on_both_ways() -> None:
    head = "type filter hook prerouting priority filter; policy drop;"
    body = f"chain c {{\n{head}\nip daddr 10.0.0.1 drop\n}}\n"
    early = "chain early {\ntype filter hook forward priority -300; policy accept;\ndrop\n}\n"
    found = translated(body + early)
    first, last = found.tables.values()
    assert sorted(first) == ["FORWARD", "INPUT"]
    assert list(last) == ["FORWARD"]
    for chain in first.values():
        assert chain.policy == "DROP"
        assert [write_rule(r, Family.IPV4) for r in chain.rules] == ["-A c -d 10.0.0.1/32 -j DROP"]


def test_tables_are_passed_in_the_order_of_their_priorities() -> None:
    text = "".join(
        f"table ip {name} {{\nchain c {{\ntype filter hook forward priority {priority}; "
        "policy accept;\ndrop\n}\n}\n"
        for name, priority in (("late", 20), ("early", 1), ("tied", 20))
    )
    ruleset = parse(text, source="nft")
    assert [t.split()[2] for t in translate(ruleset, Family.IPV4).tables] == [
        "early", "tied", "late"
    ]  # fmt: skip
    turned = translate(ruleset, Family.IPV4, ties_turned=True)
    assert [t.split()[2] for t in turned.tables] == ["early", "late", "tied"]


def test_a_dormant_table_is_passed_by_nobody() -> None:
    body = f"flags dormant\nchain c {{\n{FORWARD}\ndrop\n}}"
    assert translated(body).tables == {}
