# ruff: noqa: E501
"""Kinds of damage to ipvs mode's bundles that must be caught, and changes that do no harm."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from svcc.compiler.bundle import ADDRESSES, IPSET, IPVSADM, render
from svcc.compiler.load.loader import load
from svcc.verify.report.report import Report
from svcc.verify.rule_files import from_files
from tests.support.clusters.cases import read_case
from tests.support.clusters.ipvs_cases import compiled_case
from tests.support.proofs import verify

RULES = "iptables.rules"
Edit = Callable[[str], str]


def judge(case: str, folder: Path, file: str = "", edit: Edit | None = None) -> Report:
    """Compile a case, change one file of the bundle, and verify the bundle."""
    compiled = compiled_case(read_case(case), folder)
    bundle = folder / "bundle"
    bundle.mkdir(exist_ok=True)
    for name, text in render(compiled).items():
        if edit is not None and name == file:
            changed = edit(text)
            assert changed != text, "the change changes nothing"
            text = changed
        (bundle / name).write_text(text)
    rules = from_files([str(bundle)], None)
    return verify(load([str(folder / "objects.yaml")]), compiled.settings, rules)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one file of a case's bundle."""

    what: str
    case: str
    file: str
    edit: Edit


def sub(pattern: str, new: str, count: int = 1) -> Edit:
    """Replace matches of a pattern (a line at a time)."""
    return lambda text: re.sub(pattern, new, text, count=count, flags=re.MULTILINE)


def drop(pattern: str, count: int = 1) -> Edit:
    """Leave out lines that match."""
    return sub(rf"^.*{pattern}.*\n", "", count)


def add(line: str) -> Edit:
    """A line at the end."""
    return lambda text: f"{text}{line}\n"


