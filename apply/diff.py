"""What apply would change, as text like a unified diff."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff

from svcc.apply.iptables.read import Tables, TableState
from svcc.apply.ipvs.compare import object_lines
from svcc.apply.ipvs.servers import Servers
from svcc.apply.system import sysctl
from svcc.grammar.address import Family


def difference(
    current: Mapping[Family, Tables],
    wanted: Mapping[Family, Tables],
    route_localnet: tuple[bool | None, bool | None],
    servers: Servers | None = None,
) -> str:
    """The own part of each table, chain by chain; empty if nothing differs.

    Args:
        current: what is loaded, spelled as ``wanted`` spells it.
        wanted: what should be.
        route_localnet: the switch as it is, and as it should be (None: left alone).
        servers: what is there and wanted beside rules, None if nothing is.
    """
    parts = [
        part
        for family, tables in current.items()
        for table, state in tables.items()
        for part in _table(f"{family.label} {table}", state, wanted[family][table])
    ]
    settings: list[tuple[str, str, str]] = []
    is_on, should_be_on = route_localnet
    if should_be_on is not None:
        settings.append((sysctl.ROUTE_LOCALNET, str(int(bool(is_on))), str(int(should_be_on))))
    if servers is not None:
        parts += _objects(servers)
        now = servers.before.settings
        settings += [(n, now[n], v) for n, v in servers.settings.items() if now.get(n, v) != v]
    if settings:
        parts += ["--- sysctl (loaded)", "+++ sysctl (wanted)"]
    for path, old, new in settings:
        parts += [f"-{sysctl.dotted(path)} = {old}", f"+{sysctl.dotted(path)} = {new}"]
    return "".join(f"{part}\n" for part in parts)


def _table(name: str, current: TableState, wanted: TableState) -> Iterator[str]:
    before, after = _own_lines(current), _own_lines(wanted)
    heading = [f"--- {name} (loaded)", f"+++ {name} (wanted)"]
    for chain in dict.fromkeys((*before, *after)):
        old, new = before.get(chain, []), after.get(chain, [])
        if old == new:
            continue
        yield from heading
        heading = []
        for line in list(unified_diff(old, new, lineterm=""))[2:]:
            yield f"{line} {chain}" if line.startswith("@@") else line


def _objects(servers: Servers) -> Iterator[str]:
    """Sets, virtual servers and addresses, one by one."""
    now, wanted = servers.before.ipvs, servers.wanted
    before, after = object_lines(now), object_lines(wanted)
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name, []), after.get(name, [])
        if old != new:
            yield from (f"--- {name} (loaded)", f"+++ {name} (wanted)")
            yield from list(unified_diff(old, new, lineterm=""))[2:]
    pairs = list(zip(now.timeouts, wanted.timeouts, strict=True))
    if any(new and new != old for old, new in pairs):
        yield from ("--- ipvsadm --set (loaded)", "+++ ipvsadm --set (wanted)")
        yield "-" + " ".join(str(old) for old, _ in pairs)
        yield "+" + " ".join(str(new or old) for old, new in pairs)


def _own_lines(state: TableState) -> dict[str, list[str]]:
    """Jumps by the chain that they are in, then whole own chains."""
    lines = {chain: jumps for chain in state.others if (jumps := state.jumps(chain))}
    return lines | {c: [f":{c} - [0:0]", *rules] for c, rules in state.chains.items()}
