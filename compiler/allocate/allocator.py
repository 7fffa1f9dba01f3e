"""Numbers for Services that lack them: nobody else's number ever moves.

Source: kube-apiserver, pkg/registry/core/service (ipallocator, portallocator), for which numbers
there are; which of them a Service is given depends on its name, so that branches that add
Services take different ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from svcc.compiler.allocate.claims import (
    Needs,
    Remark,
    field_of,
    lock_clashes,
    own_clashes,
    own_numbers,
)
from svcc.compiler.allocate.lock import Lock, Number, Pool, Slot, pool_of, shown
from svcc.compiler.allocate.needs import KUBERNETES, Need, filled, needs
from svcc.compiler.allocate.ranges import (
    BALANCER_RANGE,
    CLUSTER_IP_RANGE,
    NODE_PORT_RANGE,
    NumberRange,
    Ranges,
)
from svcc.compiler.model.objects import Service
from svcc.grammar.address import Address

_FLAGS = {
    "cluster-ip": CLUSTER_IP_RANGE,
    "node-port": NODE_PORT_RANGE,
    "load-balancer-ip": BALANCER_RANGE,
}


@dataclass(frozen=True, slots=True)
class Allocation:
    """The lock afterwards, the Services with their numbers in the order of the input, and what
    is to be told. With an error among ``remarks`` the other two are worth nothing.
    """

    lock: Lock
    services: tuple[Service, ...]
    remarks: tuple[Remark, ...]


def allocate(
    services: Sequence[Service], lock: Lock, ranges: Ranges, others: Collection[Address] = ()
) -> Allocation:
    """Give Services the numbers that they lack; the order of the Services says nothing.

    A number that the lock has given stays. Those of Services that are gone, or that have one of
    their own now, are freed: nobody else is given one while there is another left, and the
    Service itself gets it back when it returns.

    Args:
        services: all that share the ranges.
        lock: what was given before.
        ranges: to give from.
        others: addresses that somebody has who is no Service.
    """
    remarks: list[Remark] = []
    asked: Needs = []
    for service in sorted(services, key=lambda item: item.key):
        try:
            asked.append((service, needs(service, ranges)))
        except ValueError as error:
            remarks.append(Remark(field_of(service, ("spec",)), str(error)))
    remarks += own_clashes(service for service, _ in asked)
    remarks += lock_clashes(asked, lock)
    remarks += _outside(asked, lock, ranges)
    giver = _Giver(lock, ranges, services, others)
    for _, found in asked:
        giver.keep(found)
    for _, found in asked:
        giver.restore(found)
    for service, found in asked:
        for need in found:
            if need.own is None and not giver.has(need.slot):
                try:
                    giver.give(need.slot)
                except ValueError as error:
                    remarks.append(Remark(field_of(service, ("spec",)), str(error)))
    if any(remark.severity == "error" for remark in remarks):
        return Allocation(lock, tuple(services), tuple(remarks))
    after = giver.lock()
    whole = tuple(filled(service, ranges, after.given) for service in services)
    return Allocation(after, whole, tuple(remarks))


def _outside(asked: Needs, lock: Lock, ranges: Ranges) -> Iterable[Remark]:
    """What lies outside of its range: it stays, and is told."""
    for service, found in asked:
        for need in found:
            number = need.own if need.own is not None else lock.given.get(need.slot)
            pool = pool_of(need.slot)
            limits = _range_of(pool, ranges)
            if number is None or limits is None or _value(number) in limits:
                continue
            text = ranges.texts[_FLAGS[pool.name]]
            message = f"{shown(number)} of Service {service.key} lies outside of {text}"
            if need.own is None:
                message += f" (--{_FLAGS[pool.name]}); it stays until its line is removed"
                yield Remark(lock.place(need.slot), message, "warning")
            else:
                message += f" (--{_FLAGS[pool.name]}), from which a cluster would take it"
                yield Remark(field_of(service, need.path), message, "warning")


class _Giver:
    def __init__(
        self, lock: Lock, ranges: Ranges, services: Sequence[Service], others: Iterable[Address]
    ) -> None:
        self._before = lock
        self._ranges = ranges
        self._given: dict[Slot, Number] = {}
        self._freed = {**lock.freed, **lock.given}
        self._taken: set[Number] = set(others)
        for service in services:
            self._taken.update((*service.external_ips, *service.ingress))
            if service.load_balancer_ip is not None:
                self._taken.add(service.load_balancer_ip)
        self._own = {number for _, number, _ in own_numbers(services)}
        self._taken |= self._own
        self._taken.update(ranges.of_kubernetes.values())
        self._resting: dict[Pool, set[Number]] = {}
        for slot, number in self._freed.items():
            self._resting.setdefault(pool_of(slot), set()).add(number)

    def has(self, slot: Slot) -> bool:
        return slot in self._given

    def keep(self, found: Iterable[Need]) -> None:
        """Leave a Service what it has; the line of a number that it has itself stays, too."""
        for need in found:
            number = self._before.given.get(need.slot)
            if number is not None and need.own in (None, number):
                self._take(need.slot, number)

    def restore(self, found: Iterable[Need]) -> None:
        """Give a Service back what was freed and is nobody else's."""
        for need in found:
            again = self._freed.get(need.slot)
            if need.own is not None or again is None or need.slot in self._given:
                continue
            limits = _range_of(pool_of(need.slot), self._ranges)
            if again not in self._taken and limits is not None and _value(again) in limits:
                self._take(need.slot, again)

    def give(self, slot: Slot) -> None:
        """Give a slot a number.

        Raises:
            ValueError: there is none left.
        """
        pool = pool_of(slot)
        limits = _range_of(pool, self._ranges)
        if limits is None:
            raise ValueError(f"there is no range for {slot}")
        if slot.owner == KUBERNETES and slot.kind == "cluster-ip" and slot.family is not None:
            first = self._ranges.of_kubernetes[slot.family]
            if first in self._own:
                raise ValueError(
                    f"{shown(first)} is that of Service {KUBERNETES}; change the other"
                )
            self._take(slot, first)
            return
        for resting in (self._resting.get(pool, set()), set[Number]()):
            for band in limits.bands():
                number = _first_free(slot, pool, band, self._taken, resting)
                if number is not None:
                    self._take(slot, number)
                    return
        flag = _FLAGS[pool.name]
        raise ValueError(
            f"no number is left for {slot}: all of {self._ranges.texts[flag]} is in use; "
            f"give a larger --{flag}"
        )

    def _take(self, slot: Slot, number: Number) -> None:
        self._given[slot] = number
        self._taken.add(number)

    def lock(self) -> Lock:
        """The lock afterwards. What was given again rests no longer."""
        used = {(pool_of(slot), number) for slot, number in self._given.items()}
        freed = {
            slot: number
            for slot, number in self._freed.items()
            if slot not in self._given and (pool_of(slot), number) not in used
        }
        return replace(self._before, ranges=self._ranges, given=self._given, freed=freed)


def _first_free(
    slot: Slot, pool: Pool, band: range, taken: set[Number], resting: set[Number]
) -> Number | None:
    """The first free number of a band, from a place on that the slot's name says."""
    start = int.from_bytes(hashlib.sha256(str(slot).encode()).digest(), "big")
    size = band.stop - band.start
    for step in range(min(size, len(taken) + len(resting) + 1)):
        value = band.start + (start + step) % size
        number: Number = value if pool.family is None else Address(pool.family, value)
        if number not in taken and number not in resting:
            return number
    return None


def _range_of(pool: Pool, ranges: Ranges) -> NumberRange | None:
    match pool.name, pool.family:
        case "node-port", _:
            return ranges.node_ports
        case "cluster-ip", family if family is not None:
            return ranges.cluster_ips.get(family)
        case "load-balancer-ip", family if family is not None:
            return ranges.balancer.get(family)
        case _:
            return None


def _value(number: Number) -> int:
    return number.value if isinstance(number, Address) else number
