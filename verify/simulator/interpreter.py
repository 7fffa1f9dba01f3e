"""A plain interpreter of netfilter rules for one concrete packet.

It follows the kernel step by step (net/ipv4/netfilter/ip_tables.c ipt_do_table, the hook
order of include/uapi/linux/netfilter_ipv4.h, nf_nat_core.c for what NAT does to a new
connection). It confirms the counterexamples that the solver finds, and stands for the kernel
in tests. It is a second opinion: with the symbolic model it shares the rules as they were
prepared (:mod:`svcc.verify.prepare.prepare`), the kernel facts of ``verify/netfilter`` (which
targets change nothing, what a BPF program asks, how IPVS schedules) and whose business a rule is
(:class:`svcc.verify.simulator.packet.Allowances`), and no other code. Those are trusted;
``docs/verification.md`` says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Literal

from svcc.grammar.address import Family
from svcc.grammar.iptables.program import (
    PROBABILITY_ONE,
    Goto,
    Jump,
    MapMark,
    Masquerade,
    NatTarget,
    Notrack,
    OtherTarget,
    RandomMatch,
    RecentMatch,
    Reject,
    Rule,
    SetMark,
    Verdict,
)
from svcc.grammar.iptables.ruleset import Chain, RuleSet, place_of
from svcc.grammar.ipvs.ipvsadm import RealKey, VirtualKey, VirtualServer, endpoint
from svcc.verify.netfilter.extensions import is_inert
from svcc.verify.netfilter.ip_vs import (
    outside_the_model,
    thresholds,
    translated_port,
    usable,
)
from svcc.verify.netfilter.routing import drops_own_sources
from svcc.verify.simulator.matching import Decide, Passage, UndecidableError, entry_of, matches
from svcc.verify.simulator.packet import Packet, Result, Step, World

MAX_STEPS = 200_000
LONG_CHAIN = 100


Ending = Literal["dropped", "rejected", "excused"]


class _FinalError(Exception):
    """The packet's way ends here."""

    def __init__(self, verdict: Ending) -> None:
        super().__init__(verdict)
        self.verdict: Ending = verdict


def distribution(rules: RuleSet, packet: Packet, world: World) -> list[tuple[Fraction, Result]]:
    """Every way that random choices can go, with its exact probability.

    Raises:
        UndecidableError: on some way the packet meets a rule outside the model.
    """
    return list(ways(rules, packet, world))


def ways(rules: RuleSet, packet: Packet, world: World) -> Iterator[tuple[Fraction, Result]]:
    """As :func:`distribution`, one way after the other.

    Raises:
        UndecidableError: see there.
    """
    pending: list[list[bool]] = [[]]
    while pending:
        choices = _Choices(pending.pop())
        result = simulate(rules, packet, world, choices.decide)
        yield choices.weight, result
        pending.extend(choices.not_taken)


class _Choices:
    """One way through the random matches: some choices given, then always true."""

    def __init__(self, given: list[bool]) -> None:
        self._given = given
        self._taken: list[bool] = []
        self.weight = Fraction(1)
        self.not_taken: list[list[bool]] = []

    def decide(self, match: RandomMatch) -> bool:
        probability = Fraction(match.threshold, PROBABILITY_ONE)
        if match.negated:
            probability = 1 - probability
        if probability in (0, 1):
            return probability == 1
        choice = True
        if len(self._taken) < len(self._given):
            choice = self._given[len(self._taken)]
        else:
            self.not_taken.append([*self._taken, False])
        self._taken.append(choice)
        self.weight *= probability if choice else 1 - probability
        return choice


def simulate(rules: RuleSet, packet: Packet, world: World, decide: Decide) -> Result:
    """Send one packet through every hook that it passes.

    Raises:
        UndecidableError: it meets a rule outside the model.
    """
    state = Passage(
        packet,
        world,
        decide,
        packet.destination,
        packet.destination_port,
        packet.mark,
        packet.in_interface,
        packet.source,
        packet.source_port,
        sets=rules.sets,
    )
    verdict: Literal["passed"] | Ending = "passed"
    try:
        for table, hook in _path(rules, state):
            if table == "ipvs":
                _balance(rules, state, hook)
            else:
                _run_hook(rules, state, table, hook)
    except _FinalError as final:
        verdict = final.verdict
    return Result(
        verdict,
        state.destination,
        state.destination_port,
        state.translated or state.balanced,
        state.masqueraded,
        state.sent_out,
        state.mark,
        frozenset(state.recorded),
        tuple(state.trace),
        state.source,
        state.source_port,
        state.placed,
        state.let_past,
        state.rewritten_by_others,
    )


