"""Apply in ipvs mode on a real kernel: what changes, what does not, and what survives."""

from __future__ import annotations

from pathlib import Path

import pytest

import svcc.api
from svcc.apply.engine import diff
from svcc.apply.iptables.tool import Iptables
from svcc.apply.removal import cleanup
from svcc.apply.system.errors import ApplyError
from svcc.compiler.files.write import write_bundle
from svcc.grammar.address import Network, parse_address
from svcc.grammar.ipvs.state import DEVICE
from tests.kernel.ipvs.apply.shop import NEW, OLD, compiled, put, service, state
from tests.support.kernel.namespace import Namespace

pytestmark = pytest.mark.ipvs


def difference(documents: list[dict[str, object]], mode: str = "ipvs") -> str:
    what = compiled(documents, mode)
    return diff(
        what.programs,
        route_localnet=what.route_localnet,
        ipvs=what.ipvs,
        tools=Iptables("legacy"),
    )


def test_everything_is_loaded_and_the_second_run_does_nothing(node: Namespace) -> None:
    what = compiled(OLD)
    assert what.ipvs is not None
    assert difference(OLD)
    outcome = put(what)
    assert outcome.warnings == ()
    now = state(node)
    assert now.servers == what.ipvs.servers
    assert now.sets == what.ipvs.sets
    own = [a for a in now.addresses if a.startswith(f"{DEVICE} ")]
    assert len(own) == sum(map(len, what.ipvs.addresses.values()))
    assert node.run("sysctl", "-n", "net.ipv4.vs.conntrack").strip() == "1"
    second = put(what)
    assert not second.changed
    assert second.summary().startswith("nothing to do")
    assert difference(OLD) == ""
    assert state(node) == now


def test_a_folder_is_loaded_as_what_was_compiled(node: Namespace, tmp_path: Path) -> None:
    what = compiled(OLD)
    assert what.ipvs is not None
    write_bundle(what, str(tmp_path))
    outcome = svcc.api.apply(
        svcc.api.Objects(), what.settings, rules=tmp_path, prove=False, iptables="legacy"
    )
    assert outcome.changed
    assert state(node).servers == what.ipvs.servers
    assert difference(OLD) == ""


def test_a_change_ends_where_a_cold_start_does(node: Namespace) -> None:
    put(compiled(NEW))
    cold = state(node)
    put(compiled(OLD))
    old = state(node)
    assert old != cold
    outcome = put(compiled(NEW))
    assert outcome.warnings == ()
    now = state(node)
    assert (now.servers, now.sets, now.addresses) == (cold.servers, cold.sets, cold.addresses)
    assert sorted(now.rules.splitlines()) == sorted(cold.rules.splitlines())
    assert not put(compiled(NEW)).changed


def test_a_small_change_is_small(node: Namespace) -> None:
    put(compiled(OLD))
    grown = [
        *OLD[:3],
        *service("dns", "10.96.0.11", ["53/UDP", "53"], ["10.244.1.9"])[1:],
        *OLD[4:],
    ]
    outcome = put(compiled(grown))
    assert outcome.scripts().count("\n-d ") == 2
    assert "restore" not in outcome.scripts()
    assert "*nat" not in outcome.scripts()


def test_all_of_it_goes(node: Namespace) -> None:
    empty = state(node)
    put(compiled(OLD))
    outcome = cleanup(tools=Iptables("legacy"))
    assert outcome.changed
    now = state(node)
    assert (now.servers, now.sets, now.addresses) == ({}, {}, empty.addresses)
    assert "SVCC" not in now.rules
    assert not cleanup(tools=Iptables("legacy")).changed


def test_no_services_at_all(node: Namespace) -> None:
    before = state(node).addresses
    put(compiled(OLD))
    put(compiled([]))
    now = state(node)
    assert (now.servers, now.sets, now.addresses) == ({}, {}, before)
    assert not put(compiled([])).changed


FOREIGN_SERVERS = """\
-A -t 203.0.113.99:80 -s wlc -p 100
-a -t 203.0.113.99:80 -r 10.9.9.9:80 -i -w 7 --tun-type gue --tun-port 6080 --tun-nocsum
-A -t 192.168.7.10:8080 -s rr
-a -t 192.168.7.10:8080 -r 10.9.9.9:80 -m -w 0
-A -f 77 -s rr
-A -f 77 -6 -s sh -b sh-port
-A -u [fd00:99::1]:53 -s rr -o
"""
FOREIGN_SETS = """\
create KUBE-CLUSTER-IP hash:ip,port family inet timeout 600
add KUBE-CLUSTER-IP 10.96.0.10,tcp:80 timeout 500
create mine list:set size 8
add mine KUBE-CLUSTER-IP
create macs hash:mac
"""


