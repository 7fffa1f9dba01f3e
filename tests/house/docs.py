"""Examples in the documentation are run: ``python -m tests.house.docs [--write]``.

In a fenced ``console`` block each line that begins with ``$ svcc`` or ``$ cat`` is run at the
top of the repository, and what follows has to be what it prints. ``--write`` puts there what it
prints now. A block that begins with ``# in a network namespace`` is run in one of its own. A block
whose first line is ``$ sudo PROGRAM`` is what this program prints, commands that it shows included.

The ``python`` blocks of a document are run one after the other in one interpreter, and the
``text`` block right behind one has to be what it prints. One for a network namespace is run alone.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from tests.paths import ROOT
from tests.support.command import run
from tests.support.kernel.namespace import Namespace

FILES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
)
_BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
_SECONDS = re.compile(r"\b\d+\.\d+ s\b")
KERNEL = "# in a network namespace\n"
PROGRAM = "$ sudo "


def blocks(text: str) -> Iterator[re.Match[str]]:
    """The console blocks of a document that can be run."""
    for match in _BLOCK.finditer(text):
        commands = [line for line in match[0].splitlines() if line.startswith("$ ")]
        if commands and all(c.split()[1] in ("svcc", "cat", "echo") for c in commands):
            yield match


def programs(text: str) -> list[re.Match[str]]:
    """The blocks that show what a whole program prints."""
    return [match for match in _BLOCK.finditer(text) if match[0].startswith(PROGRAM)]


def run_program(block: str) -> str:
    """The block as it would look if its program were run now; it must end well."""
    command = block.splitlines()[0]
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    done = subprocess.run(
        shlex.split(command.removeprefix(PROGRAM)),
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return f"{command}\n{done.stdout}"


_PYTHON = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
_INTERPRETER = """
import contextlib, io, json, sys, traceback
outputs, names = [], {}
for number, block in enumerate(json.load(sys.stdin)):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            exec(compile(block, f"block {number}", "exec"), names)
        except BaseException:
            output.write(traceback.format_exc())
    outputs.append(output.getvalue())
json.dump(outputs, sys.stdout)
"""


def python_blocks(text: str) -> list[re.Match[str]]:
    """The Python blocks of a document, each (1) with what it prints (2)."""
    return list(_PYTHON.finditer(text))


def run_python(programs: list[str]) -> list[str]:
    """What each of a document's Python blocks prints now."""
    outputs = iter(_python([p for p in programs if not p.startswith(KERNEL)], []))
    return [_inside(p) if p.startswith(KERNEL) else next(outputs) for p in programs]


def _inside(program: str) -> str:
    from tests.support.kernel.namespace import missing, namespace

    if missing():
        return ""
    with namespace() as node:
        return _python([program], ["ip", "netns", "exec", node.name])[0]


def _python(programs: list[str], prefix: list[str]) -> list[str]:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", _INTERPRETER],
        cwd=ROOT,
        input=json.dumps(programs),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(done.stdout)
    return found


def with_output(program: str, output: str) -> str:
    """A Python block as it stands in a document."""
    shown = f"\n```text\n{output}```\n" if output else ""
    return f"```python\n{program}```\n{shown}"


def run_block(block: str) -> str:
    """The block as it would look if it were typed now."""
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    if not block.startswith(KERNEL):
        return _session(commands, None)
    from tests.support.kernel.namespace import namespace

    with namespace() as node:
        node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        return KERNEL + _session(commands, node)


def _session(commands: list[str], node: Namespace | None) -> str:
    shown = []
    status = 0
    for command in commands:
        tool, *arguments = shlex.split(command[2:])
        output = io.StringIO()
        match tool:
            case "svcc":
                with redirect_stdout(output), redirect_stderr(output):
                    status = run(arguments, inside=node)
            case "cat":
                output.writelines((ROOT / name).read_text() for name in arguments)
                status = 0
            case "echo":
                assert arguments == ["$?"], command
                output.write(f"{status}\n")
        shown.append(f"{command}\n{output.getvalue()}")
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
        for match in reversed(programs(text) if os.geteuid() == 0 else []):
            now = normal(run_program(match[0]))
            if now != normal(match[0]):
                stale.append(path)
                text = text[: match.start()] + now + text[match.end() :]
        matches = python_blocks(text)
        outputs = run_python([match[1] for match in matches])
        for match, output in reversed(list(zip(matches, outputs, strict=True))):
            now = normal(with_output(match[1], output))
            if now != normal(match[0]):
                stale.append(path)
                text = text[: match.start()] + now + text[match.end() :]
        if "--write" in sys.argv:
            path.write_text(text)
    if stale and "--write" not in sys.argv:
        sys.exit(f"stale: {', '.join(sorted({str(path) for path in stale}))}")


if __name__ == "__main__":
    main()