def _path(rules: RuleSet, state: Passage) -> Iterator[tuple[str, str]]:
    if state.packet.from_node:
        yield from _path_from_node(rules, state)
        return
    yield "raw", "PREROUTING"
    yield "mangle", "PREROUTING"
    yield "nat", "PREROUTING"
    if drops_own_sources(state.packet.family) and state.world.is_local(state.packet.source):
        raise _FinalError("dropped")
    state.placed = rules.ipvs is None
    if state.world.is_local(state.destination):
        yield from _input(rules, state)
        return
    state.placed = True
    _route_out(state)
    yield "mangle", "FORWARD"
    yield "filter", "FORWARD"
    yield "security", "FORWARD"
    yield from _postrouting(state)


def _path_from_node(rules: RuleSet, state: Passage) -> Iterator[tuple[str, str]]:
    _route_out(state)
    yield "raw", "OUTPUT"
    yield "mangle", "OUTPUT"
    yield "nat", "OUTPUT"
    if rules.ipvs is not None:
        yield "ipvs", "OUTPUT"
        if state.balanced:
            # ip_vs_xmit.c enters LOCAL_OUT anew, with the real server's route.
            _route_out(state)
            state.placed = True
            yield "mangle", "OUTPUT"
    state.placed = True
    # Translated or not: the hooks of one traversal share one nf_hook_state (nf_hook_slow),
    # and with it the interface that was chosen before the first of them.
    yield "filter", "OUTPUT"
    yield "security", "OUTPUT"
    _route_out(state)
    local = state.world.is_local(state.destination)
    yield from _postrouting(state)
    if local:
        state.in_interface, state.out_interface, state.looped = "lo", "", True
        yield "raw", "PREROUTING"
        yield "mangle", "PREROUTING"
        yield "mangle", "INPUT"
        yield "filter", "INPUT"
        yield "security", "INPUT"
        # nf_nat_core.c, nf_nat_inet_fn: POSTROUTING has settled the source, nat INPUT is left out.


def _route_out(state: Passage) -> None:
    state.out_interface = state.world.way_out(state.destination)


def _input(rules: RuleSet, state: Passage) -> Iterator[tuple[str, str]]:
    yield "mangle", "INPUT"
    yield "filter", "INPUT"
    yield "security", "INPUT"
    if rules.ipvs is not None:
        yield "ipvs", "INPUT"
        state.placed = True
        if state.balanced and not state.world.is_local(state.destination):
            # ip_vs_xmit.c sends it to LOCAL_OUT; nat INPUT, one step behind, is not reached.
            state.in_interface = ""
            _route_out(state)
            yield "mangle", "OUTPUT"
            yield "filter", "OUTPUT"
            yield "security", "OUTPUT"
            yield from _postrouting(state)
            return
    yield "nat", "INPUT"


def _postrouting(state: Passage) -> Iterator[tuple[str, str]]:
    yield "mangle", "POSTROUTING"
    yield "nat", "POSTROUTING"
    state.sent_out = True


def _balance(rules: RuleSet, state: Passage, hook: str) -> None:
    """What IPVS does with a new connection (net/netfilter/ipvs/ip_vs_core.c)."""
    assert rules.ipvs is not None
    family, servers = state.packet.family, rules.ipvs.servers
    keys = [VirtualKey(family, 0, state.mark, 0)] if state.mark else []
    for port in (state.destination_port, 0):
        keys.append(VirtualKey(family, state.packet.protocol, state.destination, port))
    key = next((key for key in keys if key in servers), None)
    if key is None:
        return
    server = servers[key]
    rule = Rule(chain=hook, line=server.line)
    file = rules.ipvs.files.get("ipvsadm", "")
    if (unknown := outside_the_model(key, server)) is not None:
        raise UndecidableError("ipvs", rule, f"{unknown} of virtual server {key}")
    if not usable(server):
        effect = f"{key} has no real server: refused"
        state.trace.append(Step("ipvs", hook, rule, effect, key, file))
        raise _FinalError("rejected")
    real = _choose(state, key, server)
    if _is_loopback(family, state.packet.source) and not state.world.is_local(real.address):
        # ip_vs_xmit.c, crosses_local_route_boundary
        state.trace.append(Step("ipvs", hook, rule, "from loopback: dropped", key, file))
        raise _FinalError("dropped")
    state.sent_on_from = (state.destination, state.destination_port)
    port_there = translated_port(key, server.scheduling, real)
    state.destination = real.address
    if port_there is not None:
        state.destination_port = port_there
    state.balanced = True
    sent_to = endpoint(family, real.address, port_there or state.destination_port)
    effect = f"{server.scheduling.scheduler} to {sent_to}"
    state.trace.append(Step("ipvs", hook, rule, effect, key, file))