def foreign(node: Namespace) -> tuple[str, ...]:
    servers = node.run("ipvsadm", "-Sn")
    sets = node.run("ipset", "save", "mine") + node.run("ipset", "list", "-name")
    return (
        "\n".join(sorted(line for line in servers.splitlines() if "10.9.9.9" in line)),
        str(sorted(line for line in servers.splitlines() if "-A" in line)),
        sets,
        node.run("ip", "-o", "address", "show", "dev", "kube-ipvs0"),
    )


def test_what_others_made_is_left_alone(node: Namespace) -> None:
    node.run("ipvsadm", "-R", text=FOREIGN_SERVERS)
    node.run("ipset", "restore", text=FOREIGN_SETS)
    node.run("ip", "link", "add", "kube-ipvs0", "type", "dummy")
    node.run("ip", "address", "add", "10.96.0.99/32", "dev", "kube-ipvs0")
    before = foreign(node)
    put(compiled(OLD))
    put(compiled(NEW))
    assert set(foreign(node)[0].splitlines()) == set(before[0].splitlines())
    put(compiled(OLD, "iptables"))
    cleanup(tools=Iptables("legacy"))
    assert foreign(node) == before


def excluded(text: str) -> tuple[Network, ...]:
    address = parse_address(text)
    return (Network(address.family, address.value, 32),)


def test_an_excluded_address_is_never_touched(node: Namespace) -> None:
    put(compiled(OLD))
    node.run("ipvsadm", "-A", "-t", "198.51.100.21:443", "-s", "sh")
    # On a virtual IP it is taken for one of ours, but for the exclusion.
    outcome = put(compiled(OLD), dry_run=True)
    assert "-D -t 198.51.100.21:443" in outcome.scripts()
    without = [document for document in OLD if not document["metadata"]["name"].startswith("old")]
    put(compiled(without), exclude=excluded("198.51.100.21"))
    assert "198.51.100.21:443" in node.run("ipvsadm", "-Sn")
    cleanup(tools=Iptables("legacy"), exclude=excluded("198.51.100.21"))
    assert "198.51.100.21:443" in node.run("ipvsadm", "-Sn")


def test_wanting_an_excluded_address_is_an_error(node: Namespace) -> None:
    before = state(node)
    with pytest.raises(ApplyError, match=r"10\.96\.0\.10:80 is wanted.*excludeCIDRs"):
        put(compiled(OLD), exclude=excluded("10.96.0.10"))
    assert state(node) == before


def test_a_larger_set_takes_the_place_of_a_smaller_one(node: Namespace) -> None:
    put(compiled(OLD))
    node.run("ipset", "create", "other", "hash:ip,port", "maxelem", "2", "counters")
    node.run("ipset", "swap", "other", "SVCC-FRONTENDS")
    node.run("ipset", "destroy", "other")
    outcome = put(compiled(OLD))
    assert "swap SVCC-TMP-0 SVCC-FRONTENDS" in outcome.scripts()
    what = compiled(OLD).ipvs
    assert what is not None
    assert state(node).sets == what.sets


def test_a_set_of_another_type_is_told(node: Namespace) -> None:
    node.run("ipset", "create", "SVCC-FRONTENDS", "hash:ip")
    with pytest.raises(ApplyError, match="SVCC-FRONTENDS is a hash:ip of ipv4"):
        put(compiled(OLD))


def test_changes_made_by_hand_are_undone(node: Namespace) -> None:
    put(compiled(OLD))
    before = state(node)
    for command in (
        "ipvsadm -D -t 10.96.0.11:53",
        "ipvsadm -e -t 10.96.0.10:80 -r 10.244.1.5:80 -m -w 0",
        "ipvsadm -a -t 10.96.0.10:80 -r 10.9.9.9:80 -m",
        "ipvsadm -E -u 10.96.0.11:53 -s lc -p 9",
        "ipvsadm -A -t 10.96.0.10:8080",
        "ipset add SVCC-FRONTENDS 10.96.0.77,tcp:1",
        "ipset flush SVCC-CLUSTER-IP",
        "ipset add SVCC-ALLOWED 198.51.100.20,tcp:80,203.0.113.9/32 nomatch",
        f"ip address add 10.96.0.77/32 dev {DEVICE}",
        f"ip address add 10.96.0.78/24 dev {DEVICE}",
        f"ip address delete 10.96.0.10/32 dev {DEVICE}",
        f"ip link set {DEVICE} down",
    ):
        node.run(*command.split())
    put(compiled(OLD))
    assert state(node) == before


def test_timeouts_and_strict_arp(node: Namespace) -> None:
    what = compiled(OLD, ipvs={"tcpTimeout": "5s", "udpTimeout": "7s", "strictARP": True})
    put(what)
    assert node.run("ipvsadm", "-Ln", "--timeout").split(": ")[1].split() == ["5", "120", "7"]
    assert node.run("sysctl", "-n", "net.ipv4.conf.all.arp_ignore").strip() == "1"
    assert node.run("sysctl", "-n", "net.ipv4.conf.all.arp_announce").strip() == "2"
    assert not put(what).changed
