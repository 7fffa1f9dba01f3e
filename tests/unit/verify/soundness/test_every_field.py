"""Nothing that is parsed is left out of the model in silence.

Every field of every type of rule, match, target, set, entry, virtual and real server is changed,
by a test that finds types and fields by itself, to other legal values in a rule set that is
proved. Some such change must cost the proof; a field of which none does needs a reason, and a
reason that is not needed is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, get_type_hints

import pytest

import svcc.api
from svcc.api import Family, NodeSettings, Objects
from svcc.compiler.pipeline import compile_objects
from svcc.grammar.address import Network
from svcc.grammar.iptables import program
from svcc.grammar.iptables.program import Rule
from svcc.grammar.iptables.ruleset import Chain, RuleSet, load
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.grammar.ipvs.state import Ipvs
from svcc.verify.prepare.loaded import EVERYTHING, LoadedRules
from tests.support.damage.fields import (
    Path,
    at,
    changed,
    field_names,
    is_record,
    leaves,
    members,
    others,
)
from tests.support.effort import some
from tests.support.proofs import verify

pytestmark = pytest.mark.slow

Mode = Literal["iptables", "ipvs"]
FEW = 12
"""Changes that are tried of a field that cannot matter, in a short run."""

OBJECTS = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.10
  externalIPs: [198.51.100.20]
  externalTrafficPolicy: Local
  healthCheckNodePort: 32000
  loadBalancerSourceRanges: [203.0.113.0/24]
  ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30080}]
status: {loadBalancer: {ingress: [{ip: 192.0.2.80}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: shop}
subsets:
- addresses:
  - {ip: 10.244.1.5, nodeName: node-a}
  - {ip: 10.244.1.6, nodeName: node-b}
  - {ip: 10.244.1.7}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: sticky, namespace: shop}
spec: {clusterIP: 10.96.0.11, sessionAffinity: ClientIP, ports: [{port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: sticky, namespace: shop}
subsets: [{addresses: [{ip: 10.244.1.5}, {ip: 10.244.1.6}], ports: [{port: 53, protocol: UDP}]}]
---
apiVersion: v1
kind: Service
metadata: {name: none, namespace: shop}
spec: {clusterIP: 10.96.0.12, ports: [{port: 80}]}
---
apiVersion: v1
kind: Node
metadata: {name: node-a}
status: {addresses: [{type: InternalIP, address: 192.168.7.10}]}
"""


@dataclass(frozen=True)
class Node:
    """A proved rule set, with what it is judged by."""

    objects: Objects
    settings: NodeSettings
    rules: RuleSet

    def holds(self, rules: RuleSet) -> bool:
        """Whether other rules are proved in its place."""
        loaded = {Family.IPV4: LoadedRules(rules, "x", EVERYTHING)}
        return verify(self.objects, self.settings, loaded).verdict == "proved"


@cache
def node(mode: Mode) -> Node:
    objects = svcc.api.load(text=OBJECTS)
    settings = svcc.api.node_settings(
        objects, node="node-a", mode=mode, cluster_cidr="10.244.0.0/16"
    )
    compiled = compile_objects(objects, settings)
    rules = load(compiled.programs[Family.IPV4])
    rules.ipvs = compiled.ipvs
    made = Node(objects, settings, with_more(rules, mode))
    assert made.holds(made.rules)
    return made


SYN = 2
_SEEN_PORTS = tuple(program.PortRange(port, port) for port in (53, 80, 30080))
SPECIMENS: tuple[program.Match, ...] = (
    program.StateMatch(frozenset({"NEW"})),
    program.MultiportMatch("dports", _SEEN_PORTS),
    program.TransportMatch("tcp", tcp_flags=program.TcpFlags(SYN, SYN)),
)
"""Matches that our rules have nowhere, which all packets fulfil that come to a DNAT (but for UDP):
they are added to its rules where the proof still holds then."""
_WEB = program.AddressMatch(0x0A60000A, 0xFFFFFFFF)
"""10.96.0.10, which has TCP port 80."""
_OF_NO_FRONTEND = (
    program.VirtualServerMatch(address=program.AddressMatch(0x0A630001, 0xFFFFFFFF)),
    program.VirtualServerMatch(program.ProtocolMatch(17), _WEB),
    program.VirtualServerMatch(None, _WEB, program.PortRange(81, 81)),
)
MORE_RULES: Mapping[Mode, tuple[tuple[str, Rule], ...]] = {
    "iptables": (),
    "ipvs": tuple(
        ("nat", Rule(chain="SVCC-POSTROUTING", matches=(match,), target=program.Masquerade()))
        for match in _OF_NO_FRONTEND
    ),
}
"""Rules that change nothing, each put at the head of its chain."""
OUTSIDE: tuple[program.NthMatch | program.OtherMatch | program.OtherTarget, ...] = (
    program.NthMatch(2, 0),
    program.OtherMatch("time"),
    program.OtherTarget("TPROXY"),
)
"""What is not in the model at all, whatever its fields are."""