def _is_loopback(family: Family, address: int) -> bool:
    return address >> 24 == 127 if family is Family.IPV4 else address == 1


def _choose(state: Passage, key: VirtualKey, server: VirtualServer) -> RealKey:
    """The real server: the one that a persistent virtual server remembers, or any."""
    candidates = usable(server)
    timeout = server.scheduling.persistence
    chances = [*thresholds([weight for _, weight in candidates]), PROBABILITY_ONE]
    names = {real: f"ipvs {key} {real}" for real, _ in candidates}
    chosen = candidates[-1][0]
    for real, name in names.items():
        age = state.world.recent.get(name)
        if timeout is not None and age is not None and age < timeout:
            # ip_vs_sched_persist puts the template back, which starts its timer anew.
            state.recorded.add(name)
            return real
    for (real, _), chance in zip(candidates, chances, strict=True):
        if chance == PROBABILITY_ONE or state.decide(RandomMatch(chance)):
            chosen = real
            break
    if timeout is not None:
        state.recorded.add(names[chosen])
    return chosen


def _run_hook(rules: RuleSet, state: Passage, place: str, hook: str) -> None:
    """One place of a hook: its tables, one after another."""
    state.bound = False
    for table in rules.at(place):
        # nf_nat_core.c, nf_nat_inet_fn: once a chain has translated, no other of nat is asked.
        if hook in rules.tables[table] and not state.bound:
            _run_base_chain(rules, state, table, hook)


def _run_base_chain(rules: RuleSet, state: Passage, table: str, hook: str) -> None:
    chains = rules.tables[table]
    if place_of(table) == "nat" and (state.untracked or state.world.state != "NEW"):
        return
    if _run_chain(rules, state, table, hook) == "end":
        policy = chains[hook].policy or "ACCEPT"
        if policy == "DROP" and state.world.allowances.policies_drop:
            state.trace.append(Step(table, hook, None, "policy DROP"))
            raise _FinalError("dropped")


def _run_chain(rules: RuleSet, state: Passage, table: str, chain: str) -> str:
    """``end`` when the packet runs off the chain, ``done`` when the hook is decided."""
    for rule in _may_match(rules.tables[table][chain], state):
        state.steps += 1
        if state.steps > MAX_STEPS:
            raise RuntimeError(f"packet did not end after {MAX_STEPS} rules: {state.packet}")
        target, to = rule.target, rule.destination
        # Most rules are for another destination, and most of the time here would be theirs.
        if to is not None and (state.destination & to.mask == to.address & to.mask) == to.negated:
            continue
        if _has_no_effect(rule) or not matches(state, table, rule):
            continue
        if isinstance(target, Jump | Goto):
            state.trace.append(Step(table, chain, rule, f"to {target.chain}"))
            ended = _run_chain(rules, state, table, target.chain)
            if ended == "done":
                return "done"
            if isinstance(target, Goto):
                return "end"
            continue
        if isinstance(target, Verdict) and target.name == "RETURN":
            state.trace.append(Step(table, chain, rule, "RETURN"))
            return "end"
        if _of_others(state, table, chain, rule) or _act(state, table, chain, rule):
            return "done"
    return "end"


def _may_match(chain: Chain, state: Passage) -> Iterable[Rule]:
    """All rules, in long chains less those for another single destination.

    A chain of 10,000 Services would take as long as everything else about a packet.
    """
    rules = chain.rules
    if len(rules) < LONG_CHAIN:
        return rules
    index = chain.by_destination
    if index is None:
        index = chain.by_destination = {}
        one_address = (1 << state.packet.family.bits) - 1
        for position, rule in enumerate(rules):
            match = rule.destination
            exact = match is not None and not match.negated and match.mask == one_address
            index.setdefault(match.address if match and exact else None, []).append(position)
    positions = heapq.merge(index.get(None, ()), index.get(state.destination, ()))
    return (rules[position] for position in positions)


