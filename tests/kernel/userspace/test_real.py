"""What docs/userspace.md says of nginx, seen with a real one."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.paths import DATA
from tests.support.command import svcc
from tests.support.kernel.packets import TCP, UDP
from tests.support.kernel.proxying import Answer, Endpoint, ProxyTestbed

pytestmark = pytest.mark.kernel

SHOP = DATA / "cases-userspace" / "shop"
CLIENT, OTHER = "203.0.113.7", "203.0.113.200"
WEB: list[Endpoint] = [
    ("10.244.1.5", 8080, TCP), ("10.244.2.7", 8080, TCP), ("10.244.3.9", 8080, TCP),
]  # fmt: skip
CART: list[Endpoint] = [("10.244.1.5", 8081, TCP), ("10.244.2.7", 8081, TCP)]
DNS: list[Endpoint] = [("10.244.1.8", 53, UDP), ("10.244.2.8", 53, UDP)]
FAR = {address for address, _, _ in (*WEB, *DNS)}


def compiled(folder: Path, objects: str | None = None) -> Path:
    """The shop, or other objects, compiled into a folder."""
    file = folder / "objects.yaml"
    file.write_text((SHOP / "objects.yaml").read_text() if objects is None else objects)
    out = folder / "out"
    done = svcc("compile", "-f", file, "--config", SHOP / "config.yaml", "-o", out)
    assert done.code == 0, done.err
    return out


@contextmanager
def shop(testbed: ProxyTestbed, out: Path, clients: set[str]) -> Iterator[None]:
    """The proxy at work, with clients outside."""
    with testbed.others(FAR | clients), testbed.proxy(out):
        yield


def reached(testbed: ProxyTestbed, to: str, port: int, tries: int) -> Counter[str]:
    """How often each backend answered."""
    found = (testbed.connect("far", CLIENT, to, port, TCP) for _ in range(tries))
    return Counter(one.address if isinstance(one, Answer) else str(one) for one in found)


def with_one_worker(out: Path, *changes: tuple[str, str]) -> None:
    """Whose turns can be counted."""
    conf = out / "nginx.conf"
    text = conf.read_text()
    for old, new in (("worker_processes auto", "worker_processes 1"), *changes):
        assert old in text
        text = text.replace(old, new)
    conf.write_text(text)


def test_virtual_ips_on_loopback(proxy_testbed: ProxyTestbed, tmp_path: Path) -> None:
    out = compiled(tmp_path)
    with (
        proxy_testbed.others(FAR | {CLIENT}),
        proxy_testbed.backends(WEB),
        proxy_testbed.proxy(out, on_loopback=True),
    ):
        shown = proxy_testbed.node.run("ip", "address", "show", "dev", "lo")
        (tmp_path / "shown").write_text(shown)
        assert reached(proxy_testbed, "10.96.0.10", 80, 30).keys() == {a for a, _, _ in WEB}
    given = ("-f", tmp_path / "objects.yaml", "--config", SHOP / "config.yaml")
    rules = ("--rules", out / "nginx.conf", "--rules", tmp_path / "shown")
    done = svcc("verify", *given, *rules)
    assert done.code == 0, done
    assert "SVC088" not in done.err


def test_shares_are_equal(proxy_testbed: ProxyTestbed, tmp_path: Path) -> None:
    out = compiled(tmp_path)
    with_one_worker(out)
    with shop(proxy_testbed, out, {CLIENT}), proxy_testbed.backends(WEB):
        assert set(reached(proxy_testbed, "10.96.0.10", 80, 30).values()) == {10}


def test_a_backend_that_refuses_costs_nobody_anything(
    proxy_testbed: ProxyTestbed, tmp_path: Path
) -> None:
    """Its clients get another one, and once it answers it has its share again."""
    out = compiled(tmp_path)
    with_one_worker(out)
    with shop(proxy_testbed, out, {CLIENT}):
        with proxy_testbed.backends(WEB[:2]):
            assert reached(proxy_testbed, "10.96.0.10", 80, 30).keys() == {a for a, _, _ in WEB[:2]}
        with proxy_testbed.backends(WEB):
            assert reached(proxy_testbed, "10.96.0.10", 80, 30)[WEB[2][0]] == 10


def test_passive_health_checks_leave_a_backend_out(
    proxy_testbed: ProxyTestbed, tmp_path: Path
) -> None:
    """Why SVC086 is a violation."""
    out = compiled(tmp_path)
    with_one_worker(out, (" max_fails=0", " fail_timeout=1h"))
    with shop(proxy_testbed, out, {CLIENT}):
        with proxy_testbed.backends(WEB[:2]):
            reached(proxy_testbed, "10.96.0.10", 80, 6)
        with proxy_testbed.backends(WEB):
            assert WEB[2][0] not in reached(proxy_testbed, "10.96.0.10", 80, 30)


def test_clients_stay_and_are_spread(proxy_testbed: ProxyTestbed, tmp_path: Path) -> None:
    out = compiled(tmp_path)
    clients = {f"203.0.113.{number}" for number in range(1, 41)}
    with shop(proxy_testbed, out, clients), proxy_testbed.backends(CART):
        found = Counter[str]()
        for client in sorted(clients):
            answers = {
                one.address if isinstance(one, Answer) else str(one)
                for one in (
                    proxy_testbed.connect("far", client, "10.96.0.13", 80, TCP) for _ in range(4)
                )
            }
            assert len(answers) == 1
            found.update(answers)
    assert found.keys() == {address for address, _, _ in CART}
    assert min(found.values()) > 8


def test_datagrams_of_a_flow_stay_together(proxy_testbed: ProxyTestbed, tmp_path: Path) -> None:
    out = compiled(tmp_path)
    with shop(proxy_testbed, out, {CLIENT}), proxy_testbed.backends(DNS):
        seen = set()
        for _ in range(20):
            with proxy_testbed.far.entered():
                flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with flow:
                flow.settimeout(60)
                flow.bind((CLIENT, 0))
                flow.connect(("10.96.0.53", 53))
                answers = set()
                for _ in range(8):
                    flow.send(b"who")
                    answers.add(flow.recv(100))
            assert len(answers) == 1
            seen |= answers
        assert len(seen) == 2


def test_denied_datagrams_reach_nobody(proxy_testbed: ProxyTestbed, tmp_path: Path) -> None:
    """What is denied stands in the worker's queue ahead of what is let in, and is not heard of."""
    objects = (SHOP / "objects.yaml").read_text().replace(
        "  clusterIP: 10.96.0.53\n",
        "  clusterIP: 10.96.0.53\n  type: LoadBalancer\n"
        f"  loadBalancerSourceRanges: [{CLIENT}/32]\n",
    ).replace("protocol: UDP}, {name: dns-tcp, port: 53}]\n---", (
        "protocol: UDP}, {name: dns-tcp, port: 53}]\n"
        "status: {loadBalancer: {ingress: [{ip: 198.51.100.53}]}}\n---"
    ), 1)  # fmt: skip
    out = compiled(tmp_path, objects)
    with_one_worker(out)
    assert "allow 203.0.113.7/32" in (out / "nginx.conf").read_text()
    with shop(proxy_testbed, out, {CLIENT, OTHER}), proxy_testbed.backends(DNS) as backends:
        with proxy_testbed.far.entered():
            denied = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with denied:
            denied.bind((OTHER, 0))
            denied.connect(("198.51.100.53", 53))
            for _ in range(10):
                denied.send(b"who")
            for _ in range(4):
                one = proxy_testbed.connect("far", CLIENT, "198.51.100.53", 53, UDP)
                assert isinstance(one, Answer)
            assert sum(backends.heard.values()) == 4
            denied.setblocking(False)
            with pytest.raises(BlockingIOError):
                denied.recv(100)


