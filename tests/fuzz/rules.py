"""Random rule sets of any shape, as text that iptables-restore takes.

Nothing about them is shaped like Services: chains jump where they like, and every match and
target that the model claims to know stands anywhere that iptables lets it stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from svcc.grammar.address import Family

Parts = tuple[str, ...]
"""A rule: its matches in their order, then its target ("" for none)."""

HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
_CHAINS = ("ONE", "TWO", "THREE")
_SOURCE_CHAINS = {"INPUT": ("IN",), "POSTROUTING": ("OUT", "LAST")}
"""User chains of nat that only these hooks reach, so that they may rewrite sources."""


@dataclass(frozen=True, slots=True)
class Places:
    """The addresses of one family that rules and packets are made of."""

    icmp: str
    networks: tuple[str, ...]
    virtual: tuple[str, ...]
    backends: tuple[str, ...]
    """As DNAT takes them, some without a port."""
    rewritten: str
    """What SNAT writes."""
    unreachable: tuple[str, ...]
    same: str
    """A BPF program that compares source and destination."""


PLACES = {
    Family.IPV4: Places(
        "icmp",
        ("10.96.0.0/16", "10.96.0.1/32", "10.96.0.2/32", "10.244.0.0/16", "10.244.1.0/24",
         "10.244.1.5/32", "10.244.2.0/24", "10.0.0.0/8", "192.168.7.0/24", "192.168.7.10/32",
         "172.16.5.10/32", "203.0.113.0/25", "203.0.113.128/25", "127.0.0.0/8", "10.244.1.1/32",
         "0.0.0.1/0.0.0.1"),
        ("10.96.0.1", "10.96.0.2", "10.96.7.3", "203.0.113.50", "10.244.1.5", "10.244.2.7"),
        ("10.244.1.5:8080", "10.244.2.7:80", "10.244.1.6", "203.0.113.9:443",
         "192.168.7.10:8080", "10.244.1.1:80", "172.16.5.10"),
        "198.51.100.99",
        ("icmp-port-unreachable", "icmp-admin-prohibited", "icmp-host-unreachable"),
        "6,32 0 0 12,7 0 0 0,32 0 0 16,29 0 1 0,6 0 0 1,6 0 0 0",
    ),
    Family.IPV6: Places(
        "ipv6-icmp",
        ("fd00:96::/64", "fd00:96::1/128", "fd00:96::2/128", "fd00:244::/32", "fd00:244:1::/64",
         "fd00:244:1::5/128", "fd00:244:2::/64", "fd00::/16", "fd00:7::/64", "fd00:7::10/128",
         "fd00:16:5::10/128", "2001:db8::/121", "2001:db8::80/121", "::1/128",
         "fd00:244:1::1/128", "::1/::1"),
        ("fd00:96::1", "fd00:96::2", "fd00:96:7::3", "2001:db8::50", "fd00:244:1::5",
         "fd00:244:2::7"),
        ("[fd00:244:1::5]:8080", "[fd00:244:2::7]:80", "fd00:244:1::6", "[2001:db8::9]:443",
         "[fd00:7::10]:8080", "[fd00:244:1::1]:80", "fd00:16:5::10"),
        "2001:db8:1::99",
        ("icmp6-port-unreachable", "icmp6-adm-prohibited", "icmp6-addr-unreachable"),
        "18,32 0 0 8,7 0 0 0,32 0 0 24,29 0 13 0,32 0 0 12,7 0 0 0,32 0 0 28,29 0 9 0,"
        "32 0 0 16,7 0 0 0,32 0 0 32,29 0 5 0,32 0 0 20,7 0 0 0,32 0 0 36,29 0 1 0,"
        "6 0 0 1,6 0 0 0",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RuleText:
    """A rule set that can be taken apart: (table, chain) → rules."""

    family: Family
    chains: dict[tuple[str, str], tuple[Parts, ...]]
    drops: frozenset[tuple[str, str]]
    """Base chains with policy DROP."""

    def text(self) -> str:
        """What iptables-restore reads."""
        lines: list[str] = []
        for table, hooks in HOOKS.items():
            lines.append(f"*{table}")
            own = [name for t, name in self.chains if t == table and name not in hooks]
            for hook in hooks:
                lines.append(f":{hook} {'DROP' if (table, hook) in self.drops else 'ACCEPT'} [0:0]")
            lines += [f":{name} - [0:0]" for name in own]
            for hook in hooks:
                lines += [f"-A {hook} {exempt}" for exempt in self._exempt(table, hook)]
            for name in (*hooks, *own):
                for parts in self.chains.get((table, name), ()):
                    lines.append(" ".join(p for p in (f"-A {name}", *parts) if p))
            lines.append("COMMIT")
        return "\n".join(lines) + "\n"

    def _exempt(self, table: str, hook: str) -> Iterator[str]:
        """What the observation needs: sentinels, refusals and a closed port's RST pass."""
        yield "-p udp -m udp --dport 9 -j ACCEPT"
        if table != "nat":
            yield f"-p {PLACES[self.family].icmp} -j ACCEPT"
            yield "-p tcp -m tcp --tcp-flags RST RST -j ACCEPT"

    def rules(self) -> int:
        """How many rules there are."""
        return sum(len(rules) for rules in self.chains.values())

    def smaller(self) -> Iterator[RuleText]:
        """The same with something left out: a policy, a rule, a match of a rule."""
        for place in sorted(self.drops):
            yield replace(self, drops=self.drops - {place})
        for place, rules in self.chains.items():
            if len(rules) > 1:
                yield self._with(place, ())
            for number in range(len(rules)):
                yield self._with(place, rules[:number] + rules[number + 1 :])
        for place, rules in self.chains.items():
            for number, parts in enumerate(rules):
                for part in range(len(parts) - 1):
                    less = parts[:part] + parts[part + 1 :]
                    yield self._with(place, (*rules[:number], less, *rules[number + 1 :]))

    def _with(self, place: tuple[str, str], rules: tuple[Parts, ...]) -> RuleText:
        return replace(self, chains={**self.chains, place: rules})


