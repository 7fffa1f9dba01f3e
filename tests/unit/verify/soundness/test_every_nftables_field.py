"""Nothing that is parsed of tables of nftables is left out of the model in silence.

As in :mod:`tests.unit.verify.soundness.test_every_field`: every field of every type is changed to
other legal values in tables that are proved; legal is what the grammar reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, get_type_hints

import pytest

import svcc.api
from svcc.api import NodeSettings, Objects
from svcc.compiler.bundle import NFTABLES, render
from svcc.compiler.pipeline import compile_objects
from svcc.grammar.address import parse_address
from svcc.grammar.errors import InputError
from svcc.grammar.nftables import program
from svcc.grammar.nftables.parse import parse
from svcc.grammar.nftables.program import Ruleset
from svcc.grammar.nftables.write import write
from svcc.verify.rule_files import of_nftables
from tests.support.damage.fields import Path, at, changed, field_names, leaves, members, others
from tests.support.effort import some
from tests.support.proofs import verify
from tests.unit.verify.soundness.test_every_field import FEW, OBJECTS

pytestmark = pytest.mark.slow

DISPATCH = "\t\tip daddr . meta l4proto . th dport vmap @services\n"
SPECIMENS = """\
ip daddr 10.96.0.10 tcp dport 81-90 goto refuse
ip daddr . meta l4proto . th dport { 10.96.0.10 . tcp . 81 } goto refuse
ip daddr 10.96.0.10 tcp dport 81 ct state new,established goto refuse
ip daddr 10.96.0.10 tcp dport vmap { 81 : goto refuse, 82 : jump refuse }
iifname "lo" ip daddr 10.96.0.10 tcp dport 80 drop
ip daddr 10.96.0.10 tcp dport 80 tcp flags != syn drop
ip daddr 10.96.0.10 tcp dport 81 numgen random mod 2 vmap { 0 : goto refuse, 1 : continue }
ip daddr 10.96.0.10 tcp dport 91 jhash tcp sport mod 2 vmap { 0 : goto refuse, 1 : goto refuse }
ip daddr 10.96.0.10 tcp dport 81 log prefix "x" counter packets 1 bytes 2 reject with tcp reset
"""
"""Rules ahead of the dispatch that change nothing: what they refuse would be refused anyhow."""
MORE = """\
table ip other {
	comment "of somebody else"
	set hosts {
		type ipv4_addr
		size 16
		flags interval,timeout
		timeout 1h
		gc-interval 1m
		comment "hosts"
		elements = { 192.0.2.0/24 timeout 2h expires 1h comment "a network" }
	}
	chain forward {
		comment "of somebody else"
		type filter hook forward priority -10; policy accept;
		ip saddr @hosts accept comment "they may"
	}
}
"""
OUTSIDE: Mapping[type, str] = {
    program.Limit: "ip daddr 10.96.0.10 limit rate 5/second goto refuse",
    program.OtherStatement: "ip daddr 10.96.0.10 queue to 7",
    program.Notrack: """\
