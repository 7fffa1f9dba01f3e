"""Each part of a signature tells regions apart that are cut otherwise."""

from __future__ import annotations

import pytest

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, parse_address
from svcc.verify.model.rules import index_rules
from svcc.verify.rule_files import from_text
from svcc.verify.signatures.signatures import Signatures
from svcc.verify.slicing.cutter import Cutter
from svcc.verify.slicing.regions import Regions
from svcc.verify.spec.expectation import Expectation, Frontend, FrontendExpectation
from svcc.verify.spec.outcomes import Case, Untouched
from tests.unit.verify.signatures.comparing import (
    compare,
)
from tests.unit.verify.signatures.two_frontends import (
    ADDRESSES,
    TRANSLATIONS,
    TWO,
    Place,
    in_chain,
    shared_by,
    shared_by_two,
)


def different(rules: str, *, second_port: int = 443, of_others: bool = False) -> None:
    """Other ports of two addresses, one with a frontend at port 80, have not the same signature."""
    loaded = from_text(
        f"*mangle\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n",
        Family.IPV4,
        "x",
    )
    places = tuple(
        FrontendExpectation(
            Frontend(Family.IPV4, parse_address(address).value, 6, port, "x", "cluster IP"),
            (Case((), (Untouched(),)),),
            may_be_local=False,
        )
        for address, port in (("10.96.0.1", 80), ("10.96.0.2", second_port))
    )
    apart = frozenset(parse_address(address).value for address in ("10.96.0.1", "10.96.0.2"))
    expectation = Expectation(Family.IPV4, NodeSettings(node_name="node-a"), places, ())
    indexed = index_rules(loaded.rules)
    for record in indexed.tables["mangle"]["PREROUTING"].records if of_others else ():
        record.service = all(
            getattr(condition, "address", None) != parse_address("10.96.0.2").value
            for condition in record.conditions
        )
    regions = Regions(indexed, expectation, apart=apart)
    compare(regions)
    schemas, signatures = [], []
    cutter = Cutter(regions)
    known = Signatures(regions, cutter)
    for region in regions:
        if region.virtual_ip is not None and not region.from_node:
            schemas.append(cutter.cut(region).schema)
            signatures.append(known.of(region))
    assert schemas[0] != schemas[1]
    assert None in signatures or signatures[0] != signatures[1]


def test_ports_that_are_judged_elsewhere() -> None:
    """What a chain of one address asks for may be a frontend there, and none at its like."""
    different(
        ":A - [0:0]\n:B - [0:0]\n"
        "-A PREROUTING -d 10.96.0.1/32 -j A\n-A PREROUTING -d 10.96.0.2/32 -j B\n"
        "-A A -p tcp -m tcp --dport 80 -j DROP\n-A B -p tcp -m tcp --dport 80 -j DROP\n"
    )
    different("-A PREROUTING -p tcp -m tcp --dport 80 -j DROP\n")


def test_whose_rules_are() -> None:
    """What another tool drops is not judged."""
    rules = [f"-A PREROUTING -d {address}/32 -j DROP\n" for address in ("10.96.0.1", "10.96.0.2")]
    different("".join(rules), second_port=80, of_others=True)


@pytest.mark.parametrize("asked", ["-d", "! -d", "-s"])
def test_addresses_in_a_chain_of_one_port(asked: str) -> None:
    """A chain that a rule by port leads to may name the address."""
    different(
        ":A - [0:0]\n-A PREROUTING -p tcp -m tcp --dport 30000 -j A\n"
        f"-A A {asked} 10.96.0.1/32 -j DROP\n"
    )
    different(
        f"-A PREROUTING -p tcp {asked} 10.96.0.1/32 -m tcp --dport 30000 -j DROP\n",
    )


def filtered(hook: str, rule: str) -> str:
    return f"*mangle\n:{hook} ACCEPT [0:0]\n-A {hook} {rule}\nCOMMIT\n"


