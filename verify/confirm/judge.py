"""The plain reading of every property, for one concrete packet.

The solver's obligations (:mod:`svcc.verify.proof.obligations`) say the same for all packets at
once. A counterexample counts only if this module agrees that it is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import assert_never

from svcc.grammar.address import Family
from svcc.verify.simulator.packet import Packet, Result, World, endpoint_text
from svcc.verify.spec import codes
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.outcomes import (
    Case,
    Discard,
    DroppedByMark,
    Outcome,
    Refuse,
    Serve,
    Untouched,
)
from svcc.verify.spec.packet_conditions import (
    Atom,
    DestinationIn,
    FromNode,
    PacketCondition,
    PortIn,
    ProtocolIn,
    SourceIn,
)
from svcc.verify.spec.properties import CAPTURES, FAIR, MASQUERADES, REACHES, REFUSES

Distribution = Sequence[tuple[Fraction, Result]]


@dataclass(frozen=True, slots=True)
class Failure:
    """One way in which a packet does not see what it must."""

    property: str
    expected: str
    got: str
    result: Result
    code: str
    """A number of :mod:`svcc.verify.spec.codes`."""
    says: str
    """What is wrong, as the sentence goes on behind the frontend's name."""


def applies(condition: PacketCondition, packet: Packet) -> bool:
    """Whether a packet fulfils a condition."""
    return all(_atom(atom, packet) for atom in condition)


def _atom(atom: Atom, packet: Packet) -> bool:
    if isinstance(atom, SourceIn):
        hit = any(packet.source & n.mask == n.value for n in atom.networks)
    elif isinstance(atom, DestinationIn):
        hit = any(packet.destination & n.mask == n.value for n in atom.networks)
    elif isinstance(atom, ProtocolIn):
        hit = packet.protocol in atom.numbers
    elif isinstance(atom, PortIn):
        hit = packet.destination_port in atom.numbers
    elif isinstance(atom, FromNode):
        hit = packet.from_node
    elif packet.from_node:
        hit = False
    elif atom.interface.endswith("+"):
        hit = packet.in_interface.startswith(atom.interface[:-1])
    else:
        hit = packet.in_interface == atom.interface
    return hit != atom.negated


def allowed_outcomes(cases: Sequence[Case], packet: Packet) -> tuple[Outcome, ...]:
    """The outcomes that the packet may see: those of the one case that it fulfils."""
    fulfilled = [case for case in cases if applies(case.condition, packet)]
    if len(fulfilled) != 1:
        raise RuntimeError(f"{len(fulfilled)} cases apply to {packet}")
    return fulfilled[0].allowed


def judge(
    allowed: Sequence[Outcome],
    packet: Packet,
    world: World,
    outcomes: Distribution,
    *,
    masquerade_mark: int,
    tolerance: Fraction,
) -> list[Failure]:
    """What is wrong with the distribution of a packet's results; empty if nothing.

    ``tolerance`` is how far a backend's share may be from 1/n. With several outcomes allowed,
    each result must be one of them; the failures are then those against the first. Where backends
    are among them, once, those that are reached have equal shares.
    """
    found = [
        failure
        for _, result in outcomes
        if (failure := judge_result(allowed, packet, world, result, masquerade_mark))
    ]
    serves = [outcome for outcome in allowed if isinstance(outcome, Serve)]
    if found or len(serves) != 1:
        return found
    return _shares(serves[0], world, outcomes, tolerance, only=len(allowed) == 1)


def judge_result(
    allowed: Sequence[Outcome], packet: Packet, world: World, result: Result, mark: int
) -> Failure | None:
    """What is wrong with one result."""
    if result.verdict == "excused":
        return None
    failures = [_against(outcome, packet, world, result, mark) for outcome in allowed]
    if not all(failures):
        return None
    first = allowed[0]
    # What another tool lets past the service rules cannot be refused by them.
    refusals = isinstance(first, Refuse | Discard) or (
        len(allowed) > 1 and not isinstance(first, Untouched)
    )
    return None if refusals and result.let_past else failures[0]


def _against(
    outcome: Outcome, packet: Packet, world: World, result: Result, mark: int
) -> Failure | None:
    """What one result has against one outcome."""
    match outcome:
        case Refuse() | Discard():
            return _against_refusal(outcome, packet, result)
        case DroppedByMark():
            return _against_dropped_by_mark(outcome, packet, result)
        case Untouched():
            return _against_untouched(outcome, packet, world, result, mark)
        case Serve():
            return _against_backends(outcome, packet, result)
        case _:
            assert_never(outcome)


