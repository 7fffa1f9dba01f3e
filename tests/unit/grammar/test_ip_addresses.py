"""What says which addresses a dummy device has."""

from __future__ import annotations

import pytest

from svcc.grammar.address import Family, parse_address
from svcc.grammar.errors import InputError
from svcc.grammar.ipvs.addresses import is_address_text, parse
from tests.kube_proxy.dumps import real_names, real_text

ONE_LINE = """\
7: kube-ipvs0    inet 10.96.0.10/32 scope global kube-ipvs0\\       valid_lft forever
7: kube-ipvs0    inet6 fd00:96::a/128 scope global \\       valid_lft forever
7: kube-ipvs0    inet6 fe80::1/64 scope link \\       valid_lft forever
8: eth0    inet 192.168.7.10/24 scope global eth0\\       valid_lft forever
"""


@pytest.mark.parametrize("name", real_names("ipvs-addr.txt"))
def test_what_ip_shows_is_what_the_batch_adds(name: str) -> None:
    shown, batch = real_text(name, "ipvs-addr.txt"), real_text(name, "ipvs-addresses.batch")
    assert is_address_text(shown)
    assert is_address_text(batch)
    found = parse(shown, source="addr")
    added = parse(batch, source="batch")
    assert {of: list(lines) for of, lines in found.items()} == {
        of: list(lines) for of, lines in added.items()
    }
    assert found[Family.IPV4]
    # Those of lo are no virtual IPs.
    assert parse_address("192.168.7.10").value not in found[Family.IPV4]


def test_one_line_an_address() -> None:
    assert is_address_text(ONE_LINE)
    assert parse(ONE_LINE, source="addr") == {
        Family.IPV4: {parse_address("10.96.0.10").value: 1},
        Family.IPV6: {parse_address("fd00:96::a").value: 2},
    }


@pytest.mark.parametrize("line", ["address del 10.0.0.1 dev x", "address add", "route add default"])
def test_other_lines_are_told(line: str) -> None:
    with pytest.raises(InputError, match="f:2:1"):
        parse(f"link add kube-ipvs0 type dummy\n{line}\n", source="f")
