"""Rules for many like frontends, with rules about some of them, and what is expected of each.

Whatever the cut of a region looks at is asked here of the frontends' own addresses and ports, of
those of their backends, and of what lies next to them: for all, for all but one, or for one with
the numbers of another. So most frontends are cut alike, and the few that are not differ in one
thing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, Network, parse_address, parse_network
from svcc.grammar.ipvs import ipset
from svcc.grammar.ipvs.ipset import Part, PortOf
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.expectation import Expectation, Frontend, FrontendExpectation
from svcc.verify.spec.outcomes import Case, Discard, Outcome, Refuse, Serve, Untouched
from svcc.verify.spec.packet_conditions import Atom, DestinationIn, FromNode, SourceIn, negation

NODE = "192.168.7.10"
SETTINGS = NodeSettings(node_name="node-a", addresses=(parse_address(NODE),))
_PROTOCOLS = {"tcp": 6, "udp": 17}
_HOOKS = (
    "raw PREROUTING", "mangle PREROUTING", "mangle INPUT", "mangle FORWARD", "mangle POSTROUTING",
    "nat PREROUTING", "nat POSTROUTING", "filter FORWARD", "filter OUTPUT", "filter INPUT",
    "mangle OUTPUT", "nat OUTPUT",
)  # fmt: skip
_BY_PORT = (
    "-p {proto} -m {proto} --dport {port}", "-p {proto} -m {proto} --dport {q}",
    "-p {proto} -m {proto} ! --dport {port}", "-p {proto} -m {proto} --dport {low}:{high}",
    "-p {proto} -m multiport --dports {port},{q}", "-p {proto} -m {proto} --dport {q}:{qhigh}",
    "-p {proto} -m {proto} ! --dport {qlow}:{q}", "-p {proto} -m {proto} ! --dport {q}",
)  # fmt: skip
_BY_ADDRESS = (
    "-d {own}/32", "-d {own}/32", "-d {t}/32", "-d {t}/32", "! -d {own}/32", "! -d {t}/32",
    "-d {own}/30", "-d {t}/24", "! -d {own}/31", "-d 10.244.0.0/16", "! -d 10.96.0.0/16",
)  # fmt: skip
_BY_SENDER = (
    "-s {t}/32", "-s {u}/32", "-s {own}/32", "! -s {t}/32", "-s {t}/24", "-s 10.244.0.0/16",
)  # fmt: skip
_BY_CONNECTION = (
    "-m conntrack --ctorigdst {own}", "-m conntrack ! --ctorigdst {own}",
    "-m conntrack --ctorigdst {t}", "-m conntrack --ctorigdst {own}/30",
    "-m conntrack --ctorigdst {own} --ctorigdstport {port}",
    "-p {proto} -m conntrack --ctorigdstport {port}", "-m conntrack --ctorigsrc {t}",
    "-p {proto} -m conntrack ! --ctorigdstport {port}", "-m conntrack ! --ctorigsrc {t}",
    "-p {proto} -m conntrack --ctorigdstport {low}:{high}",
    "-m conntrack --ctstate DNAT --ctorigdst {own}", "-m conntrack --ctstate DNAT",
)  # fmt: skip
_BESIDES = (
    "-m addrtype --dst-type LOCAL", "-m addrtype ! --dst-type LOCAL", "-i eth0",
    "-m mark --mark 0x4000/0x4000", "-m statistic --mode random --probability 0.5",
    "-m statistic --mode random --probability 0.25", "-m owner --uid-owner 0",
    "-m addrtype --src-type LOCAL",
)  # fmt: skip
_SETS = {
    "ip": ("hash:ip", "dst", "src"), "ip-port": ("hash:ip,port", "dst,dst"),
    "ip-port-ip": ("hash:ip,port,ip", "dst,dst,src"), "net": ("hash:net", "dst", "src"),
    "pair": ("hash:net,net", "dst,src", "src,dst"), "ports": ("bitmap:port", "dst"),
    "net-port": ("hash:net,port", "dst,dst"),
}  # fmt: skip
_ACTIONS = (
    "-j DROP", "-j DROP", "-j ACCEPT", "-j RETURN", "-j MARK --set-xmark 0x4000/0x4000",
    "-j MARK --set-xmark 0x8000/0x8000",
)  # fmt: skip
_WORDS = (
    ("{own}/32", "{t}/32"), ("{t}/32", "{own}/32"), ("{t}/32", "{u}/32"), ("{port}", "{q}"),
    ("{q}", "{port}"), ("! ", ""), ("-d ", "! -d "), ("-s ", "! -s "), ("--dport ", "! --dport "),
    ("--ctorig", "! --ctorig"), ("--ctorigdst {own}", "--ctorigdst {t}"), ("DROP", "ACCEPT"),
    ("--ctorigsrc {t}", "--ctorigsrc {u}"), ("{t}:{q}", "{u}:{q}"), ("{t}:{q}", "{t}:{port}"),
    ("--ctorigdstport {port}", "--ctorigdstport {q}"), ("-s ", "-d "), ("-d ", "-s "),
    ("-j ACCEPT", "-j RETURN"), ("-j W", "-g W"), ("-j V", "-g V"), ("0x4000", "0x8000"),
    ("--match-set", "! --match-set"), ("--ctorigsrc", "--ctorigdst"),
)  # fmt: skip


@dataclass(frozen=True)
class _Place:
    """A frontend: ``own`` None: a node port."""

    number: int
    own: str | None
    kind: str
    proto: str
    port: int
    backends: tuple[tuple[str, int], ...]

    def slots(self, others: _Place) -> dict[str, object]:
        """What stands for names in braces; of a node port the address is another's."""
        first, last = self.backends[0], self.backends[-1]
        return {
            "own": self.own or others.own or NODE, "proto": self.proto, "port": self.port,
            "t": first[0], "q": first[1], "u": last[0], "low": self.port - 20,
            "high": self.port + 20, "n": self.number, "qlow": first[1] - 20, "qhigh": first[1] + 20,
        }  # fmt: skip


