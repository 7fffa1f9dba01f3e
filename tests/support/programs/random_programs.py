"""Hypothesis strategies for typed rule programs."""

from __future__ import annotations

from hypothesis import strategies as st

from svcc.grammar.address import Family, prefix_mask
from svcc.grammar.iptables.program import (
    PROBABILITY_ONE,
    AddressMatch,
    AddrtypeMatch,
    BpfMatch,
    ChainDeclaration,
    Comment,
    ConntrackMatch,
    Goto,
    InterfaceMatch,
    Jump,
    MarkMatch,
    Masquerade,
    Match,
    MultiportMatch,
    NatTarget,
    NthMatch,
    Option,
    OtherMatch,
    OtherTarget,
    PortRange,
    Program,
    ProtocolMatch,
    RandomMatch,
    RecentMatch,
    Reject,
    Rule,
    SetMark,
    StateMatch,
    Table,
    Target,
    TcpFlags,
    TransportMatch,
    Verdict,
)

CHAINS = ("ONE", "TWO", "SVCC-SVC-ABCDEFGH2345")
BASE = {"nat": ("PREROUTING", "OUTPUT", "POSTROUTING"), "filter": ("INPUT", "FORWARD", "OUTPUT")}
NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}


def addresses(family: Family) -> st.SearchStrategy[AddressMatch]:
    """``-s`` and ``-d`` with prefix masks, and now and then a mask with holes."""

    def make(value: int, length: int, negated: bool, hole: bool) -> AddressMatch:
        mask = prefix_mask(family, length)
        if hole and length > 8:
            mask &= ~(1 << (family.bits - 4))
        return AddressMatch(value & mask, mask, negated)

    return st.builds(
        make,
        st.integers(0, (1 << family.bits) - 1),
        st.integers(1, family.bits),
        st.booleans(),
        st.integers(0, 9).map(lambda n: n == 0),
    )


def _ports(negated: st.SearchStrategy[bool] | None = None) -> st.SearchStrategy[PortRange]:
    pair = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted)
    one = st.integers(0, 65535).map(lambda port: [port, port])
    # "All but a range that touches an end" comes back from iptables-nft as the range of the others.
    return st.builds(
        lambda ends, no: PortRange(ends[0], ends[1], no and ends[0] > 0 and ends[1] < 65535),
        st.one_of(one, pair),
        st.booleans() if negated is None else negated,
    )


_MARKS = st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
_STATES = st.sets(
    st.sampled_from(("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "DNAT", "SNAT")),
    min_size=1,
).map(frozenset)
_COMMENTS = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="'"),
    min_size=1,
    max_size=40,
)


def _conntrack(family: Family) -> st.SearchStrategy[Match]:
    full = prefix_mask(family, family.bits)
    hosts = st.builds(AddressMatch, st.integers(1, full), st.just(full), st.booleans())
    return st.builds(
        ConntrackMatch,
        states=_STATES,
        states_negated=st.booleans(),
        original_destination=st.none() | hosts,
        original_destination_ports=st.none() | _ports(),
        direction=st.sampled_from((None, "ORIGINAL", "REPLY")),
    )


def _recent() -> st.SearchStrategy[Match]:
    names = st.text("ABCdef-_0189", min_size=1, max_size=20).filter(lambda n: n[0] != "-")
    checks = st.builds(
        lambda op, name, seconds, reap, count, negated: RecentMatch(
            operation=op,
            name=name,
            seconds=seconds,
            reap=reap and seconds is not None,
            hitcount=count,
            negated=negated,
        ),
        st.sampled_from(("rcheck", "update")),
        names,
        st.none() | st.integers(1, 86400),
        st.booleans(),
        st.none() | st.integers(1, 20),
        st.booleans(),
    )
    sets = st.builds(lambda name: RecentMatch(operation="set", name=name), names)
    return st.one_of(checks, sets)