table ip early {
	chain early {
		type filter hook prerouting priority raw; policy accept;
		ip daddr 10.96.0.10 notrack
	}
}
""",
}
"""What costs the proof whatever its fields are."""

_TEXT = "says nothing to the kernel"
_PLACE = "a place in a text"
_NUMBER_OF = "it is found by its name"
_NO_CHOICE = (
    "of one address and port there is no choice, and which port a masqueraded source has "
    "is promised to nobody"
)
_CARRIED = "it does nothing unless a rule names it, and rules that do are outside the model"
_TYPE = "what is looked up and the elements have the type as well; no other can be read with them"
REASONS: Mapping[tuple[type, str], str] = {
    (program.Nat, "flags"): _NO_CHOICE,
    (program.Nat, "with_port"): "how the text says it",
    (program.Reject, "kind"): "every refusal is an answer",
    (program.DynamicSet, "data"): "maps that rules fill are outside the model",
    (program.DynamicSet, "statements"): "counters; others cost the proof",
    (program.Jhash, "seed"): "another number of the same connection is as frequent",
    (program.Counter, "packets"): "counts what has been",
    (program.Counter, "bytes"): "counts what has been",
    (program.Log, "text"): "a packet that is logged goes on",
    (program.Number, "hexadecimal"): "how the text says it",
    (program.Flags, "members"): "its parts are fields of their own types",
    (program.Range, "first"): "its parts are fields of their own types",
    (program.Range, "last"): "its parts are fields of their own types",
    (program.Table, "family"): "in inet it does the same, in others its rules cannot be read",
    (program.Table, "comment"): _TEXT,
    (program.Table, "line"): _PLACE,
    (program.Element, "comment"): _TEXT,
    (program.Element, "statements"): "counters; others cost the proof",
    (program.Element, "expires"): "the element's timeout costs the proof",
    (program.Element, "line"): _PLACE,
    (program.Set, "name"): _NUMBER_OF,
    (program.Set, "key"): _TYPE,
    (program.Set, "data"): _TYPE,
    (program.Set, "flags"): "whether elements may have what is read where they have it",
    (program.Set, "gc_interval"): "when elements are cleared away that count no more",
    (program.Set, "size"): "what is in a set had room; docs/verification.md has what is assumed",
    (program.Set, "options"): "how the kernel keeps it, and counters; others cost the proof",
    (program.Set, "comment"): _TEXT,
    (program.Set, "line"): _PLACE,
    (program.Chain, "name"): _NUMBER_OF,
    (program.Chain, "comment"): _TEXT,
    (program.Chain, "line"): _PLACE,
    (program.Rule, "comment"): _TEXT,
    (program.Rule, "handle"): "the kernel's name for it",
    (program.Rule, "line"): _PLACE,
    (program.OtherObject, "kind"): _CARRIED,
    (program.OtherObject, "name"): _CARRIED,
    (program.OtherObject, "text"): _CARRIED,
    (program.Types, "names"): _TYPE,
    (program.BaseChain, "type"): "in chains of another type what translates is refused, and what "
    "does not does the same to first packets",
    (program.BaseChain, "device"): "only chains of table family netdev have one",
}
"""Why a field cannot matter."""

_EXPRESSIONS: tuple[program.Expression, ...] = (
    program.Field("ip saddr"),
    program.Field("meta l4proto"),
    program.Field("th dport"),
    program.Concatenation((
        program.Field("ip saddr"), program.Field("meta l4proto"), program.Field("th dport"))),
    program.Concatenation((program.Field("meta l4proto"), program.Field("th sport"))),
    program.Concatenation((
        parse_address("10.96.7.7"), program.Symbol("tcp"), program.Number(80))),
    parse_address("10.96.7.7"),
    program.Number(77),
    program.SetReference("guarded"),
    program.SetReference("node-ports"),
    program.SetReference("cluster-ips"),
)  # fmt: skip
OTHER_VALUES: Mapping[tuple[type, str], tuple[object, ...]] = {
    (program.Field, "name"): ("ip saddr", "ip daddr", "th sport", "th dport", "meta mark"),
    (program.Symbol, "name"): ("tcp", "udp", "new", "invalid", "established", "local", "unicast"),
    (program.Jump, "chain"): ("refuse", "cluster-ip-3"),
    (program.Goto, "chain"): ("refuse", "cluster-ip-3"),
    (program.SetReference, "name"): ("services", "guarded", "node-ports", "hairpins"),
    (program.DynamicSet, "key"): (program.Field("ip daddr"),),
    (program.VerdictMap, "key"): _EXPRESSIONS,
    (program.VerdictMap, "elements"): _EXPRESSIONS,
    (program.MapLookup, "key"): tuple(
        program.Concatenation((
            program.Field(address), program.Field("meta l4proto"), program.Field(port),
            program.Numgen("random", modulus)))
        for address, port, modulus in (
            ("ip saddr", "th dport", 3), ("ip daddr", "th sport", 3), ("ip daddr", "th dport", 2))
    ),
    (program.MapLookup, "elements"): (program.SetReference("local-backends-1"),),
    (program.Element, "key"): _EXPRESSIONS,
    (program.SetField, "field"): (program.Field("ct mark"), program.Field("meta priority")),
    (program.Table, "flags"): (frozenset({"dormant"}),),
    (program.Log, "text"): ('prefix "y"', "group 2"),
    (program.OtherObject, "name"): ("another",),
}  # fmt: skip
"""Legal values of fields whose type has others too."""


class Node:
    """Proved tables, with what they are judged by."""

    def __init__(self) -> None:
        self.objects: Objects = svcc.api.load(text=OBJECTS)
        self.settings: NodeSettings = svcc.api.node_settings(
            self.objects, node="node-a", mode="nftables", cluster_cidr="10.244.0.0/16"
        )
        text = render(compile_objects(self.objects, self.settings))[NFTABLES]
        text = text[text.index("table ip svcc {") : text.index("table ip6 svcc {")]
        rules = "".join(f"\t\t{rule}\n" for rule in SPECIMENS.splitlines())
        assert DISPATCH in text
        self.text = text.replace(DISPATCH, rules + DISPATCH) + MORE
        self.ruleset = parse(self.text, source="x")

    def holds(self, text: str) -> bool:
        """Whether other tables are proved in their place."""
        return verify(self.objects, self.settings, of_nftables(text, "x")).verdict == "proved"


@cache
def node() -> Node:
    made = Node()
    assert made.holds(made.text)
    return made


def key_of(item: Any) -> object:
    return item.name if isinstance(item, program.Set | program.Chain) else item.key


TYPES = tuple(
    cls
    for cls in members(program.Statement | program.Expression | program.Table)
    if cls.__module__ == program.__name__
)
CONTAINERS = {
    (program.Table, "sets"), (program.Table, "chains"), (program.Table, "others"),
    (program.Chain, "rules"), (program.Set, "elements"),
}  # fmt: skip
"""Their parts are fields of their own types."""
FIELDS = [(c, n) for c in TYPES for n in field_names(c) if (c, n) not in CONTAINERS]


@cache
def found_fields() -> Mapping[tuple[type, str], list[Path]]:
    found: dict[tuple[type, str], list[Path]] = {}
    for path, cls, name in leaves(node().ruleset):
        found.setdefault((cls, name), []).append(path)
    return found


def other_values(cls: type, name: str, old: object, hint: object) -> Iterator[object]:
    if (cls, name) == (program.DynamicSet, "name"):
        yield from (x.name for x in node().ruleset.tables["ip", "svcc"].sets.values()
                    if x.timeout and x.name != old)  # fmt: skip
        return
    legal = OTHER_VALUES.get((cls, name))
    yield from others(old, hint) if legal is None else (new for new in legal if new != old)


def candidates(cls: type, name: str) -> list[tuple[Path, object]]:
    """Each such field with each other value."""
    hint = get_type_hints(cls, vars(program))[name]
    return [
        (path, new)
        for path in found_fields().get((cls, name), ())
        for new in other_values(cls, name, at(node().ruleset, path), hint)
    ]


def legal(changes: Iterable[tuple[Path, object]]) -> Iterator[str]:
    """The texts of the changed tables that can be read."""
    for path, new in changes:
        made: Ruleset = changed(node().ruleset, path, new, key_of)
        try:
            text = write(made)
            parse(text, source="x")
        except (InputError, ValueError, TypeError, AttributeError, KeyError, AssertionError):
            continue
        yield text


@pytest.mark.parametrize(("cls", "name"), FIELDS, ids=[f"{c.__name__}-{n}" for c, n in FIELDS])
def test_a_field_counts_or_says_why_not(cls: type, name: str) -> None:
    if cls in OUTSIDE:
        return
    reason = REASONS.get((cls, name))
    made = candidates(cls, name)
    tried = legal(made if reason is None else some(made, FEW))
    counts = any(not node().holds(text) for text in tried)
    assert counts or reason, f"{cls.__name__}.{name} is not read, and nobody knows of it"
    assert not (counts and reason), f"{cls.__name__}.{name} counts, but: {reason}"


@pytest.mark.parametrize("rule", OUTSIDE.values(), ids=[cls.__name__ for cls in OUTSIDE])
def test_what_is_outside_the_model_costs_the_proof(rule: str) -> None:
    text = node().text
    if rule.startswith("table"):
        text += rule
    else:
        text = text.replace(DISPATCH, f"\t\t{rule}\n{DISPATCH}")
    assert not node().holds(text)


def test_reasons_are_about_fields_that_there_are() -> None:
    assert set(REASONS) <= set(FIELDS)