class RuleMaker:
    """Makes rule sets from one source of chance."""

    def __init__(self, random: Random, family: Family) -> None:
        self._random = random
        self._family = family
        self._places = PLACES[family]

    def make(self) -> RuleText:
        """A rule set."""
        chance = self._random
        chains: dict[tuple[str, str], tuple[Parts, ...]] = {}
        drops = set()
        for table, hooks in HOOKS.items():
            empty = table in ("raw", "mangle") and chance.random() < 0.5
            for hook in hooks:
                later = _SOURCE_CHAINS.get(hook, _CHAINS) if table == "nat" else _CHAINS
                count = 0 if empty else chance.randint(0, 4)
                chains[table, hook] = self._rules(table, hook, hook, later, count)
                if table != "nat" and not empty and chance.random() < 0.05:
                    drops.add((table, hook))
            for hook, own in _own_chains(table):
                for index, name in enumerate(own):
                    count = 0 if empty else chance.randint(0, 4)
                    rules = self._rules(table, name, hook, own[index + 1 :], count)
                    chains[table, name] = rules
        return RuleText(self._family, chains, frozenset(drops))

    def _rules(
        self, table: str, chain: str, hook: str, later: tuple[str, ...], count: int
    ) -> tuple[Parts, ...]:
        return tuple(self._rule(table, chain, hook, later) for _ in range(count))

    def _rule(self, table: str, chain: str, hook: str, later: tuple[str, ...]) -> Parts:
        chance = self._random
        makers = [self._source, self._destination, self._in, self._out, self._protocol]
        parts = ["-f" if chance.random() < 0.5 else "! -f"] if self._fragments() else []
        parts += [
            make()
            for make in makers
            if chance.random() < 0.18
            and not (make == self._in and chain in ("OUTPUT", "POSTROUTING"))
            and not (make == self._out and chain in ("PREROUTING", "INPUT"))
        ]
        positive = [p.split()[1] for p in parts if p.startswith("-p ")]
        extra = [
            self._mark, self._conntrack, self._state, self._addrtype, self._statistic,
            self._recent, self._same, self._comment,
        ]  # fmt: skip
        parts += [make() for make in extra if chance.random() < 0.09]
        without_ports = any(p.startswith("! -p") or p == "-p 47" for p in parts)
        if chance.random() < 0.3 and not without_ports:
            protocol = positive[0] if positive else chance.choice(("tcp", "udp", "tcp", "sctp"))
            if not positive:
                parts.append(f"-p {protocol}")
            positive = [protocol]
            parts.append(self._ports(protocol))
        targets = self._targets(table, hook, bool(positive) and positive != ["47"], later)
        return (*parts, chance.choice(targets))

    def _targets(self, table: str, hook: str, has_ports: bool, later: tuple[str, ...]) -> list[str]:
        chance, places = self._random, self._places
        targets = [
            "-j RETURN",
            "",
            "-j MARK --set-xmark 0x1/0x3",
            "-j MARK --set-mark 0x2",
            "-j MARK --or-mark 0x4",
            "-j MARK --xor-mark 0x3",
            "-j MARK --and-mark 0xfffffffe",
            "-j MARK --set-mark 0x1/0x5",
        ]
        targets += [f"-{chance.choice('jg')} {name}" for name in later] * 3
        if chance.random() < 0.5:
            targets += ["-j ACCEPT"]
        if table != "nat":
            if chance.random() < 0.3:
                targets += ["-j DROP"] * 2
        elif hook in ("PREROUTING", "OUTPUT"):
            to = [place for place in places.backends if has_ports or not names_port(place)]
            targets += [f"-j DNAT --to-destination {place}" for place in to] * 2
        elif hook == "POSTROUTING":
            targets += ["-j MASQUERADE", "-j MASQUERADE --random-fully"] * 2
            targets += [f"-j SNAT --to-source {places.rewritten}"] * 2
            targets += ["-j MASQUERADE --to-ports 2000-60000"] * has_ports
        else:
            targets += [f"-j SNAT --to-source {places.rewritten}"] * 3
        if table == "filter" and chance.random() < 0.4:
            targets += [f"-j REJECT --reject-with {kind}" for kind in places.unreachable]
        if table == "raw":
            targets += ["-j CT --notrack"] * 3
        return targets

    def _fragments(self) -> bool:
        return self._family is Family.IPV4 and self._random.random() < 0.02

    # -- matches -----------------------------------------------------------------------

    def _not(self, text: str, share: float = 0.3) -> str:
        return f"! {text}" if self._random.random() < share else text

    def _source(self) -> str:
        return self._not(f"-s {self._random.choice(self._places.networks)}")

    def _destination(self) -> str:
        return self._not(f"-d {self._random.choice(self._places.networks)}")

    def _in(self) -> str:
        return self._not(f"-i {self._random.choice(('pod0', 'ext0', 'lo', 'ext+', 'p+'))}")

    def _out(self) -> str:
        return self._not(f"-o {self._random.choice(('pod0', 'ext0', 'lo', 'ext+', 'p+'))}")

    def _protocol(self) -> str:
        return self._not(f"-p {self._random.choice(('tcp', 'udp', 'tcp', 'sctp', '47'))}", 0.2)

    def _ports(self, protocol: str) -> str:
        chance = self._random
        kind = chance.randrange(8)
        if kind == 0:
            ports = chance.choice(("80,443", "80:100,8080", "443", "1:79,81:65535"))
            return f"-m multiport {self._not(f'--dports {ports}')}"
        if kind == 1:
            return f"-m multiport {self._not('--sports 20000:39999,50000:65535')}"
        if kind == 2:
            return f"-m multiport {self._not('--ports 80,20000:29999')}"
        if kind == 3:
            return f"-m {protocol} {self._not('--sport 20000:39999')}"
        if kind == 4 and protocol == "tcp":
            return "-m tcp " + chance.choice(("--syn", "! --syn", "--tcp-flags ACK,SYN SYN"))
        ports = chance.choice(("80", "443", "8080", "80:442", "81:65535"))
        return f"-m {protocol} {self._not(f'--dport {ports}')}"

    def _mark(self) -> str:
        return "-m mark " + self._not(
            f"--mark {self._random.choice(('0x1/0x1', '0x2/0x3', '0x0/0x7', '0x4/0x4', '0x2'))}"
        )

    def _conntrack(self) -> str:
        chance = self._random
        parts = []
        if chance.random() < 0.6:
            states = ("NEW", "NEW,ESTABLISHED", "DNAT", "SNAT", "RELATED,ESTABLISHED",
                      "INVALID", "UNTRACKED", "INVALID,UNTRACKED", "SNAT,DNAT")  # fmt: skip
            parts.append(self._not(f"--ctstate {chance.choice(states)}"))
        if chance.random() < 0.3 or not parts:
            which = chance.choice(("--ctorigsrc", "--ctorigdst", "--ctorigdst"))
            network = chance.choice([n for n in self._places.networks if "/0.0" not in n
                                     and "/::" not in n])  # fmt: skip
            parts.append(self._not(f"{which} {network}"))
        if chance.random() < 0.15:
            parts.append(self._not(f"--ctorigdstport {chance.choice(('80', '443', '8080'))}"))
        if chance.random() < 0.1:
            parts.append(f"--ctdir {chance.choice(('ORIGINAL', 'REPLY'))}")
        return " ".join(("-m conntrack", *parts))

    def _state(self) -> str:
        states = ("NEW", "INVALID", "UNTRACKED", "RELATED,ESTABLISHED", "NEW,UNTRACKED")
        return f"-m state {self._not(f'--state {self._random.choice(states)}')}"

    def _addrtype(self) -> str:
        side = self._random.choice(("--src-type", "--dst-type", "--dst-type"))
        return f"-m addrtype {self._not(f'{side} LOCAL')}"

    def _statistic(self) -> str:
        share = self._random.choice(("0.25", "0.5", "1.0", "0.0"))
        return f"-m statistic --mode random {self._not(f'--probability {share}')}"

    def _recent(self) -> str:
        chance = self._random
        name = chance.choice(("seen@", "other@"))
        how = chance.choice(
            (
                "--set",
                "--rcheck",
                "--rcheck --seconds 600",
                "--update --seconds 600",
                "--rcheck --seconds 600 --reap",
            )
        )
        return f"-m recent {self._not(how)} --name {name} --rsource"

    def _same(self) -> str:
        return f'-m bpf --bytecode "{self._places.same}"'

    def _comment(self) -> str:
        return '-m comment --comment "a \\"quoted\\" word -j DROP"'


def names_port(place: str) -> bool:
    """Whether a DNAT destination has a port, which a rule for one protocol only may have."""
    return "]:" in place or (place.count(":") == 1)


def _own_chains(table: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "PREROUTING" if table == "nat" else "any", _CHAINS
    if table == "nat":
        yield from _SOURCE_CHAINS.items()
