"""Fields: what a rule can look at, and of which type it is (nft(8), "Payload expressions" ff.).

A field's name is spelled as nft lists it; :data:`TERMINAL` also finds the other spellings that
nft reads (``mark`` for ``meta mark``, ``meta iifname`` for ``iifname``).
"""

from __future__ import annotations

from functools import lru_cache

from svcc.grammar.nftables.datatypes import (
    BY_NAME,
    IFACE_INDEX,
    IFNAME,
    INET_PROTO,
    INET_SERVICE,
    IPV4_ADDR,
    IPV6_ADDR,
    MARK,
    Datatype,
    integer,
)
from svcc.grammar.nftables.program import TableFamily

_T = BY_NAME
_PORTS = {"sport": INET_SERVICE, "dport": INET_SERVICE}
_BOTH_HEADERS = {
    "dscp": _T["dscp"], "ecn": _T["ecn"], "version": integer(4),
}  # fmt: skip

HEADERS: dict[str, dict[str, Datatype]] = {
    "ip": {
        **_BOTH_HEADERS, "hdrlength": integer(4), "length": integer(16), "id": integer(16),
        "frag-off": integer(16), "ttl": integer(8), "protocol": INET_PROTO,
        "checksum": integer(16), "saddr": IPV4_ADDR, "daddr": IPV4_ADDR,
    },
    "ip6": {
        **_BOTH_HEADERS, "flowlabel": integer(20), "length": integer(16),
        "nexthdr": INET_PROTO, "hoplimit": integer(8), "saddr": IPV6_ADDR, "daddr": IPV6_ADDR,
    },
    "tcp": {
        **_PORTS, "sequence": integer(32), "ackseq": integer(32), "doff": integer(4),
        "reserved": integer(4), "flags": _T["tcp_flag"], "window": integer(16),
        "checksum": integer(16), "urgptr": integer(16),
    },
    "udp": {**_PORTS, "length": integer(16), "checksum": integer(16)},
    "udplite": {**_PORTS, "csumcov": integer(16), "checksum": integer(16)},
    "sctp": {**_PORTS, "vtag": integer(32), "checksum": integer(32)},
    "dccp": {**_PORTS, "type": _T["dccp_pkttype"]},
    "th": _PORTS,
    "icmp": {
        "type": _T["icmp_type"], "code": _T["icmp_code"], "checksum": integer(16),
        "id": integer(16), "sequence": integer(16), "gateway": integer(32), "mtu": integer(16),
    },
    "icmpv6": {
        "type": _T["icmpv6_type"], "code": _T["icmpv6_code"], "checksum": integer(16),
        "parameter-problem": integer(32), "packet-too-big": integer(32), "id": integer(16),
        "sequence": integer(16), "max-delay": integer(16),
    },
    "igmp": {"type": _T["igmp_type"], "mrt": integer(8), "checksum": integer(16),
             "group": IPV4_ADDR},
    "ether": {"saddr": _T["ether_addr"], "daddr": _T["ether_addr"], "type": _T["ether_type"]},
    "vlan": {"id": integer(12), "cfi": integer(1), "pcp": integer(3), "type": _T["ether_type"],
             "dei": integer(1)},
    "arp": {
        "htype": integer(16), "ptype": _T["ether_type"], "hlen": integer(8), "plen": integer(8),
        "operation": _T["arp_op"], "saddr ip": IPV4_ADDR, "daddr ip": IPV4_ADDR,
        "saddr ether": _T["ether_addr"], "daddr ether": _T["ether_addr"],
    },
    "esp": {"spi": integer(32), "sequence": integer(32)},
    "ah": {"nexthdr": INET_PROTO, "hdrlength": integer(8), "reserved": integer(16),
           "spi": integer(32), "sequence": integer(32)},
    "comp": {"nexthdr": INET_PROTO, "flags": integer(8), "cpi": integer(16)},
    "frag": {"nexthdr": INET_PROTO, "reserved": integer(8), "frag-off": integer(13),
             "more-fragments": integer(1), "id": integer(32)},
    "rt": {"classid": _T["realm"], "ip nexthop": IPV4_ADDR,
           "ip6 nexthop": IPV6_ADDR, "mtu": integer(16), "ipsec": _T["boolean"]},
    "socket": {"transparent": integer(8), "mark": MARK, "wildcard": integer(8)},
}  # fmt: skip

