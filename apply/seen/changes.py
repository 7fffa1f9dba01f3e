"""What an apply changes, Service by Service."""

from __future__ import annotations

from collections.abc import Mapping

from svcc.apply.frontends import Backend, Frontend, Frontends, Names, named, together, without
from svcc.apply.held import Held
from svcc.apply.iptables.read import Tables, is_ipvs_mode
from svcc.apply.seen.of_rules import names_of, of_rules
from svcc.apply.seen.of_servers import of_servers
from svcc.apply.seen.of_tables import of_tables
from svcc.apply.service_changes import FrontendChange, ServiceChange
from svcc.grammar.address import Family


def of_part(rules: Mapping[Family, Tables], found: Frontends, servers: Frontends) -> Frontends:
    """Frontends of rules; where they are ipvs mode's, those that no virtual server serves."""
    is_ipvs = any(map(is_ipvs_mode, rules.values()))
    return without(found, servers) if is_ipvs else found


def frontends_of(held: Held, names: Names) -> Frontends:
    """The frontends of all that is held.

    Args:
        held: what svcc holds.
        names: names of frontends whose rules have no comments.
    """
    servers = together(map(of_servers, held.ipvs))
    parts = [*map(of_tables, held.tables), servers]
    for rules in held.rules:
        parts.append(of_part(rules, of_rules(rules), servers))
        names = {**names_of(rules), **names}
    return named(together(parts), names)


def changes(before: Held, after: Held, names: Names) -> list[ServiceChange]:
    """What differs, sorted by Service.

    Args:
        before: what is held.
        after: what is wanted.
        names: names of frontends of either.
    """
    old, new = frontends_of(before, names), frontends_of(after, names)
    found: dict[str, list[FrontendChange]] = {}
    for key in sorted({*old, *new}, key=lambda key: (key.family, key.address or -1, *key[1::2])):
        change = _change(old.get(key), new.get(key))
        if change is not None:
            found.setdefault(change.frontend.service, []).append(change)
    was, is_now = _backends(old), _backends(new)
    nothing: set[tuple[Family, Backend]] = set()
    return [
        ServiceChange(
            name,
            tuple(found[name]),
            tuple(sorted(is_now.get(name, nothing) - was.get(name, nothing))),
            tuple(sorted(was.get(name, nothing) - is_now.get(name, nothing))),
        )
        for name in sorted(found)
    ]


def _backends(found: Frontends) -> dict[str, set[tuple[Family, Backend]]]:
    """All that the frontends of each Service lead to."""
    of: dict[str, set[tuple[Family, Backend]]] = {}
    for item in found.values():
        known = of.setdefault(item.service, set())
        known |= {(item.key.family, backend) for backend in item.backends}
    return of


def _change(old: Frontend | None, new: Frontend | None) -> FrontendChange | None:
    before = old.backends if old is not None else set()
    after = new.backends if new is not None else set()
    added, removed = tuple(sorted(after - before)), tuple(sorted(before - after))
    if new is None:
        assert old is not None
        return FrontendChange(old, "removed", added, removed)
    if old is None:
        return FrontendChange(new, "added", added, removed)
    return FrontendChange(new, "changed", added, removed) if added or removed else None
