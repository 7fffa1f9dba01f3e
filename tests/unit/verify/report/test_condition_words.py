"""Conditions are said in the words of iptables that they came from."""

from __future__ import annotations

import pytest

from svcc.grammar.address import Family
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import load
from svcc.verify.model.conditions import Condition, InSet
from svcc.verify.model.rules import index_rules
from svcc.verify.report.condition_words import condition_words

WORDS = [
    "-s 10.244.0.0/16",
    "! -s 10.244.0.0/16",
    "! -d 192.0.2.7",
    "-d 10.0.0.1/255.0.0.255",
    "-i veth+",
    "! -o eth0",
    "-p udp",
    "-m mark ! --mark 0x4000/0x4000",
    "-m addrtype --dst-type LOCAL",
    "-m addrtype ! --src-type LOCAL",
    "-m conntrack --ctstate NEW,RELATED",
    "-m statistic --mode random --probability 0.33333333349",
    "-m recent --rcheck --seconds 600 --name clients",
    "-m recent ! --update --name clients",
    "-m ipvs ! --ipvs",
]


def conditions(words: str) -> tuple[Condition, ...]:
    text = f"*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD {words} -j ACCEPT\nCOMMIT\n"
    rules = index_rules(load(parse(text, family=Family.IPV4, source="x")))
    return rules.tables["filter"]["FORWARD"].records[0].conditions


def said(words: str) -> list[str]:
    found = conditions(words)
    return [condition_words(c, Family.IPV4) for c in found if not isinstance(c, InSet)]


@pytest.mark.parametrize("words", WORDS)
def test_words_are_those_of_the_rule(words: str) -> None:
    assert said(words) == [words]


def test_what_iptables_has_no_words_for() -> None:
    assert said("-p tcp -m tcp ! --dport 80:90") == ["-p tcp", "! --dport 80:90"]
    assert said("-p tcp -m multiport --dports 80,90:95")[-1] == "-m multiport --dports 80,90:95"
    assert said("-m conntrack --ctstate DNAT --ctorigdst 10.0.0.1") == [
        "-m conntrack --ctstate DNAT",
        "-m conntrack --ctorigdst 10.0.0.1",
    ]
    (unknown,) = said("-m length --length 1:2")
    assert unknown.startswith("[outside the model: ")
