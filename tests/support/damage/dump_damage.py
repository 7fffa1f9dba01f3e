"""Kinds of damage to a rule set that the verifier must catch, and changes that do no harm.

Each works on the text of an iptables-save file; ``base`` names the folder of
``tests/data/kube-proxy`` whose rules it is done to.
"""

from __future__ import annotations

from tests.support.damage.edits import Change, before, drop, everywhere, replace, swap

_WEB = "67NZLRHBNDSAWJRO"
_SVC = rf"^-A KUBE-SVC-{_WEB} "
_SEP = r"^-A KUBE-SEP-\S+ "
_ENTRY = r"^-A KUBE-SERVICES -d 10.96.0.10/32 "
_DNAT = r"-j DNAT"

DAMAGE = (
    Change("a backend's rule is missing", "clusterip-3ep", drop(_SVC + ".*10.244.1.5:8080")),
    Change("the last backend's rule is missing", "clusterip-3ep", drop(_SVC + ".*10.244.3.9")),
    Change("the frontend's rule is missing", "clusterip-3ep", drop(_ENTRY)),
    Change("a DNAT rule is missing", "clusterip-3ep", drop(_SEP + ".*DNAT")),
    Change("a backend stands twice", "clusterip-3ep", before(
        _SVC + ".*10.244.2.7:8080",
        f"-A KUBE-SVC-{_WEB} -m statistic --mode random --probability 0.5"
        " -j KUBE-SEP-34ZZ2QFGO32YYXXO")),
    Change("two backends in the wrong order", "clusterip-3ep", swap(
        _SVC + ".*10.244.1.5:8080", _SVC + ".*10.244.2.7:8080")),
    Change("wrong backend address", "clusterip-3ep", replace(
        _DNAT, r"10\.244\.1\.5:8080", "10.244.1.6:8080")),
    Change("wrong backend port", "clusterip-3ep", replace(_DNAT, ":8080$", ":8081")),
    Change("DNAT leaves the port", "clusterip-3ep", replace(_DNAT, ":8080$", "")),
    Change("wrong digit in the frontend's address", "clusterip-3ep", replace(
        _ENTRY, r"10\.96\.0\.10/32", "10.96.0.11/32")),
    Change("wrong frontend port", "clusterip-3ep", replace(_ENTRY, "--dport 80", "--dport 81")),
    Change("frontend's address widened", "clusterip-3ep", replace(_ENTRY, "/32", "/31")),
    Change("frontend's address left out", "clusterip-3ep", replace(
        _ENTRY, "-d 10.96.0.10/32 ", "")),
    Change("frontend's port left out", "clusterip-3ep", replace(_ENTRY, "--dport 80 ", "")),
    Change("frontend's port widened", "clusterip-3ep", replace(
        _ENTRY, "--dport 80 ", "--dport 80:81 ")),
    Change("wrong protocol", "clusterip-3ep", replace(
        _ENTRY, "-p tcp (.*)-m tcp", r"-p udp \1-m udp")),
    Change("probability a little off", "clusterip-3ep", replace(
        "--probability", "0.33333333349", "0.33343333349")),
    Change("probability 1", "clusterip-3ep", replace(
        "--probability", "0.33333333349", "1.00000000000")),
    Change("probability 0", "clusterip-3ep", replace(
        "--probability", "0.33333333349", "0.00000000000")),
    Change("masquerade mark missing", "clusterip-3ep", drop(_SVC + ".*KUBE-MARK-MASQ")),
    Change("masquerade mark for the wrong side", "clusterip-3ep", replace(
        _SVC + ".*KUBE-MARK-MASQ", "! -s", "-s")),
    Change("masquerade for a larger network only", "clusterip-3ep", replace(
        _SVC + ".*KUBE-MARK-MASQ", "10.244.0.0/16", "10.0.0.0/8")),
    Change("hairpin mark missing", "clusterip-3ep", drop(
        _SEP + "-s 10.244.1.5/32 .*KUBE-MARK-MASQ")),
    Change("hairpin mark for another backend", "clusterip-3ep", replace(
        _SEP + "-s 10.244.1.5/32", "10.244.1.5/32", "10.244.1.7/32")),
    Change("another mark bit", "clusterip-3ep", replace(
        "^-A KUBE-MARK-MASQ", "0x4000/0x4000", "0x8000/0x8000")),
    Change("MASQUERADE missing", "clusterip-3ep", drop("-j MASQUERADE")),
    Change("everything masqueraded", "clusterip-3ep", drop("^-A KUBE-POSTROUTING .*RETURN")),
    Change("mark test turned around", "clusterip-3ep", replace(
        "^-A KUBE-POSTROUTING .*RETURN", "! --mark", "--mark")),
    Change("early ACCEPT", "clusterip-3ep", before(_ENTRY, "-A KUBE-SERVICES -j ACCEPT")),
    Change("early RETURN", "clusterip-3ep", before(
        _ENTRY, "-A KUBE-SERVICES -s 10.0.0.0/8 -j RETURN")),
    Change("early ACCEPT in the base chain", "clusterip-3ep", before(
        "^-A PREROUTING", "-A PREROUTING -i ext0 -p tcp -j ACCEPT")),
    Change("DROP on the way", "clusterip-3ep", before(
        "^-A FORWARD", "-A FORWARD -d 10.244.2.0/24 -j DROP")),
    Change("the node's own packets forgotten", "clusterip-3ep", drop(
        "^-A OUTPUT -m comment .*portals")),
    Change("another address is captured", "clusterip-3ep", before(
        _ENTRY,
        f"-A KUBE-SERVICES -d 10.96.7.7/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-{_WEB}")),
    Change("a packet for nobody is dropped", "clusterip-3ep", before(
        "^-A KUBE-FORWARD", "-A KUBE-FORWARD -p udp -m udp --dport 53 -j DROP")),
    Change("jump to the wrong Service", "multiport-udp-tcp-named", replace(
        r"^-A KUBE-SERVICES .*--dport 53 .*KUBE-SVC", r"-j KUBE-SVC-\S+",
        "-j KUBE-MARK-MASQ")),
    Change("cycle of jumps", "clusterip-3ep", before(
        _SVC, f"-A KUBE-SVC-{_WEB} -j KUBE-SERVICES")),
    Change("affinity forgets the client", "affinity-clientip", replace(
        "-m recent --set", r"-m recent --set --name \S+ --mask \S+ --rsource ", "")),
    Change("affinity records in another list", "affinity-clientip", replace(
        _SEP + ".*--set", r"--name \S+", "--name KUBE-SEP-RWEQV2B7Q5U44J6N")),
    Change("affinity ends too early", "affinity-clientip", replace(
        "--rcheck", "--seconds 600", "--seconds 60")),
    Change("affinity never ends", "affinity-clientip", replace(
        "--rcheck", "--seconds 600 --reap ", "")),
    Change("affinity returns to another backend", "affinity-clientip", replace(
        r"--rcheck .*34ZZ2QFGO32YYXXO$", r"-j KUBE-SEP-\S+", "-j KUBE-SEP-RWEQV2B7Q5U44J6N")),
    Change("affinity never asked", "affinity-clientip", drop("--rcheck .*34ZZ2QFGO32YYXXO$")),
    Change("affinity asks another's list", "affinity-clientip", replace(
        "--rcheck .*34ZZ2QFGO32YYXXO$", r"--name \S+", "--name KUBE-SEP-RWEQV2B7Q5U44J6N")),
    Change("affinity returns who never came", "affinity-clientip", replace(
        "--rcheck", "--rcheck", "! --rcheck")),
    Change("affinity of two backends in one list", "affinity-clientip", everywhere(
        "--name KUBE-SEP-34ZZ2QFGO32YYXXO", "--name KUBE-SEP-RWEQV2B7Q5U44J6N")),
    Change("affinity asked after the choice", "affinity-clientip", swap(
        "--rcheck .*34ZZ2QFGO32YYXXO$", r"-> 10.244.3.9:8080\" -j KUBE-SEP")),
    Change("node port missing", "nodeport", drop("^-A KUBE-NODEPORTS")),
    Change("wrong node port", "nodeport", replace(
        "^-A KUBE-NODEPORTS", "--dport 30080", "--dport 30081")),
    Change("node port on every address", "nodeport", replace(
        "NOTE: this must be the last", "-m addrtype --dst-type LOCAL ", "")),
    Change("outside traffic not masqueraded", "nodeport", drop(
        "^-A KUBE-EXT-.*masquerade traffic")),
    Change("Local policy reaches all backends", "etp-local-with-local", replace(
        "^-A KUBE-EXT-.* -j KUBE-SVL", "KUBE-SVL", "KUBE-SVC")),
    Change("pods bound by Local policy", "etp-local-with-local", drop(
        "^-A KUBE-EXT-.*pod traffic")),
    Change("the node bound by Local policy", "etp-local-with-local", drop(
        "^-A KUBE-EXT-.*route LOCAL")),
    Change("no DROP without local backends", "etp-local-without-local", drop(
        "^-A KUBE-EXTERNAL-SERVICES .*192.0.2.84")),
    Change("REJECT in place of DROP", "etp-local-without-local", replace(
        "^-A KUBE-EXTERNAL-SERVICES .*192.0.2.84", "-j DROP",
        "-j REJECT --reject-with icmp-port-unreachable")),
    Change("health check port closed", "etp-local-without-local", drop(
        "^-A KUBE-NODEPORTS .*32000 -j ACCEPT")),
    Change("refusal missing", "no-endpoints", drop("^-A KUBE-SERVICES -d 10.96.0.22/32")),
    Change("DROP in place of REJECT", "no-endpoints", replace(
        "^-A KUBE-SERVICES -d 10.96.0.22/32", "-j REJECT.*", "-j DROP")),
    Change("backends refused", "clusterip-3ep", before(
        "^-A KUBE-FORWARD", "-A KUBE-FORWARD -d 10.244.1.5/32 -p tcp -m tcp --dport 8080"
        " -j REJECT --reject-with icmp-port-unreachable")),
    Change("source range widened", "lb-source-ranges", replace(
        "^-A KUBE-FW-.*203.0.113.0/24", "203.0.113.0/24", "203.0.112.0/20")),
    Change("source range missing", "lb-source-ranges", drop("^-A KUBE-FW-.*198.51.100.7/32")),
    Change("no DROP outside the ranges", "lb-source-ranges", drop("^-A KUBE-PROXY-FIREWALL")),
    Change("guard of loopback missing", "nodeport", drop("^-A KUBE-FIREWALL")),
    Change("INVALID packets forwarded", "clusterip-3ep", drop("--ctstate INVALID -j DROP")),
    Change("replies not accepted", "clusterip-3ep", drop(
        "--ctstate RELATED,ESTABLISHED -j ACCEPT")),
    Change("marked packets not accepted", "clusterip-3ep", drop(
        "^-A KUBE-FORWARD .*--mark 0x4000/0x4000 -j ACCEPT")),
)  # fmt: skip

