"""Random rule sets of nftables, as text that nft takes.

Two tables with base chains at many places, user chains of three kinds (that filter, that translate
destinations, that rewrite sources), and statements of every kind that the translation knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from svcc.grammar.address import Family
from tests.fuzz.rules import PLACES, Places

_BASES = (
    ("filter", "prerouting", (-310, -300, -250, -180, -150, -110, -90, 0, 10)),
    ("filter", "input", (-150, -5, 0, 10, 60)),
    ("filter", "forward", (-150, -5, 0, 10, 60, 300)),
    ("filter", "output", (-300, -150, -110, -50, 0, 10, 60)),
    ("filter", "postrouting", (-150, 0, 90)),
    ("nat", "prerouting", (-100, -150, -90)),
    ("nat", "output", (-100,)),
    ("nat", "postrouting", (100, 90)),
    ("nat", "input", (100,)),
)
_USERS = {"filter": ("f1", "f2", "f3"), "destination": ("d1", "d2"), "source": ("s1", "s2")}
_PROTOCOL = re.compile(r"\b(tcp|udp|sctp)\b")
_PORTS = (80, 443, 8080, 81, 5353)


class NftRuleMaker:
    """Makes rule sets of one family from one source of chance."""

    def __init__(self, chance: Random, family: Family) -> None:
        self._chance = chance
        self._places: Places = PLACES[family]
        self._ip = "ip" if family is Family.IPV4 else "ip6"
        self._icmp = "icmp" if family is Family.IPV4 else "ipv6-icmp"
        self._networks = tuple(
            network for network in self._places.networks if network.count("/") == 1
            and network.partition("/")[2].isdigit()
        )  # fmt: skip

    def make(self) -> str:
        """The text of two tables."""
        return "flush ruleset\n" + "".join(self._table(name) for name in ("one", "two"))

    def _table(self, name: str) -> str:
        chance = self._chance
        family = chance.choice((self._ip, self._ip, "inet"))
        kind = "ipv4_addr" if self._ip == "ip" else "ipv6_addr"
        sets = [
            f"set hosts {{\ntype {kind}\nelements = {{ {', '.join(self._hosts(3))} }}\n}}",
            f"set blocks {{\ntype {kind}\nflags interval\n"
            f"elements = {{ {', '.join(self._apart())} }}\n}}",
            f"set seen {{\ntype {kind}\nsize 65535\nflags dynamic,timeout\ntimeout 1h\n}}",
            f"map places {{\ntype {kind} . inet_proto . inet_service : verdict\n"
            f"elements = {{ {', '.join(self._elements())} }}\n}}",
        ]
        chains = []
        for use, names in _USERS.items():
            for number, own in enumerate(names):
                later = names[number + 1 :]
                chains.append(self._chain(own, "", self._rules(use, "", later, 3)))
        bases = chance.sample(_BASES, k=chance.randint(3, 6))
        for number, (of, hook, priorities) in enumerate(bases):
            use = "filter"
            if of == "nat":
                use = "destination" if hook in ("prerouting", "output") else "source"
            policy = "drop" if of == "filter" and chance.random() < 0.04 else "accept"
            priority = chance.choice(priorities)
            head = f"type {of} hook {hook} priority {priority}; policy {policy};\n"
            rules = [*self._exempt(of), *self._rules(use, hook, _USERS[use], 5)]
            chains.append(self._chain(f"base{number}", head, rules))
        body = "\n".join([*sets, *chains])
        return f"table {family} {name} {{\n{body}\n}}\n"

    def _exempt(self, of: str) -> list[str]:
        """What the observation needs: sentinels, refusals and a closed port's RST pass."""
        found = ["udp dport 9 accept"]
        if of != "nat":
            found += [f"meta l4proto {self._icmp} accept", "tcp flags rst accept"]
        return found

    def _chain(self, name: str, head: str, rules: Sequence[str]) -> str:
        lines = "\n".join(rules)
        return f"chain {name} {{\n{head}{lines}\n}}"

    # -- values --------------------------------------------------------------------------

    def _hosts(self, count: int) -> list[str]:
        return self._chance.sample(self._places.virtual, count)

    def _apart(self) -> list[str]:
        """Blocks that do not overlap."""
        if self._ip == "ip":
            return ["10.96.0.0/16", "10.244.2.0/24", "203.0.113.10-203.0.113.77"]
        return ["fd00:96::/64", "fd00:244:2::/64", "2001:db8::10-2001:db8::77"]

    def _elements(self) -> list[str]:
        places = [(h, p, n) for h in self._places.virtual for p in ("tcp", "udp") for n in _PORTS]
        verdicts = ("accept", "drop", "continue", "return", "goto f2", "jump f3", "goto f1")
        return [
            f"{host} . {protocol} . {port} : {self._chance.choice(verdicts)}"
            for host, protocol, port in self._chance.sample(places, 6)
        ]

    # -- rules ---------------------------------------------------------------------------

    def _rules(self, use: str, hook: str, later: Sequence[str], most: int) -> list[str]:
        return [self._rule(use, hook, later) for _ in range(self._chance.randint(0, most))]

    def _rule(self, use: str, hook: str, later: Sequence[str]) -> str:
        chance = self._chance
        asked = [self._match(hook) for _ in range(chance.choice((0, 1, 1, 2)))]
        words = [*asked, *self._middle(hook), *self._end(use, hook, later)]
        while sum(bool(_PROTOCOL.search(word)) for word in words) > 1:
            # nft refuses what asks for two protocols.
            words.remove(next(word for word in words if _PROTOCOL.search(word)))
        if chance.random() < 0.15:
            words.insert(0, "counter")
        return " ".join(words) if words else "counter"

    def _match(self, hook: str) -> str:
        chance, ip = self._chance, self._ip
        sign = chance.choice(("", "", "!= "))
        port, other = chance.sample(_PORTS, 2)
        sides = (f"{ip} saddr", f"{ip} daddr")
        network = chance.choice(self._networks)
        found = [
            f"{chance.choice(sides)} {sign}{network}",
            f"{chance.choice(sides)} {sign}{{ {', '.join(self._hosts(2))} }}",
            f"{chance.choice(sides)} {sign}@{chance.choice(('hosts', 'blocks'))}",
            f"meta l4proto {sign}{chance.choice(('tcp', 'udp', 'sctp'))}",
            f"{chance.choice(('tcp', 'udp'))} dport {sign}{port}",
            f"th dport {sign}{{ {port}, {other} }}",
            f"tcp dport {min(port, other)}-{max(port, other)}",
            f"th sport {sign}1024-30000",
            f"meta mark & 0x3 {chance.choice(('==', '!='))} {chance.choice('0123')}",
            f"ct state {chance.choice(('new', 'established,related', 'untracked,new'))}",
            f"ct state {sign}{chance.choice(('new', 'invalid', 'untracked'))}",
            "ct state { new, established }",
            f"{ip} daddr . th dport {{ {self._hosts(1)[0]} . {port} }}",
            f"{ip} saddr {sign}@seen",
            f"numgen random mod 4 {chance.choice('0123')}",
        ]
        if hook not in ("", "postrouting"):
            found.append(f"fib daddr type {sign}local")
        if hook in ("prerouting", "input", "forward"):
            found.append(f'iifname {sign}"{chance.choice(("pod0", "ext*", "lo"))}"')
        if hook in ("forward", "output", "postrouting"):
            found.append(f'oifname {sign}"{chance.choice(("pod0", "ext*", "lo"))}"')
        if hook in ("forward", "input", "postrouting"):
            found += ["ct status dnat", f"ct original {ip} daddr {self._hosts(1)[0]}"]
        return chance.choice(found)

    def _middle(self, hook: str) -> list[str]:
        chance = self._chance
        if chance.random() < 0.6:
            return []
        bits = chance.choice("123")
        found = [
            [f"meta mark set meta mark | 0x{bits}"],
            [f"meta mark set meta mark ^ 0x{bits}"],
            [f"meta mark set meta mark & 0xfffffff{chance.choice('cde')}"],
            [f"meta mark set 0x{bits}"],
            [f"{chance.choice(('update', 'add'))} @seen {{ {self._ip} saddr }}"],
            ["meta mark set numgen random mod 3 map { 0 : 1, 1 : 2, 2 : 3 }"],
            [f"meta mark set meta mark | 0x{bits}", self._match(hook)],
        ]
        return chance.choice(found)

    def _end(self, use: str, hook: str, later: Sequence[str]) -> list[str]:
        chance = self._chance
        found: list[list[str]] = [[], ["return"]]
        found += [[f"{chance.choice(('jump', 'goto'))} {name}"] for name in later]
        if len(later) > 1:
            first, second = chance.sample(list(later), 2)
            words = chance.choice(
                (("jump",) * 2, ("goto",) * 2, ("jump", "goto"), ("goto", "jump"))
            )
            found += [
                [f"numgen random mod 3 vmap {{ 0 : jump {first}, 2 : jump {second} }}"],
                [f"meta mark vmap {{ 1 : {words[0]} {first}, 2 : {words[1]} {second} }}"],
                [f"meta l4proto vmap {{ tcp : {words[0]} {first}, udp : {words[1]} {second} }}"],
            ]
        if use == "filter":
            found += [["accept"], ["drop"]]
            if hook:
                # Its elements lead to the others.
                found.append([f"{self._ip} daddr . meta l4proto . th dport vmap @places"])
            if hook in ("input", "forward", "output"):
                found += [["reject"]] * 2
            if hook in ("prerouting", "output") and chance.random() < 0.2:
                found.append(["notrack"])
        if use == "destination":
            to = [b for b in self._places.backends if ":80" in b or b.endswith((":443",))]
            one, two = chance.sample(to, 2)
            pairs = [self._pair(b) for b in (one, two)]
            tcp = f"meta l4proto tcp dnat {self._ip} to"
            found += [
                [f"{tcp} {one}"],
                [f"{tcp} numgen random mod 2 map {{ 0 : {pairs[0]}, 1 : {pairs[1]} }}"],
                [
                    f"{tcp} {self._ip} daddr . th dport map {{ {self._hosts(1)[0]} . 80 : "
                    f"{pairs[0]}, {self._hosts(1)[0]} . 443 : {pairs[1]} }}"
                ],
                ["accept"],
            ]
            if chance.random() < 0.3:
                # A packet may meet one of these, in all tables.
                turn = chance.choice(("numgen inc", f"jhash {self._ip} saddr . th sport"))
                found += [[f"{tcp} {turn} mod 2 map {{ 0 : {pairs[0]}, 1 : {pairs[1]} }}"]] * 3
                if len(later) > 1:
                    goals = chance.sample(list(later), 2)
                    found.append(
                        [f"{turn} mod 2 vmap {{ 0 : goto {goals[0]}, 1 : goto {goals[1]} }}"]
                    )
        if use == "source" and hook != "input":
            found.append([f"snat {self._ip} to {self._places.rewritten}"])
            if hook == "postrouting":
                found += [["masquerade"]] * 2
        return chance.choice(found)

    def _pair(self, backend: str) -> str:
        address, _, port = backend.rpartition(":")
        return f"{address.strip('[]')} . {port}"
