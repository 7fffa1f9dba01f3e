"""Compile, prove and load the shop's rules in a scratch namespace, and see who answers.

Three network namespaces are made and removed again: the node, all pods (each backend really
listens) and an outside host. Without root the rules are compiled and proved only.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SHOP = Path(__file__).parents[1] / "shop"
NODE, PODS, OUTSIDE = (f"svcc-demo-{os.getpid()}-{part}" for part in ("node", "pods", "outside"))
CONNECTIONS = 30
CLONE_NEWNET = 0x40000000
FRONTENDS = (
    ("web, cluster IP", "10.96.10.1", 80, ""),
    ("web, balancer address", "203.0.113.10", 443, ""),
    ("web, node port", "192.168.7.10", 30080, ""),
    ("web, node port on loopback", "127.0.0.1", 30080, ""),
    ("cart, ClientIP affinity", "10.96.10.3", 80, ""),
    ("catalog, IPv6 cluster IP", "fd00:96::107", 80, ""),
    ("partners, external IP", "203.0.113.20", 80, ""),
    ("returns, no endpoints", "10.96.10.11", 80, ""),
    ("web, from outside", "203.0.113.10", 80, "192.168.7.1"),
    ("checkout, Local policy, from outside", "203.0.113.11", 443, "192.168.7.1"),
    ("checkout, outside its source ranges", "203.0.113.11", 443, "10.9.9.9"),
)


def svcc(*arguments: str, namespace: str = "") -> int:
    """Run svcc, in a namespace if one is named."""
    command = [sys.executable, "-m", "svcc", *arguments]
    print("$ svcc " + " ".join(arguments), flush=True)
    if namespace:
        command = ["ip", "netns", "exec", namespace, *command]
    return subprocess.run(command, check=False).returncode


def ip(*arguments: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *arguments], check=True)


def wire(namespace: str, device: str, here: Sequence[str], there: Sequence[str]) -> None:
    """A wire from the node to another namespace, whose default route it becomes."""
    ip("-n", NODE, "link", "add", device, "type", "veth", "peer", "name", "eth0",
       "netns", namespace)  # fmt: skip
    for name, link, addresses in ((NODE, device, here), (namespace, "eth0", there)):
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            ip("-n", name, "address", "add", address, "dev", link, *nodad)
        ip("-n", name, "link", "set", link, "up")
    for address in here:
        ip("-n", namespace, "route", "add", "default", "via", address.split("/")[0])


@contextmanager
def namespaces() -> Iterator[None]:
    """The node and the pods, on one wire."""
    try:
        for name in (NODE, PODS, OUTSIDE):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        wire(
            PODS, "pods0", ("10.244.0.1/24", "fd00:244::1/64"), ("10.244.0.2/24", "fd00:244::2/64")
        )
        wire(
            OUTSIDE,
            "eth0",
            ("192.168.7.10/24", "fd00:7::10/64"),
            ("192.168.7.1/24", "fd00:7::1/64"),
        )
        ip("-n", OUTSIDE, "address", "add", "10.9.9.9/32", "dev", "lo")
        for network, gateway in (("10.244.0.0/16", "10.244.0.2"), ("default", "192.168.7.1")):
            ip("-n", NODE, "route", "add", network, "via", gateway)
        for network, gateway in (("fd00:244::/32", "fd00:244::2"), ("default", "fd00:7::1")):
            ip("-n", NODE, "-6", "route", "add", network, "via", gateway)
        for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            command = f"echo 1 >/proc/sys/net/{key}"
            subprocess.run(["ip", "netns", "exec", NODE, "sh", "-c", command], check=True)
        yield
    finally:
        for name in (NODE, PODS, OUTSIDE):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def enter(namespace: str) -> None:
    """Move this thread into a network namespace."""
    import ctypes

    with open(f"/run/netns/{namespace}", "rb") as handle:
        if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "cannot enter the namespace")


def listen(backends: Sequence[tuple[str, int]]) -> list[socket.socket]:
    """Give every backend its address, and a server that says who it is."""
    servers: list[socket.socket] = []

    def start() -> None:
        enter(PODS)
        for address in sorted({address for address, _ in backends}):
            bits = "128" if ":" in address else "32"
            nodad = ["nodad"] if ":" in address else []
            ip("-n", PODS, "address", "add", f"{address}/{bits}", "dev", "lo", *nodad)
        for address, port in backends:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            server = socket.socket(family, socket.SOCK_STREAM)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address, port))
            server.listen(64)
            servers.append(server)
            threading.Thread(target=answer, args=(server, address), daemon=True).start()

    starter = threading.Thread(target=start)
    starter.start()
    starter.join()
    return servers


def answer(server: socket.socket, address: str) -> None:
    """Tell every client the backend's own address."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        connection.sendall(address.encode())
        connection.close()


def ask(address: str, port: int, source: str) -> Counter[str]:
    """Connect a number of times; who answered how often."""
    seen: Counter[str] = Counter()

    def run() -> None:
        enter(OUTSIDE if source else NODE)
        for number in range(CONNECTIONS):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            client = socket.socket(family, socket.SOCK_STREAM)
            client.settimeout(1.5)
            try:
                if source:
                    client.bind((source, 0))
                client.connect((address, port))
                seen[client.recv(64).decode()] += 1
            except ConnectionRefusedError:
                seen["refused"] += 1
            except OSError:
                seen["no answer"] += 1
            finally:
                client.close()
            if number == 2 and set(seen) == {"no answer"}:
                return

    client_thread = threading.Thread(target=run)
    client_thread.start()
    client_thread.join()
    return seen


def shop_backends() -> list[tuple[str, int]]:
    """Every TCP backend among the shop's objects."""
    from svcc.compiler.load.loader import load

    found = {
        (str(endpoint.address), port.port)
        for item in load([str(SHOP)]).slices
        for port in item.ports
        if port.protocol == "TCP"
        for endpoint in item.endpoints
    }
    return sorted(found)


def main() -> int:
    """The whole demonstration."""
    inputs = ["-f", str(SHOP.relative_to(Path.cwd()))] if SHOP.is_relative_to(Path.cwd()) else [
        "-f", str(SHOP)]  # fmt: skip
    inputs += ["--config", f"{inputs[1]}/config.yaml"]
    if svcc("verify", *inputs):
        return 1
    if os.geteuid():
        print("demo: compiled and proved; run it as root to load the rules and send packets")
        return 0
    with namespaces():
        if svcc("apply", *inputs, "-w", "10", namespace=NODE):
            return 1
        servers = listen(shop_backends())
        print(f"\n{CONNECTIONS} connections to each frontend:")
        for name, address, port, source in FRONTENDS:
            shown = ", ".join(
                f"{who} {count}x" for who, count in sorted(ask(address, port, source).items())
            )
            target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            print(f"  {name:38} {target:22} {shown}", flush=True)
        for server in servers:
            server.close()
        print()
        if svcc("cleanup", namespace=NODE):
            return 1
    print("demo: compiled, proved, loaded, answered, removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
