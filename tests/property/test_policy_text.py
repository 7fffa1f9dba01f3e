"""The text of a policy is read back as what was written; what is wrong is told with its place."""

from __future__ import annotations

import pytest

from svcc.grammar.errors import InputError
from svcc.grammar.policy import parse, write

TEXT = """\
never external -> service kube-system/*
only 10.0.0.0/8, not pod -> loadbalancer shop/web:http
always pod -> service shop/web via >= 2 backends via only 10.1.0.0/16, 10.2.0.0/16 if any
never 192.0.2.4/32 -> address [fd00::1]:80/tcp
never anyone -> nodeport 30080/tcp
"""


def test_write_is_the_inverse_of_parse() -> None:
    assert write([item.statement for item in parse(TEXT, source="p")]) == TEXT


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("never pods -> service a/b", "p:1:7: error: "),
        ("allow pod -> service a/b", "p:1:1: error: "),
        ("never pod -> nodeport 70000", "p:1:23: error: "),
    ],
)
def test_errors_have_their_place(line: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(line, source="p")
    assert str(caught.value).startswith(place)
