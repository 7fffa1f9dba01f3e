"""What random rule sets taught about the kernel, each as the smallest rules that show it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fuzz.rules import HOOKS
from tests.fuzz.wires import Shot
from tests.support.kernel.packets import TCP, UDP, Flow

_BESIDE = ("-p udp -m udp --dport 9 -j ACCEPT", "-p icmp -j ACCEPT")
_TO_ITSELF = Flow("172.16.5.10", 40001, "172.16.5.10", 443, UDP)


@dataclass(frozen=True, slots=True)
class Finding:
    """``rules`` are ``TABLE CHAIN REST``; ``fate`` is what becomes of the packet."""

    name: str
    rules: tuple[str, ...]
    shot: Shot
    fate: str

    def text(self) -> str:
        """What iptables-restore reads."""
        return _text(self.rules)

    @staticmethod
    def empty() -> str:
        """No rules at all."""
        return _text(())


def _text(rules: tuple[str, ...]) -> str:
    lines: list[str] = []
    for table, hooks in HOOKS.items():
        lines.append(f"*{table}")
        lines += [f":{hook} ACCEPT [0:0]" for hook in hooks]
        if table != "nat":
            lines += [f"-A {hook} {rest}" for hook in hooks for rest in _BESIDE]
        for rule in rules:
            of, chain, rest = rule.split(" ", 2)
            lines += [f"-A {chain} {rest}"] if of == table else []
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


FINDINGS = (
    Finding(
        "raw comes before connection tracking",
        (
            "raw PREROUTING -m conntrack --ctstate NEW -j DROP",
            "raw PREROUTING -m conntrack --ctstate INVALID -j MARK --set-xmark 0x1/0x1",
            "filter FORWARD -m mark --mark 0x1/0x1 -j REJECT",
        ),
        ("pod0", Flow("10.244.1.20", 40001, "10.244.2.7", 80, TCP)),
        "rejected",
    ),
    Finding(
        "in raw nothing is known of where a connection went first",
        (
            "raw PREROUTING -m conntrack --ctorigdst 10.244.2.7 -j DROP",
            "raw PREROUTING -m conntrack ! --ctorigdst 10.244.2.7 -j DROP",
            "filter FORWARD -j REJECT",
        ),
        ("pod0", Flow("10.244.1.20", 40002, "10.244.2.7", 80, TCP)),
        "rejected",
    ),
    Finding(
        "without a connection the state alone decides",
        (
            "raw PREROUTING -j CT --notrack",
            "filter FORWARD -m conntrack --ctstate UNTRACKED --ctorigdst 10.9.9.9 -j REJECT",
        ),
        ("pod0", Flow("10.244.1.20", 40003, "10.244.2.7", 80, TCP)),
        "rejected",
    ),
    Finding(
        "filter OUTPUT sees the interface chosen before DNAT",
        (
            "nat OUTPUT -p tcp -j DNAT --to-destination 10.244.1.6",
            "filter OUTPUT -p tcp -o pod0 -j DROP",
            "filter OUTPUT -p tcp -o ext0 -j REJECT",
        ),
        ("node", Flow("192.168.7.10", 40004, "10.96.0.1", 80, TCP)),
        "rejected",
    ),
    Finding(
        "DNAT to the node itself leaves OUTPUT its interface",
        (
            "nat OUTPUT -p tcp -j DNAT --to-destination 192.168.7.10:8080",
            "filter OUTPUT -p tcp -o lo -j DROP",
            "filter INPUT -p tcp -i lo -j REJECT",
        ),
        ("node", Flow("192.168.7.10", 40005, "10.96.0.1", 80, TCP)),
        "rejected",
    ),
    Finding(
        "INPUT sees on loopback the source that POSTROUTING wrote",
        (
            "nat POSTROUTING -p udp -j SNAT --to-source 198.51.100.99",
            "filter INPUT -s 172.16.5.10 -j DROP",
            "filter INPUT -s 198.51.100.99 -m conntrack --ctorigsrc 172.16.5.10 -j REJECT",
        ),
        ("node", _TO_ITSELF),
        "rejected",
    ),
    Finding(
        "MASQUERADE on loopback writes another address of the node",
        (
            "nat POSTROUTING -p udp -j MASQUERADE",
            "filter INPUT -s 172.16.5.10 -j DROP",
            "filter INPUT -p udp -m conntrack --ctstate SNAT -j REJECT",
        ),
        ("node", _TO_ITSELF),
        "rejected",
    ),
    Finding(
        "a rewriting that changes nothing is none",
        (
            "nat POSTROUTING -p udp -j SNAT --to-source 172.16.5.10",
            "filter INPUT -p udp -m conntrack --ctstate SNAT -j DROP",
            "filter INPUT -p udp -j REJECT",
        ),
        ("node", _TO_ITSELF),
        "rejected",
    ),
    Finding(
        "NOTRACK comes too late on loopback",
        (
            "raw PREROUTING -p udp -i lo -j CT --notrack",
            "filter INPUT -p udp -m conntrack --ctstate UNTRACKED -j DROP",
            "filter INPUT -p udp -m conntrack --ctstate NEW -j REJECT",
        ),
        ("node", _TO_ITSELF),
        "rejected",
    ),
    Finding(
        "what comes in on loopback has its connection in raw",
        (
            "raw PREROUTING -p udp -m conntrack --ctstate INVALID -j DROP",
            "raw PREROUTING -p udp -m conntrack --ctstate NEW -j MARK --set-xmark 0x1/0x1",
            "filter INPUT -m mark --mark 0x1/0x1 -j REJECT",
        ),
        ("node", _TO_ITSELF),
        "rejected",
    ),
    Finding(
        "nat INPUT is left out on loopback",
        ("nat INPUT -p udp -j SNAT --to-source 198.51.100.99",),
        ("node", _TO_ITSELF),
        "kept",
    ),
)
