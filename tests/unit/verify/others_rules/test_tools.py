"""Other tools' rules beside the service rules: what they do to packets of their own is theirs,
what is wrong is found beside them, and what they break is found too."""

from __future__ import annotations

from functools import lru_cache

import pytest

from svcc.compiler.bundle import script
from svcc.compiler.pipeline import compile_objects
from svcc.grammar.address import Family
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import load
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.report.report import Report
from tests.support.clusters.beside import TOOLS, merged, tool
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.support.damage.dump_damage import DAMAGE
from tests.support.effort import LONG
from tests.support.proofs import verify

pytestmark = pytest.mark.slow

NAMES = sorted(path.name for path in DUMPS.iterdir() if path.is_dir())
FILE = "iptables-save.txt"


@lru_cache(maxsize=32)
def dump(name: str) -> str:
    return (DUMPS / name / FILE).read_text()


def judge(name: str, text: str, *tools: str) -> Report:
    both = merged(text, *(tool(item) for item in tools))
    rules = load(parse(both, family=Family.IPV4, source=FILE))
    loaded = {Family.IPV4: LoadedRules(rules, FILE)}
    return verify(dump_objects(name), dump_settings(name), loaded)


@pytest.mark.parametrize("name", TOOLS)
def test_kube_proxy_is_right_beside_them(name: str) -> None:
    wrong = []
    for of in NAMES:
        report = judge(of, dump(of), name)
        if report.verdict != "proved":
            wrong.append(f"{of}\n{report.to_text()}")
    assert not wrong, "\n".join(wrong[:2])


@pytest.mark.parametrize("name", TOOLS)
def test_own_rules_are_right_beside_them(name: str) -> None:
    for of in ("nodeport", "no-endpoints", "lb-source-ranges", "etp-local-with-local"):
        compiled = compile_objects(dump_objects(of), dump_settings(of))
        report = judge(of, script(compiled, Family.IPV4), name)
        assert report.verdict == "proved", f"{of}\n{report.to_text()}"


_BY_FIREWALL = {
    "health check port closed",
    "guard of loopback missing",
    "INVALID packets forwarded",
    "replies not accepted",
    "marked packets not accepted",
}
_BY_SET = {
    "masquerade mark missing",
    "masquerade mark for the wrong side",
    "masquerade for a larger network only",
    "hairpin mark missing",
    "another mark bit",
    "MASQUERADE missing",
    "outside traffic not masqueraded",
}
MADE_GOOD = {
    "docker": {"INVALID packets forwarded"},
    "docker-28": {"INVALID packets forwarded"},
    "firewalld": _BY_FIREWALL,
    "ufw": _BY_FIREWALL,
    "calico": _BY_SET,
    "kube-router": _BY_SET,
    "cilium": {"health check port closed"},
}
"""Damage that a tool makes good, or whose contents of sets decide: a host firewall drops and
accepts by itself, a network of pods masquerades by sets that are not given."""


@pytest.mark.parametrize("name", TOOLS)
def test_damage_is_found_beside_them(name: str) -> None:
    """Each kind beside some tools, in a long run beside twice as many."""
    missed = []
    step = 3 if LONG else 6
    for change in DAMAGE[TOOLS.index(name) % step :: step]:
        report = judge(change.base, change.of(dump(change.base)), name)
        if report.verdict != "violated" and change.name not in MADE_GOOD.get(name, ()):
            missed.append(f"{change.name}: {report.verdict}")
        assert "internal error" not in report.to_text(), change.name
    assert not missed, "\n".join(missed)


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ("-I FORWARD -d 10.244.0.0/16 -j DROP", "filter"),
        ("-I FORWARD -s 10.244.0.0/16 -p tcp -m tcp --dport 8080 -j REJECT", "filter"),
        ("-I FORWARD -o eth1 -j DROP", "filter"),
        ("-I FORWARD ! -i eth0 -p tcp -m tcp --dport 8080 -j DROP", "filter"),
        ("-I DOCKER-USER -p tcp -m tcp --dport 8080 -j DROP", "filter"),
        ("-I DOCKER-ISOLATION-STAGE-1 -d 10.244.1.5/32 -j DROP", "filter"),
        ("-I PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 15001", "nat"),
        ("-I PREROUTING -d 10.96.0.0/12 -p tcp -j DNAT --to-destination 10.0.0.1:80", "nat"),
        ("-I PREROUTING -p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.9", "nat"),
        (
            "-I OUTPUT -p tcp -m owner --uid-owner 1337 -j RETURN\n-I OUTPUT -p tcp -j REDIRECT",
            "nat",
        ),
        ("-I KUBE-SERVICES -j RETURN", "nat"),
        ("-I PREROUTING -j ACCEPT", "nat"),
        ("-I POSTROUTING -j MASQUERADE", "nat"),
        ("-I POSTROUTING -m mark --mark 0x4000/0x4000 -j ACCEPT", "nat"),
        ("-A PREROUTING -d 10.96.0.0/12 -j DROP", "mangle"),
        ("-A FORWARD -p tcp -m tcp --dport 8080 -j DROP", "security"),
        ("-A OUTPUT -d 10.244.1.5/32 -j DROP", "security"),
        ("-A PREROUTING -p tcp -m tcp --dport 80 -j NOTRACK", "raw"),
        ("-I FORWARD -m limit --limit 1000/sec -j ACCEPT\n-I FORWARD -j DROP", "filter"),
    ],
)
def test_what_people_break_is_found(rule: str, where: str) -> None:
    inserted = f"*{where}\n{rule}\nCOMMIT\n"
    text = merged(dump("nodeport"), tool("docker"), inserted)
    report = judge("nodeport", text)
    assert report.verdict == "violated", report.to_text()


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ("-A FORWARD -j ACCEPT", "filter"),
        ("-A INPUT -p tcp -m tcp --dport 22 -m hashlimit --hashlimit-above 5/min --hashlimit-name s"
         " -j DROP", "filter"),
        ("-I INPUT -m limit --limit 5/min -j LOG", "filter"),
        ("-I INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT", "filter"),
        ("-I INPUT -s 203.0.113.0/24 -p udp -m udp --dport 5353 -j DROP", "filter"),
        ("-A OUTPUT -m owner --uid-owner 1000 -j ACCEPT", "filter"),
        ("-I FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400", "mangle"),
        ("-A PREROUTING -p tcp -m tcp --dport 9999 -j DNAT --to-destination 10.0.0.1-10.0.0.9",
         "nat"),
        ("-A PREROUTING -p udp -m geoip --source-country XX -j DROP", "mangle"),
        ("-A INPUT -d 127.0.0.53/32 -p udp -m string --string x --algo bm -j DROP", "filter"),
    ],
)  # fmt: skip
def test_what_cannot_matter_does_not(rule: str, where: str) -> None:
    report = judge("nodeport", merged(dump("nodeport"), f"*{where}\n{rule}\nCOMMIT\n"))
    assert report.verdict == "proved", report.to_text()


def test_sets_that_were_not_given_decide() -> None:
    rule = "-I FORWARD -m set --match-set blocked src -j DROP"
    report = judge("nodeport", merged(dump("nodeport"), f"*filter\n{rule}\nCOMMIT\n"))
    assert report.verdict == "undecided"
    assert "blocked" in report.to_text()
