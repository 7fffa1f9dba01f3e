"""Kinds of damage to what kube-proxy's nftables mode wrote, and changes that do no harm.

Each works on the text of ``nft list ruleset``; ``base`` names the folder of
``tests/data/kube-proxy-1.36`` whose rules it is done to. IPv4's table comes first.
"""

from __future__ import annotations

from tests.support.damage.edits import Change, before, drop, replace, sub

_MAP = r"dnat ip to numgen random mod 3 map"
_ENTRY = r"10\.96\.0\.10 \. tcp \. 80 : goto"
_MASQUERADE = r"meta mark & 0x00004000 != 0x00000000"
_HAIRPIN = r"ct status dnat ip saddr"
_CLUSTER_IP_MARK = r"ip daddr @cluster-ips ip saddr"

DAMAGE = (
    Change("a backend's element is missing", "clusterip-3ep", replace(
        _MAP, r"1 : 10\.244\.2\.7 \. 8080, ", "")),
    Change("a backend stands twice", "clusterip-3ep", replace(
        _MAP, r"1 : 10\.244\.2\.7", "1 : 10.244.1.5")),
    Change("the choice is among too many", "clusterip-3ep", replace(_MAP, "mod 3", "mod 4")),
    Change("the choice is among too few", "clusterip-3ep", replace(_MAP, "mod 3", "mod 2")),
    Change("the choice begins at another number", "clusterip-3ep", replace(
        _MAP, "mod 3", "mod 3 offset 1")),
    Change("wrong backend address", "clusterip-3ep", replace(_MAP, r"10\.244\.2\.7", "10.244.2.8")),
    Change("wrong backend port", "clusterip-3ep", replace(
        _MAP, r"10\.244\.2\.7 \. 8080", "10.244.2.7 . 8081")),
    Change("the protocol's check asks for another", "clusterip-3ep", replace(
        "meta l4proto tcp dnat", "l4proto tcp", "l4proto udp")),
    Change("the frontend's element is missing", "clusterip-3ep", sub(
        r"\n\t\telements = \{ 10\.96\.0\.10 \. tcp \. 80 : goto service-\S+ \}", "")),
    Change("wrong digit in the frontend's address", "clusterip-3ep", replace(
        _ENTRY, r"10\.96\.0\.10", "10.96.0.11")),
    Change("wrong frontend port", "clusterip-3ep", replace(_ENTRY, "80 :", "81 :")),
    Change("wrong frontend protocol", "clusterip-3ep", replace(_ENTRY, "tcp", "udp")),
    Change("the frontend is dropped", "clusterip-3ep", replace(_ENTRY, r"goto \S+", "drop")),
    Change("masquerade mark missing", "clusterip-3ep", drop(_CLUSTER_IP_MARK)),
    Change("masquerade mark for the wrong side", "clusterip-3ep", replace(
        _CLUSTER_IP_MARK, "saddr != ", "saddr ")),
    Change("masquerade mark by another network", "clusterip-3ep", replace(
        _CLUSTER_IP_MARK, r"10\.244\.0\.0/16", "10.0.0.0/8")),
    Change("the cluster IP is not in its set", "clusterip-3ep", replace(
        r"elements = \{ 10\.96\.0\.10 \}", r"10\.96\.0\.10", "10.96.0.99")),
    Change("another mark bit", "clusterip-3ep", replace(
        _CLUSTER_IP_MARK, r"\| 0x00004000", "| 0x00008000")),
    Change("the mark is taken away", "clusterip-3ep", replace(
        _CLUSTER_IP_MARK, r"\| 0x00004000", "& 0xffffbfff")),
    Change("masquerade missing", "clusterip-3ep", drop(_MASQUERADE)),
    Change("the mark's test turned round", "clusterip-3ep", replace(
        _MASQUERADE, "!= 0x00000000", "== 0x00000000")),
    Change("everything is masqueraded", "clusterip-3ep", before(
        _MASQUERADE, "\t\tmasquerade")),
    Change("hairpin rule missing", "clusterip-3ep", drop(_HAIRPIN)),
    Change("hairpin for another pod", "clusterip-3ep", replace(
        r"10\.244\.1\.5 \. 10\.244\.1\.5 \.", r"10\.244\.1\.5 \. 10", "10.244.1.7 . 10")),
    Change("hairpin for another port", "clusterip-3ep", replace(
        r"10\.244\.1\.5 \. 10\.244\.1\.5 \.", "8080", "8081")),
    Change("early accept", "clusterip-3ep", before(
        r"^\t\tip daddr \. meta l4proto \. th dport vmap @service-ips", "\t\taccept")),
    Change("early return by source", "clusterip-3ep", before(
        r"^\t\tip daddr \. meta l4proto \. th dport vmap @service-ips",
        "\t\tip saddr 198.51.100.0/24 return")),
    Change("drop on the way", "clusterip-3ep", before(
        r"^\t\tct state new jump cluster-ips-check", "\t\tip daddr 10.244.2.7 drop")),
    Change("a policy drops", "clusterip-3ep", replace(
        "hook forward priority filter", "policy accept", "policy drop")),
    Change("the node's own packets forgotten", "clusterip-3ep", sub(
        r"(hook output priority -100; policy accept;\n)\t\tjump services\n", r"\1")),
    Change("packets from outside forgotten", "clusterip-3ep", sub(
        r"(hook prerouting priority dstnat; policy accept;\n)\t\tjump services\n", r"\1")),
    Change("the table is dormant", "clusterip-3ep", sub(
        r"(table ip kube-proxy \{\n)", r"\1\tflags dormant\n")),
    Change("another address is captured", "clusterip-3ep", sub(
        r"elements = \{ (10\.96\.0\.10 \. tcp \. 80 : goto (service-\S+)) \}",
        r"elements = { \1, 10.96.7.7 . tcp . 80 : goto \2 }")),
    Change("a packet for nobody is dropped", "clusterip-3ep", before(
        r"^\t\tct state new jump cluster-ips-check", "\t\tudp dport 53 drop")),
    Change("more than cluster IPs is dropped", "clusterip-3ep", sub(
        r"(\t\tip daddr @cluster-ips reject.*\n)", r"\1\t\tip daddr 10.0.0.0/8 drop\n")),
    Change("another network is dropped", "clusterip-3ep", sub(
        r"(\t\tip daddr @cluster-ips reject.*\n)", r"\1\t\tip daddr 172.16.0.0/12 drop\n")),
    Change("another node port address", "nodeport", replace(
        r"elements = \{ 192\.168\.7\.10 \}", r"7\.10", "7.11")),
    Change("wrong node port", "nodeport", replace(r"tcp \. 30080 :", "30080", "30081")),
    Change("node port's masquerade missing", "nodeport", drop(r'comment "masquerade"$')),
    Change("refusal missing", "rich-many-policies", replace(
        r"203\.0\.113\.5 \. tcp \. 80 comment", r"\. 80", ". 81")),
    Change("refused is dropped", "no-endpoints", replace(
        r"10\.96\.0\.\d+ \. tcp \. 80 comment", "goto reject-chain", "drop")),
    Change("reject chain is empty", "no-endpoints", drop(r"^\t\treject$")),
    Change("established packets alone are refused", "no-endpoints", sub(
        "ct state new jump service-endpoints-check",
        "ct state established jump service-endpoints-check", 0)),
    Change("source range widened", "lb-source-ranges", replace(
        r"ip saddr != \{", r"\{ ", "{ 192.0.2.0/24, ")),
    Change("source range missing", "lb-source-ranges", replace(
        r"ip saddr != \{", r"\S+, ", "")),
    Change("source ranges turned round", "lb-source-ranges", replace(
        r"ip saddr != \{", "!= ", "")),
    Change("the firewall is asked for another address", "lb-source-ranges", replace(
        r"192\.0\.2\.80 \. tcp \. 80 : goto firewall", r"2\.80", "2.81")),
    Change("local policy: outside reaches all", "etp-local-with-local", sub(
        r"\n\t\tgoto local-(\S+)\n", r"\n\t\tgoto service-\1\n")),
    Change("local policy: the node's own packets", "etp-local-with-local", drop(
        r"fib saddr type local goto")),
    Change("affinity: a client is not recorded", "affinity-clientip", drop(r"update @affinity")),
    Change("affinity: nobody is asked", "affinity-clientip", drop(r"ip saddr @affinity-", 1)),
    Change("affinity: forgotten too soon", "affinity-clientip", sub(
        r"timeout \w+", "timeout 10s", 0)),
    Change("affinity: another backend is remembered", "affinity-clientip", sub(
        r"(ip saddr @affinity-\S+ goto )(\S+)(\n\s+ip saddr @affinity-\S+ goto )(\S+)",
        r"\1\4\3\2")),
)  # fmt: skip

