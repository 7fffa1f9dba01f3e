"""Which options each iptables extension takes (iptables-extensions(8)).

An option that is let through unread would change what a rule means without anybody noticing,
so the options of matches and targets that the typed program has no class for are listed too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, assert_never


class Takes(NamedTuple):
    """What an option takes: how many values, and whether ``!`` may stand before it.

    ``values`` None: any number of them, and the option may be given more than once.
    """

    values: int | None
    negatable: bool = False


def _options(spec: str) -> dict[str, Takes]:
    """``--a! --b:2 --c:0``: ``!`` negatable, ``:N`` number of values (1 if not said)."""
    found = {}
    for word in spec.split():
        name, _, count = word.partition(":")
        found[name.rstrip("!")] = Takes(int(count.rstrip("!")) if count else 1, word.endswith("!"))
    return found


_PORT_OPTIONS = "--source-port! --sport! --destination-port! --dport!"

MATCH_OPTIONS: dict[str, dict[str, Takes]] = {
    name: _options(spec)
    for name, spec in {
        "comment": "--comment",
        "tcp": f"{_PORT_OPTIONS} --tcp-flags:2! --syn:0! --tcp-option!",
        "udp": _PORT_OPTIONS,
        "sctp": f"{_PORT_OPTIONS} --chunk-types:2!",
        "multiport": "--source-ports! --sports! --destination-ports! --dports! --ports!",
        "mark": "--mark!",
        "conntrack": (
            "--ctstate! --ctproto! --ctorigsrc! --ctorigdst! --ctreplsrc! --ctrepldst!"
            " --ctorigsrcport! --ctorigdstport! --ctreplsrcport! --ctrepldstport!"
            " --ctstatus! --ctexpire! --ctdir"
        ),
        "state": "--state!",
        "addrtype": "--src-type! --dst-type! --limit-iface-in:0 --limit-iface-out:0",
        "statistic": "--mode --probability! --every! --packet",
        "recent": (
            "--set:0! --rcheck:0! --update:0! --remove:0! --seconds --reap:0 --hitcount"
            " --rttl:0 --name --rsource:0 --rdest:0 --mask"
        ),
        "bpf": "--bytecode --object-pinned",
        "set": (
            "--match-set:2! --return-nomatch:0 --update-counters:0! --update-subcounters:0!"
            " --packets-eq! --packets-lt --packets-gt --bytes-eq! --bytes-lt --bytes-gt"
        ),
        "limit": "--limit --limit-burst",
        "hashlimit": (
            "--hashlimit --hashlimit-upto --hashlimit-above --hashlimit-burst --hashlimit-mode"
            " --hashlimit-srcmask --hashlimit-dstmask --hashlimit-name"
            " --hashlimit-htable-size --hashlimit-htable-max --hashlimit-htable-expire"
            " --hashlimit-htable-gcinterval --hashlimit-rate-match:0 --hashlimit-rate-interval"
        ),
        "owner": "--uid-owner! --gid-owner! --socket-exists:0! --suppl-groups:0",
        "physdev": (
            "--physdev-in! --physdev-out! --physdev-is-in:0! --physdev-is-out:0!"
            " --physdev-is-bridged:0!"
        ),
        "pkttype": "--pkt-type!",
        "mac": "--mac-source!",
        "length": "--length!",
        "ttl": "--ttl-eq! --ttl-lt --ttl-gt",
        "hl": "--hl-eq! --hl-lt --hl-gt",
        "icmp": "--icmp-type!",
        "icmp6": "--icmpv6-type!",
        "esp": "--espspi!",
        "ah": "--ahspi! --ahlen! --ahres:0",
        "time": (
            "--datestart --datestop --timestart --timestop --monthdays! --weekdays!"
            " --contiguous:0 --kerneltz:0"
        ),
        "string": "--algo --from --to --string! --hex-string! --icase:0",
        "u32": "--u32!",
        "connlimit": (
            "--connlimit-upto --connlimit-above --connlimit-mask --connlimit-saddr:0"
            " --connlimit-daddr:0"
        ),
        "connbytes": "--connbytes! --connbytes-dir --connbytes-mode",
        "connmark": "--mark!",
        "dscp": "--dscp! --dscp-class!",
        "tos": "--tos!",
        "socket": "--transparent:0 --nowildcard:0 --restore-skmark:0",
        "rpfilter": "--loose:0 --validmark:0 --accept-local:0 --invert:0",
        "policy": (
            "--dir --pol --strict:0 --reqid! --spi! --proto! --mode! --tunnel-src!"
            " --tunnel-dst! --next:0"
        ),
        "helper": "--helper!",
        "quota": "--quota!",
        "cgroup": "--path! --cgroup!",
        "devgroup": "--src-group! --dst-group!",
        "ipvs": (
            "--ipvs:0! --vproto! --vaddr! --vport! --vdir --vmethod! --vportctl!"
        ),
        "iprange": "--src-range! --dst-range!",
        "realm": "--realm!",
        "tcpmss": "--mss!",
        "ecn": "--ecn-tcp-cwr:0! --ecn-tcp-ece:0! --ecn-ip-ect!",
        "connlabel": "--label! --set:0",
        "cpu": "--cpu!",
        "dccp": f"{_PORT_OPTIONS} --dccp-types! --dccp-option!",
        "frag": "--fragid! --fraglen --fragres:0 --fragfirst:0 --fragmore:0 --fraglast:0",
        "nfacct": "--nfacct-name",
        "rateest": (
            "--rateest! --rateest1 --rateest2 --rateest-delta:0 --rateest-bps --rateest-bps1"
            " --rateest-bps2 --rateest-pps --rateest-pps1 --rateest-pps2 --rateest-lt:0!"
            " --rateest-gt:0! --rateest-eq:0!"
        ),
        "cluster": (
            "--cluster-total-nodes --cluster-local-node! --cluster-local-nodemask!"
            " --cluster-hash-seed"
        ),
        "dst": "--dst-len! --dst-opts",
        "hbh": "--hbh-len! --hbh-opts",
        "eui64": "",
        "ipcomp": "--ipcompspi! --compres:0",
        "ipv6header": "--header! --soft:0",
        "mh": "--mh-type!",
        "osf": "--genre! --ttl --log",
        "rt": (
            "--rt-type! --rt-segsleft! --rt-len! --rt-0-res:0 --rt-0-addrs"
            " --rt-0-not-strict:0"
        ),
        "srh": (
            "--srh-next-hdr! --srh-hdr-len-eq! --srh-hdr-len-gt! --srh-hdr-len-lt!"
            " --srh-segs-left-eq! --srh-segs-left-gt! --srh-segs-left-lt! --srh-last-entry-eq!"
            " --srh-last-entry-gt! --srh-last-entry-lt! --srh-tag! --srh-psid! --srh-nsid!"
            " --srh-lsid!"
        ),
        # xtables-addons(8)
        "geoip": "--source-country! --src-cc! --destination-country! --dst-cc!",
        "asn": "--source-number! --src-asn! --destination-number! --dst-asn!",
        "condition": "--condition!",
        "ipv4options": "--flags --any:0",
        "psd": (
            "--psd-weight-threshold --psd-delay-threshold --psd-lo-ports-weight"
            " --psd-hi-ports-weight"
        ),
        "quota2": "--quota! --name --grow:0 --no-change:0 --packets:0",
    }.items()
}  # fmt: skip

MATCH_ALIASES = {"ipv6-icmp": "icmp6", "icmpv6": "icmp6"}

TARGET_OPTIONS: dict[str, dict[str, Takes]] = {
    name: _options(spec)
    for name, spec in {
        "ACCEPT": "", "DROP": "", "RETURN": "", "NOTRACK": "", "TRACE": "",
        "REJECT": "--reject-with",
        "DNAT": "--to-destination --random:0 --persistent:0",
        "SNAT": "--to-source --random:0 --random-fully:0 --persistent:0",
        "REDIRECT": "--to-ports --random:0",
        "MASQUERADE": "--to-ports --random:0 --random-fully:0",
        "MARK": "--set-xmark --set-mark --or-mark --and-mark --xor-mark",
        "CT": "--notrack:0 --helper --ctevents --expevents --zone --zone-orig --zone-reply"
        " --timeout",
        "LOG": "--log-level --log-prefix --log-tcp-sequence:0 --log-tcp-options:0"
        " --log-ip-options:0 --log-uid:0 --log-macdecode:0",
        "NFLOG": "--nflog-group --nflog-prefix --nflog-range --nflog-size --nflog-threshold",
        "TPROXY": "--on-port --on-ip --tproxy-mark",
        "CONNMARK": "--set-xmark --set-mark --save-mark:0 --restore-mark:0 --and-mark --or-mark"
        " --xor-mark --nfmask --ctmask --mask --left-shift-mark --right-shift-mark",
        "TCPMSS": "--set-mss --clamp-mss-to-pmtu:0",
        "CLASSIFY": "--set-class",
        "DSCP": "--set-dscp --set-dscp-class",
        "TOS": "--set-tos --and-tos --or-tos --xor-tos",
        "TTL": "--ttl-set --ttl-dec --ttl-inc",
        "HL": "--hl-set --hl-dec --hl-inc",
        "NFQUEUE": "--queue-num --queue-balance --queue-bypass:0 --queue-cpu-fanout:0",
        "SET": "--add-set:2 --del-set:2 --map-set:2 --exist:0 --timeout --map-mark:0"
        " --map-prio:0 --map-queue:0",
        "TEE": "--gateway --oif",
        "NETMAP": "--to",
        "AUDIT": "--type",
        "CHECKSUM": "--checksum-fill:0",
        "IDLETIMER": "--timeout --label --alarm:0",
        "LED": "--led-trigger-id --led-delay --led-always-blink:0",
        "RATEEST": "--rateest-name --rateest-interval --rateest-ewmalog",
        "SECMARK": "--selctx",
        "CONNSECMARK": "--save:0 --restore:0",
        "SYNPROXY": "--mss --wscale --sack-perm:0 --timestamp:0 --ecn:0",
        "HMARK": (
            "--hmark-tuple --hmark-mod --hmark-offset --hmark-rnd --hmark-src-prefix"
            " --hmark-dst-prefix --hmark-sport --hmark-dport --hmark-sport-mask"
            " --hmark-dport-mask --hmark-spi --hmark-spi-mask --hmark-proto-mask"
        ),
        "ECN": "--ecn-tcp-remove:0",
        "CLUSTERIP": "--new:0 --hashmode --clustermac --total-nodes --local-node --hash-init",
        "SNPT": "--src-pfx --dst-pfx", "DNPT": "--src-pfx --dst-pfx",
        "TCPOPTSTRIP": "--strip-options",
        "ULOG": "--ulog-nlgroup --ulog-prefix --ulog-cprange --ulog-qthreshold",
        "TARPIT": "--tarpit:0 --honeypot:0 --reset:0",
        "RAWDNAT": "--to-destination", "RAWSNAT": "--to-source",
        "FULLCONENAT": "--to-ports --random:0 --random-fully:0 --persistent:0",
        "FLOWOFFLOAD": "--hw:0",
    }.items()
}  # fmt: skip

SYNONYMS = {
    "--source-port": "--sport",
    "--destination-port": "--dport",
    "--source-ports": "--sports",
    "--destination-ports": "--dports",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """The options of a match or target that is in the tables above."""

    options: Mapping[str, Takes]


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Those of one that only the iptables that printed it knows: any, with any values."""


OptionTable = Listed | Unlisted


def takes(table: OptionTable, option: str) -> Takes | None:
    """What a match or target takes behind an option; None: the option is not one of its own."""
    match table:
        case Listed(options):
            return options.get(option)
        case Unlisted():
            is_own = option.startswith("--") and option not in _GENERAL
            return Takes(None, negatable=True) if is_own else None
        case _:
            assert_never(table)


_GENERAL = frozenset({"--jump", "--goto", "--match"})
