"""Small rule programs in svcc's shape, for tests of apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from svcc.grammar.address import Family
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.program import Program

Programs = dict[Family, Program]

_BLOCK = {Family.IPV4: "10.96.0.0/16", Family.IPV6: "fd00:96::/112"}
_HOST_BITS = {Family.IPV4: 32, Family.IPV6: 128}
_UNREACHABLE = {Family.IPV4: "icmp-port-unreachable", Family.IPV6: "icmp6-port-unreachable"}


def wanted(
    serving: Mapping[str, Sequence[str]],
    refused: Sequence[str] = (),
    *,
    guard: bool = False,
    family: Family = Family.IPV4,
    protocol: str = "udp",
) -> Program:
    """A program that sends ``ADDRESS PORT`` to backends and refuses others.

    Args:
        serving: frontend as ``10.96.0.10 53`` to backends as ``10.128.0.9:53``.
        refused: frontends that have no backend.
        guard: whether packets for loopback are dropped that come over the wire.
        family: of all addresses.
        protocol: of all frontends.
    """
    bits = _HOST_BITS[family]
    nat = ["-A PREROUTING -j SVCC-SERVICES", "-A OUTPUT -j SVCC-SERVICES"]
    nat += ["-A POSTROUTING -j SVCC-POSTROUTING"]
    nat += [f"-A SVCC-SERVICES -d {_BLOCK[family]} -j SVCC-T-0"]
    for number, (frontend, backends) in enumerate(serving.items()):
        address, port = frontend.split()
        chain = f"SVCC-SVC-{number}"
        match = f"-d {address}/{bits} -p {protocol} -m comment --comment"
        nat.append(
            f'-A SVCC-T-0 {match} "test/svc {number}" -m {protocol} --dport {port} -g {chain}'
        )
        for left in range(len(backends), 0, -1):
            chance = (
                f" -m statistic --mode random --probability {1 / left:.11f}" if left > 1 else ""
            )
            backend = backends[len(backends) - left]
            nat.append(f"-A {chain} -p {protocol}{chance} -j DNAT --to-destination {backend}")
    nat += ["-A SVCC-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN"]
    nat += ["-A SVCC-POSTROUTING -j MASQUERADE --random-fully"]
    rules = ["-A INPUT -j SVCC-INPUT", "-A FORWARD -j SVCC-FORWARD", "-A OUTPUT -j SVCC-OUTPUT"]
    if guard:
        rules.append(
            "-A SVCC-INPUT -d 127.0.0.0/8 ! -i lo -m conntrack ! --ctstate RELATED,ESTABLISHED "
            "-j DROP"
        )
    for chain in ("SVCC-INPUT", "SVCC-FORWARD", "SVCC-OUTPUT"):
        rules.append(f"-A {chain} -m conntrack --ctstate NEW -j SVCC-REFUSE")
    rules.append("-A SVCC-REFUSE -m conntrack --ctstate DNAT -j RETURN")
    for frontend in refused:
        address, port = frontend.split()
        match = f"-d {address}/{bits} -p {protocol} -m {protocol} --dport {port}"
        rules.append(f"-A SVCC-REFUSE {match} -j REJECT --reject-with {_UNREACHABLE[family]}")
    text = _table("nat", nat) + _table("filter", rules)
    return parse(text, family=family, source="wanted")


def _table(name: str, rules: list[str]) -> str:
    chains = dict.fromkeys(rule.split()[1] for rule in rules)
    chains |= dict.fromkeys(rule.split()[-1] for rule in rules if " -j SVCC-" in rule)
    declarations = [f":{c} {'-' if c.startswith('SVCC-') else 'ACCEPT'} [0:0]" for c in chains]
    return "\n".join([f"*{name}", *declarations, *rules, "COMMIT", ""])
