"""Named values of nftables' data types, as ``nft describe TYPE`` lists them.

Where two names are of one number, nft lists the first.
"""

from __future__ import annotations

PROTOCOLS = {
    "ip": 0, "icmp": 1, "igmp": 2, "ggp": 3, "ipencap": 4, "st": 5, "tcp": 6, "egp": 8, "igp": 9,
    "pup": 12, "udp": 17, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "dccp": 33,
    "xtp": 36, "ddp": 37, "idpr-cmtp": 38, "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44,
    "idrp": 45, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "skip": 57, "ipv6-icmp": 58,
    "ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73, "vmtp": 81, "eigrp": 88, "ospf": 89,
    "ax.25": 93, "ipip": 94, "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108, "vrrp": 112,
    "l2tp": 115, "isis": 124, "sctp": 132, "fc": 133, "mobility-header": 135, "udplite": 136,
    "mpls-in-ip": 137, "manet": 138, "hip": 139, "shim6": 140, "wesp": 141, "rohc": 142,
    "ethernet": 143, "icmpv6": 58, "comp": 108,
}  # fmt: skip
SERVICES = {
    "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "bootps": 67,
    "bootpc": 68, "tftp": 69, "http": 80, "kerberos": 88, "pop3": 110, "sunrpc": 111, "ntp": 123,
    "imap2": 143, "snmp": 161, "snmp-trap": 162, "bgp": 179, "ldap": 389, "https": 443,
    "submission": 587, "ldaps": 636, "imaps": 993, "pop3s": 995, "nfs": 2049, "mysql": 3306,
    "postgresql": 5432,
}  # fmt: skip
"""Service names that mean the same port everywhere; others depend on the node's file."""

CT_STATE = {"invalid": 1, "new": 8, "established": 2, "related": 4, "untracked": 64}
CT_STATUS = {"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16,
             "dnat": 32, "dying": 512}  # fmt: skip
CT_DIRECTION = {"original": 0, "reply": 1}
CT_EVENT = {"new": 1, "related": 2, "destroy": 4, "reply": 8, "assured": 16, "protoinfo": 32,
            "helper": 64, "mark": 128, "seqadj": 256, "secmark": 512, "label": 1024}  # fmt: skip
TCP_FLAG = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}
ICMP_TYPE = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5,
    "echo-request": 8, "router-advertisement": 9, "router-solicitation": 10,
    "time-exceeded": 11, "parameter-problem": 12, "timestamp-request": 13,
    "timestamp-reply": 14, "info-request": 15, "info-reply": 16, "address-mask-request": 17,
    "address-mask-reply": 18,
}  # fmt: skip
ICMPV6_TYPE = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3,
    "parameter-problem": 4, "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130,
    "mld-listener-report": 131, "mld-listener-done": 132, "mld-listener-reduction": 132,
    "nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135,
    "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
    "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}  # fmt: skip
ICMP_CODE = {"net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2,
             "port-unreachable": 3, "net-prohibited": 9, "host-prohibited": 10,
             "admin-prohibited": 13, "frag-needed": 4}  # fmt: skip
ICMPV6_CODE = {"no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3,
               "port-unreachable": 4, "policy-fail": 5, "reject-route": 6}  # fmt: skip
ICMPX_CODE = {"no-route": 0, "port-unreachable": 1, "host-unreachable": 2, "admin-prohibited": 3}
FIB_ADDRTYPE = {"unspec": 0, "unicast": 1, "local": 2, "broadcast": 3, "anycast": 4,
                "multicast": 5, "blackhole": 6, "unreachable": 7, "prohibit": 8}  # fmt: skip
NF_PROTO = {"ipv4": 2, "ipv6": 10}
ETHER_TYPE = {"ip": 0x0800, "arp": 0x0806, "ip6": 0x86DD, "8021q": 0x8100, "8021ad": 0x88A8,
              "vlan": 0x8100}  # fmt: skip
PKT_TYPE = {"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3}
DSCP = {
    "cs0": 0, "cs1": 8, "cs2": 16, "cs3": 24, "cs4": 32, "cs5": 40, "cs6": 48, "cs7": 56,
    "df": 0, "be": 0, "lephb": 1, "af11": 10, "af12": 12, "af13": 14, "af21": 18, "af22": 20,
    "af23": 22, "af31": 26, "af32": 28, "af33": 30, "af41": 34, "af42": 36, "af43": 38,
    "va": 44, "ef": 46,
}  # fmt: skip
ECN = {"not-ect": 0, "ect1": 1, "ect0": 2, "ce": 3}
IFACE_TYPE = {"ether": 1, "ppp": 512, "ipip": 768, "ipip6": 769, "loopback": 772, "sit": 776,
              "ipgre": 778}  # fmt: skip
ARP_OP = {"request": 1, "reply": 2, "rrequest": 3, "rreply": 4, "inrequest": 8, "inreply": 9,
          "nak": 10}  # fmt: skip
BOOLEAN = {"exists": 1, "missing": 0}
DCCP_TYPE = {"request": 0, "response": 1, "data": 2, "ack": 3, "dataack": 4, "closereq": 5,
             "close": 6, "reset": 7, "sync": 8, "syncack": 9}  # fmt: skip
IGMP_TYPE = {"membership-query": 17, "membership-report-v1": 18, "membership-report-v2": 22,
             "membership-report-v3": 34, "leave-group": 23}  # fmt: skip
DAY = {"Sunday": 0, "Monday": 1, "Tuesday": 2, "Wednesday": 3, "Thursday": 4, "Friday": 5,
       "Saturday": 6}  # fmt: skip
_KEYWORDS = """
accept ackseq add addr ah all and arp bridge burst bypass cgroup chain checksum classid code
comp continue counter cpi cpu create csumcov ct daddr dccp define delete describe destroy dnat
doff dport drop dscp dup ecn element elements eq esp ether exthdr fanout fib flags flowlabel
flush fwd ge goto gre gt helper hook hoplimit htype hdrlength ibrname icmp icmpv6 id igmp iif
iifgroup iifname iiftype import include inet insert ip ip6 jhash jump l4proto label le length
limit list log lt map mark masquerade meta mod monitor mtu ne netdev nexthdr nfproto nftrace
notrack numgen obrname offset oif oifgroup oifname oiftype operation or over packets pkttype
policy port position prefix priority protocol queue quota random rate redirect reject rename
replace reset return rt rtclassid rule ruleset saddr sctp secmark seed sequence set size skgid
skuid snat socket spi sport state status symhash synproxy table tcp th timeout to tproxy ttl
type typeof udp udplite until update urgptr version vlan vmap vtag window with xor zone
"""
KEYWORDS = frozenset(_KEYWORDS.split())
"""Words that nft takes for something else where they are not quoted."""
