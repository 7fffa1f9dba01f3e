"""Random edits of rules: one left out, twice, exchanged with the next, or a new one put in.

New rules ask for addresses and ports that the text has, so that they are about some frontends and
not about others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

_ADDRESS = re.compile(r"(?<![\w.])(?!0\.)\d+\.\d+\.\d+\.\d+(?![\w.])")
_PORT = re.compile(r"(?:dport |: ?\S+ \. |tcp \. )(\d+)")
_NFT_BLOCK = re.compile(r"\t(\w+) (\S+) \{$")

IPTABLES = (
    "-d {a}/32", "! -d {a}/32", "-d {a}/30", "-s {a}/32", "-s {a}/24", "-i eth0",
    "-d {a}/32 -p tcp -m tcp --dport {p}", "-p tcp -m tcp --dport {p}",
    "-p tcp -m tcp ! --dport {p}", "-p tcp -m tcp --dport 1:{p}",
    "-s {a}/32 -p tcp -m multiport --dports {p},{p}", "-m conntrack --ctorigdst {a}",
    "-p tcp -m conntrack --ctorigdstport {p}", "-m conntrack --ctorigsrc {a}",
    "-m addrtype --dst-type LOCAL", "-m statistic --mode random --probability 0.5",
    "-d {a}/32 -m mark --mark 0x4000/0x4000",
)  # fmt: skip
NFTABLES = (
    "ip daddr {a}", "ip daddr != {a}", "ip daddr {{ {a}, {a} }}", "ip saddr {a}",
    "tcp dport {p}", "tcp dport 1-{p}", "tcp dport {{ {p}, {p} }}", "ip daddr {a} tcp dport {p}",
    "ct original ip daddr {a}", "ct original proto-dst {p}", "fib daddr type local",
    "ip daddr . tcp dport {{ {a} . {p} }}", "ip saddr . ip daddr {{ {a} . {a} }}",
    "ip daddr {a} meta mark & 0x4000 == 0x4000",
)  # fmt: skip


def edited_iptables(random: Random, text: str) -> str:
    """An edited restore script; the tool may refuse it."""
    lines = text.splitlines()
    chains = [line[1:].split()[0] for line in lines if line.startswith(":SVCC-")]
    target = random.choice(
        (
            "-j DROP", "-j ACCEPT", "-j RETURN", "-j MARK --set-xmark 0x4000/0x4000",
            f"-j {random.choice(chains)}", f"-g {random.choice(chains)}",
        )
    )  # fmt: skip
    rules = [at for at, line in enumerate(lines) if line.startswith("-A")]
    return _edited(
        random,
        lines,
        rules,
        lambda at: f"-A {lines[at].split()[1]} {_filled(random, text, IPTABLES)} {target}",
    )


def edited_nftables(random: Random, text: str) -> str:
    """Edited tables, of which each rule and element has a line; nft may refuse them."""
    lines = text.splitlines()
    chains, rules, inside = [], [], ""
    for at, line in enumerate(lines):
        if block := _NFT_BLOCK.match(line):
            inside = block[1]
            chains += [block[2]] if inside == "chain" else []
        elif inside == "chain" and re.match(r"\t\t(?!type |comment )", line):
            rules.append(at)
    target = random.choice(
        (
            "drop", "accept", "return", "reject", "meta mark set meta mark | 0x00004000",
            f"goto {random.choice(chains)}", f"jump {random.choice(chains)}",
        )
    )  # fmt: skip
    return _edited(
        random, lines, rules, lambda _: f"\t\t{_filled(random, text, NFTABLES)} {target}"
    )


def _edited(random: Random, lines: list[str], rules: list[int], new: Callable[[int], str]) -> str:
    at = random.choice(rules)
    match random.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2 if at + 1 in rules:
            lines[at], lines[at + 1] = lines[at + 1], lines[at]
        case _:
            lines.insert(at, new(at))
    return "".join(f"{line}\n" for line in lines)


def _filled(random: Random, text: str, forms: tuple[str, ...]) -> str:
    addresses = _ADDRESS.findall(text) or ["10.96.0.1"]
    ports = [port for port in _PORT.findall(text) if 0 < int(port) < 1 << 16] or ["80"]
    form = random.choice(forms)
    for _ in range(form.count("{a}")):
        form = form.replace("{a}", random.choice(addresses), 1)
    for _ in range(form.count("{p}")):
        form = form.replace("{p}", random.choice(ports), 1)
    return form.replace("{{", "{").replace("}}", "}")