def _against_refusal(outcome: Refuse | Discard, packet: Packet, result: Result) -> Failure | None:
    wanted = "rejected" if isinstance(outcome, Refuse) else "dropped"
    if result.verdict == wanted:
        return None
    got = describe_result(packet, result)
    return Failure(
        REFUSES,
        describe_outcome(packet, outcome),
        got,
        result,
        codes.NOT_REFUSED if result.verdict == "passed" else codes.OTHER_REFUSAL,
        f"must have this packet {wanted}, but it is {got}",
    )


def _against_dropped_by_mark(
    outcome: DroppedByMark, packet: Packet, result: Result
) -> Failure | None:
    forwarded = result.verdict == "passed" and result.sent_out and not result.translated
    if forwarded and not packet.from_node and result.mark & outcome.mark == outcome.mark:
        return None
    got = describe_result(packet, result)
    return Failure(
        REFUSES, describe_outcome(packet, outcome), got, result, codes.NOT_REFUSED,
        f"must have this packet dropped, but it is {got}",
    )  # fmt: skip


def _against_untouched(
    outcome: Untouched, packet: Packet, world: World, result: Result, mark: int
) -> Failure | None:
    marked = (result.mark ^ packet.mark) & mark
    masqueraded = result.masqueraded and not result.rewritten_by_others
    changed = masqueraded or marked
    if outcome.mark_may_stay and world.is_local(result.destination):
        changed = False
    if packet.from_node and _atom(SourceIn(outcome.masqueraded_sources), packet):
        changed = False
    if result.verdict == "passed" and not (result.translated or changed):
        return None
    got = describe_result(packet, result)
    if marked and not masqueraded:
        got += f", with the masquerade mark {mark:#x} left on it"
    return Failure(
        CAPTURES, describe_outcome(packet, outcome), got, result, codes.CAPTURED,
        f"must be left alone, but this packet is {got}",
    )  # fmt: skip


def _against_backends(outcome: Serve, packet: Packet, result: Result) -> Failure | None:
    got, expected = describe_result(packet, result), describe_outcome(packet, outcome)
    backend = Backend(result.destination, result.destination_port)
    if result.verdict != "passed" or backend not in outcome.backends:
        code, says = _astray(packet, result, got)
        return Failure(REACHES, expected, got, result, code, says)
    if outcome.masquerade is None or result.rewritten_by_others:
        return None
    hairpin = packet.source == result.destination
    must = result.sent_out and (outcome.masquerade or hairpin)
    if result.masqueraded == must:
        return None
    if must:
        what = "a hairpin's" if hairpin else "the"
        says = f"keeps {what} source address, which must be rewritten"
        return Failure(MASQUERADES, expected, got, result, codes.NOT_MASQUERADED, says)
    says = "rewrites the source address, which must stay"
    return Failure(MASQUERADES, expected, got, result, codes.MASQUERADED, says)


def _astray(packet: Packet, result: Result, got: str) -> tuple[str, str]:
    """Code and sentence for a packet that should have reached a backend."""
    if result.verdict != "passed":
        return codes.LOST, f"does not serve this packet: it is {got}"
    if not result.translated:
        return codes.NOT_TRANSLATED, "does not serve this packet: no rule translates it"
    target = endpoint_text(packet.family, result.destination, result.destination_port)
    return codes.WRONG_BACKEND, f"sends this packet to {target}, which it must not reach"


def _shares(
    outcome: Serve, world: World, outcomes: Distribution, tolerance: Fraction, *, only: bool
) -> list[Failure]:
    """What is wrong with the shares; ``only``: nothing but these backends is allowed."""
    if outcome.affinity_timeout is not None and world.recent:
        return []
    if any(result.verdict == "excused" and not result.placed for _, result in outcomes):
        return []
    share = dict.fromkeys(outcome.backends, Fraction(0))
    for weight, result in outcomes:
        backend = Backend(result.destination, result.destination_port)
        if backend in share:
            share[backend] += weight
    if not only and not any(share.values()):
        return []
    fair = Fraction(1, len(outcome.backends))
    failures = []
    for backend, got in share.items():
        if abs(got - fair) <= tolerance:
            continue
        result = outcomes[0][1]
        family = Family.IPV4 if backend.address < 1 << 32 else Family.IPV6
        name = endpoint_text(family, backend.address, backend.port)
        failures.append(
            Failure(
                FAIR if got else REACHES,
                f"{name} with probability 1/{len(outcome.backends)}",
                f"{name} with probability {float(got):.10g}" if got else f"never {name}",
                result,
                codes.UNFAIR if got else codes.NEVER_REACHED,
                f"gives {name} a share of {float(got):.10g} instead of 1/{len(outcome.backends)}"
                if got
                else f"never reaches {name}",
            )
        )
    return failures


