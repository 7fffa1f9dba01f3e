"""Names of priorities, as nft(8), "Standard priority names", has them for ip, ip6 and inet."""

from __future__ import annotations

from svcc.grammar.nftables.program import Hook, TableFamily

STANDARD = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50,
            "srcnat": 100}  # fmt: skip
_ONLY_AT: dict[str, Hook] = {"dstnat": "prerouting", "srcnat": "postrouting"}
_ALSO_AT: dict[str, Hook] = {"dstnat": "output", "srcnat": "input"}
"""Where nft 1.1 takes and prints these names, too; 1.0 has numbers there."""
_OF_BRIDGES = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}
_NEAR = 10


def number_of(name: str, hook: Hook, family: TableFamily = "ip") -> int:
    """The priority that a name has at a hook.

    Raises:
        ValueError: there is no such name there.
    """
    if family == "bridge":
        if name not in _OF_BRIDGES:
            raise ValueError(f"no standard priority {name!r} in family bridge; write the number")
        return _OF_BRIDGES[name]
    places = (_ONLY_AT.get(name, hook), _ALSO_AT.get(name))
    if name not in STANDARD or hook not in places:
        raise ValueError(f"no standard priority {name!r} at hook {hook}; write the number")
    return STANDARD[name]


def shown(priority: int, hook: Hook) -> str:
    """A priority as nft 1.0 prints it: by a name that is near, else as a number."""
    for name, number in STANDARD.items():
        difference = priority - number
        if _ONLY_AT.get(name, hook) == hook and abs(difference) <= _NEAR:
            if not difference:
                return name
            return f"{name} {'+' if difference > 0 else '-'} {abs(difference)}"
    return str(priority)
