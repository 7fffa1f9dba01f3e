"""Whatever program there is, its text is read as it: the reader is the writer's inverse."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from svcc.grammar.address import Address, Family, Network
from svcc.grammar.nftables.datatypes import BY_NAME, INET_PROTO, IPV4_ADDR
from svcc.grammar.nftables.hooks import bounds_of
from svcc.grammar.nftables.parse import parse
from svcc.grammar.nftables.program import (
    AnonymousSet,
    AnyVerdict,
    BaseChain,
    Chain,
    Concatenation,
    Counter,
    DynamicSet,
    Element,
    Expression,
    Field,
    Flags,
    Goto,
    Jhash,
    Jump,
    Limit,
    Log,
    MapLookup,
    Match,
    Nat,
    Notrack,
    Number,
    Numgen,
    Operation,
    Operator,
    Range,
    Reject,
    Rule,
    Ruleset,
    Set,
    SetField,
    SetReference,
    Statement,
    String,
    Symbol,
    Table,
    Types,
    Verdict,
    VerdictMap,
)
from svcc.grammar.nftables.reading.protocols import conflict
from svcc.grammar.nftables.write import write
from tests.support.effort import examples

ADDRESSES = st.integers(0, 2**32 - 1).map(lambda value: Address(Family.IPV4, value))
PORTS = st.integers(0, 65535).map(Number)
PROTOCOLS = st.integers(0, 255).map(INET_PROTO.named)
MARKS = st.integers(0, 2**32 - 1).map(lambda value: Number(value, hexadecimal=True))
NAMES = st.from_regex(
    r"[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,4}|/[a-z]{1,4}|_[0-9.]{1,6})?", fullmatch=True
)
COMMENTS = st.none() | st.text(
    st.characters(codec="ascii", exclude_characters='"\n\r'), max_size=40
)
STRINGS = st.from_regex(r"[a-z][a-z0-9. :-]{0,12}\*?", fullmatch=True).map(String)


Data = Expression | AnyVerdict | None


def networks(length: int, value: int) -> Network:
    """A block of some addresses."""
    shift = 32 - length
    return Network(Family.IPV4, value >> shift << shift, length)


BLOCKS = st.builds(networks, st.integers(0, 31), st.integers(0, 2**32 - 1))
PORT_RANGES = st.tuples(st.integers(0, 65534), st.integers(1, 65535)).filter(
    lambda pair: pair[0] < pair[1]
).map(lambda pair: Range(Number(pair[0]), Number(pair[1])))  # fmt: skip
VALUES: dict[str, st.SearchStrategy[Expression]] = {
    "ip saddr": ADDRESSES | BLOCKS,
    "ip daddr": ADDRESSES | BLOCKS,
    "tcp dport": PORTS | PORT_RANGES,
    "th sport": PORTS | PORT_RANGES,
    "meta l4proto": PROTOCOLS,
    "meta mark": MARKS,
    "ct mark": MARKS,
    "iifname": STRINGS,
    "oifname": STRINGS,
    "ip ttl": st.integers(0, 255).map(Number),
    "icmp type": st.integers(0, 255).map(BY_NAME["icmp_type"].named),
    "fib daddr type": st.integers(0, 12).map(BY_NAME["fib_addrtype"].named),
}
SIGNS: st.SearchStrategy[Operator] = st.sampled_from(["&", "|", "^"])
FIELDS = st.sampled_from(sorted(VALUES))
STATES = st.lists(
    st.sampled_from(["invalid", "established", "related", "new", "untracked"]),
    min_size=1, max_size=4, unique=True,
)  # fmt: skip
BITS = BY_NAME["ct_state"].symbols


def flags(names: list[str]) -> Expression:
    """States as nft lists them."""
    found = tuple(Symbol(name) for name in sorted(names, key=BITS.__getitem__))
    return found[0] if len(found) == 1 else Flags(found)


@st.composite
def keys(draw: st.DrawFn) -> tuple[Expression, st.SearchStrategy[Expression]]:
    """What a packet is looked up by, and what an element has for it."""
    names = draw(st.lists(FIELDS, min_size=1, max_size=4))
    if len(names) == 1:
        return Field(names[0]), VALUES[names[0]]
    parts = st.tuples(*[VALUES[name] for name in names])
    return Concatenation(tuple(map(Field, names))), parts.map(Concatenation)


def elements(
    draw: st.DrawFn, of: st.SearchStrategy[Expression], data: st.SearchStrategy[Data], least: int
) -> AnonymousSet:
    """A list in a rule."""
    found = draw(st.lists(of, min_size=least, max_size=4, unique=True))
    made = [Element(key, draw(data), draw(COMMENTS)) for key in found]
    return AnonymousSet(tuple(made))


VERDICTS: st.SearchStrategy[AnyVerdict] = st.sampled_from(
    [Verdict("accept"), Verdict("drop"), Jump("d"), Goto("d")]
)
LAST: st.SearchStrategy[Statement] = (
    VERDICTS
    | st.sampled_from([Reject(), Reject("icmp host-unreachable"), Reject("tcp reset")])
    | st.builds(Nat, st.just("dnat"), st.none() | st.just("ip"), ADDRESSES, st.none() | PORTS)
    | st.builds(Nat, st.just("masquerade"), port=st.none() | PORTS | PORT_RANGES,
                flags=st.sampled_from([(), ("random",), ("random", "fully-random")]))
)  # fmt: skip


OTHERS: list[Statement] = [
    Counter(3, 4), Notrack(), Log('prefix "a b"'), Limit("rate over 3/hour"), Verdict("continue"),
    Match(Field("ip saddr"), "==", SetReference("s")),
]  # fmt: skip


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    """A statement behind which others may stand."""
    match draw(st.integers(0, 9)):
        case 0:
            key, values = draw(keys())
            return Match(key, draw(st.sampled_from(["==", "!="])), draw(values))
        case 1:
            key, values = draw(keys())
            found = elements(draw, values, st.none(), 2)
            return Match(key, draw(st.sampled_from(["==", "!="])), found)
        case 2:
            key, values = draw(keys())
            return VerdictMap(key, elements(draw, values, VERDICTS, 1))
        case 3:
            states = flags(draw(STATES))
            return Match(Field("ct state"), "==", states, exact=draw(st.booleans()))
        case 4:
            mask, value = draw(MARKS), draw(MARKS)
            return Match(Operation("&", Field("meta mark"), mask), "!=", value)
        case 5:
            sign = draw(SIGNS)
            inner = Operation(draw(SIGNS), Field("ct mark"), draw(MARKS))
            sides = (inner, draw(MARKS)) if draw(st.booleans()) else (draw(MARKS), inner)
            return SetField(Field("meta mark"), Operation(sign, *sides))
        case 6:
            modulus, offset = draw(st.integers(1, 2**32 - 1)), draw(st.integers(0, 99))
            numgen: Expression = Numgen(draw(st.sampled_from(["random", "inc"])), modulus, offset)
            seed = draw(st.none() | st.integers(0, 99))
            jhash: Expression = Jhash(Field("ip saddr"), modulus, seed, offset)
            return SetField(Field("ct mark"), draw(st.sampled_from([numgen, jhash])))
        case 7:
            timeout = draw(st.none() | st.integers(1, 10**9))
            kept = draw(st.sampled_from([(), (Limit("rate 1/day"),)]))
            return DynamicSet("update", "s", Field("ip saddr"), timeout, statements=kept)
        case 8:
            key, values = draw(keys())
            return SetField(Field("meta mark"), MapLookup(key, elements(draw, values, MARKS, 1)))
        case _:
            return draw(st.sampled_from(OTHERS))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A rule."""
    found = draw(st.lists(statements(), max_size=3))
    found += draw(st.lists(LAST, max_size=1))
    while conflict(tuple(found)):
        found.pop()
    return Rule(tuple(found) or (Notrack(),), draw(COMMENTS))


