"""Kinds of damage to svcc's own iptables rules, and changes that do no harm.

``base`` names the file of ``tests/data/behaviour`` whose objects are compiled in iptables mode; the
change is done to its IPv4 script.
"""

from __future__ import annotations

from tests.support.damage.edits import Change, before, drop, everywhere, replace, swap

_SVC = r"^-A SVCC-SVC-L4475ULHHJ2R "
_FIRST = _SVC + r".*10\.244\.1\.5:8080"
_MARK = _SVC + r".*-j MARK"
_ENTRY = r"^-A SVCC-SERVICES -d 10\.96\."
_DNAT = r"-j DNAT"
_RECENT = r"^-A SVCC-SVC-AY7WOGT37V35 .*"
_UPDATE = _RECENT + r"--update .*10\.244\.1\.5"
_SET = _RECENT + r"--set .*10\.244\.1\.5"
_OTHER_LIST = "SVCC-EIIHEOZP6EY4MHTE"
_NAME = r"--name \S+"

DAMAGE = (
    Change("a backend's rule is missing", "node-port", drop(_FIRST)),
    Change("the last backend's rule is missing", "node-port", drop(_SVC + ".*10.244.3.9")),
    Change("the frontend's rule is missing", "node-port", drop(_ENTRY)),
    Change("two backends in the wrong order", "node-port", swap(
        _FIRST, _SVC + ".*10.244.2.7:8080")),
    Change("wrong backend address", "node-port", replace(_DNAT, "10.244.1.5:", "10.244.1.6:")),
    Change("wrong backend port", "node-port", replace(_DNAT, ":8080$", ":8081")),
    Change("DNAT leaves the port", "node-port", replace(_DNAT, ":8080$", "")),
    Change("a backend of another protocol only", "node-port", replace(_FIRST, "-p tcp", "-p udp")),
    Change("wrong digit in the frontend's address", "node-port", replace(
        _ENTRY, "10.96.0.11/32", "10.96.0.12/32")),
    Change("frontend's address widened", "node-port", replace(_ENTRY, "/32", "/31")),
    Change("wrong frontend port", "node-port", replace(_ENTRY, "--dport 80 ", "--dport 81 ")),
    Change("frontend's port left out", "node-port", replace(_ENTRY, "--dport 80 ", "")),
    Change("frontend's port widened", "node-port", replace(
        _ENTRY, "--dport 80 ", "--dport 80:81 ")),
    Change("wrong protocol", "node-port", replace(
        _ENTRY, "-p tcp (.*)-m tcp", r"-p udp \1-m udp")),
    Change("probability a little off", "node-port", replace(
        "--probability", "0.33333333349", "0.33343333349")),
    Change("probability 1", "node-port", replace("--probability", "0.33333333349", "1.0")),
    Change("probability 0", "node-port", replace("--probability", "0.33333333349", "0.0")),
    Change("probability turned around", "node-port", replace(
        "--probability", "--probability", "! --probability")),
    Change("masquerade mark missing", "node-port", drop(_MARK)),
    Change("masquerade mark for the wrong side", "node-port", replace(_MARK, "! -s", "-s")),
    Change("masquerade for a larger network only", "node-port", replace(
        _MARK, "10.244.0.0/16", "10.0.0.0/8")),
    Change("mark after the translation", "node-port", swap(_MARK, _FIRST)),
    Change("another mark bit", "node-port", replace(_MARK, "0x4000/0x4000", "0x8000/0x8000")),
    Change("the mark clears others first", "node-port", before(
        "^-A SVCC-POSTROUTING -m mark", "-A SVCC-POSTROUTING -j MARK --and-mark 0xffffbfff")),
    Change("MASQUERADE missing", "node-port", drop("-j MASQUERADE")),
    Change("everything masqueraded", "node-port", drop("^-A SVCC-POSTROUTING .*RETURN")),
    Change("mark test turned around", "node-port", replace(
        "^-A SVCC-POSTROUTING .*RETURN", "! --mark", "--mark")),
    Change("hairpin rule missing", "node-port", drop("-j SVCC-HAIRPIN")),
    Change("hairpins of another frontend", "node-port", replace(
        "^-A SVCC-HAIRPIN", "10.96.0.11", "10.96.0.99")),
    Change("hairpin test behind the mark's RETURN", "node-port", swap(
        "-j SVCC-HAIRPIN", "^-A SVCC-POSTROUTING .*RETURN")),
    Change("hairpins by a program that is never true", "node-port", replace(
        "-j SVCC-HAIRPIN", "6 0 0 1,6 0 0 0", "6 0 0 0,6 0 0 0")),
    Change("early ACCEPT", "node-port", before(_ENTRY, "-A SVCC-SERVICES -j ACCEPT")),
    Change("early RETURN", "node-port", before(
        _ENTRY, "-A SVCC-SERVICES -s 10.0.0.0/8 -j RETURN")),
    Change("early ACCEPT in the base chain", "node-port", before(
        "^-A PREROUTING", "-A PREROUTING -i ext0 -p tcp -j ACCEPT")),
    Change("DROP on the way", "node-port", before(
        "^-A SVCC-FORWARD", "-A SVCC-FORWARD -d 10.244.2.0/24 -j DROP")),
    Change("the node's packets dropped by interface", "node-port", before(
        "^-A SVCC-OUTPUT", "-A SVCC-OUTPUT ! -o lo -p tcp -j DROP")),
    Change("the node's packets dropped by the interface before DNAT", "node-port", before(
        "^-A SVCC-OUTPUT", "-A SVCC-OUTPUT -o ext0 -d 10.244.0.0/16 -j DROP")),
    Change("packets dropped by a pattern of interfaces", "node-port", before(
        "^-A SVCC-FORWARD", "-A SVCC-FORWARD -i ext+ -o pod+ -d 10.244.0.0/16 -j DROP")),
    Change("the node's own packets forgotten", "node-port", drop("^-A OUTPUT -j SVCC-SERVICES")),
    Change("packets from the wires forgotten", "node-port", drop("^-A PREROUTING")),
    Change("another address is captured", "node-port", before(
        _ENTRY, "-A SVCC-SERVICES -d 10.96.7.7/32 -p tcp -m tcp --dport 80"
        " -g SVCC-SVC-L4475ULHHJ2R")),
    Change("a packet for nobody is dropped", "node-port", before(
        "^-A SVCC-FORWARD", "-A SVCC-FORWARD -p udp -m udp --dport 53 -j DROP")),
    Change("cycle of jumps", "node-port", before(
        _SVC, "-A SVCC-SVC-L4475ULHHJ2R -j SVCC-SERVICES")),
    Change("frontend not tracked", "node-port", before(
        r"^\*nat", "*raw\n-A PREROUTING -d 10.96.0.11/32 -j CT --notrack\nCOMMIT")),
    Change("node port missing", "node-port", drop("^-A SVCC-NODEPORTS")),
    Change("wrong node port", "node-port", replace("^-A SVCC-NODEPORTS", "30080", "30081")),
    Change("node port on every address", "node-port", replace(
        "^-A SVCC-SERVICES .*SVCC-NODEPORTS$", "-m addrtype --dst-type LOCAL ", "")),
    Change("node port on local addresses of others", "node-port", replace(
        "^-A SVCC-SERVICES .*SVCC-NODEPORTS$", "--dst-type LOCAL", "! --dst-type LOCAL")),
    Change("loopback not served", "node-port", drop("^-A OUTPUT -d 127")),
    Change("guard of loopback missing", "node-port", drop("^-A SVCC-INPUT -d 127")),
    Change("outside traffic not masqueraded", "node-port", drop("^-A SVCC-EXT-.*MARK")),
    Change("Local policy reaches all backends", "external-local", replace(
        "^-A SVCC-EXT-.* -g SVCC-SVL", "SVCC-SVL", "SVCC-SVC")),
    Change("pods bound by Local policy", "external-local", drop("^-A SVCC-EXT-.* -s 10.244.0.0")),
    Change("the node bound by Local policy", "external-local", drop(
        "^-A SVCC-EXT-.*LOCAL -g SVCC-SVC")),
    Change("the node not masqueraded", "external-local", drop("^-A SVCC-EXT-.*LOCAL -j MARK")),
    Change("no DROP without local backends", "external-local-none-here", drop(
        "^-A SVCC-REFUSE -d 198.51.100.20")),
    Change("REJECT in place of DROP", "external-local-none-here", replace(
        "^-A SVCC-REFUSE -d 198.51.100.20", "-j DROP", "-j REJECT")),
    Change("refusal missing", "no-endpoints", drop("^-A SVCC-REFUSE -d 10.96.0.18/32 -p tcp")),
    Change("DROP in place of REJECT", "no-endpoints", replace(
        "^-A SVCC-REFUSE -d 10.96.0.18/32 -p tcp", "-j REJECT.*", "-j DROP")),
    Change("refusal of another protocol", "no-endpoints", replace(
        "^-A SVCC-REFUSE -d 10.96.0.18/32 -p sctp", "-p sctp (.*)-m sctp", r"-p tcp \1-m tcp")),
    Change("no refusal on node ports", "no-endpoints", drop("^-A SVCC-REFUSE-NP")),
    Change("no refusal for the node itself", "no-endpoints", drop("^-A OUTPUT -j SVCC-OUTPUT")),
    Change("backends refused", "node-port", before(
        "^-A SVCC-FORWARD -m conntrack --ctstate NEW", "-A SVCC-FORWARD -d 10.244.1.5/32 -p tcp"
        " -m tcp --dport 8080 -j REJECT")),
    Change("source range widened", "source-ranges", replace(
        "^-A SVCC-FW-.*203.0.113.0/24", "203.0.113.0/24", "203.0.112.0/20")),
    Change("source range missing", "source-ranges", drop("^-A SVCC-FW-.*192.0.2.9/32")),
    Change("no DROP outside the ranges", "source-ranges", drop("^-A SVCC-REFUSE -d 198.51.100.20")),
    Change("the ranges go round", "source-ranges", replace(
        "^-A SVCC-SERVICES -d 198.51.100.20", "SVCC-FW-", "SVCC-EXT-")),
    Change("health check port closed", "health-check-node-port", drop("--dport 32000")),
    Change("INVALID packets forwarded", "node-port", drop("--ctstate INVALID -j DROP")),
    Change("replies not accepted", "node-port", drop("--ctstate RELATED,ESTABLISHED -j ACCEPT")),
    Change("marked packets not accepted", "node-port", drop(
        "^-A SVCC-FORWARD .*--mark 0x4000/0x4000 -j ACCEPT")),
    Change("affinity: the return is missing", "affinity", drop(_UPDATE)),
    Change("affinity: nothing recorded", "affinity", replace(
        _SET, r"-m recent --set .* --rsource ", "")),
    Change("affinity: recorded in another's list", "affinity", replace(
        _SET, _NAME, f"--name {_OTHER_LIST}")),
    Change("affinity: recorded in a list of its own", "affinity", replace(
        _SET, _NAME, "--name SVCC-AAAAAAAAAAAAAAAA")),
    Change("affinity: asks another's list", "affinity", replace(
        _UPDATE, _NAME, f"--name {_OTHER_LIST}")),
    Change("affinity: two ports share a list", "affinity", everywhere(
        "SVCC-6FIZZPDHLIF2KZCI", "SVCC-N4L4VYAJMOOXLF7X")),
    Change("affinity: too short", "affinity", replace(_UPDATE, "--seconds 600", "--seconds 60")),
    Change("affinity: too long", "affinity", replace(_UPDATE, "--seconds 600", "--seconds 6000")),
    Change("affinity: never ends", "affinity", replace(_UPDATE, "--seconds 600 --reap ", "")),
    Change("affinity: returns to another backend", "affinity", replace(
        _UPDATE, "10.244.1.5:8080", "10.244.2.7:8080")),
    Change("affinity: returns to another port", "affinity", replace(
        _UPDATE, "10.244.1.5:8080", "10.244.1.5:8081")),
    Change("affinity: returns who never came", "affinity", replace(
        _UPDATE, "--update", "! --update")),
    Change("affinity: not renewed", "affinity", replace(_UPDATE, "--update", "--rcheck")),
    Change("affinity: recording is the refusal", "affinity", replace(_SET, "--set", "! --set")),
    Change("affinity: asked after the choice", "affinity", swap(_UPDATE, _SET)),
    Change("affinity: chosen and recorded apart", "affinity", replace(
        _SET, r"(-m statistic --mode random --probability \S+) (-m recent .*--rsource)", r"\2 \1")),
    Change("affinity: all recorded before the choice", "affinity", before(
        _UPDATE,
        "-A SVCC-SVC-AY7WOGT37V35 -m recent --set --name SVCC-N4L4VYAJMOOXLF7X --rsource")),
)  # fmt: skip

