"""``python -m tests.damages``: every kind of damage, every harmless change, as a Markdown table.

Exit status 1 if damage is missed, a harmless change is flagged, or a packet is not what the
kernel (with --kernel) does.
"""

from __future__ import annotations

import argparse
import sys

from tests.damages.confirm import confirm
from tests.damages.table import key, summary, tables, write
from tests.damages.trials import RULES, run, trials
from tests.support.kernel.namespace import missing
from tests.support.kernel.testbed import Testbed


def main() -> int:
    """Run it as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.damages", description=__doc__)
    parser.add_argument("--rules", choices=list(RULES), help="one kind of rules only")
    parser.add_argument("--kernel", action="store_true", help="send the packets too (needs root)")
    parser.add_argument("--write", action="store_true", help="write docs/damages.md")
    arguments = parser.parse_args()
    if arguments.kernel and (reason := missing()):
        print(reason, file=sys.stderr)
        return 2
    tried = []
    for trial in trials():
        if arguments.rules in (None, trial.rules):
            tried.append(run(trial))
            if not tried[-1].right:
                print(f"wrong: {key(trial)}: {tried[-1].report.to_text()}", file=sys.stderr)
    in_kernel: dict[str, str] = {}
    if arguments.kernel:
        with Testbed() as testbed:
            for one in tried:
                if one.trial.wanted == "violated" and one.text:
                    in_kernel[key(one.trial)] = confirm(testbed, "legacy", one)
    print(summary(tried, in_kernel) + tables(tried, in_kernel))
    if arguments.write:
        write(tried, in_kernel)
    bad = [one for one in tried if not one.right]
    return 1 if bad or "no" in in_kernel.values() else 0


if __name__ == "__main__":
    sys.exit(main())