def matches(family: Family, transport: str | None) -> st.SearchStrategy[tuple[Match, ...]]:
    """Matches that may stand in one rule, at most one of each kind."""
    hairpin = ((0x20, 0, 0, 12), (7, 0, 0, 0), (0x20, 0, 0, 16), (0x1D, 0, 1, 0), (6, 0, 0, 1),
               (6, 0, 0, 0))  # fmt: skip
    kinds: list[st.SearchStrategy[Match]] = [
        st.builds(Comment, _COMMENTS),
        st.builds(lambda m, n: MarkMatch(m[0] & m[1], m[1], n), _MARKS, st.booleans()),
        _conntrack(family),
        st.builds(StateMatch, _STATES.map(lambda s: s - {"DNAT", "SNAT"} or frozenset({"NEW"}))),
        st.builds(
            AddrtypeMatch,
            source_type=st.just("LOCAL"),
            source_negated=st.booleans(),
            destination_type=st.sampled_from((None, "UNICAST", "LOCAL")),
        ),
        st.builds(RandomMatch, st.integers(1, PROBABILITY_ONE), st.booleans()),
        st.builds(lambda every: NthMatch(every, every - 1), st.integers(1, 99)),
        _recent(),
        st.builds(BpfMatch, st.just(hairpin)),
        st.just(OtherMatch("pkttype", (Option("--pkt-type", ("broadcast",), True),))),
        st.just(OtherMatch("length", (Option("--length", ("64:128",)),))),
    ]
    if transport is not None:
        flags: st.SearchStrategy[TcpFlags | None] = st.none()
        if transport == "tcp":
            flags |= st.builds(TcpFlags, st.integers(1, 0x3E), st.integers(0, 0x3F), st.booleans())
        kinds.append(
            st.builds(
                TransportMatch,
                st.just(transport),
                st.none() | _ports(),
                st.none() | _ports(),
                flags,
            )
        )
        ranges = st.lists(_ports(st.just(False)), min_size=1, max_size=7).map(tuple)
        which = st.sampled_from(("sports", "dports", "ports"))
        kinds.append(st.builds(MultiportMatch, which, ranges, st.booleans()))
    return st.lists(st.sampled_from(range(len(kinds))), max_size=4, unique=True).flatmap(
        lambda chosen: st.tuples(*(kinds[index] for index in chosen))
    )


def targets(
    table: str, chain: str, family: Family, transport: str | None
) -> st.SearchStrategy[Target | None]:
    """Targets that the chain may have."""
    later = CHAINS[CHAINS.index(chain) + 1 :] if chain in CHAINS else CHAINS
    found: list[st.SearchStrategy[Target | None]] = [
        st.none(),
        st.sampled_from((Verdict("ACCEPT"), Verdict("RETURN"))),
        st.builds(lambda m: SetMark(m[0], m[1]), _MARKS),
        st.just(OtherTarget("LOG", (Option("--log-prefix", ("dropped: ",)),))),
    ]
    if later:
        found.append(st.sampled_from([*map(Jump, later), *map(Goto, later)]))
    if table == "filter":
        v4 = family is Family.IPV4
        reject = "icmp-port-unreachable" if v4 else "icmp6-port-unreachable"
        found.append(st.sampled_from((Verdict("DROP"), Reject(reject))))
    elif chain == "POSTROUTING":
        found.append(st.builds(Masquerade, random_fully=st.booleans()))
    elif chain not in CHAINS:
        first = st.integers(1, (1 << family.bits) - 1)
        port = st.none() if transport is None else st.none() | st.integers(1, 65535)
        found.append(
            st.builds(
                lambda a, p: NatTarget(
                    name="DNAT", first_address=a, last_address=None, first_port=p
                ),
                first,
                port,
            )
        )
    return st.one_of(found)


@st.composite
def rules(draw: st.DrawFn, table: str, chain: str, family: Family) -> Rule:
    """One rule."""
    transport = draw(st.sampled_from((None, "tcp", "udp", "sctp")))
    interface = st.none() | st.builds(
        InterfaceMatch, st.sampled_from(("eth0", "veth+", "lo")), st.booleans()
    )
    return Rule(
        chain=chain,
        source=draw(st.none() | addresses(family)),
        destination=draw(st.none() | addresses(family)),
        in_interface=draw(interface) if chain in ("PREROUTING", "INPUT", "FORWARD") else None,
        out_interface=draw(interface) if chain in ("OUTPUT", "POSTROUTING", "FORWARD") else None,
        protocol=None if transport is None else ProtocolMatch(NUMBERS[transport]),
        matches=draw(matches(family, transport)),
        target=draw(targets(table, chain, family, transport)),
    )


@st.composite
def programs(draw: st.DrawFn, family: Family, *, size: int = 4) -> Program:
    """A program that iptables-restore takes."""
    program = Program(family)
    for name, base in BASE.items():
        table = Table(name)
        for chain in base:
            table.chains[chain] = ChainDeclaration(chain, "ACCEPT")
        for chain in CHAINS:
            table.chains[chain] = ChainDeclaration(chain)
        for chain in (*base, *CHAINS):
            for _ in range(draw(st.integers(0, size))):
                table.commands.append(draw(rules(name, chain, family)))
        program.tables[name] = table
    return program
