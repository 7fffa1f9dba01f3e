"""Random choices and affinity: probabilities, orders and lists as they might have been meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial

from svcc.grammar.iptables.program import (
    PROBABILITY_ONE,
    Goto,
    Jump,
    NatTarget,
    RandomMatch,
    RecentMatch,
    Rule,
)
from svcc.grammar.iptables.ruleset import RuleSet, place_of
from svcc.verify.cause.changes import Bench, ChainName, Change
from svcc.verify.cause.targets import Actions
from svcc.verify.cause.walks import Met, Walks
from svcc.verify.confirm.findings import Retry
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.outcomes import Serve

Shares = dict[Backend, Fraction]
_MOST_SWAPPED = 16


def _served(retry: Retry) -> Serve | None:
    return next((o for o in retry.wanted if isinstance(o, Serve)), None)


def _shares(rules: RuleSet, retry: Retry, serve: Serve) -> Shares | None:
    found = dict.fromkeys(serve.backends, Fraction(0))
    try:
        for weight, result in distribution(rules, retry.packet, replace(retry.world, recent={})):
            backend = Backend(result.destination, result.destination_port)
            if result.verdict == "passed" and backend in found:
                found[backend] += weight
    except UndecidableError:
        return None
    return found


def _solved(never: Shares | None, always: Shares | None) -> Fraction | None:
    """The probability of one choice with which all shares are equal: they are linear in it."""
    if never is None or always is None:
        return None
    fair = Fraction(1, len(never))
    for backend, share in never.items():
        if always[backend] != share:
            probability = (fair - share) / (always[backend] - share)
            return probability if 0 < probability <= 1 else None
    return None


def _random(probability: Fraction) -> tuple[RandomMatch, ...]:
    if probability == 1:
        return ()
    return (RandomMatch(round(probability * PROBABILITY_ONE)),)


def other_probabilities(bench: Bench, walks: Walks) -> Iterator[Change]:
    """Each random choice on the packet's way with the probability that makes the shares equal."""
    retry = walks.retry
    serve = _served(retry)
    if serve is None or len(serve.backends) < 2:
        return
    for met in (*walks.fired, *walks.passed()):
        rule = met.rule
        others = tuple(m for m in rule.matches if not isinstance(m, RandomMatch))
        if not isinstance(rule.target, Jump | Goto | NatTarget):
            continue
        with bench.changed(bench.without(met.place, met.position)) as rules:
            never = _shares(rules, retry, serve)
        certain = replace(rule, matches=others)
        with bench.changed(bench.instead(met.place, met.position, certain, "")) as rules:
            always = _shares(rules, retry, serve)
        probability = _solved(never, always)
        if probability is None:
            continue
        other = replace(rule, matches=(*_random(probability), *others))
        remedy = f"right with --probability {float(probability):.11f}"
        yield bench.instead(met.place, met.position, other, remedy, met.effect)


def missing_choices(bench: Bench, walks: Walks, actions: Actions) -> Iterator[Change]:
    """A rule more among those that choose, with the probability that makes the shares equal."""
    retry = walks.retry
    serve = _served(retry)
    if serve is None or len(serve.backends) < 2:
        return
    now = _shares(bench.rules, retry, serve)
    for place in walks.places:
        rules = bench.chain(place)
        if place_of(place.table) != "nat" or not any(_chooses(rule) for rule in rules):
            continue
        first = next(at for at, rule in enumerate(rules) if _chooses(rule))
        for position in range(first, len(rules) + 1):
            for action in actions.of(retry):
                if not isinstance(action.target, Jump | NatTarget) or not action.may_stand_in(
                    place
                ):
                    continue
                if actions.goes_round(place, action.target):
                    continue
                rule = Rule(chain=place.chain, target=action.target)
                what = f"a rule {action.words}"
                with bench.changed(bench.inserted(place, position, rule, "")) as changed:
                    always = _shares(changed, retry, serve)
                probability = _solved(now, always)
                if probability is None:
                    continue
                chosen = replace(rule, matches=_random(probability))
                yield bench.inserted(place, position, chosen, what)


def _chooses(rule: Rule) -> bool:
    return any(isinstance(m, RandomMatch) for m in rule.matches)


def other_orders(bench: Bench, walks: Walks) -> Iterator[Change]:
    """Two rules of a chain exchanged, and the matches of one."""
    for place in walks.places:
        rules = bench.chain(place)
        if len(rules) > _MOST_SWAPPED:
            continue
        for one in range(len(rules)):
            for other in range(one + 1, len(rules)):
                if rules[one] != rules[other]:
                    yield bench.exchanged(place, one, other)
    for met in _with_lists(bench, walks):
        matches = met.rule.matches
        kept = tuple(m for m in matches if not isinstance(m, RecentMatch))
        lists = tuple(m for m in matches if isinstance(m, RecentMatch))
        for ordered in ((*kept, *lists), (*lists, *kept)):
            if ordered != matches:
                other_rule = replace(met.rule, matches=ordered)
                remedy = "right with its matches in another order"
                yield bench.instead(met.place, met.position, other_rule, remedy, met.effect)