def judge_return(
    outcome: Serve,
    packet: Packet,
    world: World,
    run: Callable[[World], Distribution],
) -> list[Failure]:
    """Whether a client that was served once comes back to its backend within the timeout,
    and is free again after it.
    """
    timeout = outcome.affinity_timeout
    if timeout is None:
        return _bound_unasked(outcome, packet, world, run)
    stranger = replace(world, recent={})
    for _, first in run(stranger):
        if first.verdict != "passed":
            continue
        expected = endpoint_text(packet.family, first.destination, first.destination_port)
        again = replace(world, recent=dict.fromkeys(first.recorded, timeout - 1))
        for _, second in run(again):
            # Each packet renews the memory: the third comes as late after the second.
            renewed = replace(world, recent=dict.fromkeys(second.recorded, timeout - 1))
            for result in (second, *(third for _, third in run(renewed))):
                if result.verdict == "excused":
                    continue
                if (result.destination, result.destination_port) != (
                    first.destination,
                    first.destination_port,
                ):
                    return [
                        Failure(
                            FAIR,
                            f"again {expected} within {timeout} s (ClientIP affinity)",
                            describe_result(packet, result),
                            result,
                            codes.NOT_REMEMBERED,
                            f"does not send a client back to {expected} within {timeout} s",
                        )
                    ]
        late = replace(world, recent=dict.fromkeys(first.recorded, timeout))
        late_outcomes = run(late)
        if any(result.verdict == "excused" for _, result in late_outcomes):
            continue
        reached = {(r.destination, r.destination_port) for _, r in late_outcomes}
        if len(outcome.backends) > 1 and len(reached) < 2:
            result = late_outcomes[0][1]
            return [
                Failure(
                    FAIR,
                    f"any backend after {timeout} s",
                    f"bound to {expected} for longer",
                    result,
                    codes.NOT_REMEMBERED,
                    f"binds a client to {expected} for longer than {timeout} s",
                )
            ]
    return []


def _bound_unasked(
    outcome: Serve,
    packet: Packet,
    world: World,
    run: Callable[[World], Distribution],
) -> list[Failure]:
    """Whether a client is kept at its backend though no affinity is asked."""
    if len(outcome.backends) < 2:
        return []
    for _, first in run(replace(world, recent={})):
        if first.verdict != "passed" or not first.recorded:
            continue
        again = run(replace(world, recent=dict.fromkeys(first.recorded, 0)))
        if len({(result.destination, result.destination_port) for _, result in again}) == 1:
            backend = endpoint_text(packet.family, first.destination, first.destination_port)
            return [
                Failure(
                    FAIR,
                    "any backend each time",
                    f"bound to {backend}",
                    again[0][1],
                    codes.NOT_REMEMBERED,
                    f"binds a client to {backend} though no affinity is asked",
                )
            ]
    return []


def describe_outcome(packet: Packet, outcome: Outcome) -> str:
    """An expected outcome in words."""
    if isinstance(outcome, Refuse):
        return "rejected"
    if isinstance(outcome, Discard):
        return "dropped"
    if isinstance(outcome, Untouched):
        return "left alone"
    if isinstance(outcome, DroppedByMark):
        return f"marked {outcome.mark:#x} for being dropped"
    shown = [endpoint_text(packet.family, b.address, b.port) for b in outcome.backends[:8]]
    if len(outcome.backends) > len(shown):
        shown.append(f"… ({len(outcome.backends)} in all)")
    source = "masqueraded" if outcome.masquerade else "masqueraded only for a hairpin"
    return f"sent to one of {', '.join(shown)}, {source}"


def describe_result(packet: Packet, result: Result) -> str:
    """What became of a packet, in words."""
    if result.verdict == "excused":
        return "left to another program's rules"
    if result.verdict != "passed":
        return result.verdict
    source = "masqueraded" if result.masqueraded else "not masqueraded"
    if not result.translated:
        return "left alone" if not result.masqueraded else f"sent on unchanged, {source}"
    target = endpoint_text(packet.family, result.destination, result.destination_port)
    return f"sent to {target}, {source}"
