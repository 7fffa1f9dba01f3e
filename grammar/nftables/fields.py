"""Names of what rules look at, as nft(8) spells them."""

from __future__ import annotations

_META = {
    "length", "protocol", "priority", "random", "mark", "iif", "iifname", "iiftype", "oif",
    "oifname", "oiftype", "sdif", "sdifname", "skuid", "skgid", "nftrace", "rtclassid", "ibrname",
    "obrname", "pkttype", "cpu", "iifgroup", "oifgroup", "cgroup", "nfproto", "l4proto", "iifkind",
    "oifkind", "ibrpvid", "ibrvproto", "time", "day", "hour", "secpath", "ipsec", "broute",
}  # fmt: skip
_BARE = {
    "iif", "iifname", "iiftype", "oif", "oifname", "oiftype", "skuid", "skgid", "nftrace",
    "rtclassid", "cpu", "iifgroup", "oifgroup", "cgroup", "pkttype", "iifkind", "oifkind",
}  # fmt: skip
"""Those that nft prints without ``meta``."""
_HEADERS = {
    "ip": {"version", "hdrlength", "dscp", "ecn", "length", "id", "frag-off", "ttl", "protocol",
           "checksum", "saddr", "daddr"},
    "ip6": {"version", "dscp", "ecn", "flowlabel", "length", "nexthdr", "hoplimit", "saddr",
            "daddr"},
    "tcp": {"sport", "dport", "sequence", "ackseq", "doff", "reserved", "flags", "window",
            "checksum", "urgptr"},
    "udp": {"sport", "dport", "length", "checksum"},
    "udplite": {"sport", "dport", "checksum"},
    "sctp": {"sport", "dport", "vtag", "checksum"},
    "dccp": {"sport", "dport", "type"},
    "th": {"sport", "dport"},
    "icmp": {"type", "code", "checksum", "id", "sequence", "mtu", "gateway"},
    "icmpv6": {"type", "code", "checksum", "parameter-problem", "packet-too-big", "id", "sequence",
               "max-delay", "mtu"},
    "ether": {"saddr", "daddr", "type"},
    "vlan": {"id", "dei", "pcp", "type"},
    "arp": {"htype", "ptype", "hlen", "plen", "operation"},
    "ah": {"nexthdr", "hdrlength", "reserved", "spi", "sequence"},
    "esp": {"spi", "sequence"},
    "igmp": {"type", "mrt", "checksum", "group"},
}  # fmt: skip
_CT = {"state", "direction", "status", "mark", "expiration", "helper", "label", "l3proto",
       "protocol", "bytes", "packets", "avgpkt", "zone", "count", "id", "secmark",
       "event"}  # fmt: skip
_CT_SIDE = {"l3proto", "protocol", "proto-src", "proto-dst", "bytes", "packets", "avgpkt", "zone",
            "saddr", "daddr"}  # fmt: skip
_FIB_KEYS = {"saddr", "daddr", "mark", "iif", "oif"}
_FIB_RESULTS = {"type", "oif", "oifname"}
_SOCKET = {"transparent", "mark", "wildcard", "cgroupv2"}


def field_at(words: list[str], at: int) -> tuple[str, int] | None:
    """The field that begins at a word, spelled as nft prints it, and where it ends."""
    word = words[at]
    following = words[at + 1] if at + 1 < len(words) else ""
    if word == "meta":
        if following in _META:
            return (following if following in _BARE else f"meta {following}"), at + 2
        return None
    if word in _BARE:
        return word, at + 1
    if word == "mark":
        return "meta mark", at + 1
    if word in _HEADERS:
        return (f"{word} {following}", at + 2) if following in _HEADERS[word] else None
    if word == "ct":
        return _of_connection(words, at)
    if word == "fib":
        return _of_route(words, at)
    if word == "socket" and following in _SOCKET:
        return f"socket {following}", at + 2
    return None


def _of_connection(words: list[str], at: int) -> tuple[str, int] | None:
    rest = words[at + 1 : at + 4]
    if not rest:
        return None
    if rest[0] not in ("original", "reply"):
        return (f"ct {rest[0]}", at + 2) if rest[0] in _CT else None
    side = rest[0]
    if len(rest) == 3 and rest[1] in ("ip", "ip6") and rest[2] in ("saddr", "daddr"):
        return f"ct {side} {rest[1]} {rest[2]}", at + 4
    if len(rest) > 1 and rest[1] in _CT_SIDE:
        return f"ct {side} {rest[1]}", at + 3
    return None


def _of_route(words: list[str], at: int) -> tuple[str, int] | None:
    end = at + 1
    parts = []
    while end < len(words) and words[end] in _FIB_KEYS:
        parts.append(words[end])
        end += 1
        if end >= len(words) or words[end] != ".":
            break
        end += 1
    if parts and end < len(words) and words[end] in _FIB_RESULTS:
        return f"fib {' . '.join(parts)} {words[end]}", end + 1
    return None
