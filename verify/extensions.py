"""Constants of the model: what the verifier knows of iptables' extensions."""

from __future__ import annotations

from svcc.grammar.program import Match, OtherMatch

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


INERT_TARGETS = frozenset({"LOG", "NFLOG", "TRACE", "AUDIT", "CHECKSUM", "LED", "RATEEST"})
"""Targets that neither change the packet's way nor anything that a match looks at."""
