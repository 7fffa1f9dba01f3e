"""Examples in the documentation are run: ``python -m tests.house.docs [--write]``.

In a fenced ``console`` block each line that begins with ``$ svcc`` or ``$ cat`` is run at the
top of the repository, and what follows has to be what it prints. ``--write`` puts there what it
prints now. A block that begins with ``# in a network namespace`` is run in one of its own.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

from tests.paths import ROOT

FILES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
_SECONDS = re.compile(r"\b\d+\.\d+ s\b")
KERNEL = "# in a network namespace\n"


def blocks(text: str) -> Iterator[re.Match[str]]:
    """The console blocks of a document that can be run."""
    for match in _BLOCK.finditer(text):
        commands = [line for line in match[0].splitlines() if line.startswith("$ ")]
        if commands and all(c.split()[1] in ("svcc", "cat", "echo") for c in commands):
            yield match


def run_block(block: str) -> str:
    """The block as it would look if it were typed now."""
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    if not block.startswith(KERNEL):
        return _session(commands, [])
    from tests.support.kernel.namespace import namespace

    with namespace() as node:
        node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        return KERNEL + _session(commands, ["ip", "netns", "exec", node.name])


def _session(commands: list[str], prefix: list[str]) -> str:
    shown = []
    status = 0
    for command in commands:
        words = shlex.split(command[2:])
        if words == ["echo", "$?"]:
            shown.append(f"{command}\n{status}\n")
            continue
        if words[0] == "svcc":
            words = [sys.executable, "-m", "svcc", *words[1:]]
        done = subprocess.run(
            [*prefix, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        status = done.returncode
        shown.append(f"{command}\n{done.stdout}")
    return "".join(shown)


CODES_FILE = ROOT / "docs" / "codes.md"


def codes_text() -> str:
    """The document of all codes."""
    from svcc.verify.spec.codes import CODES

    parts = [
        "# Codes\n\nWhat `svcc verify` finds, by number; `svcc explain SVC001` prints the same. "
        "A number never changes its meaning.\n"
    ]
    for code in CODES.values():
        parts.append(
            f"\n## {code.number}: {code.title}\n\n{code.meaning}\n\n"
            f"*How it comes about.* {code.causes}\n\n*How to mend it.* {code.remedy}\n"
        )
    return "".join(parts)


def normal(text: str) -> str:
    """Text without what differs from run to run."""
    return _SECONDS.sub("0.1 s", text)


def main() -> None:
    """Check or rewrite every document."""
    stale = []
    if "--write" in sys.argv:
        CODES_FILE.write_text(codes_text())
    for path in FILES:
        text = path.read_text()
        for match in reversed(list(blocks(text))):
            now = normal(run_block(match[0]))
            if now != normal(match[0]):
                stale.append(path)
                text = text[: match.start()] + now + text[match.end() :]
        if "--write" in sys.argv:
            path.write_text(text)
    if stale and "--write" not in sys.argv:
        sys.exit(f"stale: {', '.join(sorted({str(path) for path in stale}))}")


if __name__ == "__main__":
    main()
