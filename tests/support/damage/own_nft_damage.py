"""Kinds of damage to svcc's own tables of nftables mode, and changes that do no harm.

``base`` names the file of ``tests/data/behaviour`` whose objects are compiled in nftables mode; the
change is done to its IPv4 table.
"""

from __future__ import annotations

from tests.support.damage.edits import Change, before, drop, replace, sub

_SERVICE = r"10\.96\.0\.11 \. tcp \. 80 comment"
_FIRST = r"10\.96\.0\.11 \. tcp \. 80 \. 0 :"
_BALANCE = r"mod 3 map @backends-3$"
_DISPATCH = r"^\t\tip daddr \. meta l4proto \. th dport vmap @services$"
_MARK = r"ip saddr != 10\.244\.0\.0/16 meta mark set"
_MASQUERADE = r"meta mark & 0x00004000 == 0x00004000"
_HAIRPIN = r"@hairpins jump hairpin"
_ORIGINAL = r"ct original ip daddr 10\.96\.0\.11 masquerade"
_NODE_PORT = r"tcp \. 30080 comment"
_LOCAL_NODE_PORTS = r"ip daddr != 127\.0\.0\.0/8 fib daddr type local"
_LOOPBACK = r"^\t\tip daddr 127\.0\.0\.0/8 fib daddr type local jump"
_REFUSE = r"^\t\tip daddr @cluster-ips goto refuse"
_ALLOWED = r"@allowed-sources ip daddr"
_END = r"\Z"


def _table(body: str) -> str:
    return f"table inet other {{\n\tchain other {{\n\t\t{body}\n\t}}\n}}\n"