def _has_no_effect(rule: Rule) -> bool:
    """Whether nothing depends on the rule's conditions, which may be outside the model."""
    target = rule.target
    if not (target is None or (isinstance(target, OtherTarget) and is_inert(target))):
        return False
    return not any(isinstance(match, RecentMatch) for match in rule.matches)


def _of_others(state: Passage, table: str, chain: str, rule: Rule) -> bool:
    """What a rule that fired does in place of its target, as it is not judged; True if that
    decides the hook.
    """
    allowances, target = state.world.allowances, rule.target
    if id(rule) in allowances.passed_over:
        state.let_past = True
        state.trace.append(Step(table, chain, rule, "not judged"))
        return True
    rewrites = isinstance(target, Masquerade | NatTarget)
    theirs = id(rule) in allowances.theirs or (rewrites and _leaves(state, rule))
    if theirs:
        state.let_past |= isinstance(target, Verdict)
        state.rewritten_by_others |= rewrites
    # What looks for the source that the judged rules gave it would look in vain.
    comes_back = state.packet.from_node and state.world.is_local(state.destination)
    if id(rule) in allowances.excused or (theirs and rewrites and comes_back):
        state.trace.append(Step(table, chain, rule, "not judged"))
        raise _FinalError("excused")
    return False


def _leaves(state: Passage, rule: Rule) -> bool:
    """Whether the packet leaves the network that the rule's owner may rewrite sources of, or is
    no Service's.
    """
    network = state.world.allowances.leaving.get(id(rule))
    if network is None or state.source is None:
        return False
    if not (state.translated or state.balanced):
        return True
    address, mask = network
    return state.source & mask == address and state.destination & mask != address


def _act(state: Passage, table: str, chain: str, rule: Rule) -> bool:
    """Carry out a rule's target; True if it decides the hook."""
    target = rule.target

    def note(effect: str) -> None:
        state.trace.append(Step(table, chain, rule, effect))

    if target is None:
        return False
    if isinstance(target, Verdict):
        note(target.name)
        if target.name == "DROP":
            raise _FinalError("dropped")
        return True
    if isinstance(target, Reject):
        note("REJECT")
        raise _FinalError("rejected")
    if isinstance(target, SetMark):
        state.mark = (state.mark & ~target.mask & 0xFFFFFFFF) ^ target.value
        note(f"mark {state.mark:#x}")
        return False
    if isinstance(target, MapMark):
        entry = entry_of(state, table, rule, target.name, target.flags)
        if entry is not None and entry.mark is not None:
            value, mask = entry.mark
            state.mark = (state.mark & ~mask & 0xFFFFFFFF) ^ value
            note(f"mark {state.mark:#x}")
        return False
    if isinstance(target, Notrack):
        # xt_CT.c, xt_ct_target, and nft_ct.c, nft_notrack_eval: what has a connection keeps it.
        has_none = place_of(table) == "raw" or state.world.state == "INVALID"
        if has_none and not state.looped:
            state.untracked = True
            note("not tracked")
        return False
    if isinstance(target, Masquerade):
        state.bound = True
        _rewrite_source(state, target)
        note("masqueraded")
        return True
    if isinstance(target, NatTarget):
        state.bound = True
        if target.name == "SNAT":
            _rewrite_source(state, target)
            note("source rewritten")
            return True
        # In a guessed world a range stands for its first place: some packets go there.
        if target.first_address is None or (
            state.world.guess is None
            and (
                target.first_address != (target.last_address or target.first_address)
                or target.first_port != (target.last_port or target.first_port)
            )
        ):
            raise UndecidableError(table, rule, f"{target.name} without one fixed destination")
        before = (state.destination, state.destination_port)
        state.destination = target.first_address
        if target.first_port is not None:
            state.destination_port = target.first_port
        state.translated = (state.destination, state.destination_port) != before
        note("DNAT")
        return True
    if isinstance(target, OtherTarget) and is_inert(target):
        return False
    name = target.name if isinstance(target, OtherTarget) else type(target).__name__
    raise UndecidableError(table, rule, f"target {name}")


def _rewrite_source(state: Passage, target: Masquerade | NatTarget) -> None:
    state.masqueraded = True
    if isinstance(target, NatTarget):
        one = target.last_address in (None, target.first_address)
        if target.first_address is not None:
            state.source = target.first_address if one else None
    elif state.world.own_address is not None:
        state.source = state.world.own_address(state.out_interface, state.destination)
    if target.first_port is not None and target.last_port in (None, target.first_port):
        state.source_port = target.first_port
    elif target.first_port is not None or target.random or target.random_fully:
        state.source_port = None
