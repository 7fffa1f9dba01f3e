"""One table of CPU and memory: ``python -m bench.run 1000x5 10000x5``.

Absolute times mean little on a busy machine; every figure stands beside that of loading the
same run's kube-proxy layout with iptables-legacy-restore, and the ratio is what to quote.
Loading needs root and happens in a scratch network namespace.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


def rows(services: int, endpoints: int, folder: Path) -> Iterator[tuple[str, Cost]]:
    """Every measurement of one size."""
    python = sys.executable
    objects, linear = folder / "objects.json", folder / "linear.rules"
    subprocess.run(
        [python, "-m", "bench.generate", str(services), str(endpoints), "-o", str(objects)],
        check=True,
    )
    with open(linear, "wb") as handle:
        subprocess.run(
            [python, "-m", "bench.kube_proxy_layout", str(objects)], check=True, stdout=handle
        )
    node = ["-f", str(objects), "--node", NODE, "--cluster-cidr", CLUSTER_CIDR[4]]
    svcc = [python, "-m", "svcc"]
    bundle = folder / "bundle"
    if os.geteuid() == 0:
        with scratch_namespace() as inside:
            legacy = [*inside, "iptables-legacy-restore"]
            yield "load kube-proxy's layout, iptables-legacy", measure(legacy, text=linear)
    yield "svcc compile", measure([*svcc, "compile", *node, "-o", str(bundle)])
    yield (
        "svcc verify --rules, svcc's own output",
        measure([*svcc, "verify", *node, "--rules", str(bundle)]),
    )
    virtual = folder / "virtual"
    in_ipvs = [*node, "--mode", "ipvs", "--node-ip", "192.168.7.10"]
    yield "svcc compile, ipvs mode", measure([*svcc, "compile", *in_ipvs, "-o", str(virtual)])
    yield (
        "svcc verify --rules, svcc's own in ipvs mode",
        measure([*svcc, "verify", *in_ipvs, "--rules", str(virtual)]),
    )
    yield (
        "svcc verify --rules, kube-proxy's layout",
        measure([*svcc, "verify", *node, "--rules", str(linear)]),
    )
    if os.geteuid():
        return
    for variant in ("legacy", "nft"):
        with scratch_namespace() as inside:
            command = [*inside, f"iptables-{variant}-restore"]
            cost = measure(command, text=bundle / "iptables.rules")
            yield f"load svcc's output, iptables-{variant}", cost
    with scratch_namespace() as inside:
        apply = [*inside, *svcc, "apply", *node, "--iptables", "legacy"]
        yield "svcc apply, empty node (compile, prove, load)", measure(apply)
        yield "svcc apply again, nothing to do", measure(apply)


def main() -> None:
    """The command line."""
    for size in sys.argv[1:] or ["1000x5"]:
        services, endpoints = (int(part) for part in size.split("x"))
        print(f"{services} Services x {endpoints} endpoints")
        print(f"  {'':46} {'CPU s':>7} {'MB':>6} {'ratio':>6}")
        reference: float | None = None
        with tempfile.TemporaryDirectory() as folder:
            for name, cost in rows(services, endpoints, Path(folder)):
                reference = cost.cpu if reference is None else reference
                ratio = f"{cost.cpu / reference:6.2f}"
                print(f"  {name:46} {cost.cpu:7.2f} {cost.megabytes:6.0f} {ratio}", flush=True)


if __name__ == "__main__":
    main()
