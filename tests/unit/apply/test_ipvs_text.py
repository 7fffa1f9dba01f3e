"""What ipvs mode's commands are as text, and what is told apart in what the tools print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import get_args

import pytest

from svcc.apply.iptables.tool import Iptables
from svcc.apply.ipvs import read as ipvs_read
from svcc.apply.ipvs import servers as ipvs
from svcc.apply.ipvs.commands import (
    AddAddress,
    AddEntry,
    AddReal,
    AddServer,
    Command,
    CreateDevice,
    CreateSet,
    DestroySet,
    EditReal,
    EditServer,
    RaiseDevice,
    RemoveAddress,
    RemoveDevice,
    RemoveEntry,
    RemoveReal,
    RemoveServer,
    SetSysctl,
    SetTimeouts,
    SwapSets,
    WaitForConnections,
    line_of,
)
from svcc.apply.ipvs.plan import Place, Stage
from svcc.apply.ipvs.run import active, run
from svcc.apply.ipvs.steps import Change, summary
from svcc.apply.system.errors import ToolError
from svcc.apply.system.tools import Result
from svcc.grammar.address import Family, Network, parse_address
from svcc.grammar.ipvs.ipset import Entry, PortOf, host
from svcc.grammar.ipvs.ipvsadm import RealKey, RealServer, Scheduling, VirtualKey
from svcc.grammar.ipvs.state import DEVICE, Ipvs

VIP, VIP6 = parse_address("10.96.0.10").value, parse_address("fd00:96::a").value
REAL, REAL6 = parse_address("10.244.1.5").value, parse_address("fd00:244::5").value
KEY = VirtualKey(Family.IPV4, 6, VIP, 80)
KEY6 = VirtualKey(Family.IPV6, 17, VIP6, 53)
MARK6 = VirtualKey(Family.IPV6, 0, 0x53000001, 0)
PARTS = (host(Family.IPV4, VIP), PortOf(6, 80))


LINES: list[tuple[Command, str, str]] = [
    (
        AddServer(KEY, Scheduling(scheduler="rr", persistence=300)),
        "ipvsadm",
        "-A -t 10.96.0.10:80 -s rr -p 300",
    ),
    (EditServer(KEY6, Scheduling(scheduler="rr")), "ipvsadm", "-E -u [fd00:96::a]:53 -s rr"),
    (RemoveServer(MARK6), "ipvsadm", "-D -f 1392508929 -6"),
    (
        AddReal(KEY, RealKey(REAL, 8080), RealServer()),
        "ipvsadm",
        "-a -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 1",
    ),
    (
        EditReal(KEY6, RealKey(REAL6, 53), RealServer(0)),
        "ipvsadm",
        "-e -u [fd00:96::a]:53 -r [fd00:244::5]:53 -m -w 0",
    ),
    (
        RemoveReal(KEY, RealKey(REAL, 8080)),
        "ipvsadm",
        "-d -t 10.96.0.10:80 -r 10.244.1.5:8080",
    ),
    (
        CreateSet("SVCC-X", "hash:ip,port", Family.IPV6, 7, True),
        "ipset",
        "create SVCC-X hash:ip,port family inet6 maxelem 7 skbinfo",
    ),
    (DestroySet("SVCC-X"), "ipset", "destroy SVCC-X"),
    (SwapSets("SVCC-TMP-0", "SVCC-X"), "ipset", "swap SVCC-TMP-0 SVCC-X"),
    (
        AddEntry("SVCC-X", Entry(PARTS, (0x53000001, 0xFFFFFFFF))),
        "ipset",
        "add SVCC-X 10.96.0.10,tcp:80 skbmark 0x53000001",
    ),
    (RemoveEntry("SVCC-X", PARTS), "ipset", "del SVCC-X 10.96.0.10,tcp:80"),
    (CreateDevice(), "ip", "link add svcc-ipvs0 type dummy"),
    (RaiseDevice(), "ip", "link set svcc-ipvs0 up"),
    (RemoveDevice(), "ip", "link delete svcc-ipvs0"),
    (AddAddress(Family.IPV4, VIP), "ip", "address add 10.96.0.10/32 dev svcc-ipvs0"),
    (AddAddress(Family.IPV6, VIP6), "ip", "address add fd00:96::a/128 dev svcc-ipvs0 nodad"),
    (
        RemoveAddress(Family.IPV4, VIP, 24),
        "ip",
        "address delete 10.96.0.10/24 dev svcc-ipvs0",
    ),
    (SetSysctl("net/ipv4/vs/conntrack", "1"), "sysctl", "net.ipv4.vs.conntrack=1"),
    (SetTimeouts((0, 60, 0)), "timeouts", "0 60 0"),
]


@pytest.mark.parametrize(
    ("command", "tool", "line"),
    LINES,
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_lines(command: Command, tool: str, line: str) -> None:
    assert line_of(command) == (tool, line)


class Tools(Iptables):
    """Tools that print what they are told to."""

    def __init__(self, **outputs: str | Result) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.outputs = outputs
        super().__init__("legacy", run=self.answer)

    def answer(
        self, arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]
    ) -> Result:
        del keep_open
        name = arguments[0].rpartition("/")[2]
        self.asked.append((name, *arguments[1:], text or ""))
        answer = self.outputs.get(f"{name} {' '.join(arguments[1:])}", "")
        return answer if isinstance(answer, Result) else Result(0, answer, "")


@pytest.fixture(autouse=True)
def _all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svcc.apply.system.tools.find_tool", lambda name: f"/sbin/{name}")


def test_commands_of_one_tool_go_in_one_go() -> None:
    tools = Tools()
    run(
        tools,
        [
            AddServer(KEY, Scheduling(scheduler="rr")),
            AddReal(KEY, RealKey(REAL, 80), RealServer()),
            DestroySet("SVCC-X"),
            RaiseDevice(),
        ],
        0,
    )
    assert [(asked[0], asked[1], asked[-1].count("\n")) for asked in tools.asked] == [
        ("ipvsadm", "-R", 2),
        ("ipset", "restore", 1),
        ("ip", "-batch", 1),
    ]


@pytest.mark.parametrize(
    ("answers", "command", "message"),
    [
        (
            {"ipvsadm -R": Result(0, "", "Service already exists\n")},
            AddServer(KEY, Scheduling(scheduler="rr")),
            r"ipvsadm -R failed: Service already exists \[-A -t 10\.96\.0\.10:80 -s rr\]",
        ),
        (
            {"ipset restore": Result(1, "", "ipset v7.17: Error in line 1: The set is in use\n")},
            DestroySet("SVCC-X"),
            r"ipset restore failed: .*in use \[destroy SVCC-X\]",
        ),
        (
            {"ip -batch -": Result(1, "", "RTNETLINK answers: File exists\nCommand failed -:1\n")},
            AddAddress(Family.IPV4, VIP),
            r"ip -batch - failed: .*File exists.*\[address add 10\.96\.0\.10/32 dev svcc-ipvs0\]",
        ),
        (
            {"ipvsadm -R": Result(-9, "", "")},
            RemoveServer(KEY),
            r"failed \(signal 9\): it does not say why",
        ),
    ],
)
def test_failures_name_the_line(answers: dict[str, Result], command: Command, message: str) -> None:
    with pytest.raises(ToolError, match=message):
        run(Tools(**answers), [command], 0)


LISTED = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.96.0.10:80 rr persistent 300
  -> 10.244.1.5:8080              Masq    0      2          0
  -> 10.244.1.6:8080              Masq    1      0          7
UDP  [fd00:96::a]:53 rr
  -> [fd00:244::5]:53             Masq    1      3          0
FWM  1392508929 IPv6 rr
  -> [fd00:244::5]:80             Masq    0      1          0
"""