def test_half_closed_connections_are_passed_on(proxy_testbed: ProxyTestbed, tmp_path: Path) -> None:
    """A client that says that it has said all still gets its answer."""
    out = compiled(tmp_path)
    with shop(proxy_testbed, out, {CLIENT}):
        with proxy_testbed.far.entered():
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with listener, client:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("10.244.1.5", 8080))
            listener.listen()
            thread = threading.Thread(target=_answer_at_the_end, args=(listener,), daemon=True)
            thread.start()
            client.settimeout(60)
            client.bind((CLIENT, 0))
            client.connect(("10.96.0.10", 80))
            client.sendall(b"all that I have to say")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b"ALL THAT I HAVE TO SAY"
            thread.join()


def _answer_at_the_end(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        said = b""
        while part := connection.recv(100):
            said += part
        connection.sendall(said.upper())


def test_another_configuration_is_taken_while_it_runs(
    proxy_testbed: ProxyTestbed, tmp_path: Path
) -> None:
    out = compiled(tmp_path)
    with shop(proxy_testbed, out, {CLIENT}), proxy_testbed.backends(WEB):
        objects = (SHOP / "objects.yaml").read_text()
        only = objects.replace('- {addresses: ["10.244.1.5"], nodeName: node-a}\n', "", 1).replace(
            '- {addresses: ["10.244.2.7"], nodeName: node-b}\n', "", 1
        )
        compiled(tmp_path, only)
        proxy_testbed.reload(out)
        # Old workers may still take some; then there is one backend, for good.
        while reached(proxy_testbed, "10.96.0.10", 80, 12).keys() != {"10.244.3.9"}:
            pass