def other_lists(bench: Bench, walks: Walks) -> Iterator[Change]:
    """Recent lists as they might have been meant: of another name, age or command."""
    serve = _served(walks.retry)
    timeout = None if serve is None else serve.affinity_timeout
    every = [met for place in walks.places for met in _of(bench, place)]
    names = {m.name: None for met in every for m in met.rule.matches if isinstance(m, RecentMatch)}
    example = next(
        (m for met in every for m in met.rule.matches if isinstance(m, RecentMatch)), None
    )
    for met in _with_lists(bench, walks):
        yield bench.without(met.place, met.position, met.effect)
        for at, match in enumerate(met.rule.matches):
            if isinstance(match, RecentMatch):
                for other, remedy in _other_lists(match, [*names, "another"], timeout):
                    matches = (*met.rule.matches[:at], other, *met.rule.matches[at + 1 :])
                    changed = replace(met.rule, matches=matches)
                    yield bench.instead(met.place, met.position, changed, remedy, met.effect)
    if example is None:
        return
    for met in every:
        if any(isinstance(m, RecentMatch) for m in met.rule.matches):
            continue
        for name in names:
            added = replace(
                example, operation="set", name=name, seconds=None, reap=False, negated=False
            )
            changed = replace(met.rule, matches=(*met.rule.matches, added))
            remedy = f"right with -m recent --set --name {name}"
            yield bench.instead(met.place, met.position, changed, remedy, met.effect)


def lists_renamed(bench: Bench, walks: Walks) -> Iterator[Change]:
    """Two rules of a chain, or of two, with another recent list, the same for both."""
    every = list(_with_lists(bench, walks))
    names = {m.name: None for met in every for m in met.rule.matches if isinstance(m, RecentMatch)}
    for at, first in enumerate(every):
        for second in every[at + 1 :]:
            if first.place != second.place:
                continue
            for name in (*names, "another"):
                rules = list(bench.chain(first.place))
                for met in (first, second):
                    rules[met.position] = _renamed(met.rule, name)
                remedy = f"right with --name {name}, as the rule in line {second.rule.line}"
                yield Change(
                    cause=partial(bench.at_rule, first.place, first.rule, remedy, first.effect),
                    place=first.place,
                    chain=bench.other(first.place, rules),
                )


def _renamed(rule: Rule, name: str) -> Rule:
    matches = tuple(
        replace(m, name=name) if isinstance(m, RecentMatch) else m for m in rule.matches
    )
    return replace(rule, matches=matches)


def _other_lists(
    match: RecentMatch, names: list[str], timeout: int | None
) -> Iterator[tuple[RecentMatch, str]]:
    yield replace(match, negated=not match.negated), f"right with --{match.operation} turned round"
    if match.operation in ("rcheck", "update"):
        if timeout is not None and match.seconds != timeout:
            yield replace(match, seconds=timeout), f"right with --seconds {timeout}"
        if match.operation == "rcheck":
            yield replace(match, operation="update"), "right with --update"
        else:
            yield replace(match, operation="rcheck"), "right with --rcheck"
    for name in names:
        if name != match.name:
            yield replace(match, name=name), f"right with --name {name}"


def _of(bench: Bench, place: ChainName) -> list[Met]:
    rules = bench.chain(place)
    if place_of(place.table) != "nat" or len(rules) > 4 * _MOST_SWAPPED:
        return []
    return [Met(place, at, rule) for at, rule in enumerate(rules)]


def _with_lists(bench: Bench, walks: Walks) -> Iterator[Met]:
    for place in walks.places:
        for met in _of(bench, place):
            if any(isinstance(m, RecentMatch) for m in met.rule.matches):
                yield met


def missing_returns(bench: Bench, walks: Walks) -> Iterator[Change]:
    """A rule that sends a client back, modelled on one for another backend."""
    for met in _with_lists(bench, walks):
        lists = [m for m in met.rule.matches if isinstance(m, RecentMatch)]
        if not any(m.operation in ("rcheck", "update") for m in lists):
            continue
        for other in _of(bench, met.place):
            target = other.rule.target
            name = _recorded(bench, other)
            if name is None or not isinstance(target, Jump | Goto | NatTarget):
                continue
            matches = tuple(
                replace(m, name=name) if isinstance(m, RecentMatch) else m for m in met.rule.matches
            )
            rule = replace(met.rule, matches=matches, target=target, line=0)
            what = f"a rule that sends a client of the recent list {name} back"
            yield bench.inserted(met.place, met.position, rule, what)


def _recorded(bench: Bench, met: Met) -> str | None:
    """The list that a rule, or the chain that it leads to, records clients in."""
    rules = [met.rule]
    if isinstance(met.rule.target, Jump | Goto):
        rules += bench.chain(ChainName(met.place.table, met.rule.target.chain))
    for rule in rules:
        for match in rule.matches:
            if isinstance(match, RecentMatch) and match.operation == "set":
                return match.name
    return None
