"""Tables of CPU and memory: ``python -m bench.run 1000x5 10000x5``.

Absolute times mean little on a busy machine; every figure stands beside that of loading the
same run's kube-proxy layout (with iptables-legacy-restore, in nftables mode with nft), and the
ratio is what to quote. Loading needs root and happens in a scratch network namespace.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.generate import CLUSTER_CIDR, NODE


class Cost(NamedTuple):
    """CPU seconds (user and system) and peak memory in MB of one process and its children."""

    cpu: float
    megabytes: float


def measure(command: list[str], *, text: Path | None = None) -> Cost:
    """Run a command to its end."""
    with open(text or os.devnull, "rb") as source:
        process = subprocess.Popen(
            command, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit {process.returncode}: {errors.decode()[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@contextmanager
def scratch_namespace() -> Iterator[list[str]]:
    """The words that run a command in a namespace of its own."""
    name = f"svcc-bench-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


Rows = Iterator[tuple[str, Cost]]
SVCC = [sys.executable, "-m", "svcc"]


def generated(services: int, endpoints: int, folder: Path) -> Path:
    """The objects of one size, as a file."""
    objects = folder / "objects.json"
    size = [str(services), str(endpoints), "-o", str(objects)]
    subprocess.run([sys.executable, "-m", "bench.generate", *size], check=True)
    return objects


def laid_out(module: str, objects: Path) -> Path:
    """The rules that a kube-proxy would have for them, as a file."""
    path = objects.with_suffix(f".{module}")
    with open(path, "wb") as handle:
        command = [sys.executable, "-m", f"bench.{module}", str(objects)]
        subprocess.run(command, check=True, stdout=handle)
    return path


def given(objects: Path) -> list[str]:
    """The options that every command takes."""
    return ["-f", str(objects), "--node", NODE, "--cluster-cidr", CLUSTER_CIDR[4]]


def iptables_rows(objects: Path) -> Rows:
    """Every measurement of iptables and ipvs mode; the first is the reference."""
    linear = laid_out("kube_proxy_layout", objects)
    node, bundle = given(objects), objects.with_name("bundle")
    if os.geteuid() == 0:
        with scratch_namespace() as inside:
            legacy = [*inside, "iptables-legacy-restore"]
            yield "load kube-proxy's layout, iptables-legacy", measure(legacy, text=linear)
    yield "svcc compile", measure([*SVCC, "compile", *node, "-o", str(bundle)])
    yield (
        "svcc verify --rules, svcc's own output",
        measure([*SVCC, "verify", *node, "--rules", str(bundle)]),
    )
    virtual = objects.with_name("virtual")
    in_ipvs = [*node, "--mode", "ipvs", "--node-ip", "192.168.7.10"]
    yield "svcc compile, ipvs mode", measure([*SVCC, "compile", *in_ipvs, "-o", str(virtual)])
    yield (
        "svcc verify --rules, svcc's own in ipvs mode",
        measure([*SVCC, "verify", *in_ipvs, "--rules", str(virtual)]),
    )
    yield (
        "svcc verify --rules, kube-proxy's layout",
        measure([*SVCC, "verify", *node, "--rules", str(linear)]),
    )
    if os.geteuid():
        return
    for variant in ("legacy", "nft"):
        with scratch_namespace() as inside:
            command = [*inside, f"iptables-{variant}-restore"]
            cost = measure(command, text=bundle / "iptables.rules")
            yield f"load svcc's output, iptables-{variant}", cost
    with scratch_namespace() as inside:
        apply = [*inside, *SVCC, "apply", *node, "--iptables", "legacy"]
        yield "svcc apply, empty node (compile, prove, load)", measure(apply)
        yield "svcc apply again, nothing to do", measure(apply)


def nftables_rows(objects: Path, *, peer: bool) -> Rows:
    """Every measurement of nftables mode; the first is the reference.

    Loading kube-proxy's layout takes minutes beyond 10,000 Services: not without ``peer``.
    """
    node, tables = [*given(objects), "--mode", "nftables"], objects.with_name("tables")
    judged = [("svcc's own output", tables)]
    if peer:
        layout = laid_out("kube_proxy_nftables_layout", objects)
        judged.append(("kube-proxy's layout", layout))
        if os.geteuid() == 0:
            with scratch_namespace() as inside:
                cost = measure([*inside, "nft", "-f", str(layout)])
                yield "load kube-proxy's layout, nft", cost
    yield "svcc compile", measure([*SVCC, "compile", *node, "-o", str(tables)])
    for whose, rules in judged:
        cost = measure([*SVCC, "verify", *node, "--rules", str(rules)])
        yield f"svcc verify --rules, {whose}", cost
    if os.geteuid():
        return
    with scratch_namespace() as inside:
        cost = measure([*inside, "nft", "-f", str(tables / "nftables.rules")])
        yield "load svcc's output, nft", cost
    with scratch_namespace() as inside:
        apply = [*inside, *SVCC, "apply", "--no-verify"]
        yield "svcc apply --no-verify, empty node", measure([*apply, *node])
        changed = [*given(one_changed(objects)), "--mode", "nftables"]
        yield "svcc apply --no-verify, one endpoint changed", measure([*apply, *changed])


def one_changed(objects: Path) -> Path:
    """The objects with another address of one endpoint."""
    found = json.loads(objects.read_text())
    item = next(item for item in found["items"] if item["kind"] == "EndpointSlice")
    item["endpoints"][0]["addresses"] = ["10.244.255.254"]
    path = objects.with_name("changed.json")
    path.write_text(json.dumps(found))
    return path


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("sizes", nargs="*", default=["1000x5"], metavar="SERVICESxENDPOINTS")
    parser.add_argument("--mode", choices=["iptables", "nftables"], help="of iptables with ipvs")
    parser.add_argument(
        "--without-peer", action="store_true", help="nftables: leave kube-proxy's layout out"
    )
    arguments = parser.parse_args()
    rows: dict[str, Callable[[Path], Rows]] = {
        "iptables": iptables_rows,
        "nftables": partial(nftables_rows, peer=not arguments.without_peer),
    }
    for size in arguments.sizes:
        services, endpoints = (int(part) for part in size.split("x"))
        for mode in [arguments.mode] if arguments.mode else rows:
            with tempfile.TemporaryDirectory() as folder:
                objects = generated(services, endpoints, Path(folder))
                print(f"{services} Services x {endpoints} endpoints, {mode}")
                show(rows[mode](objects))


def show(measured: Rows) -> None:
    """A line for each measurement."""
    print(f"  {'':46} {'CPU s':>7} {'MB':>6} {'ratio':>6}")
    reference: float | None = None
    for name, cost in measured:
        reference = cost.cpu if reference is None else reference
        ratio = f"{cost.cpu / reference:6.2f}"
        print(f"  {name:46} {cost.cpu:7.2f} {cost.megabytes:6.0f} {ratio}", flush=True)


if __name__ == "__main__":
    main()
