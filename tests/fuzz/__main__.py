"""``python -m tests.fuzz``: random rule sets and packets, kernel against model.

Exit status 0 if they agree, 1 if not, 2 if it cannot be tried here.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import sys

from svcc.grammar.address import Family
from tests.fuzz.nft_run import NftFuzz
from tests.fuzz.run import Fuzz
from tests.fuzz.wires import Wires
from tests.support.kernel.namespace import missing
from tests.support.kernel.testbed import Variant

_VARIANTS: tuple[Variant, ...] = ("legacy", "nft")


def main() -> int:
    """Run it as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same run")
    parser.add_argument("--pairs", type=int, default=2000, help="packets of each run")
    parser.add_argument("--family", choices=["ipv4", "ipv6"], help="one only")
    parser.add_argument("--variant", choices=_VARIANTS, help="one iptables only")
    parser.add_argument("--nftables", action="store_true", help="tables of nftables")
    parser.add_argument("--stop-after", type=int, default=5, help="disagreements")
    arguments = parser.parse_args()
    reason = missing()
    if reason:
        print(reason, file=sys.stderr)
        return 2
    print(f"kernel {platform.release()}", flush=True)
    status = 0
    if arguments.nftables:
        for family in Family:
            if arguments.family in (None, family.label.lower()):
                status |= _nftables(family, arguments.seed, arguments.pairs, arguments.stop_after)
        return status
    for variant in _VARIANTS if arguments.variant is None else (arguments.variant,):
        if shutil.which(f"iptables-{variant}-restore") is None:
            print(f"{variant}: left out, there is no iptables-{variant}-restore")
            continue
        for family in Family:
            if arguments.family not in (None, family.label.lower()):
                continue
            with Wires() as wires:
                fuzz = Fuzz(wires, family, variant, arguments.seed)
                tally = fuzz.run(
                    arguments.pairs,
                    say=lambda text: print(text, flush=True),
                    stop_after=arguments.stop_after,
                )
            print(f"seed {arguments.seed}, {family.label}, {variant}: {tally}", flush=True)
            status |= bool(tally.found)
    return status


def _nftables(family: Family, seed: int, pairs: int, stop_after: int) -> bool:
    """One run of random tables of nftables; whether anything differed."""
    with Wires() as wires:
        fuzz = NftFuzz(wires, family, seed)
        tally = fuzz.run(pairs, say=lambda text: print(text, flush=True), stop_after=stop_after)
    print(f"seed {seed}, {family.label}, nftables: {tally}", flush=True)
    return bool(tally.found)


if __name__ == "__main__":
    sys.exit(main())