def test_like_frontends_share() -> None:
    assert shared_by_two("") > 0
    assert shared_by_two("", (80, 443)) > 0


@pytest.mark.parametrize("asked", ["--ctorigdst 10.96.0.1", "--ctorigdst 10.96.0.2"])
def test_what_a_connection_came_for_and_where_it_goes(asked: str) -> None:
    """A rule about an original destination asks for the port that packets are sent to."""
    rule = f"-p tcp -m conntrack {asked} -m tcp --dport 8080 -j DROP"
    # The node's own packets are not translated here.
    assert shared_by_two(filtered("POSTROUTING", rule)) == 0


def test_a_stretch_of_ports() -> None:
    """Which side of a rule's ports a frontend's port lies on."""
    rule = "-p tcp -m tcp --dport 1:100 -j DROP"
    assert shared_by_two(filtered("PREROUTING", rule), (80, 81)) > 0
    assert shared_by_two(filtered("PREROUTING", rule), (80, 443)) == 0


@pytest.mark.parametrize("backend", ["10.244.0.1", "10.244.0.2"])
def test_rules_about_where_packets_are_sent(backend: str) -> None:
    """A rule for one of the backends is part of that frontend's signature."""
    rule = f"-d {backend}/32 -p tcp -m tcp --dport 8080 -j DROP"
    assert shared_by_two(filtered("FORWARD", rule)) == 0


FIRST, SECOND = (f"-d {address}/32" for address in ADDRESSES)
ENDS = ("-d 10.244.0.1/32", "-d 10.244.0.2/32")
MARKED = "-j MARK --set-xmark 0x1/0x1"
BELOW = "-A X -i eth0 -j ACCEPT\n-A X -j DROP\n"