HARMLESS = (
    Change("chains renamed", "node-port", everywhere("SVCC-EXT-", "SVCC-OUTSIDE-")),
    Change("disjoint rules in another order", "affinity", swap(
        "^-A SVCC-NODEPORTS .*30080", "^-A SVCC-NODEPORTS .*30081")),
    Change("the mark spelled --or-mark", "node-port", replace(
        _MARK, "--set-xmark 0x4000/0x4000", "--or-mark 0x4000")),
    Change("the mark spelled --set-mark", "node-port", replace(_MARK, "--set-xmark", "--set-mark")),
    Change("comments left out", "node-port", everywhere(r' -m comment --comment "[^"]*"', "")),
    Change("another protocol sent back early", "node-port", before(
        _ENTRY, "-A SVCC-SERVICES -d 10.96.0.11/32 -p udp -m udp --dport 80 -j RETURN")),
    Change("a rule that only counts", "node-port", before(_ENTRY, "-A SVCC-SERVICES -p tcp")),
    Change("a LOG rule", "node-port", before(_ENTRY, "-A SVCC-SERVICES -p tcp -j LOG")),
    Change("another mark bit set besides", "node-port", before(
        _ENTRY, "-A SVCC-SERVICES -j MARK --set-xmark 0x20/0x20")),
    Change("a mark rule stands twice", "node-port", before(
        _MARK, "-A SVCC-SVC-L4475ULHHJ2R ! -s 10.244.0.0/16 -d 10.96.0.11/32"
        " -j MARK --set-xmark 0x4000/0x4000")),
    Change("a host firewall for another port", "node-port", before(
        "^-A INPUT", "-A INPUT -p tcp -m tcp --dport 25 -j DROP")),
    Change("the frontend's rule stands twice", "node-port", before(
        _ENTRY, "-A SVCC-SERVICES -d 10.96.0.11/32 -p tcp -m tcp --dport 80"
        " -g SVCC-SVC-L4475ULHHJ2R")),
    Change("the port as multiport", "node-port", replace(
        _ENTRY, "-m tcp --dport 80 ", "-m multiport --dports 80 ")),
    Change("another host is not tracked", "node-port", before(
        r"^\*nat", "*raw\n-A PREROUTING -d 192.0.2.77/32 -p icmp -j CT --notrack\nCOMMIT")),
    Change("affinity lists renamed", "affinity", everywhere("N4L4VYAJMOOXLF7X", "ANOTHERNAME")),
    Change("affinity without --reap", "affinity", everywhere("--reap ", "")),
    Change("jump in place of the last goto", "node-port", replace(
        "^-A SVCC-EXT-.* -g", "-g", "-j")),
)  # fmt: skip

UNDECIDED = (
    Change("affinity: asks by destination", "affinity", replace(_UPDATE, "--rsource", "--rdest")),
    Change("affinity: recorded by destination", "affinity", replace(_SET, "--rsource", "--rdest")),
    Change("affinity: asks for a network", "affinity", replace(
        _UPDATE, "--mask 255.255.255.255", "--mask 255.255.255.0")),
    Change("affinity: only after three packets", "affinity", replace(
        _UPDATE, "--reap ", "--reap --hitcount 3 ")),
)  # fmt: skip
"""Damage by what is outside the model: never proved, but no packet is shown either."""
