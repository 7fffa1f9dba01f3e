"""What people write is read as what they mean, or refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.grammar.address import parse_address
from svcc.verify.questions.targets import (
    AddressName,
    NamedTarget,
    NodePortName,
    QuestionError,
    ServiceName,
    read_destination,
    read_target,
)
from svcc.verify.questions.words import Question, read_question
from tests.support.effort import examples

IPV4, IPV6 = parse_address("10.96.0.1"), parse_address("fd00::1")
TARGETS: tuple[tuple[str, NamedTarget], ...] = (
    ("10.96.0.1", AddressName(IPV4)),
    ("10.96.0.1:80", AddressName(IPV4, 80)),
    ("10.96.0.1:80/UDP", AddressName(IPV4, 80, 17)),
    ("10.96.0.1/sctp", AddressName(IPV4, None, 132)),
    ("[10.96.0.1]:80", AddressName(IPV4, 80)),
    ("fd00::1", AddressName(IPV6)),
    ("fd00::1/tcp", AddressName(IPV6, None, 6)),
    ("[fd00::1]", AddressName(IPV6)),
    ("[fd00::1]:80/udp", AddressName(IPV6, 80, 17)),
    ("10-96-0-1.shop.pod", AddressName(IPV4)),
    ("10-96-0-1.shop.pod.cluster.local:80", AddressName(IPV4, 80)),
    ("fd00--1.shop.pod.cluster.local", AddressName(IPV6)),
    ("30080", NodePortName(30080)),
    (":30080", NodePortName(30080)),
    ("30080/udp", NodePortName(30080, 17)),
    ("web", ServiceName("web")),
    ("web:80", ServiceName("web", "", "80")),
    ("web:dns/udp", ServiceName("web", "", "dns", 17)),
    ("shop/web", ServiceName("web", "shop")),
    ("shop/udp", ServiceName("udp", "shop")),
    ("shop/web:http", ServiceName("web", "shop", "http")),
    ("web.shop", ServiceName("web", "shop")),
    ("web.shop.", ServiceName("web", "shop")),
    ("web.shop.svc:http", ServiceName("web", "shop", "http")),
    ("Web.Shop.SVC.cluster.local.", ServiceName("web", "shop")),
    ("svc/web.shop", ServiceName("web", "shop")),
    ("web-0.web.shop.svc.cluster.local", ServiceName("web", "shop")),
    ("http://web.shop/x?y", ServiceName("web", "shop", "80")),
    ("https://10.96.0.1", AddressName(IPV4, 443)),
    ("http://[fd00::1]/", AddressName(IPV6, 80)),
    ("http://web.shop.svc:8080", ServiceName("web", "shop", "8080")),
    ("tcp://10.96.0.1:443", AddressName(IPV4, 443, 6)),
    ("_dns._udp.web.shop.svc.cluster.local", ServiceName("web", "shop", "dns", 17)),
)


@pytest.mark.parametrize(("text", "target"), TARGETS, ids=[text for text, _ in TARGETS])
def test_targets(text: str, target: NamedTarget) -> None:
    assert read_target(text) == target


@pytest.mark.parametrize(
    "text",
    ["", ":", "/", "web/", "/web", "a/b/c", "web:", "web:80/", "web:80/icmp", "10.96",
     "10.96.0.300", "10.96.0.1:", "10.96.0.1:x", "10.96.0.1:65536", "65536", "0", "-1",
     "[fd00::1", "fd00::1]:80", "[fd00::g]", "a.b.c", ".web", "web..svc", "x/web.shop",
     "a.b.pod", "_x._icmp.web.shop.svc",
     "ftp://web.shop/", "tcp://web", "http://", "web shop", "²"],
)  # fmt: skip
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(QuestionError):
        read_target(text)


@examples(200, 5000)
@given(st.text(max_size=30) | st.text("0123456789abcdf:./[]_-²", max_size=20))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    with suppress(QuestionError):
        read_target(text)
    with suppress(QuestionError):
        read_question(text.split())


def test_questions() -> None:
    web = ServiceName("web", "shop")
    assert read_question(["shop/web"]) == Question(web, "shop/web")
    assert read_question(["to", "shop/web"]) == Question(web, "shop/web", "outside")
    assert read_question(["shop/web", "from", "pod"]) == Question(web, "shop/web", "pod")
    words = ["mark", "0x10", "from", "[fd00::1]", "iif", "cni0", "to", "shop/web", "port", "999"]
    assert read_question(words) == Question(web, "shop/web", IPV6, 999, "cni0", 16)


@pytest.mark.parametrize(
    "words",
    ["from pod", "from pods to shop/web", "to shop/web to shop/api", "to shop/web in eth0 iif eth1",
     "to shop/web port", "to shop/web port 65536", "to shop/web mark 0x1ffffffff",
     "shop/web shop/api"],
)  # fmt: skip
def test_what_is_no_question(words: str) -> None:
    with pytest.raises(QuestionError):
        read_question(words.split())


def test_destinations_need_a_port() -> None:
    assert read_destination("[fd00::1]:80/udp") == (IPV6, 80, 17)
    assert read_destination("10.96.0.1:80") == (IPV4, 80, 6)
    for text in ("fd00::1", "10.96.0.1", "web:80", "80"):
        with pytest.raises(QuestionError):
            read_destination(text)
