"""``svcc status``, ``svcc list`` and the lines for Services in ipvs mode."""

from __future__ import annotations

import socket
import time

import pytest

from svcc.apply.seen import memory
from tests.support.command import svcc
from tests.support.kernel.namespace import Namespace
from tests.support.kernel.seen import backends, difference, listed, status
from tests.support.kernel.shop import MODES, SETTINGS, A, B, C, apply, shop

pytestmark = pytest.mark.ipvs

OLD, NEW = shop(A, B), shop(B, C, refused=True)


def test_seen_from_outside(node: Namespace) -> None:
    node.ip("route add default via 10.244.1.9 dev ext0 onlink")
    # Somebody else's is none of svcc's business.
    node.run("ipvsadm", "-A", "-t", "192.0.2.1:80", "-s", "rr")
    first = apply(OLD, "ipvs", "--node-ip", "192.168.7.10")
    assert first.code == 0, first.err
    assert first.out.startswith("shop/dns: +10.128.0.9:53 +10.128.0.16:53, frontend +10.96.0.11")
    assert backends() == {
        "10.96.0.10:80": [f"{A}:8080", f"{B}:8080"],
        "10.96.0.11:53": [f"{A}:53", f"{B}:53"],
        "*:30080": [f"{A}:8080", f"{B}:8080"],
    }
    found = status()
    assert (found["modes"], found["drift"]) == (["ipvs"], [])
    assert {item["servicePort"] for item in found["frontends"]} == {"shop/dns", "shop/web:http"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("10.96.0.11", 53))
    # The kernel adds up what virtual servers count every two seconds (ip_vs_est.c).
    for _ in range(600):
        if (counted := {item["connections"] for item in listed("services", "dns")}) == {1}:
            break
        time.sleep(0.1)
    assert counted == {1}
    arguments = ("diff", "-f", "-", *SETTINGS, *MODES["ipvs"], "--node-ip", "192.168.7.10")
    done = svcc(*arguments, text=NEW)
    assert f"# shop/dns: +{C}:53 -{A}:53\n# shop/idle: frontend +10.96.0.12:80/TCP\n" in done.out
    assert f"# shop/web: +{C}:8080 -{A}:8080\n" in done.out
    assert difference(svcc(*arguments, "-o", "json", text=NEW))["changed"]
    node.run("ipvsadm", "-d", "-t", "10.96.0.10:80", "-r", f"{A}:8080")
    assert status()["drift"] == ["ipvsadm -t 10.96.0.10:80"]
    assert svcc("status").code == 1
    memory.forget()
    assert {item["servicePort"] for item in listed("services")} >= {None}
    assert svcc("cleanup").code == 0
    assert status()["modes"] == []