@dataclass(frozen=True)
class Program:
    """A restore script with its sets, what is expected, and addresses with regions of their own."""

    text: str
    sets: ipset.Sets
    expectation: Expectation
    apart: frozenset[int]


class LikeFrontends:
    """Makes programs."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._rules: dict[tuple[str, str], list[str]] = {}
        self._strange = 0.0
        self._sets: ipset.Sets = {}
        self._flags: dict[str, str] = {}

    def make(self) -> Program:
        """One program."""
        random = self._random
        self._rules, self._sets, self._flags = {}, {}, {}
        self._strange = random.choice((0, 0, 0.3))
        places = self._places()
        for name, (kind, *flags) in _SETS.items():
            if random.random() < 0.4:
                family = None if kind.startswith("bitmap") else Family.IPV4
                self._sets[name] = ipset.Set(name=name, kind=kind, family=family)
                self._flags[name] = random.choice(flags)
                self._fill(name, places)
        self._translate(places)
        for _ in range(random.randint(0, 3)):
            self._about_some(places)
        expectation = Expectation(Family.IPV4, SETTINGS, self._expected(places), ())
        owned = {parse_address(p.own).value for p in places if p.own}
        cluster_ips = {
            parse_address(p.own).value for p in places if p.own and p.kind == "cluster IP"
        }
        apart = random.choice((cluster_ips, cluster_ips, set(), owned))
        return Program(self._text(), self._sets, expectation, frozenset(apart))

    # -- frontends ---------------------------------------------------------------------

    def _places(self) -> list[_Place]:
        random = self._random
        kind = random.choice(("cluster IP", "cluster IP", "external IP", "node port", "mixed"))
        count, proto = random.choice((1, 2, 2, 3)), random.choice(("tcp", "tcp", "udp"))
        port, target = random.choice((80, 443)), random.choice((8080, 80, 9090))
        places = []
        for number in range(random.choice((3, 4, 5, 6))):
            one = random.choice(("cluster IP", "node port")) if kind == "mixed" else kind
            own = {"cluster IP": f"10.96.0.{number + 1}", "external IP": f"198.51.100.{number + 1}"}
            to = target if random.random() < 0.9 else random.choice((8080, 9090, port))
            backends = [
                (self._backend(number, last), to if random.random() < 0.95 else 9090)
                for last in range(count if random.random() < 0.95 else count + 1)
            ]
            address = own.get(one)
            if one == "external IP" and random.random() < 0.1:
                address = NODE
            if one == "cluster IP" and number and random.random() < 0.05:
                # Nobody takes another's cluster IP, but it may be asked.
                one, address = "external IP", f"10.96.0.{number}"
            here = 30000 + number if address is None else port if random.random() < 0.9 else 8081
            protocol = proto if random.random() < 0.95 else "udp"
            places.append(_Place(number, address, one, protocol, here, tuple(backends)))
        return list({(p.own, p.proto, p.port): p for p in places}.values())

    def _backend(self, number: int, last: int) -> str:
        random = self._random
        found = f"10.244.{number}.{last + 5}"
        if random.random() < self._strange:
            return random.choice(
                (
                    *(NODE, "127.0.0.1", "10.244.0.5", f"10.250.{number}.5", "10.96.0.1"),
                    *(f"10.96.0.{number + 1}", f"10.96.0.{number + 2}", "10.96.1.1"),
                )
            )
        return found

    # -- what is expected ----------------------------------------------------------------

    def _expected(self, places: list[_Place]) -> tuple[FrontendExpectation, ...]:
        form, found = self._random.randrange(8), []
        for place in places:
            here = form if self._random.random() < 0.95 else self._random.randrange(8)
            address = None if place.own is None else parse_address(place.own).value
            frontend = Frontend(
                Family.IPV4, address, _PROTOCOLS[place.proto], place.port, "x", place.kind
            )
            local = place.kind != "cluster IP"
            found.append(FrontendExpectation(frontend, self._cases(place, here), local))
        return tuple(found)

    def _cases(self, place: _Place, form: int) -> tuple[Case, ...]:
        backends = [Backend(parse_address(a).value, port) for a, port in place.backends]
        if self._random.random() < 0.5:
            backends.reverse()
        serve = Serve(tuple(backends), False, None)

        def split(atom: Atom, one: Outcome, other: Outcome) -> tuple[Case, ...]:
            return Case((atom,), (one,)), Case((negation(atom),), (other,))

        hosts = [Network(Family.IPV4, b.address, 32) for b in backends]
        match form:
            case 0 | 1:
                return (Case((), (serve,)),)
            case 2:
                pods = SourceIn((parse_network("10.244.0.0/16"),))
                return split(pods, serve, replace(serve, masquerade=True))
            case 3:
                free = replace(serve, masquerade=None)
                return split(SourceIn(tuple(hosts)), free, serve)
            case 4:
                return split(FromNode(), serve, Discard())
            case 5:
                networks = (parse_network(f"{self._random.choice((NODE, '10.244.0.5'))}/32"),)
                return split(DestinationIn(networks), serve, Untouched())
            case 6:
                own = parse_network(f"{place.own or NODE}/32")
                ranges = SourceIn((parse_network("203.0.113.0/24"), own))
                return split(ranges, serve, Discard())
            case _:
                return (Case((), self._random.choice(((Refuse(),), (serve, Untouched())))),)

    # -- rules -----------------------------------------------------------------------------

    def _add(self, table: str, chain: str, rule: str, *, anywhere: bool = False) -> None:
        rules = self._rules.setdefault((table, chain), [])
        place = self._random.randint(0, len(rules)) if anywhere else len(rules)
        rules.insert(place, f"-A {chain} {rule}")

    def _translate(self, places: list[_Place]) -> None:
        """Rows in the base chains, in a chain for each frontend, or in one chain for all."""
        random = self._random
        layout, without_port = random.randrange(4), random.random() < 0.1
        bare = random.random() < 0.1
        self._add("nat", "PREROUTING", "-j SERVICES")
        if random.random() < 0.8:
            self._add("nat", "OUTPUT", "-j SERVICES")
        if layout == 3:
            for number in range(9):
                self._add("nat", "SERVICES", f"-d 10.99.0.{number}/32 -j ALL")
        for place in places:
            own = f"-d {place.own}/32 " if place.own else "-m addrtype --dst-type LOCAL "
            asked = f"{own}-p {place.proto} -m {place.proto} --dport {place.port}"
            if bare and place.own:
                asked = own if without_port else f"{own}-p {place.proto}"
            chain, before = "SERVICES", f"{asked} "
            if layout in (1, 2):
                chain, before = f"S-{place.number}", f"-p {place.proto} "
                self._add("nat", "SERVICES", f"{asked} {random.choice(('-j', '-g'))} {chain}")
            elif layout == 3:
                chain = "ALL"
                self._add("nat", "SERVICES", f"{asked} -j ALL")
            if random.random() < 0.2:
                self._add(
                    "nat", chain, f"{before}! -s 10.244.0.0/16 -j MARK --set-xmark 0x4000/0x4000"
                )
            for number, (address, port) in enumerate(place.backends):
                left = len(place.backends) - number
                chance = f"-m statistic --mode random --probability {1 / left:.9f} "
                if random.random() < 0.05:
                    address, port = random.choice(place.backends)
                target = address if without_port else f"{address}:{port}"
                self._add(
                    "nat", chain,
                    f"{before}{chance if left > 1 else ''}-j DNAT --to-destination {target}",
                )  # fmt: skip
        if random.random() < 0.6:
            self._add("nat", "POSTROUTING", "-m mark --mark 0x4000/0x4000 -j MASQUERADE")
            for place in places if random.random() < 0.5 else ():
                for address, _ in place.backends:
                    self._add(
                        "nat", "POSTROUTING", f"-s {address}/32 -d {address}/32 -j MASQUERADE"
                    )

    def _about_some(self, places: list[_Place]) -> None:
        """A rule for each of the frontends, but for some that have none or another's numbers."""
        random = self._random
        table, _, chain = random.choice(_HOOKS).partition(" ")
        asked = " ".join(dict.fromkeys(self._conditions()))
        action = random.choice(_ACTIONS)
        if chain in ("PREROUTING", "OUTPUT") and table == "nat" and random.random() < 0.3:
            action = "-p {proto} -j DNAT --to-destination {t}:{q}"
        elif chain == "POSTROUTING" and table == "nat":
            action = random.choice(("-j MASQUERADE", "-j ACCEPT", "-j SNAT --to-source {own}"))
        below = random.randrange(6)
        if below == 0:
            self._add(table, chain, random.choice(("-j U", "-p tcp -j U", "-d 10.0.0.0/8 -j U")))
            chain = "U"
        elif below == 1:
            action, inner = "-j V-{n}", f"{random.choice(self._conditions())} {action}"
            for place in places:
                other = place if random.random() < 0.9 else random.choice(places)
                slots = other.slots(places[0])
                self._add(table, f"V-{place.number}", _once(inner, "-p {proto} ").format(**slots))
        elif below == 2:
            self._rules.setdefault((table, "W"), [])
            inner = f"{random.choice(self._conditions())} {action}"
            for place in places:
                if random.random() < 0.8:
                    slots = place.slots(places[0])
                    rule = _once(inner, "-p {proto} ")
                    if random.random() < 0.1:
                        rule = self._in_one_word(rule)
                    self._add(table, "W", rule.format(**slots))
            action = "-j W"
            for number in range(random.choice((0, 9))):
                self._add(table, chain, f"-d 10.99.1.{number}/32 -j W")
        hooks = [hook for hook in _HOOKS if hook.startswith(table)]
        one = random.randrange(len(places)) if random.random() < 0.4 else -1
        for place in places:
            if random.random() < 0.1 or (one >= 0 and place is not places[one]):
                continue
            other = place if random.random() < 0.9 else random.choice(places)
            slots = {**other.slots(random.choice(places)), "n": place.number}
            if below > 2 and random.random() < 0.1:
                table, _, chain = random.choice(hooks).partition(" ")
            rule = _once(f"{asked} {action}", "-p {proto} ")
            if random.random() < 0.1:
                rule = self._in_one_word(rule)
            rule = rule.format(**slots)
            self._add(table, chain, rule, anywhere=random.random() < 0.5)

    def _in_one_word(self, rule: str) -> str:
        """A rule that is another in one word."""
        changes = [
            (one, other)
            for one, other in _WORDS
            if one in rule and not (one.startswith("-") and f"! {one}" in rule)
        ]
        if not changes:
            return rule
        one, other = self._random.choice(changes)
        return rule.replace(one, other, 1)

    def _conditions(self) -> list[str]:
        """Conditions in the order in which iptables writes them."""
        random = self._random
        found = []
        if random.random() < 0.2:
            found.append(random.choice(_BY_SENDER))
        if random.random() < 0.5:
            found.append(random.choice(_BY_ADDRESS))
        if random.random() < 0.4:
            found.append(random.choice(_BY_PORT))
        if random.random() < 0.3:
            found.append(random.choice(_BY_CONNECTION))
        if self._sets and random.random() < 0.4:
            name = random.choice(list(self._sets))
            negated = random.choice(("", "", "! "))
            found.append(f"-m set {negated}--match-set {name} {self._flags[name]}")
        if random.random() < 0.2 or not found:
            found.append(random.choice(_BESIDES))
        if random.random() < 0.02:
            found.append("-m recent --name {n} --rcheck --rsource")
        return found

    # -- sets --------------------------------------------------------------------------------

    def _fill(self, name: str, places: list[_Place]) -> None:
        random, item = self._random, self._sets[name]
        wide = random.random() < 0.15
        of = random.choice(("own", "t", "u"))
        for place in places:
            if random.random() < 0.25:
                continue
            slots = place.slots(random.choice(places))
            address = str(slots[of]) if random.random() < 0.9 else str(slots["t"])
            host = parse_network(f"{address}/32")
            port = place.port if of == "own" else place.backends[0][1]
            number = _PROTOCOLS[place.proto]
            match name:
                case "ip":
                    item.add(host)
                case "net":
                    item.add(parse_network(f"{address.rpartition('.')[0]}.0/24") if wide else host)
                case "ip-port":
                    item.add(host, PortOf(number, port))
                case "net-port":
                    found: Part = host
                    if wide:
                        found = parse_network(f"{address.rpartition('.')[0]}.0/24")
                    item.add(found, PortOf(number, port))
                case "pair":
                    other = random.choice((host, host, parse_network(f"{slots['t']}/32")))
                    item.add(host, parse_network("10.244.0.0/16") if wide else other)
                case "ip-port-ip":
                    item.add(host, PortOf(number, port), parse_network(f"{slots['t']}/32"))
                case _:
                    item.add(port)

    def _text(self) -> str:
        tables: dict[str, list[str]] = {}
        chains: dict[str, dict[str, str]] = {}
        for (table, chain), rules in self._rules.items():
            base = chain in {hook.partition(" ")[2] for hook in _HOOKS}
            chains.setdefault(table, {})[chain] = "ACCEPT" if base else "-"
            tables.setdefault(table, []).extend(rules)
        lines = []
        for table, rules in tables.items():
            named = [f":{name} {policy} [0:0]" for name, policy in chains[table].items()]
            lines += [f"*{table}", *named, *rules, "COMMIT"]
        return "".join(f"{line}\n" for line in lines)


def _once(rule: str, words: str) -> str:
    """The rule with words that it may say several times said once, at its beginning."""
    return words + rule.replace(words, "") if words in rule else rule
