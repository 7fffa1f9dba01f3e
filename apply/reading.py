"""What a node holds of svcc's, and the lock under which it is read to be changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from svcc.apply.iptables.read import (
    Tables,
    TableState,
    holds_own_rules,
    read_families,
    rewritten_to,
)
from svcc.apply.iptables.tool import Iptables
from svcc.apply.ipvs.servers import Servers, look
from svcc.apply.steps import has_loopback_guard, own_rules
from svcc.apply.system import lock, sysctl
from svcc.apply.system.errors import ApplyError, ToolError
from svcc.apply.system.lock import Tell
from svcc.grammar.address import Address, Family, Network
from svcc.grammar.ipvs.state import Ipvs

FAMILIES = (Family.IPV4, Family.IPV6)


@contextmanager
def locked(
    tools: Iptables, wait: float | None, tell: Tell | None, *, only_read: bool
) -> Iterator[None]:
    """Hold the lock of this network namespace, and have the tools inherit it; a reader needs none.

    Tools that inherit it already are those of a caller who holds it.

    Raises:
        ApplyError: somebody else held it all the time.
    """
    if only_read or tools.keep_open:
        yield
        return
    with lock.held(wait, tell) as descriptor:
        tools.keep_open = (descriptor,)
        try:
            yield
        finally:
            tools.keep_open = ()


def look_beside(
    tools: Iptables,
    wanted: Ipvs | None,
    exclude: tuple[Network, ...],
    drain: float,
    loaded: Iterable[Mapping[Family, Tables]],
) -> Servers | None:
    node_ports_on = frozenset[Address]().union(*map(rewritten_to, loaded))
    try:
        return look(tools, wanted, exclude, drain, node_ports_on)
    except ToolError as error:
        raise ApplyError(f"{error}; nothing was changed") from error


def localnet_to_set(before: Mapping[Family, Tables], *, wanted: bool) -> bool | None:
    """The value that ``route_localnet`` must be given, None if it is to be left alone.

    It is turned off only if our own guard is loaded, so it was us who turned it on, and
    nobody else guards loopback, as kube-proxy does when it needs the switch.
    """
    is_on = sysctl.read(sysctl.ROUTE_LOCALNET)
    if wanted or not is_on:
        return True if wanted and not is_on else None
    rules = before.get(Family.IPV4, {}).get("filter", TableState())
    ours = has_loopback_guard(own_rules(rules))
    theirs = has_loopback_guard(rules.foreign)
    return False if ours and not theirs else None


def own_rules_of(tools: Iptables) -> tuple[dict[Family, Tables], dict[Family, ToolError]]:
    """What svcc has loaded with one variant, and the families that cannot be read."""
    families = tuple(family for family in FAMILIES if tools.may_hold_rules(family))
    states, failures = read_families(tools, families)
    return {family: t for family, t in states.items() if holds_own_rules(t)}, failures