REASONS: Mapping[tuple[type, str], str] = {
    (program.Comment, "text"): "says nothing to the kernel",
    (program.Rule, "chain"): "the chain that a rule stands in is where it was put",
    (program.Rule, "command"): "what is loaded is all appended",
    (program.Rule, "number"): "what is loaded is all appended",
    (program.Rule, "counters"): "counts what has been",
    (program.Rule, "line"): "a place in a text",
    (program.Rule, "written"): "the text that is shown",
    (program.Reject, "reject_with"): "every refusal is an answer",
    (program.RecentMatch, "reap"): "what it takes from a list is too old to be asked for",
    (program.NatTarget, "random"): "of one address and port there is no choice",
    (program.NatTarget, "random_fully"): "of one address and port there is no choice",
    (program.NatTarget, "persistent"): "of one address and port there is no choice",
    (program.NatTarget, "base_port"): "it shifts a range; of one port there is none",
    (program.Masquerade, "first_port"): "which port a masqueraded source has is promised to nobody",
    (program.Masquerade, "last_port"): "which port a masqueraded source has is promised to nobody",
    (program.Masquerade, "random"): "which port a masqueraded source has is promised to nobody",
    (
        program.Masquerade,
        "random_fully",
    ): "which port a masqueraded source has is promised to nobody",
    (ipset.Set, "name"): "it is found by its name in the collection",
    (ipset.Set, "max_entries"): "what is in a set had room",
    (ipset.Set, "options"): "options that say something of membership make the set not plain",
    (ipset.Set, "line"): "a place in a text",
    (ipset.Set, "lines"): "places in a text",
    (ipset.Set, "family"): "each entry has its own, and a set takes none of another",
    (ipset.Set, "maps_marks"): "whether entries may have marks; those that they have are read",
    (ipvsadm.VirtualServer, "line"): "a place in a text",
    (ipvsadm.VirtualServer, "lines"): "places in a text",
    (Ipvs, "files"): "names of texts",
    (Ipvs, "address_lines"): "places in a text",
    (
        ipvsadm.Scheduling,
        "flags",
    ): "how a hashing scheduler finds a server again; docs/verification.md "
    "says what is assumed of schedulers",
    (Ipvs, "timeouts"): "when an idle connection ends, nothing of a new one",
    (Ipvs, "strict_arp"): "a setting that apply makes, not a rule",
}
"""Why a field cannot matter."""


def places(rules: RuleSet) -> Iterator[tuple[str, str, int]]:
    for table, chains in rules.tables.items():
        for name, chain in chains.items():
            for number in range(len(chain.rules)):
                yield table, name, number


def with_rule(rules: RuleSet, place: tuple[str, str, int], rule: Rule) -> RuleSet:
    table, name, number = place
    tables = {t: dict(chains) for t, chains in rules.tables.items()}
    old = tables[table][name]
    made = [*old.rules[:number], rule, *old.rules[number + 1 :]]
    tables[table][name] = Chain(name, old.policy, made)
    return RuleSet(rules.family, tables, rules.ipvs)


def with_more(rules: RuleSet, mode: Mode) -> RuleSet:
    tables = {table: dict(chains) for table, chains in rules.tables.items()}
    for table, rule in MORE_RULES[mode]:
        old = tables[table][rule.chain]
        tables[table][rule.chain] = Chain(old.name, old.policy, [rule, *old.rules])
    return RuleSet(rules.family, tables, rules.ipvs)