HARMLESS = (
    Change("chains renamed", "clusterip-3ep", everywhere("KUBE-SEP-", "KUBE-EP-")),
    Change("disjoint rules in another order", "multiport-udp-tcp-named", swap(
        "^-A KUBE-SERVICES .*--dport 9153", "^-A KUBE-SERVICES .*--dport 3868")),
    Change("the mark spelled --or-mark", "clusterip-3ep", replace(
        "^-A KUBE-MARK-MASQ", "--set-xmark 0x4000/0x4000", "--or-mark 0x4000")),
    Change("the mark spelled --set-mark", "clusterip-3ep", replace(
        "^-A KUBE-MARK-MASQ", "--set-xmark", "--set-mark")),
    Change("the mark cleared by --xor-mark", "clusterip-3ep", replace(
        "^-A KUBE-POSTROUTING -j MARK", "--set-xmark 0x4000/0x0", "--xor-mark 0x4000")),
    Change("comments left out", "clusterip-3ep", everywhere(
        r' -m comment --comment "[^"]*"', "")),
    Change("an unused chain", "clusterip-3ep", before(
        "^-A PREROUTING .*portals", "-A KUBE-PROXY-CANARY -j ACCEPT")),
    Change("a rule that only counts", "clusterip-3ep", before(
        _ENTRY, "-A KUBE-SERVICES -p tcp")),
    Change("a LOG rule", "clusterip-3ep", before(
        _ENTRY, "-A KUBE-SERVICES -p tcp -m limit --limit 1/sec -j LOG")),
    Change("another mark bit set besides", "clusterip-3ep", before(
        _ENTRY, "-A KUBE-SERVICES -j MARK --set-xmark 0x20/0x20")),
    Change("a mark rule stands twice", "clusterip-3ep", before(
        _SVC + ".*KUBE-MARK-MASQ",
        f"-A KUBE-SVC-{_WEB} ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ")),
    Change("a host firewall for another port", "clusterip-3ep", before(
        "^-A INPUT", "-A INPUT -p tcp -m tcp --dport 25 -j DROP")),
    Change("goto in place of the last jump", "clusterip-3ep", replace(
        _SVC + ".*10.244.3.9:8080", "-j KUBE-SEP", "-g KUBE-SEP")),
    Change("state in place of conntrack", "no-endpoints", replace(
        "^-A FORWARD .*service portals", "-m conntrack --ctstate NEW", "-m state --state NEW")),
    Change("an unknown match where it cannot matter", "clusterip-3ep", before(
        "^-A INPUT", "-A INPUT -m time --timestart 01:00 --timestop 02:00 -j ACCEPT")),
)  # fmt: skip

UNDECIDED = (
    Change("affinity asks by destination", "affinity-clientip", replace(
        "--rcheck", "--rsource", "--rdest")),
    Change("affinity records by destination", "affinity-clientip", replace(
        "-m recent --set", "--rsource", "--rdest")),
    Change("affinity for a network", "affinity-clientip", replace(
        "--rcheck", "--mask 255.255.255.255", "--mask 255.255.255.0")),
    Change("affinity only after three packets", "affinity-clientip", replace(
        "--rcheck", "--reap ", "--reap --hitcount 3 ")),
)  # fmt: skip
"""Damage by what is outside the model: never proved, but no packet is shown either."""
