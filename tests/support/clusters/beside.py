"""Other tools' rules merged into a text of kube-proxy or svcc, as both stand on one node."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.paths import DATA

FOLDER = DATA / "foreign"
TOOLS = tuple(sorted(path.stem for path in FOLDER.glob("*.rules")))

_CHAINS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}


@dataclass(slots=True)
class _Table:
    chains: dict[str, str] = field(default_factory=dict)
    """Each chain's policy (``-`` of user chains)."""
    front: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)


def merged(text: str, *others: str) -> str:
    """One text with the rules of all: ``-I`` of the others in front, ``-A`` behind."""
    tables: dict[str, _Table] = {}
    for number, part in enumerate((text, *others)):
        table = _Table()
        for line in part.splitlines():
            if line.startswith("*"):
                table = tables.setdefault(line[1:].split()[0], _Table())
            elif line.startswith(":"):
                name, policy = line[1:].split()[:2]
                table.chains[name] = policy
            elif line.startswith("-I ") and number:
                table.front.append("-A" + line[2:])
            elif line.startswith("-"):
                table.rules.append(line)
    lines = []
    for name, table in tables.items():
        lines.append(f"*{name}")
        base = {chain: table.chains.get(chain, "ACCEPT") for chain in _CHAINS[name]}
        for chain, policy in (base | table.chains).items():
            lines.append(f":{chain} {policy} [0:0]")
        lines += [*table.front, *table.rules, "COMMIT"]
    return "\n".join(lines) + "\n"


def tool(name: str) -> str:
    """A tool's rules."""
    return (FOLDER / f"{name}.rules").read_text()