TYPES: dict[str, st.SearchStrategy[Expression]] = {
    "ipv4_addr": ADDRESSES,
    "inet_service": PORTS,
    "inet_proto": PROTOCOLS,
    "mark": MARKS,
}


@st.composite
def sets(draw: st.DrawFn) -> Set:
    """A set or map with elements."""
    names = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=4))
    parts = [TYPES[name] for name in names]
    of: st.SearchStrategy[Expression]
    of = parts[0] if len(parts) == 1 else st.tuples(*parts).map(Concatenation)
    data = draw(st.sampled_from([None, Types(("verdict",)), Types(("ipv4_addr", "inet_service"))]))
    values: st.SearchStrategy[Data] = st.none()
    if data is not None:
        both = st.tuples(ADDRESSES, PORTS).map(Concatenation)
        values = VERDICTS if data.names == ("verdict",) else both
    made = Set(
        name=draw(NAMES), key=Types(tuple(names)), data=data,
        size=draw(st.none() | st.integers(0, 2**32 - 1)),
        timeout=draw(st.none() | st.integers(1, 10**10)), comment=draw(COMMENTS),
    )  # fmt: skip
    for element in elements(draw, of, values, 0).elements:
        element.timeout = draw(st.none() | st.integers(1, 10**9)) if made.timeout else None
        made.elements[element.key] = element
    return made


def stands_in(rule: Rule, base: BaseChain) -> bool:
    """Whether the kernel takes a rule there."""
    return all(b.admits(base) for part in rule.statements for b in bounds_of(part, "ip"))


@st.composite
def rulesets(draw: st.DrawFn) -> Ruleset:
    """A table with sets, a chain that is hooked in and others."""
    table = Table("ip", draw(NAMES), comment=draw(COMMENTS))
    clients = Set(name="s", key=Types((IPV4_ADDR.name,)), flags=frozenset({"dynamic", "timeout"}))
    for item in [*draw(st.lists(sets(), max_size=3)), clients]:
        table.sets[item.name] = item
    priority = draw(st.integers(-400, 400))
    base = BaseChain("filter", "prerouting", priority, draw(st.sampled_from(["accept", "drop"])))
    for chain in (Chain("c", base), Chain("d"), Chain("e/f-1", comment=draw(COMMENTS))):
        found = draw(st.lists(rules(), max_size=4)) if chain.name != "d" else []
        chain.rules = [rule for rule in found if chain.base is None or stands_in(rule, base)]
        table.chains[chain.name] = chain
    made = Ruleset()
    made.add(table)
    return made


@examples(300, 20_000)
@given(rulesets())
def test_what_is_written_is_read_as_it_was(program: Ruleset) -> None:
    assert parse(write(program), source="written") == program