@pytest.mark.parametrize(
    ("hook", "rules"),
    [
        ("mangle PREROUTING", (f"{FIRST} -j DROP", f"{SECOND} -j ACCEPT")),
        ("mangle PREROUTING", (f"{FIRST} -j DROP",)),
        ("mangle PREROUTING", (f"{FIRST} -j DROP", "-i eth0 -j ACCEPT", f"{SECOND} -j DROP")),
        ("mangle PREROUTING", (f"{FIRST} -i eth0 -j DROP", f"{SECOND} ! -i eth0 -j DROP")),
        ("mangle PREROUTING", (
            f"{FIRST} -s 10.0.0.0/8 -j DROP", f"{SECOND} -s 10.0.0.0/9 -j DROP")),
        ("mangle PREROUTING", (f"{FIRST} -j X", f"{SECOND} -g X", "-j DROP")),
        ("mangle PREROUTING", (
            f"{FIRST} -s {ADDRESSES[0]}/32 -j DROP", f"{SECOND} -s {ADDRESSES[0]}/32 -j DROP")),
        ("mangle FORWARD", (
            f"{ENDS[0]} -s 10.244.0.1/32 -j DROP", f"{ENDS[1]} -s 10.244.0.1/32 -j DROP")),
        ("mangle FORWARD", (
            f"{ENDS[0]} -s 10.244.0.1/32 -j DROP", f"{ENDS[1]} ! -s 10.244.0.2/32 -j DROP")),
        ("mangle FORWARD", (
            f"{ENDS[0]} -m conntrack --ctorigdst {ADDRESSES[0]} -j DROP",
            f"{ENDS[1]} -m conntrack ! --ctorigdst {ADDRESSES[1]} -j DROP")),
        ("mangle FORWARD", (
            f"{ENDS[0]} -m conntrack --ctorigdst {ADDRESSES[0]} -j DROP",
            f"{ENDS[1]} -m conntrack --ctorigdst {ADDRESSES[0]} -j DROP")),
        ("mangle FORWARD", (
            f"{ENDS[0]} -m conntrack --ctorigsrc 10.244.0.1 -j DROP",
            f"{ENDS[1]} -m conntrack ! --ctorigsrc 10.244.0.2 -j DROP")),
        ("mangle FORWARD", (
            f"{ENDS[0]} -m conntrack --ctorigsrc 10.244.0.1 -j DROP",
            f"{ENDS[1]} -m conntrack --ctorigsrc 10.244.0.1 -j DROP")),
        ("mangle FORWARD", (
            f"{ENDS[0]} -p tcp -m conntrack --ctorigdstport 80 -j DROP",
            f"{ENDS[1]} -p tcp -m conntrack ! --ctorigdstport 80 -j DROP")),
        ("mangle FORWARD", (
            f"{ENDS[0]} -p tcp -m conntrack --ctorigdstport 80 -j DROP",
            f"{ENDS[1]} -p tcp -m conntrack --ctorigdstport 8080 -j DROP")),
        ("mangle FORWARD", (
            f"{ENDS[0]} -p tcp -m tcp --dport 8080 -j DROP",
            f"{ENDS[1]} -p tcp -m tcp ! --dport 8080 -j DROP")),
        ("mangle PREROUTING", (f"{FIRST} -j DROP", f"{ENDS[1]} -j DROP")),
        ("filter FORWARD", (f"{ENDS[0]} -j Y", f"{ENDS[1]} -j Z")),
        ("filter FORWARD", (
            f"{ENDS[0]} -m conntrack --ctorigsrc 10.244.0.1 -j DROP",
            f"{ENDS[1]} -m conntrack --ctorigsrc 10.244.0.2 -j DROP")),
        ("mangle FORWARD", (
            f"-p tcp {ENDS[0]} -m conntrack --ctorigdst {ADDRESSES[0]} -j X",
            f"-p tcp {ENDS[1]} -m conntrack --ctorigdst {ADDRESSES[1]} -j Y")),
    ],
)  # fmt: skip
def test_alike_but_for_one_thing(hook: str, rules: tuple[str, ...]) -> None:
    """Two frontends with like rules: they stand elsewhere, or ask or do something else."""
    table, chain = hook.split()
    others = BELOW if any(" X" in rule for rule in rules) else ""
    if any(" Y" in rule for rule in rules):
        others += f"-A Y ! {ENDS[1]} -j DROP\n-A Y -i eth0 -j DROP\n"
    if any(" Z" in rule for rule in rules):
        others = f"-A Y {ENDS[0]} -j DROP\n-A Z ! {ENDS[1]} -j DROP\n"
    assert shared_by_two(in_chain(table, chain, *rules, others=others)) == 0


def test_the_chain_of_a_row() -> None:
    rules = in_chain("raw", "PREROUTING", f"{FIRST} -j DROP")
    assert shared_by_two(rules + in_chain("mangle", "PREROUTING", f"{SECOND} -j DROP")) == 0