UNQUALIFIED = {
    "iif": IFACE_INDEX, "oif": IFACE_INDEX, "iifname": IFNAME, "oifname": IFNAME,
    "iiftype": _T["iface_type"], "oiftype": _T["iface_type"], "iifgroup": _T["devgroup"],
    "oifgroup": _T["devgroup"],
}  # fmt: skip
"""Keys of ``meta`` that nft lists without the word."""

_EITHER = {
    "mark": MARK, "skuid": _T["uid"], "skgid": _T["gid"], "nftrace": integer(1),
    "rtclassid": _T["realm"], "pkttype": _T["pkt_type"], "cpu": integer(32),
    "cgroup": integer(32), "ibrname": IFNAME, "obrname": IFNAME,
    "time": _T["time"], "day": _T["day"], "hour": _T["hour"],
}  # fmt: skip
"""Keys of ``meta`` that nft reads without the word too."""

_META = {
    **_EITHER, "length": integer(32), "protocol": _T["ether_type"], "nfproto": _T["nf_proto"],
    "l4proto": INET_PROTO, "priority": _T["classid"], "random": integer(32),
    "secmark": integer(32), "secpath": _T["boolean"], "ipsec": _T["boolean"],
    "ibrpvid": integer(16), "ibrvproto": _T["ether_type"], "sdif": IFACE_INDEX,
    "sdifname": IFNAME, "iifkind": IFNAME, "oifkind": IFNAME,
}  # fmt: skip

_CT = {
    "state": _T["ct_state"], "direction": _T["ct_dir"], "status": _T["ct_status"], "mark": MARK,
    "expiration": _T["time"], "helper": _T["string"], "label": _T["ct_label"],
    "l3proto": _T["nf_proto"], "protocol": INET_PROTO, "bytes": integer(63),
    "packets": integer(63), "avgpkt": integer(63), "zone": integer(16), "event": _T["ct_event"],
    "id": integer(32), "secmark": integer(32),
}  # fmt: skip
_CT_DIRECTED = {
    "ip saddr": IPV4_ADDR, "ip daddr": IPV4_ADDR, "ip6 saddr": IPV6_ADDR, "ip6 daddr": IPV6_ADDR,
    "proto-src": INET_SERVICE, "proto-dst": INET_SERVICE, "l3proto": _T["nf_proto"],
    "protocol": INET_PROTO, "bytes": integer(63), "packets": integer(63), "avgpkt": integer(63),
    "zone": integer(16),
}  # fmt: skip
_TCP_OPTIONS = {
    "maxseg size": integer(16), "window count": integer(8), "timestamp tsval": integer(32),
    "timestamp tsecr": integer(32),
}  # fmt: skip


def _all_fields() -> dict[str, Datatype]:
    found = {
        f"{header} {name}": t for header, names in HEADERS.items() for name, t in names.items()
    }
    found |= UNQUALIFIED
    found |= {f"meta {name}": datatype for name, datatype in _META.items()}
    found |= {f"ct {name}": datatype for name, datatype in _CT.items()}
    for way in ("original", "reply"):
        found |= {f"ct {way} {name}": datatype for name, datatype in _CT_DIRECTED.items()}
    return found | {f"tcp option {name}": datatype for name, datatype in _TCP_OPTIONS.items()}


DATATYPES = _all_fields()
"""Every field with a name of its own, as nft lists it."""

_OTHER_SPELLINGS = {
    **{f"meta {name}": name for name in UNQUALIFIED}, "rt nexthop": "rt ip nexthop",
    **{name: f"meta {name}" for name in _EITHER},
    **{f"ct {way} {name}": f"ct {way} ip {name}" for way in ("original", "reply")
       for name in ("saddr", "daddr")},
}  # fmt: skip

