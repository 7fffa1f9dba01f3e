"""Constants of the model: what the verifier knows of iptables' extensions."""

from __future__ import annotations

TRANSPORT_NUMBER = {"tcp": 6, "udp": 17, "sctp": 132}

TCP_SYN = 0x02
"""TCP flags of a connection's first packet."""

INERT_TARGETS = frozenset({"LOG", "NFLOG", "TRACE", "AUDIT", "CHECKSUM", "LED", "RATEEST"})
"""Targets that neither change the packet's way nor anything that a match looks at."""
