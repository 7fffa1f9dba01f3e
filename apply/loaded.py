"""What is loaded, for those who judge whether an apply should go on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from svcc.apply.iptables.read import Tables, is_nat_mode
from svcc.apply.steps import own_rules
from svcc.grammar.address import Family, parse_address
from svcc.grammar.ipvs.ipvsadm import VirtualKey
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.numbers import TRANSPORTS


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is loaded here, and what would become of it.

    ``serves``: svcc serves something here; ``will_serve``: and so it would then.
    ``foreign_chains`` are the names of the chains that are not svcc's.
    """

    serves: bool = False
    will_serve: bool = False
    foreign_chains: frozenset[str] = frozenset()

    @property
    def loses_everything(self) -> bool:
        """Whether something is served, and nothing would be."""
        return self.serves and not self.will_serve

    def with_other_modes(self, other: Loaded) -> Loaded:
        """One mode's part and that of others, as one."""
        return Loaded(
            self.serves or other.serves,
            self.will_serve or other.will_serve,
            self.foreign_chains | other.foreign_chains,
        )


_BACKEND = re.compile(
    r" -p (tcp|udp|sctp) .*-j DNAT --to-destination (?:\[([^]]+)\]|([\d.]+)):(\d+)$"
)

Guard = Callable[[Loaded], None]
"""Raises ApplyError where it should not go on."""


def what_is_loaded(
    read: Mapping[Family, Tables],
    now_and_wanted: tuple[Mapping[Family, Tables], Mapping[Family, Tables]],
    ipvs: tuple[Ipvs | None, Ipvs | None],
) -> Loaded:
    """From what was read, and from svcc's own part of the rules and of IPVS, now and as wanted."""
    is_serving, will_serve = map(_serves, now_and_wanted, ipvs)
    lines = (line for tables in read.values() for t in tables.values() for line in t.foreign)
    chains = frozenset(line[1:].split(" ")[0] for line in lines if line.startswith(":"))
    return Loaded(is_serving, will_serve, chains)


def translated_to(states: Mapping[Family, Tables]) -> frozenset[VirtualKey]:
    """Where nat rules of iptables mode send packets: the backends, as virtual servers are named."""
    return frozenset(
        VirtualKey(family, TRANSPORTS[match[1]], parse_address(match[2] or match[3]).value, port)
        for family, tables in states.items()
        if is_nat_mode(tables)
        for lines in tables["nat"].chains.values()
        for line in lines
        if (match := _BACKEND.search(line)) and (port := int(match[4]))
    )


def _serves(states: Mapping[Family, Tables], ipvs: Ipvs | None) -> bool:
    """Whether there is any frontend: a virtual server, a set's entry, a rule that names a port."""
    if ipvs is not None and (ipvs.servers or any(item.entries for item in ipvs.sets.values())):
        return True
    return any(has_frontends(family, tables, None) for family, tables in states.items())


def has_frontends(family: Family, tables: Tables, ipvs: Ipvs | None) -> bool:
    """Whether anything is there for a Service: a virtual server, or a rule that names a port."""
    if ipvs is not None and any(item.family is family for item in ipvs.sets.values()):
        return True
    return any(" --dport " in line for state in tables.values() for line in own_rules(state))