_FIB_TYPES = {"type": _T["fib_addrtype"], "oif": IFACE_INDEX, "oifname": IFNAME}
_FIB_KEY = "(?:saddr|daddr|mark|iif|oif)"


_STARTS = "|".join(sorted(["meta", "ct", *HEADERS], key=len, reverse=True))
_WAYS = r"(?:original|reply)"
TERMINAL = "(?:{})(?![\\w./-])".format(
    "|".join(
        [
            rf"ct\s+{_WAYS}\s+(?:ip6?\s+)?[a-z0-9-]+",
            r"tcp\s+option\s+[a-z0-9-]+\s+[a-z0-9-]+",
            r"rt\s+ip6?\s+nexthop",
            r"arp\s+[sd]addr\s+(?:ip|ether)",
            rf"fib\s+{_FIB_KEY}(?:\s+\.\s+{_FIB_KEY})*\s+[a-z]+",
            rf"(?:{_STARTS})\s+[a-z0-9-]+",
            "|".join(sorted([*UNQUALIFIED, *_EITHER], key=len, reverse=True)),
            r"@(?:ll|nh|th|ih),\d+,\d+",
        ]
    )
)
"""The pattern of what looks like a field in a text, in any spelling."""

_TO_SET_ONLY = frozenset({"meta nftrace", "ct event"})
_NO_SETTING = ("fib", "rt", "socket", *UNQUALIFIED)
_OF_META_TO_SET = frozenset({"mark", "priority", "pkttype", "nftrace", "secmark"})
_OF_CT_TO_SET = frozenset({"mark", "zone", "event", "label", "helper", "secmark"})
_FAMILIES: dict[str, frozenset[TableFamily]] = {
    "ip": frozenset({"ip", "inet", "bridge", "netdev"}),
    "ip6": frozenset({"ip6", "inet", "bridge", "netdev"}),
    "arp": frozenset({"arp", "bridge", "netdev"}),
}


@lru_cache(maxsize=1 << 10)
def canonical(text: str) -> str:
    """A field as nft lists it, from any spelling of it."""
    name = " ".join(text.split())
    return _OTHER_SPELLINGS.get(name, name)


def check_looked_at(name: str) -> None:
    """Refuse a field that can only be set.

    Raises:
        ValueError: it is one.
    """
    if name in _TO_SET_ONLY:
        raise ValueError(f"{name} can only be set; write {name} set VALUE")


def check_settable(name: str) -> None:
    """Refuse a field that can only be looked at (net/netfilter/nft_meta.c, nft_ct.c).

    Raises:
        ValueError: it is one.
    """
    start, _, rest = name.partition(" ")
    settable = {"meta": _OF_META_TO_SET, "ct": _OF_CT_TO_SET}.get(start)
    if start in _NO_SETTING or (settable is not None and rest.split()[-1] not in settable):
        raise ValueError(f"{name} cannot be set; it can only be looked at")


@lru_cache(maxsize=1 << 10)
def datatype_of(name: str) -> Datatype:
    """The type of a field, spelled as nft lists it.

    Raises:
        ValueError: there is no such field.
    """
    if name in DATATYPES:
        return DATATYPES[name]
    if name[:1] == "@":
        return integer(int(name.rpartition(",")[2]))
    if name[:4] == "fib " and (found := _FIB_TYPES.get(name.split()[-1])) is not None:
        return found
    start = name.rpartition(" ")[0]
    alike = [field[len(start) + 1 :] for field in DATATYPES if field.startswith(f"{start} ")]
    known = f"; {start} has {', '.join(alike)}" if alike else ""
    raise ValueError(f"svcc knows no field {name!r}{known}")


def check_family(name: str, family: TableFamily) -> None:
    """Refuse a header that no packet of the table has.

    Raises:
        ValueError: it is of the other family.
    """
    allowed = _FAMILIES.get(name.split(" ", 1)[0])
    if allowed is not None and family not in allowed:
        raise ValueError(f"{name!r} is in no packet of a table of family {family}")
