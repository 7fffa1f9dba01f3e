"""The model of nginx against nginx: random configurations, and what it says of each client."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from svcc.compiler.bundle import ADDRESSES, LOOPBACK_ADDRESSES, NGINX
from svcc.compiler.lower.userspace.lowering import MODULE
from svcc.grammar.address import Family, format_address, parse_address
from svcc.grammar.nginx.read import read
from svcc.verify.userspace.evaluate import Closed, Evaluator, Result, Served
from svcc.verify.userspace.model import ProxyModel
from svcc.verify.userspace.reading import model_of
from tests.support.effort import LONG
from tests.support.kernel.packets import TCP, UDP
from tests.support.kernel.proxying import Answer, ProxyTestbed, Refused
from tests.support.kernel.proxying import Closed as WasClosed
from tests.support.kernel.proxying import Result as Seen

pytestmark = pytest.mark.kernel

VIPS = {
    Family.IPV4: ("10.96.0.10", "198.51.100.20"),
    Family.IPV6: ("fd00:96::10", "2001:db8:99::20"),
}
CLIENTS = {
    Family.IPV4: ("10.244.1.77", "10.244.2.77", "203.0.113.7", "203.0.113.200"),
    Family.IPV6: ("fd00:244:1::77", "fd00:244:2::77", "2001:db8::7", "2001:db8::8:7"),
}
NETWORKS = {
    Family.IPV4: (
        "10.244.0.0/16", "10.244.1.0/24", "203.0.113.0/24", "203.0.113.128/25", "0.0.0.0/0",
        "203.0.113.7", "10.244.2.77/32", "10.0.0.0/8", "203.0.113.99/25",
    ),
    Family.IPV6: (
        "fd00:244::/32", "fd00:244:1::/64", "2001:db8::/64", "::/0", "2001:db8::7",
        "2001:db8::8:0/112", "fd00::/8",
    ),
}  # fmt: skip
BACKENDS = {
    Family.IPV4: ("10.244.1.5", "10.244.1.6", "10.244.2.7", "10.244.3.9"),
    Family.IPV6: ("fd00:244:1::5", "fd00:244:1::6", "fd00:244:2::7", "fd00:244:3::9"),
}
PORT = 8080
BOTH = (TCP, UDP)
ROUNDS = 2


def endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def random_configuration(random: Random, family: Family) -> str:
    """With all that the model knows: weights, servers that are down or backups, hashes, variables
    by address, rules in any order, listeners on all addresses.
    """
    lines = [
        f"load_module {MODULE};", "pid svcc-nginx.pid;", "error_log stderr warn;",
        "events { worker_connections 500; }", "stream {",
    ]  # fmt: skip
    names = [f"up.{word}" for word in ("a", "b", "c")]
    for name in names:
        lines.append(f"upstream {name} {{")
        method = random.choice(["", "", "random;", "hash $remote_addr;", "hash $server_port;"])
        lines.append(method)
        chosen = random.sample(BACKENDS[family], random.randint(1, 4))
        for number, backend in enumerate(chosen):
            more = random.choice(["", "", "weight=2", "weight=3"])
            if number and random.random() < 0.3:
                more += " down" if "remote_addr" not in method else ""
            elif number and not method and random.random() < 0.3:
                more += " backup"
            lines.append(f"server {endpoint(backend, PORT)} max_fails=0 {more};")
        lines.append("}")
    lines.append(f"geo $side {{ default {random.choice('abx')};")
    lines += (f"{net} {random.choice('abcx')};" for net in random.sample(NETWORKS[family], 3))
    lines.append("}")
    lines.append("map $side $turned { default b; a c; c a; }")
    if random.random() < 0.3:
        lines.append(f"deny {random.choice(NETWORKS[family])};")
    at = [(vip, port) for vip in VIPS[family] for port in (80, 81)]
    everywhere = "[::]" if family is Family.IPV6 else "*"
    places = [*(endpoint(*place) for place in random.sample(at, 3)), f"{everywhere}:{82}"]
    for place in places:
        for protocol in random.choice([["", " udp"], [""], [" udp"]]):
            lines.append(f"server {{ listen {place}{protocol};")
            for _ in range(random.choice([0, 0, 1, 2, 3])):
                what = random.choice([*NETWORKS[family], "all"])
                lines.append(f"{random.choice(['allow', 'deny'])} {what};")
            target = random.choice([*names, "up.$side", "up.${turned}", "up.$side"])
            lines.append(f"proxy_pass {target}; }}")
    lines.append("}")
    return "\n".join(lines) + "\n"


def write_down(folder: Path, text: str) -> None:
    """A folder as svcc compile writes it, with the addresses of both families."""
    (folder / NGINX).write_text(text)
    for name, device in ((ADDRESSES, "svcc-user0"), (LOOPBACK_ADDRESSES, "lo")):
        lines = [f"link add {device} type dummy", f"link set {device} up"]
        lines = lines if device != "lo" else []
        for vips in VIPS.values():
            for vip in vips:
                bits = "/128" if ":" in vip else "/32"
                nodad = " nodad" if ":" in vip else ""
                lines.append(f"address add {vip}{bits} dev {device}{nodad}")
        (folder / name).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("seed", range(40 if LONG else 6))
def test_nginx_does_what_the_model_says(
    seed: int, family: Family, proxy_testbed: ProxyTestbed, tmp_path: Path
) -> None:
    write_down(tmp_path, random_configuration(Random(f"{seed} {family}"), family))
    model = model_of(read(str(tmp_path / NGINX)))
    assert not model.unknown
    backends = {(backend, PORT, p) for backend in BACKENDS[family] for p in BOTH}
    wrong = []
    with (
        proxy_testbed.others((*CLIENTS[family], *BACKENDS[family])),
        proxy_testbed.backends(backends),
        proxy_testbed.proxy(tmp_path),
    ):
        for vip in VIPS[family]:
            for port in (80, 81, 82, 83):
                for protocol in BOTH:
                    wrong += _differences(proxy_testbed, model, vip, port, protocol)
    assert not wrong, "\n".join([*wrong, (tmp_path / NGINX).read_text()])


def _differences(
    testbed: ProxyTestbed, model: ProxyModel, vip: str, port: int, protocol: int
) -> list[str]:
    to = parse_address(vip)
    listener = model.listener(to.family, to.value, protocol, port)
    evaluator = Evaluator(model)
    found = []
    for client in CLIENTS[to.family]:
        expected = evaluator.result(listener, parse_address(client))
        if isinstance(expected, Closed) and protocol == UDP:
            # Nobody tells a client that its datagram was dropped; see test_real.py.
            continue
        tries = 1
        if isinstance(expected, Served):
            weights = [each.weight for each in expected.upstream.shares]
            tries = ROUNDS * sum(weights)
        seen = [testbed.connect("far", client, vip, port, protocol) for _ in range(tries)]
        what = _mismatch(expected, seen, to.family)
        if what is not None:
            found.append(f"{client} to {vip}:{port}/{protocol}: {expected}: {what}")
    return found


def _mismatch(expected: Result, seen: list[Seen], family: Family) -> str | None:
    match expected:
        case Served():
            counts = Counter(
                (one.address, one.port) if isinstance(one, Answer) else one for one in seen
            )
            shares = {
                (format_address(family, each.backend.address), each.backend.port): share
                for each, share in expected.upstream.shares.items()
            }
            if not set(counts) <= set(shares):
                return f"got {counts}"
            if expected.upstream.method == "round robin":
                # Smooth turns of one worker: each has its share of every round. Others have been
                # served from the same upstream before, at another point of the turn.
                exact = {key: share * len(seen) for key, share in shares.items()}
                return None if counts == exact else f"got {counts}, not {exact}"
            if expected.upstream.method in ("by client", "constant"):
                return None if len(counts) == 1 else f"got {counts}"
            return None
        case Closed():
            return None if seen == [WasClosed()] else f"got {seen}"
        case _:
            return None if seen == [Refused()] else f"got {seen}"
