"""Running the tools of the node: where they are, what they return, what they say when they fail."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from svcc.apply.system.errors import ToolError

_SYSTEM_FOLDERS = "/usr/sbin:/sbin:/usr/local/sbin"
_PACKAGES = {
    "conntrack": "conntrack",
    "ip": "iproute2",
    "ip6tables": "iptables",
    "ipset": "ipset",
    "iptables": "iptables",
    "ipvsadm": "ipvsadm",
}
"""Tool, as far as the first hyphen of its name, to the Debian package that has it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished tool returned; ``code`` below 0: the signal that ended it, negated."""

    code: int
    output: str
    error: str


Runner = Callable[[Sequence[str], str | None, tuple[int, ...]], Result]
"""Runs a command with a text on standard input and the given descriptors left open in it."""


class Tools(Protocol):
    """Whoever runs tools for apply, and knows which descriptors they inherit."""

    def run(self, arguments: Sequence[str], text: str | None = None) -> Result:
        """Run a command, by its absolute path, with a text on standard input."""


def run_tool(arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
    """Run a command to its end.

    It gets a session of its own, so that Ctrl-C reaches svcc only, which then rolls back.

    Raises:
        ToolError: the command cannot be started.
    """
    try:
        done = subprocess.run(
            arguments,
            input=None if text is None else text.encode(errors="surrogateescape"),
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            check=False,
            pass_fds=keep_open,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{arguments[0]}: {error.strerror}") from error
    return Result(
        done.returncode,
        done.stdout.decode(errors="surrogateescape"),
        done.stderr.decode(errors="replace"),
    )


def find_tool(name: str) -> str | None:
    """Absolute path of a tool on PATH or in the system's folders, None if not installed."""
    search = os.environ.get("PATH", os.defpath) + os.pathsep + _SYSTEM_FOLDERS
    return shutil.which(name, path=search)


def is_installed(name: str) -> bool:
    """Whether a tool can be run."""
    return find_tool(name) is not None


def not_installed(name: str) -> str:
    """What to say of a tool that is missing."""
    return f"{name} is not installed (Debian package: {_PACKAGES[name.partition('-')[0]]})"


def call(tools: Tools, name: str, arguments: Sequence[str], text: str | None = None) -> Result:
    """Run a tool that must be there; its exit code is in the result.

    Raises:
        ToolError: it is not installed.
    """
    path = find_tool(name)
    if path is None:
        raise ToolError(not_installed(name))
    return tools.run([path, *arguments], text)


def output_of(tools: Tools, name: str, arguments: Sequence[str]) -> str:
    """What a tool prints.

    Raises:
        ToolError: it is not installed, or failed.
    """
    result = call(tools, name, arguments)
    if result.code:
        reason = " ".join(result.error.split())
        raise ToolError(f"{name} {' '.join(arguments)} failed ({how_it_ended(result)}): {reason}")
    return result.output


def how_it_ended(result: Result) -> str:
    """``exit code N`` or ``signal N``."""
    return f"signal {-result.code}" if result.code < 0 else f"exit code {result.code}"


def offending_line(error: str, text: str) -> str | None:
    """The script line that ``line N failed``, ``Error occurred at line: N`` and so on name."""
    words = error.replace(":", " ").split()
    lines = text.splitlines()
    for word, following in pairwise(words):
        if word == "line" and following.isdigit() and 0 < int(following) <= len(lines):
            return lines[int(following) - 1]
    return None