REAL = "-a -t 10.96.0.16:80 -r "
DAMAGE = [
    # virtual servers
    Change("another real server", "external-local", IPVSADM, sub(f"{REAL}10.244.1.5", f"{REAL}10.244.1.9")),
    Change("another port", "external-local", IPVSADM, sub(f"{REAL}10.244.1.5:8080", f"{REAL}10.244.1.5:8081")),
    Change("a real server missing", "external-local", IPVSADM, drop(f"{REAL}10.244.1.5")),
    Change("a real server too many", "external-local", IPVSADM, sub(f"^{REAL}10.244.1.5.*$", rf"\g<0>\n{REAL}10.9.9.9:8080 -m -w 1")),
    Change("a real server of weight 0", "external-local", IPVSADM, sub(f"({REAL}10.244.1.5:8080 -m -w) 1", r"\1 0")),
    Change("all real servers of weight 0", "external-local", IPVSADM, sub(f"({REAL}.* -w) 1", r"\1 0", 0)),
    Change("weights that differ", "external-local", IPVSADM, lambda t: sub(f"({REAL}10.244.1.5:8080 -m -w) 1", r"\1 2")(t.replace("10.96.0.16:80 -s rr", "10.96.0.16:80 -s wrr"))),
    Change("a virtual server missing", "external-local", IPVSADM, drop(r"10\.96\.0\.16:80", 0)),
    Change("a virtual server of another port", "external-local", IPVSADM, sub(r"10\.96\.0\.16:80\b", "10.96.0.16:81", 0)),
    Change("a virtual server of another protocol", "external-local", IPVSADM, sub("-t 10.96.0.16:80", "-u 10.96.0.16:80", 0)),
    Change("a virtual server that nobody declared", "external-local", IPVSADM, add("-A -t 10.96.0.16:443 -s rr\n-a -t 10.96.0.16:443 -r 10.244.1.5:443 -m -w 1")),
    Change("a virtual server on the node", "external-local", IPVSADM, add("-A -t 192.168.7.10:22 -s rr\n-a -t 192.168.7.10:22 -r 10.244.1.5:443 -m -w 1")),
    Change("a virtual server for any port", "external-local", IPVSADM, add("-A -t 10.96.0.16:0 -s rr -p 300\n-a -t 10.96.0.16:0 -r 10.244.1.5:0 -m -w 1")),
    Change("all endpoints for outside", "external-local", IPVSADM, sub("^-a -t 198.51.100.20:80 -r 10.244.1.5.*$", r"\g<0>\n-a -t 198.51.100.20:80 -r 10.244.2.7:8080 -m -w 1")),
    Change("no firewall-mark server", "external-local", IPVSADM, drop(r"-f \d+", 0)),
    Change("a real server of the mark missing", "external-local", IPVSADM, drop(r"-f \d+ -r 10.244.2.7")),
    Change("no persistence", "affinity", IPVSADM, sub("(10.96.0.24:80 -s rr) -p 600", r"\1")),
    Change("persistence too short", "affinity", IPVSADM, sub("(10.96.0.24:80 -s rr) -p 600", r"\1 -p 599")),
    Change("persistence too long", "affinity", IPVSADM, sub("(10.96.0.24:80 -s rr) -p 600", r"\1 -p 10800")),
    Change("no node port server", "affinity", IPVSADM, drop(r"192\.168\.7\.10:30080", 0)),
    # sets
    Change("a mark missing", "external-local", IPSET, drop("SVCC-FWMARK 198.51.100.20")),
    Change("another mark", "external-local", IPSET, sub(r"(SVCC-FWMARK 198.51.100.20,tcp:80 skbmark 0x53)\w+", r"\g<1>000001")),
    Change("a node port without its mark", "external-local", IPSET, drop("SVCC-NP-FWMARK 0.0.0.0/1")),
    Change("half of a node port", "node-port", IPSET, drop("SVCC-NP-SERVED 128.0.0.0/1")),
    Change("another node port", "node-port", IPSET, sub("(SVCC-NP-SERVED .*):30080", r"\1:30081", 0)),
    Change("a cluster IP not masqueraded", "external-local", IPSET, drop("SVCC-CLUSTER-IP 10.96.0.16")),
    Change("an external IP not masqueraded", "source-ranges", IPSET, drop("SVCC-EXTERNAL 198.51.100.20")),
    Change("an external IP masqueraded", "external-local-none-here", IPSET, sub("^add SVCC-EXTERNAL-LOCAL 198.51.100.20", "create SVCC-EXTERNAL hash:ip,port family inet maxelem 65536\nadd SVCC-EXTERNAL 198.51.100.20")),
    Change("a source range missing", "source-ranges", IPSET, drop("SVCC-ALLOWED 198.51.100.20,tcp:80,203.0.113.0/24")),
    Change("a source range too wide", "source-ranges", IPSET, sub("203.0.113.0/24", "203.0.112.0/23")),
    Change("no guard", "source-ranges", IPSET, drop("SVCC-GUARDED 198.51.100.20")),
    Change("outside let in", "external-local-none-here", IPSET, drop("SVCC-NOT-OUTSIDE 198.51.100.20")),
    Change("outside let in by the node port", "external-local-none-here", IPSET, drop("SVCC-NP-NOT-OUTSIDE 0.0.0.0/1")),
    Change("not dropped", "internal-local-none-here", IPSET, drop("SVCC-DROPPED 10.96.0.17")),
    Change("no health check", "health-check-node-port", IPSET, drop("SVCC-HEALTH-CHECK 198")),
    Change("not refused", "no-endpoints", IPSET, drop("SVCC-REFUSED 10.96.0.18")),
    Change("a frontend undeclared", "external-local", IPSET, drop("SVCC-FRONTENDS 10.96.0.16")),
    Change("a virtual IP open", "external-local", IPSET, drop("SVCC-VIP 10.96.0.16")),
    # addresses
    Change("a virtual IP not bound", "external-local", ADDRESSES, drop("198.51.100.20")),
    Change("an address too many", "external-local", ADDRESSES, add("address add 8.8.8.8/32 dev svcc-ipvs0")),
    # rules
    Change("marks never given", "external-local", RULES, drop("SVCC-PREROUTING -s 10.244.0.0/16 -j SVCC-FWMARK")),
    Change("marks for everybody", "external-local", RULES, sub("-s 10.244.0.0/16 -j SVCC-FWMARK", "-j SVCC-FWMARK")),
    Change("node ports not rewritten", "node-port", RULES, drop("-j DNAT --to-destination 192.168.7.10")),
    Change("node ports rewritten wrong", "node-port", RULES, sub("--to-destination 192.168.7.10", "--to-destination 192.168.7.11")),
    Change("no hairpin", "external-local", RULES, drop("-m ipvs --ipvs -m bpf")),
    Change("node not masqueraded", "external-local", RULES, drop("-m ipvs --ipvs -m mark --mark 0x53000000")),
    Change("no masquerading", "external-local", RULES, drop("-j MASQUERADE")),
    Change("guard after IPVS only", "source-ranges", RULES, drop("SVCC-OUTPUT -m conntrack --ctstate NEW -j SVCC-DENY")),
    Change("virtual IPs not refused", "external-local", RULES, drop("--match-set SVCC-VIP dst -j REJECT")),
    Change("loopback not served", "node-port", RULES, drop("-A OUTPUT -d 127.0.0.0/8")),
    Change("an ACCEPT too early", "source-ranges", RULES, sub("^-A PREROUTING -j SVCC-SERVICES", "-A PREROUTING -j ACCEPT\n\\g<0>")),
]  # fmt: skip

HARMLESS = [
    Change("persistence for a network", "affinity", IPVSADM, sub("(10.96.0.24:80 -s rr -p 600)", r"\1 -M 255.255.255.0")),
    Change("real servers in another order", "external-local", IPVSADM, lambda t: re.sub(f"({REAL}10.244.1.5.*\n)({REAL}10.244.1.6.*\n)", r"\2\1", t)),
    Change("another scheduler", "external-local", IPVSADM, sub("10.96.0.16:80 -s rr", "10.96.0.16:80 -s lc")),
    Change("equal weights that are not 1", "external-local", IPVSADM, sub(f"({REAL}.* -w) 1", r"\1 7", 0)),
    Change("a drained real server", "external-local", IPVSADM, sub(f"^{REAL}10.244.1.5.*$", rf"\g<0>\n{REAL}10.9.9.9:8080 -m -w 0")),
    Change("unequal weights that rr ignores", "external-local", IPVSADM, sub(f"({REAL}10.244.1.5:8080 -m -w) 1", r"\1 2")),
    Change("hash sizes", "external-local", IPSET, sub("maxelem 65536", "hashsize 2048 maxelem 99999", 0)),
    Change("a set that nobody asks", "external-local", IPSET, add("create OTHER hash:ip family inet\nadd OTHER 10.96.0.16")),
    Change("the hairpin rule twice", "external-local", RULES, sub("^-A SVCC-POSTROUTING -m ipvs --ipvs -m bpf.*$", r"\g<0>\n\g<0>")),
]  # fmt: skip
