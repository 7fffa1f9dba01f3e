"""ipvsadm and ipset judge the grammars: what is written loads, and reads back the same."""

from __future__ import annotations

import pytest

from svcc.compiler.bundle import IPSET, IPVSADM
from svcc.grammar.errors import InputError
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.grammar.ipvs.listing import listing
from tests.golden.test_ipvs_cases import FOLDER, NAMES
from tests.support.kernel.testbed import Testbed

pytestmark = pytest.mark.ipvs

SERVERS = """\
-A -f 1392508929 -s wrr
-a -f 1392508929 -r 10.0.0.1:0 -m -w 0
-a -f 1392508929 -r 10.0.0.2:8080 -m -w 65535
-A -t 10.96.0.1:80 -s sh -p 300 -M 255.255.255.0 -b sh-fallback,sh-port
-a -t 10.96.0.1:80 -r 10.0.0.1:8080 -m -w 1
-a -t 10.96.0.1:80 -r 10.0.0.2:80 -g -w 2
-A -u 10.96.0.1:53 -s rr -o
-A --sctp-service 10.96.0.1:36412 -s mh -b mh-port
-A -f 7 -6 -s lc
-a -f 7 -6 -r [fd00::1]:80 -m -w 1
-A -t [fd00::96:1]:80 -s dh -p 10800 -M 64
-a -t [fd00::96:1]:80 -r [fd00::2]:8080 -m -w 1
"""
SETS = """\
create A hash:ip family inet maxelem 65536
add A 10.0.0.1
create B hash:ip,port family inet6 maxelem 131072
add B fd00::1,tcp:80
add B fd00::1,sctp:0
create C hash:ip,port,net family inet maxelem 65536
add C 10.0.0.1,udp:53,10.0.0.0/8
add C 10.0.0.1,tcp:53,10.1.2.3
create D hash:net,port family inet maxelem 65536 skbinfo
add D 0.0.0.0/1,tcp:30080 skbmark 0x53000001
add D 128.0.0.0/1,tcp:30080 skbmark 0x4000/0x4000
create E bitmap:port range 0-65535
add E 30080
create F hash:net family inet maxelem 65536
add F 10.0.0.0/8
add F 10.1.0.0/16 nomatch
create G hash:ip,port,ip family inet maxelem 65536
add G 10.0.0.1,tcp:80,10.0.0.1
"""


def test_virtual_servers_read_back(testbed: Testbed) -> None:
    testbed.node.run("ipvsadm", "-R", text=SERVERS)
    wanted = ipvsadm.parse(SERVERS, source="written")
    saved = testbed.node.run("ipvsadm", "-Sn")
    assert ipvsadm.parse(saved, source="ipvsadm -Sn") == wanted
    assert sorted(saved.splitlines()) == sorted(ipvsadm.write(wanted).splitlines())


def test_virtual_servers_are_listed_as_ipvsadm_does(testbed: Testbed) -> None:
    testbed.node.run("ipvsadm", "-R", text=SERVERS)
    listed = testbed.node.run("ipvsadm", "-Ln").splitlines()
    expected = listing(ipvsadm.parse(SERVERS, source="written")).splitlines()
    assert listed[1:3] == expected[1:3]
    assert _blocks(listed[3:]) == _blocks(expected[3:])


def _blocks(lines: list[str]) -> list[list[str]]:
    """A virtual server with its real servers each; their order is the kernel's."""
    found: list[list[str]] = []
    for line in lines:
        if not line.startswith("  ->"):
            found.append([])
        found[-1].append(line)
    return sorted([head, *sorted(rest)] for head, *rest in found)


def test_sets_read_back(testbed: Testbed) -> None:
    testbed.node.run("ipset", "restore", text=SETS)
    wanted = ipset.parse(SETS, source="written")
    assert ipset.parse(testbed.node.run("ipset", "save"), source="ipset save") == wanted
    assert ipset.write(wanted) == SETS


@pytest.mark.parametrize("name", NAMES)
def test_golden_files_load_and_read_back(name: str, testbed: Testbed) -> None:
    servers, sets = ((FOLDER / name / file).read_text() for file in (IPVSADM, IPSET))
    testbed.node.run("ipvsadm", "-R", text=servers)
    testbed.node.run("ipset", "restore", text=sets)
    saved = testbed.node.run("ipvsadm", "-Sn")
    assert ipvsadm.parse(saved, source="-Sn") == ipvsadm.parse(servers, source=IPVSADM)
    saved = testbed.node.run("ipset", "save")
    assert ipset.parse(saved, source="save") == ipset.parse(sets, source=IPSET)


@pytest.mark.parametrize(
    "line",
    [
        "-A -t 10.96.0.1:80 -s nosuch",
        "-A -t 10.96.0.1:80 -u 10.96.0.1:80 -s rr",
        "-A -s rr",
        "-A -t 10.96.0.1:80 -s rr --bogus",
        "-a -t 10.96.0.1:80 -r 10.0.0.1:80 -m",
    ],
)
def test_what_ipvsadm_refuses_is_refused(line: str, testbed: Testbed) -> None:
    with pytest.raises(InputError):
        ipvsadm.parse(line + "\n", source="x")
    testbed.node.run("sh", "-c", "ipvsadm -R 2>/dev/null || true", text=line + "\n")
    assert testbed.node.run("ipvsadm", "-Sn") == ""
