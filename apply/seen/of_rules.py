"""Frontends of iptables mode: rules that name a port, and the chains that they lead to
(:mod:`svcc.compiler.lower.iptables`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from svcc.apply.frontends import Backend, Frontends, Key, Names, add
from svcc.apply.iptables.read import Tables, TableState, own_target
from svcc.grammar.address import Family, parse_address
from svcc.grammar.numbers import TRANSPORTS

_PORT = re.compile(r"(?<!!) --dport (\d+) ")
_PROTOCOL = re.compile(r"(?<!!) -p (tcp|udp|sctp) ")
_ADDRESS = re.compile(r"(?<!!) -d ([0-9a-fA-F.:]+)/(?:32|128) ")
_COMMENT = re.compile(r' --comment (?:"([^"]*)"|(\S+))')
_BACKEND = re.compile(r" --to-destination (?:\[([^]]+)\]|([\d.]+)):(\d+)")
_REFUSES = re.compile(r" -j (?:REJECT|DROP)\b")


def of_rules(states: Mapping[Family, Tables], counts: Mapping[str, int] | None = None) -> Frontends:
    """The frontends of svcc's rules; of ipvs mode those that no virtual server serves, too, such as
    node ports on loopback, and what :func:`svcc.apply.seen.of_servers.of_servers` knows better.

    Args:
        states: the rules.
        counts: packets of rules of nat by their lines, which are first packets of connections.
    """
    found: Frontends = {}
    for family, tables in states.items():
        nat = tables["nat"]
        known: dict[str, frozenset[Backend]] = {}
        for line, key in _keys(family, nat):
            target = own_target(line)
            if target is None:
                continue
            item = add(found, key, _comment(line))
            item.backends |= _behind(nat, target, known)
            if target not in item.rules:
                item.rules.append(target)
            if counts is not None and line in counts:
                item.connections = (item.connections or 0) + counts[line]
        for line, key in _keys(family, tables["filter"]):
            if key not in found and _REFUSES.search(line):
                item = add(found, key, _comment(line))
                item.rules.append(line.split(" ", 2)[1])
    return found


def names_of(states: Mapping[Family, Tables]) -> Names:
    """What comments of rules of any mode call frontends."""
    found: Frontends = {}
    for family, tables in states.items():
        for state in tables.values():
            for line, key in _keys(family, state):
                add(found, key, _comment(line))
    return {key: (item.label, item.kind) for key, item in found.items() if item.label}


def _keys(family: Family, state: TableState) -> Iterator[tuple[str, Key]]:
    """The rules that name a port, with what they say of the destination."""
    for rules in state.chains.values():
        for line in rules:
            port = _PORT.search(line)
            protocol = _PROTOCOL.search(line)
            if port is None or protocol is None:
                continue
            address = _ADDRESS.search(line)
            value = None if address is None else parse_address(address[1]).value
            yield line, Key(family, TRANSPORTS[protocol[1]], value, int(port[1]))


def _comment(line: str) -> str:
    found = _COMMENT.search(line)
    return "" if found is None else found[1] or found[2]


def _behind(
    nat: TableState, chain: str, known: dict[str, frozenset[Backend]]
) -> frozenset[Backend]:
    """Backends of a chain and of those that it leads to."""
    if chain not in known:
        known[chain] = frozenset()
        backends: set[Backend] = set()
        for line in nat.chains.get(chain, ()):
            found = _BACKEND.search(line)
            if found is not None:
                address = parse_address(found[1] or found[2])
                backends.add(Backend(address.value, int(found[3])))
            elif (target := own_target(line)) is not None:
                backends |= _behind(nat, target, known)
        known[chain] = frozenset(backends)
    return known[chain]
