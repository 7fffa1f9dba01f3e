"""Constants of the model: what the verifier knows of iptables' extensions."""

from __future__ import annotations

from svcc.grammar.iptables.program import Match, NthMatch, OtherMatch, OtherTarget

TRANSPORT_NUMBER = {"tcp": 6, "udp": 17, "sctp": 132}

TCP_SYN = 0x02
"""TCP flags of a connection's first packet."""

ALWAYS_TRUE = (
    ("nfacct", "ct_state_invalid_dropped_pkts"),
    ("nfacct", "localhost_nps_accepted_pkts"),
)
"""Matches by name and value that only count: kube-proxy's accounting objects have no quota
(pkg/proxy/metrics, nfnetlink_acct.c)."""


def only_counts(match: Match) -> bool:
    """Whether a match that has no class of its own is true of every packet."""
    if not isinstance(match, OtherMatch) or len(match.options) != 1:
        return False
    (option,) = match.options
    return not option.negated and (match.name, *option.values) in ALWAYS_TRUE


_INERT = frozenset(
    {"LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "CHECKSUM", "LED", "RATEEST", "TCPMSS", "TOS",
     "DSCP", "ECN", "CLASSIFY", "SECMARK", "CONNSECMARK", "TCPOPTSTRIP", "IDLETIMER", "TEE"}
)  # fmt: skip
_OF_CONNECTION = frozenset(
    {"--save-mark", "--set-xmark", "--set-mark", "--and-mark", "--or-mark", "--xor-mark"}
)


def is_inert(target: OtherTarget) -> bool:
    """Whether a target neither changes the packet's way nor anything that a match of the model
    looks at (all go on to the next rule, iptables-extensions(8)).

    What CONNMARK keeps of a packet's mark only matters where it is brought back, see
    :mod:`svcc.verify.prepare.connmark`. A TTL that is set must last to the next hop.
    """
    options = {option.name: option.values for option in target.options}
    if target.name == "CONNMARK":
        return bool(options.keys() & _OF_CONNECTION)
    if target.name in ("TTL", "HL"):
        (name, (text, *_)), *_ = options.items()
        return name.endswith("-inc") or (name.endswith("-set") and int(text, 0) > 1)
    return target.name in _INERT


_OF_SOME_PACKETS = frozenset(
    {"physdev", "limit", "hashlimit", "owner", "mac", "string", "socket", "connlimit", "dscp",
     "tos", "quota", "helper"}
)  # fmt: skip


def can_be_false(match: Match) -> bool:
    """Whether a match outside the model is false of some packets of every kind.

    Whatever a packet's addresses and ports, it can come when a rate is used up, from no bridge,
    or be sent by another user: a rule with such a match never settles what becomes of them all.
    """
    if isinstance(match, NthMatch):
        return not match.negated and match.every > 1
    if not isinstance(match, OtherMatch):
        return False
    names = {option.name for option in match.options}
    if match.name == "rpfilter":
        return "--invert" in names
    if any(option.negated for option in match.options):
        return False
    if match.name == "policy":
        return any("ipsec" in option.values for option in match.options)
    return match.name in _OF_SOME_PACKETS
