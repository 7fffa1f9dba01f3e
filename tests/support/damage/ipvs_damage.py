# ruff: noqa: E501
"""Kinds of damage to ipvs mode's bundles that must be caught, and changes that do no harm.

``base`` names the file of ``tests/data/behaviour`` whose objects are compiled in ipvs mode.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from svcc.compiler.bundle import ADDRESSES, IPSET, IPVSADM, render
from svcc.verify.report.report import Report
from svcc.verify.rule_files import from_files
from tests.support.clusters.cases import case_objects
from tests.support.clusters.ipvs_cases import compiled_case
from tests.support.damage.edits import Change, add, drop, sub
from tests.support.proofs import verify_with_causes

RULES = "iptables.rules"


def files(case: str) -> dict[str, str]:
    """The bundle of a case, by file names."""
    return dict(render(compiled_case(case)))


def judge(case: str, change: Change | None = None) -> Report:
    """Verify the bundle of a case, with one of its files changed."""
    compiled = compiled_case(case)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in render(compiled).items():
            if change is not None and name == change.file:
                text = change.of(text)
            Path(folder, name).write_text(text)
        rules = from_files([folder], None)
    return verify_with_causes(case_objects(case)[0], compiled.settings, rules)


REAL = "-a -t 10.96.0.16:80 -r "
DAMAGE = [
    # virtual servers
    Change("another real server", "external-local", sub(f"{REAL}10.244.1.5", f"{REAL}10.244.1.9"), IPVSADM),
    Change("another port", "external-local", sub(f"{REAL}10.244.1.5:8080", f"{REAL}10.244.1.5:8081"), IPVSADM),
    Change("a real server missing", "external-local", drop(f"{REAL}10.244.1.5"), IPVSADM),
    Change("a real server too many", "external-local", sub(f"^{REAL}10.244.1.5.*$", rf"\g<0>\n{REAL}10.9.9.9:8080 -m -w 1"), IPVSADM),
    Change("a real server of weight 0", "external-local", sub(f"({REAL}10.244.1.5:8080 -m -w) 1", r"\1 0"), IPVSADM),
    Change("all real servers of weight 0", "external-local", sub(f"({REAL}.* -w) 1", r"\1 0", 0), IPVSADM),
    Change("weights that differ", "external-local", lambda t: sub(f"({REAL}10.244.1.5:8080 -m -w) 1", r"\1 2")(t.replace("10.96.0.16:80 -s rr", "10.96.0.16:80 -s wrr")), IPVSADM),
    Change("a virtual server missing", "external-local", drop(r"10\.96\.0\.16:80", 0), IPVSADM),
    Change("a virtual server of another port", "external-local", sub(r"10\.96\.0\.16:80\b", "10.96.0.16:81", 0), IPVSADM),
    Change("a virtual server of another protocol", "external-local", sub("-t 10.96.0.16:80", "-u 10.96.0.16:80", 0), IPVSADM),
    Change("a virtual server that nobody declared", "external-local", add("-A -t 10.96.0.16:443 -s rr\n-a -t 10.96.0.16:443 -r 10.244.1.5:443 -m -w 1"), IPVSADM),
    Change("a virtual server on the node", "external-local", add("-A -t 192.168.7.10:22 -s rr\n-a -t 192.168.7.10:22 -r 10.244.1.5:443 -m -w 1"), IPVSADM),
    Change("a virtual server for any port", "external-local", add("-A -t 10.96.0.16:0 -s rr -p 300\n-a -t 10.96.0.16:0 -r 10.244.1.5:0 -m -w 1"), IPVSADM),
    Change("all endpoints for outside", "external-local", sub("^-a -t 198.51.100.20:80 -r 10.244.1.5.*$", r"\g<0>\n-a -t 198.51.100.20:80 -r 10.244.2.7:8080 -m -w 1"), IPVSADM),
    Change("no firewall-mark server", "external-local", drop(r"-f \d+", 0), IPVSADM),
    Change("a real server of the mark missing", "external-local", drop(r"-f \d+ -r 10.244.2.7"), IPVSADM),
    Change("no persistence", "affinity", sub("(10.96.0.24:80 -s rr) -p 600", r"\1"), IPVSADM),
    Change("persistence too short", "affinity", sub("(10.96.0.24:80 -s rr) -p 600", r"\1 -p 599"), IPVSADM),
    Change("persistence too long", "affinity", sub("(10.96.0.24:80 -s rr) -p 600", r"\1 -p 10800"), IPVSADM),
    Change("persistence unasked", "external-local", sub("(-A -t 10.96.0.16:80 -s rr)$", r"\1 -p 300"), IPVSADM),
    Change("no node port server", "affinity", drop(r"192\.168\.7\.10:30080", 0), IPVSADM),
    # sets
    Change("a mark missing", "external-local", drop("SVCC-FWMARK 198.51.100.20"), IPSET),
    Change("another mark", "external-local", sub(r"(SVCC-FWMARK 198.51.100.20,tcp:80 skbmark 0x53)\w+", r"\g<1>000001"), IPSET),
    Change("a node port without its mark", "external-local", drop("SVCC-NP-FWMARK 0.0.0.0/1"), IPSET),
    Change("half of a node port", "node-port", drop("SVCC-NP-SERVED 128.0.0.0/1"), IPSET),
    Change("another node port", "node-port", sub("(SVCC-NP-SERVED .*):30080", r"\1:30081", 0), IPSET),
    Change("a cluster IP not masqueraded", "external-local", drop("SVCC-CLUSTER-IP 10.96.0.16"), IPSET),
    Change("an external IP not masqueraded", "source-ranges", drop("SVCC-EXTERNAL 198.51.100.20"), IPSET),
    Change("an external IP masqueraded", "external-local-none-here", sub("^add SVCC-EXTERNAL-LOCAL 198.51.100.20", "create SVCC-EXTERNAL hash:ip,port family inet maxelem 65536\nadd SVCC-EXTERNAL 198.51.100.20"), IPSET),
    Change("a source range missing", "source-ranges", drop("SVCC-ALLOWED 198.51.100.20,tcp:80,203.0.113.0/24"), IPSET),
    Change("a source range too wide", "source-ranges", sub("203.0.113.0/24", "203.0.112.0/23"), IPSET),
    Change("no guard", "source-ranges", drop("SVCC-GUARDED 198.51.100.20"), IPSET),
    Change("outside let in", "external-local-none-here", drop("SVCC-NOT-OUTSIDE 198.51.100.20"), IPSET),
    Change("outside let in by the node port", "external-local-none-here", drop("SVCC-NP-NOT-OUTSIDE 0.0.0.0/1"), IPSET),
    Change("not dropped", "internal-local-none-here", drop("SVCC-DROPPED 10.96.0.17"), IPSET),
    Change("no health check", "health-check-node-port", drop("SVCC-HEALTH-CHECK 198"), IPSET),
    Change("not refused", "no-endpoints", drop("SVCC-REFUSED 10.96.0.18"), IPSET),
    Change("a frontend undeclared", "external-local", drop("SVCC-FRONTENDS 10.96.0.16"), IPSET),
    Change("a virtual IP open", "external-local", drop("SVCC-VIP 10.96.0.16"), IPSET),
    # addresses
    Change("a virtual IP not bound", "external-local", drop("198.51.100.20"), ADDRESSES),
    Change("an address too many", "external-local", add("address add 8.8.8.8/32 dev svcc-ipvs0"), ADDRESSES),
    # rules
    Change("marks never given", "external-local", drop("SVCC-PREROUTING -s 10.244.0.0/16 -j SVCC-FWMARK"), RULES),
    Change("marks for everybody", "external-local", sub("-s 10.244.0.0/16 -j SVCC-FWMARK", "-j SVCC-FWMARK"), RULES),
    Change("node ports not rewritten", "node-port", drop("-j DNAT --to-destination 192.168.7.10"), RULES),
    Change("node ports rewritten wrong", "node-port", sub("--to-destination 192.168.7.10", "--to-destination 192.168.7.11"), RULES),
    Change("no hairpin", "external-local", drop("-m ipvs --ipvs -m bpf"), RULES),
    Change("node not masqueraded", "external-local", drop("-m ipvs --ipvs -m mark --mark 0x53000000"), RULES),
    Change("no masquerading", "external-local", drop("-j MASQUERADE"), RULES),
    Change("guard after IPVS only", "source-ranges", drop("SVCC-OUTPUT -m conntrack --ctstate NEW -j SVCC-DENY"), RULES),
    Change("virtual IPs not refused", "external-local", drop("--match-set SVCC-VIP dst -j REJECT"), RULES),
    Change("loopback not served", "node-port", drop("-A OUTPUT -d 127.0.0.0/8"), RULES),
    Change("an ACCEPT too early", "source-ranges", sub("^-A PREROUTING -j SVCC-SERVICES", "-A PREROUTING -j ACCEPT\n\\g<0>"), RULES),
]  # fmt: skip

HARMLESS = [
    Change("real servers in another order", "external-local", lambda t: re.sub(f"({REAL}10.244.1.5.*\n)({REAL}10.244.1.6.*\n)", r"\2\1", t), IPVSADM),
    Change("another scheduler", "external-local", sub("10.96.0.16:80 -s rr", "10.96.0.16:80 -s lc"), IPVSADM),
    Change("equal weights that are not 1", "external-local", sub(f"({REAL}.* -w) 1", r"\1 7", 0), IPVSADM),
    Change("a drained real server", "external-local", sub(f"^{REAL}10.244.1.5.*$", rf"\g<0>\n{REAL}10.9.9.9:8080 -m -w 0"), IPVSADM),
    Change("unequal weights that rr ignores", "external-local", sub(f"({REAL}10.244.1.5:8080 -m -w) 1", r"\1 2"), IPVSADM),
    Change("hash sizes", "external-local", sub("maxelem 65536", "hashsize 2048 maxelem 99999", 0), IPSET),
    Change("a set that nobody asks", "external-local", add("create OTHER hash:ip family inet\nadd OTHER 10.96.0.16"), IPSET),
    Change("the hairpin rule twice", "external-local", sub("^-A SVCC-POSTROUTING -m ipvs --ipvs -m bpf.*$", r"\g<0>\n\g<0>"), RULES),
]  # fmt: skip
