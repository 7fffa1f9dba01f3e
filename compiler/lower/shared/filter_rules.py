"""The rules of the filter table that do not depend on how packets reach a backend."""

from __future__ import annotations

from svcc.compiler.lower.shared.chains import Chains
from svcc.compiler.lower.shared.matches import NEW, TO_LOCAL, loopback_match, to_port
from svcc.compiler.resolve.forwarding import Forwarding
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.iptables.program import (
    ConntrackMatch,
    InterfaceMatch,
    Jump,
    MarkMatch,
    Match,
    Reject,
    Rule,
    Target,
    Verdict,
)
from svcc.grammar.numbers import TRANSPORTS

INPUT, FORWARD, OUTPUT = "SVCC-INPUT", "SVCC-FORWARD", "SVCC-OUTPUT"
REFUSE, REFUSE_NODE_PORTS = "SVCC-REFUSE", "SVCC-REFUSE-NP"

REJECT: dict[Family, Target] = {
    Family.IPV4: Reject("icmp-port-unreachable"),
    Family.IPV6: Reject("icmp6-port-unreachable"),
}
_DROP = Verdict("DROP")
_ACCEPT = Verdict("ACCEPT")
_INVALID = ConntrackMatch(states=frozenset({"INVALID"}))
_KNOWN = ConntrackMatch(states=frozenset({"RELATED", "ESTABLISHED"}))
_UNKNOWN = ConntrackMatch(states=frozenset({"RELATED", "ESTABLISHED"}), states_negated=True)


def base_jumps(chains: Chains) -> None:
    """Jumps from the base chains of the filter table."""
    for hook, chain in (("INPUT", INPUT), ("FORWARD", FORWARD), ("OUTPUT", OUTPUT)):
        chains.declare(chain)
        chains.base(Rule(chain=hook, target=Jump(chain)))


def loopback_guard(chains: Chains, forwarding: Forwarding) -> None:
    """Keep neighbours out of 127/8: route_localnet, which node ports there need, lets them in."""
    if chains.family is Family.IPV4 and forwarding.loopback_node_ports:
        chains.append(
            Rule(
                chain=INPUT,
                destination=loopback_match(chains.family),
                in_interface=InterfaceMatch("lo", negated=True),
                matches=(_UNKNOWN,),
                target=_DROP,
            )
        )


def health_checks(chains: Chains, forwarding: Forwarding, *more: Match) -> None:
    """Keep health check node ports open, on local addresses that fulfil ``more``."""
    tcp = TRANSPORTS["tcp"]
    for family, check in forwarding.health_checks:
        if family is chains.family:
            chains.add(
                INPUT,
                _ACCEPT,
                protocol=tcp,
                matches=(to_port(tcp, check.port), TO_LOCAL, *more),
                comment=f"{check.label} health check node port",
            )


def forward_rules(chains: Chains, settings: NodeSettings, *, refuse: str | None = None) -> None:
    """What is forwarded whatever the policy is, and what never is."""
    mark = settings.masquerade_mark
    chains.add(FORWARD, _ACCEPT, matches=(_KNOWN,))
    if not settings.tcp_be_liberal:
        # A packet that conntrack does not place is not translated back either; the peer
        # would answer it with a reset and end a good connection.
        chains.add(FORWARD, _DROP, matches=(_INVALID,))
    if refuse is not None:
        chains.add(FORWARD, Jump(refuse), matches=(NEW,))
    chains.add(FORWARD, _ACCEPT, matches=(MarkMatch(mark, mark),))