TYPES = tuple(
    members(program.Match | program.Target | Rule | Ipvs | ipset.Set | ipset.Entry
            | ipvsadm.VirtualServer | ipvsadm.VirtualKey)
)  # fmt: skip
FIELDS = [
    (cls, name)
    for cls in TYPES
    for name in field_names(cls)
    # Its parts are fields of their own types.
    if (cls, name) != (ipset.Entry, "parts")
]
MODES: tuple[Mode, ...] = ("iptables", "ipvs")


@cache
def trees(mode: Mode) -> list[tuple[tuple[str, str, int], Rule]]:
    """Every rule of a mode, as it is and with each specimen under which the proof holds."""
    rules = node(mode).rules
    found = []
    for place in places(rules):
        table, name, number = place
        rule = rules.tables[table][name].rules[number]
        found.append((place, rule))
        if isinstance(rule.target, program.NatTarget):
            for match in SPECIMENS:
                with_match = replace(rule, matches=(*rule.matches, match))
                if node(mode).holds(with_rule(rules, place, with_match)):
                    found.append((place, with_match))
    return found


@cache
def rule_fields(
    mode: Mode,
) -> Mapping[tuple[type, str], list[tuple[tuple[str, str, int], Rule, Path]]]:
    """Where each field stands in the rules: place, rule, way to the field."""
    found: dict[tuple[type, str], list[tuple[tuple[str, str, int], Rule, Path]]] = {}
    for place, rule in trees(mode):
        for path, cls, name in leaves(rule):
            found.setdefault((cls, name), []).append((place, rule, path))
    return found


def changes_of_rules(cls: type, name: str) -> Iterator[tuple[Mode, RuleSet]]:
    for mode in MODES:
        for place, rule, path in rule_fields(mode).get((cls, name), ()):
            for new in other_values(cls, name, at(rule, path)):
                yield mode, with_rule(node(mode).rules, place, changed(rule, path, new))


def changes_of_ipvs(cls: type, name: str) -> Iterator[tuple[Mode, RuleSet]]:
    state = node("ipvs").rules.ipvs
    assert state is not None
    for new in _changed_states(state, cls, name):
        yield "ipvs", replace(node("ipvs").rules, ipvs=new)


OTHER_VALUES: Mapping[tuple[type, str], tuple[object, ...]] = {
    (ipvsadm.Scheduling, "scheduler"): ipvsadm.SCHEDULERS,
    (ipvsadm.Scheduling, "flags"): tuple((flag,) for flag in ipvsadm.SCHEDULER_FLAGS),
    (ipvsadm.Scheduling, "persistence_engine"): ("sip",),
    (ipvsadm.RealServer, "method"): tuple(ipvsadm.FORWARDING_METHODS),
    (Network, "prefix_length"): (0, 8, 24, 31),
    (ipvsadm.VirtualKey, "protocol"): (6, 17, 132),
    (program.Rule, "written"): ("something else",),
}
"""Legal values of fields whose type has others too."""


def other_values(cls: type, name: str, value: object) -> Iterator[Any]:
    legal = OTHER_VALUES.get((cls, name))
    if legal is None:
        yield from (o for o in others(value, get_type_hints(cls)[name]) if not has_wrong_network(o))
    else:
        yield from (other for other in legal if other != value)


def has_wrong_network(value: object) -> bool:
    """Whether a generated value has a network that nobody can write."""
    parts = value if isinstance(value, tuple) and not is_record(value) else (value,)
    return any(
        isinstance(part, Network) and part.prefix_length > part.family.bits for part in parts
    )


