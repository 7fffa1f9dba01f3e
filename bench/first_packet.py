"""What rules cost the kernel: ``python -m bench.first_packet 100 1000 10000 30000``.

The first packet of a connection to a Service, sent by the node and by a pod, and whole TCP
connections: past no rules, kube-proxy's three layouts and svcc's three modes, with iptables-legacy
and iptables-nft. All variants stand side by side, each on a node of its own (network namespaces),
and every round asks each of them, so that what else the machine does is spread over all. Figures
are processor time, not time on the clock.

Needs root. The rows of ipvs need a kernel with IPVS:
``python -m tests.kernel.uml.boot python -m bench.first_packet 100 1000``.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.packets import report
from bench.packets.stage import (
    BACKEND_PORT,
    NODE_IP,
    POD_IP,
    Burst,
    Frontend,
    Stage,
    StageError,
    stage,
)
from bench.packets.variants import Inputs, Variant, endpoints, frontends, loaded, variants
from bench.run import generated
from tests.paths import ROOT
from tests.support.kernel.namespace import missing
from tests.support.programs import random_ipvs

SIZES = (100, 1000, 10000, 30000)
DOCUMENT, FOLDER = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance"


class Traffic:
    """The same packets and connections for all variants of a size."""

    def __init__(self, objects: Path, packets: int, connections: int) -> None:
        chance = random.Random(1)
        addresses, backends = frontends(objects), endpoints(objects)
        chosen = [Frontend(chance.choice(addresses), 80) for _ in range(packets)]
        self.of_node, self.of_pod = Burst(NODE_IP, chosen), Burst(POD_IP, chosen)
        self.to_services = [Frontend(chance.choice(addresses), 80) for _ in range(connections)]
        self.to_backends = [
            Frontend(chance.choice(backends), BACKEND_PORT) for _ in range(connections)
        ]


def measure(
    measured: report.Measured, size: int, arguments: argparse.Namespace, folder: Path
) -> None:
    """All rounds of one size."""
    inputs = Inputs(generated(size, arguments.endpoints, folder))
    traffic = Traffic(inputs.objects, arguments.packets, arguments.connections)
    with ExitStack() as stack:
        nodes: list[tuple[Variant, Stage]] = []
        for variant in measured.variants:
            nodes.append((variant, stack.enter_context(stage())))
            seconds = loaded(*nodes[-1], inputs)
            tell(f"{size} Services: {variant.name} is loaded, {seconds:.1f} s")
            check(*nodes[-1], traffic)
        for number in range(arguments.rounds):
            first = number % len(nodes)
            for variant, node in (*nodes[first:], *nodes[:first]):
                one_round(measured, size, variant, node, traffic)
        tell(f"{size} Services: {arguments.rounds} rounds done")


def one_round(
    measured: report.Measured, size: int, variant: Variant, node: Stage, traffic: Traffic
) -> None:
    """Everything once, of one variant."""
    node.to_sink()
    measured.add(size, variant.name, "output", node.burst(node.node, traffic.of_node))
    node.forget()
    measured.add(size, variant.name, "forwarded", node.burst(node.client, traffic.of_pod))
    node.forget()
    node.to_backends()
    targets = traffic.to_backends if variant.whose == "nobody" else traffic.to_services
    measured.add(size, variant.name, "connections", node.connections(targets))
    node.forget()


def check(variant: Variant, node: Stage, traffic: Traffic) -> None:
    """Every packet is translated, or none where there are no rules for it.

    Raises:
        StageError: else what is measured is something else.
    """
    node.to_sink()
    for sender, packets in ((node.node, traffic.of_node), (node.client, traffic.of_pod)):
        node.forget()
        node.burst(sender, packets)
        wanted = 0 if variant.whose == "nobody" else packets.count
        if (found := node.translated()) != wanted:
            raise StageError(
                f"{variant.name}: {found} of {packets.count} packets are translated, not {wanted}"
            )
    node.forget()


def tell(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def write(measured: report.Measured, text: str, document: Path, folder: Path) -> None:
    """Put table and plot where the document has them."""
    name = "first-packet" if random_ipvs.missing() else "first-packet-ipvs"
    picture = folder / f"{name}.svg"
    folder.mkdir(exist_ok=True)
    picture.write_text(report.plot(measured), encoding="utf-8")
    shown = f"![Processor time by number of Services]({folder.name}/{picture.name})\n\n{text}"
    document.write_text(report.replaced(document.read_text(), name, shown), encoding="utf-8")


def main(given: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.first_packet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sizes", nargs="*", type=_number, default=list(SIZES), metavar="SERVICES")
    parser.add_argument("--endpoints", type=_number, default=5, help="per Service (5)")
    parser.add_argument("--rounds", type=_number, default=9, help="figures for each cell (9)")
    parser.add_argument("--packets", type=_number, default=2000, help="in a round (2000)")
    parser.add_argument("--connections", type=_number, default=300, help="in a round (300)")
    parser.add_argument(
        "--write", action="store_true", help="put table and plot into docs/performance.md"
    )
    arguments = parser.parse_args(given)
    if reason := missing():
        parser.error(f"cannot measure here: {reason}")
    os.environ.setdefault("XTABLES_LOCKFILE", f"{tempfile.gettempdir()}/svcc-bench-xtables.lock")
    measured, start, load = report.Measured(list(variants())), time.monotonic(), os.getloadavg()[0]
    text = ""
    for size in sorted(set(arguments.sizes)):
        with tempfile.TemporaryDirectory() as folder:
            try:
                measure(measured, size, arguments, Path(folder))
            except (StageError, RuntimeError, subprocess.CalledProcessError) as error:
                print(text)
                sys.exit(f"{size} Services: {error}")
        # After each, as the largest takes most of the time: it may be stopped there.
        minutes = (time.monotonic() - start) / 60
        text = (
            f"{report.machine()}; {arguments.endpoints} endpoints per Service; medians of "
            f"{arguments.rounds} rounds of {arguments.packets} packets and {arguments.connections} "
            f"connections, and half the distance of their quartiles. In brackets what it costs "
            f"over no rules, in parts of what {measured.reference} does; of connections the ratio "
            f"of the rates. {minutes:.0f} minutes; load average {load:.1f} before, "
            f"{os.getloadavg()[0]:.1f} after.\n\n{report.tables(measured)}"
        )
        if arguments.write:
            write(measured, text, DOCUMENT, FOLDER)
    print(text)


def _number(text: str) -> int:
    number = int(text)
    if not 0 < number <= 60000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 60000")
    return number


if __name__ == "__main__":
    main()
