"""Names that iptables-save prints and iptables-restore takes, and what they stand for."""

from __future__ import annotations

BUILT_IN_CHAINS = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
"""Base chains of each table (iptables(8), TABLES)."""

MAX_CHAIN_NAME = 28
"""Bytes of a chain's name: XT_EXTENSION_MAXNAMELEN less its end."""

PROTOCOL_NAMES = {
    1: "icmp",
    2: "igmp",
    4: "ipencap",
    6: "tcp",
    17: "udp",
    33: "dccp",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "ipv6-icmp",
    132: "sctp",
    136: "udplite",
}
"""Names that iptables-save prints for protocol numbers (libxtables xtables_chain_protos)."""

PROTOCOL_NUMBERS = {name: number for number, name in PROTOCOL_NAMES.items()} | {
    "all": 0,
    "icmpv6": 58,
    "ipv6-icmp": 58,
    "ipip": 4,
} | {
    # /etc/protocols, by which iptables-save names them
    "ggp": 3, "st": 5, "egp": 8, "igp": 9, "pup": 12, "hmp": 20, "xns-idp": 22,
    "rdp": 27, "iso-tp4": 29, "xtp": 36, "ddp": 37, "idpr-cmtp": 38, "ipv6": 41,
    "ipv6-route": 43, "ipv6-frag": 44, "idrp": 45, "rsvp": 46, "skip": 57, "ipv6-nonxt": 59,
    "ipv6-opts": 60, "rspf": 73, "vmtp": 81, "eigrp": 88, "ospf": 89, "ospfigp": 89,
    "ax.25": 93, "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108, "vrrp": 112,
    "l2tp": 115, "isis": 124, "fc": 133, "mobility-header": 135, "mobility": 135, "ipv6-mh": 135,
    "mh": 135, "mpls-in-ip": 137, "manet": 138, "hip": 139, "shim6": 140, "wesp": 141,
    "rohc": 142, "ethernet": 143,
}  # fmt: skip
"""Every name that iptables-restore takes for a protocol; 0 is any."""

CONNTRACK_STATES = (
    "INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT",
)  # fmt: skip
"""In the order of iptables-save (extensions/libxt_conntrack.c print_state)."""

TCP_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32}