def test_rows_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row in a run is one item with it; who sends is not numbered there."""
    for module in ("slicing.plain_runs", "slicing.slicer", "signatures.rows"):
        monkeypatch.setattr(f"svcc.verify.{module}.SHORTEST", 2)
    one, other = f"{FIRST} {MARKED}", f"{SECOND} {MARKED}"
    between = (f"-d 10.9.9.1/32 {MARKED}", "-d 10.9.9.2/32 -j X")
    rules = in_chain("mangle", "PREROUTING", one, *between, other, others=BELOW)
    assert shared_by_two(rules) == 0
    senders = [f"-d {a}/32 -s {a}/32 {MARKED}" for a in ADDRESSES]
    translated = in_chain("nat", "PREROUTING", *senders, *TRANSLATIONS)
    assert shared_by(TWO, translated) == 0
    rules = in_chain("mangle", "PREROUTING", *senders, "-d 10.9.9.2/32 -j X", others=BELOW)
    assert shared_by_two(rules) == 0


def test_senders_in_chains_that_regions_share() -> None:
    """What regions share of filter and POSTROUTING numbers no senders."""
    senders = [f"-s 10.244.0.{n}/32 -d 10.244.0.{n}/32 -j DROP" for n in (1, 2)]
    assert shared_by_two(in_chain("filter", "FORWARD", *senders)) == 0


@pytest.mark.parametrize("sender", ["-s", "-m conntrack --ctorigsrc"])
def test_senders_beside_translations(sender: str) -> None:
    """They are numbered where regions do not share what is cut."""
    for negated, shared in (("", 1), ("! ", 0)):
        before, word = ("", sender) if sender == "-s" else sender.rsplit(" ", 1)
        one, other = (
            f"-d {address}/32 {before} {sign}{word} 10.244.0.{number} {MARKED}"
            for number, (address, sign) in enumerate(zip(ADDRESSES, ("", negated), strict=True), 1)
        )
        rules = in_chain("nat", "PREROUTING", one, other, *TRANSLATIONS)
        assert shared_by(TWO, rules) == shared


def to(*targets: str) -> str:
    """Both addresses are translated to these, one each."""
    rules = [
        f"-d {address}/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination {target}"
        for address, target in zip(ADDRESSES, targets, strict=True)
    ]
    return in_chain("nat", "PREROUTING", *rules)


@pytest.mark.parametrize(
    ("rules", "backends"),
    [
        (to("10.244.0.1:8080", "10.244.0.2:80"), ("10.244.0.1:8080", "10.244.0.2:80")),
        (to("10.244.0.1:8080", "10.96.0.2:8080"), ("10.244.0.1:8080", "10.96.0.2:8080")),
        (to("10.244.0.1:8080", "10.244.0.2:8080"), ("10.244.0.1:8080", "10.244.0.2:8081")),
    ],
)
def test_where_packets_are_sent(rules: str, backends: tuple[str, str]) -> None:
    """The address and port that a row translates to, and those that are expected."""
    places = [
        (address, 6, 80, "cluster IP", (backend,))
        for address, backend in zip(ADDRESSES, backends, strict=True)
    ]
    assert shared_by(places, rules) == 0


def test_rules_about_ports_that_packets_are_sent_to() -> None:
    ends = ("10.244.0.1:8080", "10.244.0.2:9090")
    places = [(a, 6, 80, "cluster IP", (e,)) for a, e in zip(ADDRESSES, ends, strict=True)]
    assert shared_by(places, to(*ends)) > 0
    rule = "-p tcp -m tcp --dport 8000:8090 -j DROP"
    assert shared_by(places, in_chain("mangle", "FORWARD", rule) + to(*ends)) == 0


def test_which_of_two_ports() -> None:
    """A backend on two ports, of which one is chosen twice."""
    rules = [
        f"-d {address}/32 -p tcp -m tcp --dport 80 {chance}"
        f"-j DNAT --to-destination 10.244.0.{n}:{at}"
        for n, (address, third) in enumerate(zip(ADDRESSES, (8080, 9090), strict=True), 1)
        for at, chance in (
            (8080, "-m statistic --mode random --probability 0.3 "),
            (9090, "-m statistic --mode random --probability 0.3 "),
            (third, ""),
        )
    ]
    places = [
        (address, 6, 80, "cluster IP", (f"10.244.0.{n}:8080", f"10.244.0.{n}:9090"))
        for n, address in enumerate(ADDRESSES, 1)
    ]
    assert shared_by(places, in_chain("nat", "PREROUTING", *rules)) == 0


def test_which_of_two_backends() -> None:
    chosen = (("1.5", "1.6", "1.6"), ("2.5", "2.6", "2.5"))
    rules = [
        f"-d {address}/32 -p tcp -m tcp --dport 80 {chance}-j DNAT --to-destination {target}:8080"
        for address, targets in zip(ADDRESSES, chosen, strict=True)
        for chance, target in zip(
            ["-m statistic --mode random --probability 0.3 "] * 2 + [""],
            [f"10.244.{target}" for target in targets],
            strict=True,
        )
    ]  # fmt: skip
    places = [
        (address, 6, 80, "cluster IP", (f"10.244.{n}.5:8080", f"10.244.{n}.6:8080"))
        for n, address in enumerate(ADDRESSES, 1)
    ]
    assert shared_by(places, in_chain("nat", "PREROUTING", *rules)) == 0


def test_the_protocol() -> None:
    rules = [
        f"-d {address}/32 -j DNAT --to-destination 10.244.0.{number}"
        for number, address in enumerate(ADDRESSES, 1)
    ]
    text = in_chain("nat", "PREROUTING", *rules)
    for protocols, shared in (((6, 6), 1), ((6, 17), 0)):
        places = [
            (address, protocol, 80, "cluster IP", (f"10.244.0.{number}:80",))
            for number, (address, protocol) in enumerate(zip(ADDRESSES, protocols, strict=True), 1)
        ]
        assert shared_by(places, text) == shared


def test_whether_addresses_may_be_the_nodes() -> None:
    """Of a frontend, by its kind, and of a backend, which no cluster IP of another is."""
    ends = ("10.244.0.1:8080", "10.244.0.2:8080")
    kinds = ("external IP", "cluster IP")
    of_two: list[Place] = [
        (a, 6, 80, k, (e,)) for a, k, e in zip(ADDRESSES, kinds, ends, strict=True)
    ]
    assert shared_by([*of_two, (ADDRESSES[0], 17, 81, "cluster IP", ends[:1])], to(*ends)) == 0
    guard = in_chain("mangle", "INPUT", "-i eth0 -j DROP")
    ends = ("10.244.0.1:8080", "10.96.0.3:8080")
    of_two = [(a, 6, 80, "cluster IP", (e,)) for a, e in zip(ADDRESSES, ends, strict=True)]
    of_two.append(("10.96.0.3", 6, 80, "cluster IP", ("10.244.0.3:8080",)))
    assert shared_by(of_two, guard + to(*ends)) == 0


def node_ports(first: str, second: str) -> str:
    """Two node ports, translated to these."""
    local = "-p tcp -m addrtype --dst-type LOCAL -m tcp"
    rules = [
        f"{local} --dport {port} -j DNAT --to-destination {target}"
        for port, target in ((30001, first), (30002, second))
    ]
    return in_chain("nat", "PREROUTING", *rules)


@pytest.mark.parametrize(
    "rule",
    [
        "-p tcp -m tcp --dport 30000:30001 -j DROP",
        "-p tcp -m tcp --dport 30001 -j DROP",
        "-d 198.51.100.1/32 -p tcp -m tcp --dport 30001 -j DROP",
    ],
)
def test_rules_about_one_of_two_node_ports(rule: str) -> None:
    ends = ("10.244.0.1:8080", "10.244.0.2:8080")
    places: list[Place] = [
        (None, 6, port, "node port", (end,)) for port, end in zip((30001, 30002), ends, strict=True)
    ]
    assert shared_by(places, node_ports(*ends)) > 0
    assert shared_by(places, in_chain("mangle", "PREROUTING", rule) + node_ports(*ends)) == 0


def test_a_frontend_of_the_node_and_a_node_port() -> None:
    """What one does to its own address the other does to a backend's."""
    translations = [
        f"-p tcp -m tcp --dport {port} -j DNAT --to-destination 127.0.0.{number}"
        for number, port in ((1, 80), (2, 81))
    ]
    places: list[Place] = [
        ("127.0.0.1", 6, 80, "external IP", ("127.0.0.1:80",)),
        (None, 6, 81, "node port", ("127.0.0.2:81",)),
    ]
    assert shared_by(places, in_chain("nat", "PREROUTING", *translations)) == 0