def _changed_states(state: Ipvs, cls: type, name: str) -> Iterator[Ipvs]:
    new: Any

    def leaves_of(value: object) -> Iterator[Any]:
        for path, owner, field in leaves(value):
            if (owner, field) == (cls, name):
                for new in other_values(cls, name, at(value, path)):
                    yield changed(value, path, new)

    for key, server in state.servers.items():
        rest = {k: v for k, v in state.servers.items() if k != key}
        for new in leaves_of(key):
            yield replace(state, servers={**rest, new: server})
        for new in leaves_of(server.scheduling):
            yield replace(state, servers={**rest, key: replace(server, scheduling=new)})
        for real, of in server.servers.items():
            others_there = {r: v for r, v in server.servers.items() if r != real}
            for new in leaves_of(real):
                made = replace(server, servers={**others_there, new: of})
                yield replace(state, servers={**rest, key: made})
            for new in leaves_of(of):
                made = replace(server, servers={**others_there, real: new})
                yield replace(state, servers={**rest, key: made})
    for set_name, item in state.sets.items():
        if cls is ipset.Set and name not in ("entries", "lines"):
            for new in other_values(cls, name, getattr(item, name)):
                yield replace(state, sets={**state.sets, set_name: replace(item, **{name: new})})
        for parts, entry in item.entries.items():
            rest_of_set = {k: v for k, v in item.entries.items() if k != parts}
            for new in leaves_of(entry):
                made_set = replace(item, entries={**rest_of_set, new.parts: new})
                yield replace(state, sets={**state.sets, set_name: made_set})
        if (cls, name) == (ipset.Set, "lines"):
            moved = replace(item, lines=dict.fromkeys(item.entries, 77))
            yield replace(state, sets={**state.sets, set_name: moved})
        if (cls, name) == (ipset.Set, "entries"):
            yield replace(state, sets={**state.sets, set_name: replace(item, entries={})})
    if cls is ipvsadm.VirtualServer:
        new_of_server: dict[str, Any] = {
            "servers": {}, "scheduling": ipvsadm.Scheduling(scheduler="fo"), "line": 77,
            "lines": {},
        }  # fmt: skip
        for key, server in state.servers.items():
            made = replace(server, **{name: new_of_server[name]})
            yield replace(state, servers={**state.servers, key: made})
    if cls is Ipvs:
        if name == "servers":
            yield replace(state, servers={})
        elif name == "sets":
            yield replace(state, sets={})
        elif name in ("files", "address_lines"):
            place: dict[str, Any] = {name: {"anything": {1: 77}}}
            yield replace(state, **place)
        elif name == "addresses":
            for family, addresses in state.addresses.items():
                yield replace(state, addresses={**state.addresses, family: addresses[1:]})
        else:
            found: Iterator[Any] = others(getattr(state, name), get_type_hints(cls)[name])
            for new in found:
                yield replace(state, **{name: new})


def is_outside(cls: type) -> bool:
    """Whether no rule set that has one is proved."""
    within = {owner for sample in OUTSIDE for _, owner, _ in leaves(sample)}
    return cls in {*within, *(type(sample) for sample in OUTSIDE), program.Option}


@pytest.mark.parametrize(("cls", "name"), FIELDS, ids=[f"{c.__name__}-{n}" for c, n in FIELDS])
def test_a_field_counts_or_says_why_not(cls: type, name: str) -> None:
    if is_outside(cls):
        return
    made = [*changes_of_rules(cls, name), *changes_of_ipvs(cls, name)]
    assert made, f"no rule or object has {cls.__name__}.{name}: add a specimen"
    reason = REASONS.get((cls, name))
    tried = made if reason is None else some(made, FEW)
    counts = any(not node(mode).holds(rules) for mode, rules in tried)
    assert counts or reason, f"{cls.__name__}.{name} is not read, and nobody knows of it"
    assert not (counts and reason), f"{cls.__name__}.{name} counts, but: {reason}"


@pytest.mark.parametrize("sample", OUTSIDE, ids=lambda sample: type(sample).__name__)
def test_what_is_outside_the_model_costs_the_proof(
    sample: program.NthMatch | program.OtherMatch | program.OtherTarget,
) -> None:
    rules = node("iptables").rules
    place = next(
        (t, c, n) for t, c, n in places(rules)
        if isinstance(rules.tables[t][c].rules[n].target, program.NatTarget)
    )  # fmt: skip
    table, chain, number = place
    rule = rules.tables[table][chain].rules[number]
    if isinstance(sample, program.OtherTarget):
        with_it = replace(rule, target=sample)
    else:
        with_it = replace(rule, matches=(*rule.matches, sample))
    assert not node("iptables").holds(with_rule(rules, place, with_it))


def test_reasons_are_about_fields_that_there_are() -> None:
    assert set(REASONS) <= set(FIELDS)