DAMAGE = (
    Change("a backend's element is missing", "node-port", drop(
        r"10\.96\.0\.11 \. tcp \. 80 \. 1 :")),
    Change("a backend stands twice", "node-port", replace(
        r"10\.96\.0\.11 \. tcp \. 80 \. 1 :", r"10\.244\.2\.7", "10.244.1.5")),
    Change("wrong backend address", "node-port", replace(_FIRST, r"244\.1\.5", "244.1.6")),
    Change("wrong backend port", "node-port", replace(_FIRST, "8080", "8081")),
    Change("a backend's element of another frontend", "node-port", replace(
        _FIRST, r"96\.0\.11", "96.0.12")),
    Change("a backend's element of another port", "node-port", replace(
        _FIRST, r"tcp \. 80", "tcp . 81")),
    Change("a backend's element of another protocol", "node-port", replace(
        _FIRST, "tcp", "udp")),
    Change("the choice is among too few", "node-port", replace(_BALANCE, "mod 3", "mod 2")),
    Change("the choice is among too many", "node-port", replace(_BALANCE, "mod 3", "mod 4")),
    Change("the choice begins at another number", "node-port", replace(
        _BALANCE, "mod 3", "mod 3 offset 1")),
    Change("the choice asks another map", "node-port", replace(
        r"^\t\tgoto balance-3", "balance-3", "node-port-balance-3")),
    Change("no translation", "node-port", drop(_BALANCE)),
    Change("the frontend's element is missing", "node-port", sub(
        r"\n\t\telements = \{ 10\.96\.0\.11 \. tcp \. 80 comment .*\}", "")),
    Change("wrong digit in the frontend's address", "node-port", replace(
        _SERVICE, r"96\.0\.11", "96.0.12")),
    Change("wrong frontend port", "node-port", replace(_SERVICE, r"\. 80 ", ". 81 ")),
    Change("wrong frontend protocol", "node-port", replace(_SERVICE, "tcp", "udp")),
    Change("the frontend is dropped", "node-port", replace(_SERVICE, "goto cluster-ip-3", "drop")),
    Change("the frontend is accepted", "node-port", replace(
        _SERVICE, "goto cluster-ip-3", "accept")),
    Change("the frontend is refused", "node-port", replace(
        _SERVICE, "cluster-ip-3", "refuse")),
    Change("the frontend goes past the mark", "node-port", replace(
        _SERVICE, "cluster-ip-3", "balance-3")),
    Change("the frontend is treated as from outside", "node-port", replace(
        _SERVICE, "goto cluster-ip-3", "goto node-port-external-3")),
    Change("another address is captured", "node-port", replace(
        _SERVICE, r"\{ ", "{ 10.96.7.7 . tcp . 80 : goto refuse, ")),
    Change("masquerade mark missing", "node-port", drop(_MARK)),
    Change("masquerade mark for the wrong side", "node-port", replace(
        _MARK, "saddr != ", "saddr ")),
    Change("masquerade mark by another network", "node-port", replace(
        _MARK, r"10\.244\.0\.0/16", "10.0.0.0/8")),
    Change("another mark bit", "node-port", replace(_MARK, r"\| 0x00004000", "| 0x00008000")),
    Change("the mark is taken away", "node-port", replace(
        _MARK, r"\| 0x00004000", "& 0xffffbfff")),
    Change("masquerade missing", "node-port", drop(_MASQUERADE)),
    Change("the mark's test turned round", "node-port", replace(_MASQUERADE, "==", "!=")),
    Change("everything is masqueraded", "node-port", before(
        _MASQUERADE, "\t\tmasquerade fully-random")),
    Change("hairpin rule missing", "node-port", drop(_HAIRPIN)),
    Change("a hairpin's pair is missing", "node-port", drop(
        r"10\.244\.2\.7 \. 10\.244\.2\.7,")),
    Change("a hairpin of two other pods", "node-port", replace(
        r"10\.244\.2\.7 \. 10\.244\.2\.7,", r"\. 10\.244\.2\.7", ". 10.244.1.5")),
    Change("hairpins of another frontend", "node-port", replace(
        _ORIGINAL, r"96\.0\.11", "96.0.99")),
    Change("hairpins of what is not translated", "node-port", replace(
        _HAIRPIN, "ct status dnat", "ct status snat")),
    Change("node port's element missing", "node-port", sub(
        r"\n\t\telements = \{ tcp \. 30080 comment .*\}", "")),
    Change("wrong node port", "node-port", replace(_NODE_PORT, "30080", "30081")),
    Change("node port's masquerade missing", "node-port", replace(
        _NODE_PORT, "node-port-external-3", "node-port-balance-3")),
    Change("node port on every address", "node-port", replace(
        _LOCAL_NODE_PORTS, "fib daddr type local ", "")),
    Change("node port on others' addresses", "node-port", replace(
        _LOCAL_NODE_PORTS, "type local", "type != local")),
    Change("node ports are not asked for", "node-port", drop(_LOCAL_NODE_PORTS)),
    Change("loopback not served", "node-port", drop(_LOOPBACK)),
    Change("guard of loopback missing", "node-port", drop(r'^\t\tiifname != "lo"')),
    Change("early accept", "node-port", before(_DISPATCH, "\t\taccept")),
    Change("early return by source", "node-port", before(
        _DISPATCH, "\t\tip saddr 198.51.100.0/24 return")),
    Change("the node's own packets forgotten", "node-port", sub(
        r"(hook output priority -100; policy accept;\n)\t\tjump to-services\n", r"\1")),
    Change("packets from wires forgotten", "node-port", sub(
        r"(hook prerouting priority dstnat; policy accept;\n)\t\tjump to-services\n", r"\1")),
    Change("the chain stands at another hook", "node-port", replace(
        "hook output priority -100", "output priority -100", "prerouting priority -90")),
    Change("a policy drops", "node-port", replace(
        "hook forward priority filter", "policy accept", "policy drop")),
    Change("the table is dormant", "node-port", sub(
        r"(table ip svcc \{\n)", r"\1\tflags dormant\n")),
    Change("a drop on the way", "node-port", before(
        "^\t\tct state invalid drop", "\t\tip daddr 10.244.2.7 drop")),
    Change("another's table drops where packets come in", "node-port", sub(_END, _table(
        "type filter hook prerouting priority 0; policy accept;\n\t\tip daddr 10.244.2.7 drop"))),
    Change("another's table drops", "node-port", sub(_END, _table(
        "type filter hook forward priority 10; policy accept;\n\t\tip daddr 10.244.2.7 drop"))),
    Change("another's table translates first", "node-port", sub(_END, _table(
        "type nat hook prerouting priority dstnat - 5; policy accept;\n"
        "\t\tip daddr 10.96.0.11 dnat ip to 192.0.2.1"))),
    Change("undeclared ports are dropped by a host's rule", "node-port", before(
        _REFUSE, "\t\tip daddr 10.0.0.0/8 drop")),
    Change("what is refused is dropped", "no-endpoints", replace(
        r"10\.96\.0\.18 \. tcp \. 80 comment", "goto refuse", "drop")),
    Change("refusal missing", "no-endpoints", drop(
        r"198\.51\.100\.30 \. udp \. 53 comment")),
    Change("refusal of another protocol", "no-endpoints", replace(
        r"198\.51\.100\.20 \. sctp \. 99 comment", "sctp", "udp")),
    Change("the refusing chain is empty", "no-endpoints", drop(r"^\t\treject$")),
    Change("refusal on node ports missing", "no-endpoints", sub(
        r"\n\t\telements = \{ tcp \. 30080 comment .*\}", "")),
    Change("Local policy: outside reaches all", "external-local", replace(
        r"198\.51\.100\.20 \. tcp \. 80 : goto local-balance-2", "local-balance-2", "balance-3")),
    Change("Local policy: pods are bound, too", "external-local", sub(
        r"\t\tip saddr 10\.244\.0\.0/16 ip daddr \. meta l4proto \. th dport vmap @everywhere\n",
        "")),
    Change("Local policy: the node is bound, too", "external-local", drop(
        r"fib saddr type local ip daddr \. meta l4proto")),
    Change("Local policy: the node not masqueraded", "external-local", sub(
        r"(chain external-local \{\n.*\n)\t\tfib saddr type local meta mark .*\n", r"\1")),
    Change("Local policy: outside is masqueraded", "external-local", replace(
        r"198\.51\.100\.20 \. tcp \. 80 : goto local-balance-2", "goto local-balance-2",
        "goto cluster-ip-3")),
    Change("Local policy: a local element is missing", "external-local", drop(
        r"198\.51\.100\.30 \. tcp \. 80 \. 1 : 10\.244\.1\.6 \. 8080,$", 2)),
    Change("Local policy: refused in place of dropped", "external-local-none-here", replace(
        r"198\.51\.100\.20 \. tcp \. 80 : drop", "drop", "goto refuse")),
    Change("source range widened", "source-ranges", replace(
        r"203\.0\.113\.0/24", r"203\.0\.113\.0/24", "203.0.112.0/20")),
    Change("source range missing", "source-ranges", replace(
        r"198\.51\.100\.20 \. tcp \. 80 \. 192\.0\.2\.9", r"\.2\.9", ".2.10")),
    Change("source ranges of another frontend", "source-ranges", replace(
        r"203\.0\.113\.0/24", r"198\.51\.100\.20", "198.51.100.21")),
    Change("no drop outside the ranges", "source-ranges", drop(r"^\t\tdrop$")),
    Change("the ranges go round", "source-ranges", replace(
        r"198\.51\.100\.20 \. tcp \. 80 comment", "goto guarded", "goto external-3")),
    Change("affinity: a client is not recorded", "affinity", drop(r"update @clients-KE4")),
    Change("affinity: nobody is asked", "affinity", drop(r"ip saddr @clients-KE4")),
    Change("affinity: returns to another backend", "affinity", replace(
        r"ip saddr @clients-KE4", "goto backend-KE4KI5CT2Q7P", "goto backend-TZAQBEBF4SRL")),
    Change("affinity: recorded for another", "affinity", replace(
        r"update @clients-KE4", "KE4KI5CT2Q7P", "TZAQBEBF4SRL")),
    Change("affinity: asked after the choice", "affinity", sub(
        r"(\t\tip saddr @clients-KE4.*\n)((?:.*\n){2})(\t\tnumgen .*\n)", r"\2\3\1")),
    Change("affinity: not renewed", "affinity", replace(
        r"update @clients-KE4", "update", "add")),
    Change("affinity: forgotten too soon", "affinity", sub(
        r"(set clients-KE4\w+ \{\n(?:.*\n){3})\t\ttimeout 10m", r"\1\t\ttimeout 1m")),
    Change("affinity: remembered too long", "affinity", sub(
        r"(set clients-KE4\w+ \{\n(?:.*\n){3})\t\ttimeout 10m", r"\1\t\ttimeout 1h")),
    Change("affinity: a backend is never chosen", "affinity", replace(
        r"numgen random mod 3 vmap .*KE4", "2 : goto backend-BSRZR4JQDDDO",
        "2 : goto backend-KE4KI5CT2Q7P")),
    Change("affinity: chosen without a record", "affinity", sub(
        r"(chain backend-KE4\w+ \{\n.*\n)(\t\tupdate .*\n)(\t\tmeta .*\n)", r"\1\3\2")),
)  # fmt: skip

