"""``svcc status``, ``svcc list`` and the lines for Services, in iptables and nftables mode."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from svcc.apply.seen import memory
from tests.support.command import svcc
from tests.support.kernel.namespace import Namespace
from tests.support.kernel.reverting import LONG, wait_for_watchdog
from tests.support.kernel.seen import backends, difference, listed, status
from tests.support.kernel.shop import MODES as ARGUMENTS
from tests.support.kernel.shop import SETTINGS, A, B, C, apply, shop

pytestmark = pytest.mark.kernel

MODES = ("iptables-legacy", "iptables-nft", "nftables")
OLD, NEW = shop(A, B), shop(B, C, node_port=30081, refused=True)
CHANGES = """\
shop/dns: +10.128.0.25:53 -10.128.0.9:53
shop/idle: frontend +10.96.0.12:80/TCP
shop/web: +10.128.0.25:8080 -10.128.0.9:8080, frontend +*:30081/TCP, frontend -*:30080/TCP
"""
OF_OLD = {
    "10.96.0.10:80": [f"{A}:8080", f"{B}:8080"],
    "10.96.0.11:53": [f"{A}:53", f"{B}:53"],
    "*:30080": [f"{A}:8080", f"{B}:8080"],
}


def diff(text: str, mode: str, *arguments: str) -> list[str | object]:
    return ["diff", "-f", "-", *SETTINGS, *ARGUMENTS[mode], *arguments]


@pytest.mark.parametrize("mode", MODES)
def test_status(node: Namespace, mode: str, tmp_path: Path) -> None:
    nothing = status()
    assert (nothing["modes"], nothing["loaded"], nothing["drift"]) == ([], None, [])
    assert svcc("status").out == "nothing of svcc's is loaded here\n"
    objects = tmp_path / "shop.yaml"
    objects.write_text(OLD)
    done = svcc("apply", "-f", objects, *SETTINGS, *ARGUMENTS[mode])
    assert done.code == 0, done.err
    found = status()
    assert found["modes"] == [mode.partition("-")[0]]
    assert found["drift"] == []
    assert found["loaded"]["node"] == "node-a"
    assert found["loaded"]["mode"] == mode.partition("-")[0]
    (file,) = found["loaded"]["files"]
    assert (file["name"], file["changed"]) == (str(objects), False)
    text = svcc("status")
    assert text.code == 0
    assert "drift      none" in text.out
    assert "3 frontends of 2 Services, 4 backends" in text.out
    objects.write_text(NEW)
    assert status()["loaded"]["files"][0]["changed"]
    assert "it has changed since" in svcc("status").out
    # Nobody but root may read what was noted.
    (path,) = Path("/run/svcc").glob(f"{Path('/proc/thread-self/ns/net').stat().st_ino}.loaded")
    assert path.stat().st_mode & 0o777 == 0o600
    assert svcc("cleanup").code == 0
    assert status() == nothing


@pytest.mark.parametrize("mode", MODES)
def test_drift(node: Namespace, mode: str) -> None:
    assert apply(OLD, mode).code == 0
    if mode == "nftables":
        node.run("nft", "delete", "element", "ip", "svcc", "services", "{ 10.96.0.10 . tcp . 80 }")
        part = "nftables tables svcc"
    else:
        node.run(mode, "-t", "nat", "-I", "SVCC-SERVICES", "-d", "192.0.2.1", "-j", "RETURN")
        part = f"{mode} ipv4 nat"
    # What others do with their own is no drift.
    node.run("iptables-legacy", "-I", "FORWARD", "-s", "192.0.2.1", "-j", "DROP")
    done = svcc("status")
    assert done.code == 1
    assert f"somebody else has changed {part}" in done.out
    assert status()["drift"] == [part]
    assert apply(OLD, mode).code == 0
    assert status()["drift"] == []
    # All of it gone is drift as well.
    if mode == "nftables":
        node.run("nft", "delete", "table", "ip", "svcc")
        node.run("nft", "delete", "table", "ip6", "svcc")
    else:
        for table in ("nat", "filter"):
            node.run(mode, "-t", table, "-F")
            node.run(mode, "-t", table, "-X")
    assert svcc("status").code == 1


@pytest.mark.parametrize("mode", MODES)
def test_what_was_not_noted_is_told(node: Namespace, mode: str) -> None:
    assert apply(OLD, mode).code == 0
    memory.forget()
    found = status()
    assert (found["loaded"], found["drift"]) == (None, None)
    assert found["driftUnknown"] == "what was loaded is not known"
    assert "loaded     not known when" in svcc("status").out
    assert backends() == OF_OLD
    assert node


@pytest.mark.parametrize("mode", MODES)
def test_list(node: Namespace, mode: str) -> None:
    assert apply(NEW, mode).code == 0
    done = svcc("list")
    assert done.code == 0, done.err
    assert [line.split() for line in done.out.splitlines()] == [
        ["NAMESPACE", "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "ENDPOINTS"],
        ["shop", "dns", "ClusterIP", "10.96.0.11", "<none>", "53/UDP", f"{B}:53,{C}:53"],
        ["shop", "idle", "ClusterIP", "10.96.0.12", "<none>", "80/TCP", "<none>"],
        ["shop", "web", "NodePort", "10.96.0.10", "<none>", "80:30081/TCP", f"{B}:8080,{C}:8080"],
    ]
    servers = svcc("list", "vs", "web").out
    assert f"TCP  10.96.0.10:80 shop/web:http\n  -> {B}:8080\n  -> {C}:8080\n" in servers
    assert "10.96.0.11" not in servers
    behind = svcc("list", "backends", "shop/dns").out.splitlines()[1].split(maxsplit=3)
    assert behind[:3] == [f"{B}:53", "shop/dns", "10.96.0.11:53/UDP"]
    assert behind[3].startswith("ip svcc map" if mode == "nftables" else "SVCC-SVC-")
    (dns,) = listed("services", "dns")
    assert dns["kind"] == "cluster IP"
    assert svcc("list", "services", "none-of-that-name").code == 1
    assert svcc("list", "services", "-n", "elsewhere", "-o", "json").code == 0
    assert node


@pytest.mark.parametrize("mode", ["iptables-legacy", "iptables-nft"])
def test_connections_are_counted(node: Namespace, mode: str) -> None:
    node.ip(
        "link add ext0 type veth peer name far",
        "link set ext0 up",
        "link set far up",
        "address add 192.168.7.10/24 dev ext0",
        "route add default via 192.168.7.1",
    )
    assert apply(OLD, mode).code == 0
    for _ in range(3):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", ("10.96.0.11", 53))
            client.sendto(b"y", ("10.96.0.11", 53))
    assert {item["servicePort"]: item["connections"] for item in listed()} == {
        "shop/dns": 3,
        "shop/web:http": 0,
    }


@pytest.mark.parametrize("mode", MODES)
def test_without_comments_names_are_those_that_were_noted(node: Namespace, mode: str) -> None:
    assert apply(OLD, mode, "--no-comments").code == 0
    assert {item["servicePort"] for item in listed()} == {"shop/dns", "shop/web:http"}
    memory.forget()
    assert {item["servicePort"] for item in listed()} == {None}
    assert backends() == OF_OLD
    assert node


@pytest.mark.parametrize("mode", MODES)
def test_a_line_for_each_service(node: Namespace, mode: str) -> None:
    first = apply(OLD, mode)
    assert first.out.startswith("shop/dns: +10.128.0.9:53 +10.128.0.16:53, frontend +10.96.0.11")
    done = svcc(*diff(NEW, mode), text=NEW)
    assert done.code == 1
    lines = [line for line in done.out.splitlines() if line.startswith("# ")]
    assert "".join(f"{line.removeprefix('# ')}\n" for line in lines) == CHANGES
    applied = apply(NEW, mode)
    assert applied.out.startswith(CHANGES)
    again = svcc(*diff(NEW, mode), text=NEW)
    assert (again.code, again.out) == (0, "")
    gone = svcc("cleanup")
    assert "shop/idle: frontend -10.96.0.12:80/TCP\n" in gone.out
    assert node


@pytest.mark.parametrize("mode", MODES)
def test_diff_as_json(node: Namespace, mode: str) -> None:
    assert apply(OLD, mode).code == 0
    found = difference(svcc(*diff(NEW, mode, "-o", "json"), text=NEW))
    dns = found["services"][0]
    assert dns["service"] == "shop/dns"
    (frontend,) = dns["frontends"]
    assert frontend["change"] == "changed"
    assert frontend["backends"] == {"added": [f"{C}:53"], "removed": [f"{A}:53"]}
    assert not difference(svcc(*diff(OLD, mode, "-o", "json"), text=OLD))["changed"]
    assert node


@pytest.mark.parametrize(("before", "after"), [("nftables", "iptables-nft"),
                                               ("iptables-legacy", "nftables")])  # fmt: skip
def test_another_mode_that_serves_the_same_changes_no_service(
    node: Namespace, before: str, after: str
) -> None:
    assert apply(OLD, before).code == 0
    found = difference(svcc(*diff(OLD, after, "-o", "json"), text=OLD))
    assert found["changed"]
    assert found["services"] == []
    done = apply(OLD, after)
    assert not done.out.startswith("shop")
    assert status()["drift"] == []
    assert backends() == OF_OLD
    assert node


def test_what_goes_back_is_told_as_it_was(node: Namespace) -> None:
    assert apply(OLD, "nftables").code == 0
    before = status()
    assert apply(NEW, "nftables", "--confirm-timeout", LONG).code == 0
    assert status()["confirmation"]["state"] in ("loading", "waiting")
    assert "confirm    the apply of" in svcc("status").out
    assert svcc("confirm", "--revert").code == 0
    wait_for_watchdog()
    after = status()
    assert after.pop("confirmation")["state"] == "reverted"
    assert before.pop("confirmation") is None
    assert after == before
    assert node
