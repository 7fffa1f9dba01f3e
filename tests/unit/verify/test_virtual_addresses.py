"""Which addresses are virtual IPs where no text of the dummy device was given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from svcc.grammar.address import Family, parse_address
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.grammar.ipvs.state import Ipvs
from svcc.verify.prepare.virtual_addresses import with_addresses
from svcc.verify.rule_files import from_text
from tests.kube_proxy.asking import verdict
from tests.kube_proxy.dumps import real_ipvs, real_names, real_objects, real_settings
from tests.support.proofs import verify

SERVERS = "-A -t 10.96.0.10:80 -s rr\n-A -t 192.168.7.10:30080 -s rr\n-A -u [fd00:96::a]:53 -s rr\n"
VIP, NODE, VIP6 = (parse_address(text) for text in ("10.96.0.10", "192.168.7.10", "fd00:96::a"))


def told(sets: str, *own: str) -> Ipvs:
    given = Ipvs(ipvsadm.parse(SERVERS, source="x"), ipset.parse(sets, source="x"))
    rules = replace(from_text("", Family.IPV4, "x").rules, ipvs=given)
    found = with_addresses(rules, tuple(map(parse_address, own))).ipvs
    assert found is not None
    return found


def test_those_of_virtual_servers_less_the_nodes_own() -> None:
    assert told("", "192.168.7.10").addresses == {
        Family.IPV4: (VIP.value,),
        Family.IPV6: (VIP6.value,),
    }
    assert told("").addresses[Family.IPV4] == (VIP.value, NODE.value)


@pytest.mark.parametrize("name", ["KUBE-IPVS-IPS", "SVCC-VIP"])
def test_the_writers_own_set_tells_it(name: str) -> None:
    sets = f"create {name} hash:ip family inet\nadd {name} 10.96.0.10\n"
    assert told(sets).addresses[Family.IPV4] == (VIP.value,)


@pytest.mark.parametrize(
    "name", [n for n in real_names("ipvs-addr.txt") if n in ("nodeport", "dual-stack")]
)
@pytest.mark.parametrize("with_sets", [True, False])
def test_the_nodes_own_address_is_no_surplus_virtual_ip(name: str, with_sets: bool) -> None:
    settings = real_settings(name, "ipvs")
    rules = real_ipvs(name)
    for item in rules.values():
        assert item.rules.ipvs is not None
        item.rules.ipvs = replace(item.rules.ipvs, addresses={})
    if not with_sets:
        for item in rules.values():
            assert item.rules.ipvs is not None
            item.rules.ipvs.sets.pop("KUBE-IPVS-IPS", None)
            assert "SVC014" not in verdict(verify(real_objects(name), settings, rules))
        return
    assert verdict(verify(real_objects(name), settings, rules)) == "proved"