HARMLESS = (
    Change("comments left out", "node-port", sub(r' comment "[^"]*"', "", 0)),
    Change("counters", "node-port", replace(
        _MARK, "meta mark set", "counter packets 5 bytes 300 meta mark set")),
    Change("a rule that logs", "node-port", before(_DISPATCH, '\t\tlog prefix "x"')),
    Change("elements in another order", "node-port", sub(
        r"(10\.96\.0\.11 \. tcp \. 80 \. )0( : \S+ \. 8080,\s+)(10\.96\.0\.11 \. tcp \. 80 \. )1",
        r"\g<1>1\g<2>\g<3>0")),
    Change("backends in another order", "node-port", sub(
        r"(80 \. 0 : )(\S+)( \. 8080,\s+\S+ \. tcp \. 80 \. 1 : )(\S+)", r"\1\4\3\2")),
    Change("a chain by another name", "node-port", sub("cluster-ip-3", "inside-3", 0)),
    Change("a set by another name", "node-port", sub(r"cluster-ips", "virtual-ips", 0)),
    Change("another spelling of the mark's test", "node-port", replace(
        _MASQUERADE, "== 0x00004000", "!= 0x00000000")),
    Change("a jump in the place of a goto", "node-port", replace(
        r"^\t\tgoto balance-3", "goto", "jump")),
    Change("a source range in two halves", "source-ranges", replace(
        r"203\.0\.113\.0/24", r"203\.0\.113\.0/24,",
        "203.0.113.0/25, 198.51.100.20 . tcp . 80 . 203.0.113.128/25,")),
    Change("a timeout in other units", "affinity", sub(r"timeout 10m", "timeout 600s", 0)),
    Change("an element of a backend that nobody chooses", "node-port", replace(
        _FIRST, r"\{ ", "{ 10.96.0.11 . tcp . 80 . 3 : 10.244.9.9 . 8080, ")),
    Change("a hairpin's pair of no backend", "node-port", replace(
        r"10\.244\.2\.7 \. 10\.244\.2\.7,", "10", "10.244.9.9 . 10.244.9.9, 10")),
    Change("undeclared ports are left alone", "node-port", drop(_REFUSE)),
    Change("a table that only counts", "node-port", sub(_END, _table(
        "type filter hook forward priority 10; policy accept;\n\t\tcounter accept"))),
    Change("a firewall that lets translated packets through", "node-port", sub(_END, _table(
        "type filter hook forward priority filter; policy drop;\n"
        "\t\tct state established,related accept\n\t\tct status dnat accept"))),
)  # fmt: skip

UNDECIDED = (
    Change("node ports by a kind of address", "node-port", replace(
        _LOCAL_NODE_PORTS, "type local", "type unicast")),
    Change("a choice by a hash", "node-port", replace(
        _MARK, "^", "\t\tjhash ip saddr mod 2 vmap { 0 : goto refuse, 1 : goto balance-3 }\n")),
    Change("a rate", "node-port", before(
        "^\t\tct state invalid drop", "\t\tip daddr 10.244.2.7 meta pkttype broadcast drop")),
    Change("a packet is queued", "node-port", before(_DISPATCH, "\t\tqueue")),
    Change("elements that go away", "node-port", sub(
        r"(set cluster-ips \{\n\t\ttype ipv4_addr\n)(\t\telements = \{ 10\.96\.0\.11)",
        r"\1\t\tflags timeout\n\2 timeout 1h expires 5m")),
    Change("affinity: a client is forgotten", "affinity", before(
        r"update @clients-KE4", "\t\tdelete @clients-KE4KI5CT2Q7P { ip saddr }")),
    Change("affinity: recorded by destination", "affinity", replace(
        r"update @clients-KE4", "ip saddr", "ip daddr")),
)  # fmt: skip