def test_active_connections() -> None:
    assert active(Tools(**{"ipvsadm -Ln": LISTED})) == {
        (KEY, RealKey(REAL, 8080)),
        (MARK6, RealKey(REAL6, 80)),
    }


def test_waiting_ends_with_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    tools = Tools(**{"ipvsadm -Ln": LISTED})

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        tools.outputs["ipvsadm -Ln"] = LISTED.replace("      2  ", "      0  ")

    monkeypatch.setattr("svcc.apply.ipvs.run.time.sleep", sleep)
    run(tools, [WaitForConnections(((KEY, RealKey(REAL, 8080)),))], 1000)
    assert len(slept) == 1


SERVERS = """\
-A -t 10.96.0.10:80 -s rr
-a -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 1
-A -t 10.96.0.11:80 -s rr
-A -t 10.96.0.12:80 -s rr
-A -t 10.96.0.12:81 -s rr
-A -t 192.168.7.10:30080 -s rr
-A -t 192.168.7.10:30081 -s rr
-A -t 203.0.113.9:30080 -s rr
-A -f 1392508929 -s rr
-A -f 1392508929 -6 -s rr
-A -f 77 -s rr --pe sip
-A -t 203.0.113.8:80 -s new --odd
-a -t 203.0.113.8:80 -r 10.9.9.9:80 -i -w 1 --tun-type gue
"""
SETS = """\
create SVCC-FRONTENDS hash:ip,port family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 1
add SVCC-FRONTENDS 10.96.0.10,tcp:80
create SVCC-NP-SERVED hash:net,port family inet hashsize 1024 maxelem 65536
add SVCC-NP-SERVED 0.0.0.0/1,tcp:30080
create SVCC-FWMARK hash:ip,port family inet hashsize 1024 maxelem 65536 skbinfo
add SVCC-FWMARK 10.96.0.10,tcp:80 skbmark 0x53000001
create OTHER list:set size 8 odd
add OTHER SVCC-FRONTENDS
create KUBE hash:ip,port family inet
add KUBE 203.0.113.8,tcp:80
"""
ADDRESSES = [
    {
        "ifname": DEVICE,
        "flags": ["UP"],
        "addr_info": [
            {"family": "inet", "local": "10.96.0.12", "prefixlen": 32, "scope": "global"},
            {"family": "inet", "local": "10.96.0.99", "prefixlen": 24, "scope": "global"},
            {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
        ],
    },
    {
        "ifname": "eth0",
        "addr_info": [
            {"family": "inet", "local": "192.168.7.10", "prefixlen": 24, "scope": "global"}
        ],
    },
]


def look(*claims: Ipvs, exclude: tuple[Network, ...] = ()) -> ipvs_read.Live:
    tools = Tools(
        **{
            "ipvsadm -Sn": SERVERS,
            "ipvsadm -Ln --timeout": "Timeout (tcp tcpfin udp): 900 120 300\n",
            "ipset save": SETS,
            "ip -j address show": json.dumps(ADDRESSES),
        }
    )
    return ipvs_read.read(tools, claims=claims, exclude=exclude, settings=(), need_ipvs=True)


def test_what_is_ours() -> None:
    live = look()
    assert [str(key) for key in live.ipvs.servers] == [
        "10.96.0.10:80",
        "10.96.0.12:80",
        "10.96.0.12:81",
        "192.168.7.10:30080",
        "1392508929",
    ]
    assert live.ipvs.servers[KEY].servers == {RealKey(REAL, 8080): RealServer()}
    assert sorted(live.ipvs.sets) == ["SVCC-FRONTENDS", "SVCC-FWMARK", "SVCC-NP-SERVED"]
    assert live.ipvs.addresses[Family.IPV4] == (parse_address("10.96.0.12").value,)
    assert live.device.is_up
    assert live.device.odd_addresses == ((Family.IPV4, parse_address("10.96.0.99").value, 24),)
    assert live.ipvs.timeouts == (900, 120, 300)
    assert "virtual server 203.0.113.9:30080" in live.foreign
    assert len(live.foreign) == 6


def test_what_is_wanted_is_ours() -> None:
    wanted = Ipvs(addresses={Family.IPV4: (parse_address("10.96.0.11").value,)})
    assert len(look(wanted).ipvs.servers) == 6


def test_what_is_excluded_is_not() -> None:
    network = Network(Family.IPV4, parse_address("10.96.0.12").value, 32)
    keys = [str(key) for key in look(exclude=(network,)).ipvs.servers]
    assert "10.96.0.12:80" not in keys
    assert "10.96.0.10:80" in keys


def test_availability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("svcc.apply.system.sysctl.value", lambda name: "0")
    assert ipvs.available(Tools()) is None
    refused = Result(255, "", "Can't initialize ipvs: Protocol not available\n")
    reason = ipvs.available(Tools(**{"ipvsadm -Sn": refused}))
    assert (
        reason == "the kernel has no IPVS (ipvsadm: Can't initialize ipvs: Protocol not available)"
    )
    monkeypatch.setattr("svcc.apply.system.sysctl.value", lambda name: None)
    assert "CONFIG_IP_VS_NFCT" in (ipvs.available(Tools()) or "")
    monkeypatch.setattr("svcc.apply.system.tools.find_tool", lambda name: None)
    assert ipvs.available(Tools()) == "ipvsadm is not installed (Debian package: ipvsadm)"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert ipvs.available(Tools()) == "not root"


def test_a_step_says_what_it_does() -> None:
    commands = (
        AddAddress(Family.IPV4, VIP),
        AddAddress(Family.IPV6, VIP6),
        RaiseDevice(),
    )
    step = Change(Stage(Place.AFTER_RULES, "virtual IPs: what comes", commands), 0)
    assert step.describe() == "ip (virtual IPs: what comes): 2 addresses added, device raised"
    assert step.text().splitlines()[2] == "link set svcc-ipvs0 up"
    settings = (SetSysctl("net/ipv4/vs/conntrack", "1"),)
    step = Change(Stage(Place.BEFORE_RULES, "kernel settings", settings), 0)
    assert step.describe() == "sysctl (kernel settings): 1 setting changed"
    assert step.text() == "sysctl -w net.ipv4.vs.conntrack=1\n"


def test_every_kind_of_command_is_told() -> None:
    commands = [command for command, _, _ in LINES]
    commands.append(WaitForConnections(((KEY, RealKey(REAL, 8080)),)))
    assert {type(command) for command in commands} == set(get_args(Command))
    told = [
        *("virtual server added", "virtual server changed", "virtual server removed"),
        *("real server added", "weight changed", "real server removed"),
        *("set created", "set destroyed", "set exchanged", "entry added", "entry removed"),
        *("device created", "device raised", "device removed"),
        *("address added", "address added", "address removed"),
        *("setting changed", "timeouts set", "wait"),
    ]
    for command, words in zip(commands, told, strict=True):
        one = not words.startswith(("device", "timeouts", "wait"))
        assert summary((command,)) == ("1 " * one) + words
    assert summary(commands * 2) == (
        "2 virtual servers added, 2 virtual servers changed, 2 virtual servers removed, "
        "2 real servers added, 2 weights changed, 2 real servers removed, 2 sets created, "
        "2 sets destroyed, 2 sets exchanged, 2 entries added, 2 entries removed, device created, "
        "device raised, device removed, 4 addresses added, 2 addresses removed, "
        "2 settings changed, timeouts set, wait"
    )


@pytest.mark.parametrize(("release", "has"), [("5.4.0-1-amd64", True), ("5.9.1", False)])
def test_connections_are_not_delayed_on_old_kernels(
    monkeypatch: pytest.MonkeyPatch, release: str, *, has: bool
) -> None:
    class Name:
        def __init__(self) -> None:
            self.release = release

    monkeypatch.setattr("os.uname", Name)
    assert ("net/ipv4/vs/conn_reuse_mode" in ipvs.settings_for(Ipvs())) == has
    assert ipvs.settings_for(None) == {}
    assert ipvs.settings_for(Ipvs(strict_arp=True))["net/ipv4/conf/all/arp_announce"] == "2"