HARMLESS = (
    Change("a comment", "clusterip-3ep", replace(_CLUSTER_IP_MARK, 'comment ".*"', "")),
    Change("counters", "clusterip-3ep", replace(
        _MAP, "meta l4proto tcp ", "meta l4proto tcp counter packets 5 bytes 300 ")),
    Change("a rule that logs", "clusterip-3ep", before(
        r"^\t\tip daddr \. meta l4proto \. th dport vmap @service-ips", '\t\tlog prefix "x"')),
    Change("elements in another order", "clusterip-3ep", replace(
        _MAP, r"\{ (0 : .*), (1 : .*), (2 : .*) \}", r"{ \3, \1, \2 }")),
    Change("backends in another order", "clusterip-3ep", replace(
        _MAP, r"\{ 0 : (.*), 1 : (.*), 2 : (.*) \}", r"{ 0 : \3, 1 : \1, 2 : \2 }")),
    Change("the choice written with an offset", "clusterip-3ep", replace(
        _MAP, r"mod 3 map \{ 0 : (.*), 1 : (.*), 2 : (.*) \}",
        r"mod 3 offset 10 map { 10 : \1, 11 : \2, 12 : \3 }")),
    Change("a choice in turn", "clusterip-3ep", replace(_MAP, "random", "inc")),
    Change("a choice by a hash of the connection", "clusterip-3ep", replace(
        _MAP, "numgen random", "jhash ip saddr . tcp sport")),
    Change("a chain by another name", "clusterip-3ep", sub("reject-chain", "refusal", 0)),
    Change("another spelling of the mark", "clusterip-3ep", replace(
        _MASQUERADE, "!= 0x00000000", "== 0x00004000")),
    Change("a set written out", "nodeport", replace(
        "ip daddr @nodeport-ips meta l4proto", "@nodeport-ips", "192.168.7.10")),
    Change("a jump in the place of the goto", "nodeport", replace(
        r"^\t\tgoto service-", "goto", "jump")),
    Change("a table that does nothing", "clusterip-3ep", sub(
        r"\Z", "table inet other {\n\tchain input {\n\t\ttype filter hook input priority 10; "
        "policy accept;\n\t\tcounter accept\n\t}\n}\n")),
    Change("a dormant table that drops", "clusterip-3ep", sub(
        r"\Z", "table inet other {\n\tflags dormant\n\tchain input {\n\t\ttype filter hook forward "
        "priority 10; policy drop;\n\t}\n}\n")),
    Change("an earlier table accepts, as it may", "clusterip-3ep", sub(
        r"\Z", "table inet other {\n\tchain forward {\n\t\ttype filter hook forward priority -5; "
        "policy accept;\n\t\taccept\n\t}\n}\n")),
    Change("cluster IPs that nobody has are dropped", "clusterip-3ep", sub(
        r"(\t\tip daddr @cluster-ips reject.*\n)",
        r'\1\t\tip daddr { 10.96.0.0/12 } drop comment "unallocated ClusterIPs"\n')),
    Change("a firewall lets pods through", "clusterip-3ep", sub(
        r"\Z", "table inet firewall {\n\tchain forward {\n\t\ttype filter hook forward priority "
        "filter; policy drop;\n\t\tct state established,related accept\n\t\t"
        "ct status dnat accept\n\t}\n}\n")),
)  # fmt: skip

UNDECIDED = (
    Change("a choice by a hash of the address", "clusterip-3ep", replace(
        _MAP, "numgen random", "jhash ip saddr")),
    Change("a rate", "clusterip-3ep", replace(
        "hook forward priority filter", "$",
        "\n\t\tip daddr 10.244.2.7 meta pkttype broadcast drop")),
    Change("a chain where the model has no place", "clusterip-3ep", sub(
        r"\Z", "table ip other {\n\tchain late {\n\t\ttype filter hook postrouting priority 300; "
        "policy accept;\n\t\tip daddr 10.244.2.7 drop\n\t}\n}\n")),
    Change("elements that go away", "clusterip-3ep", sub(
        r"(set cluster-ips \{\n\t\ttype ipv4_addr\n)(.*\n)?(\t\telements = \{ 10\.96\.0\.10)",
        r"\1\t\tflags timeout\n\2\3 timeout 1h expires 5m")),
    Change("a packet is queued", "clusterip-3ep", before(
        r"^\t\tip daddr \. meta l4proto \. th dport vmap @service-ips", "\t\tqueue")),
)  # fmt: skip
