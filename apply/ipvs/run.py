"""Running the commands of ipvs mode.

Neither ipvsadm nor ipset loads all or nothing: ``ipvsadm -R`` goes on behind a line that
fails and exits as its last line did, and ``ipset restore`` stops there. Going back from
wherever that leads is the caller's work.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import groupby
from typing import assert_never

from svcc.apply.ipvs.commands import (
    Command,
    CommandOfOurs,
    SetSysctl,
    SetTimeouts,
    Tool,
    WaitForConnections,
    line_of,
)
from svcc.apply.ipvs.read import endpoint_key
from svcc.apply.system import sysctl
from svcc.apply.system.errors import ToolError
from svcc.apply.system.tools import Tools, call, offending_line, output_of
from svcc.grammar.address import Family
from svcc.grammar.ipvs.ipvsadm import RealKey, VirtualKey

_READERS: dict[Tool, tuple[str, list[str]]] = {
    "ipvsadm": ("ipvsadm", ["-R"]),
    "ipset": ("ipset", ["restore"]),
    "ip": ("ip", ["-batch", "-"]),
}
_POLL_SECONDS = 0.25


def run(tools: Tools, commands: Iterable[Command], drain: float) -> None:
    """Run commands in their order, those of one tool in one go.

    Args:
        tools: how tools are run.
        commands: what to do.
        drain: seconds that connections may take to end.

    Raises:
        ToolError: one of them failed; those before it, and maybe some behind it, were done.
    """
    lines = ((*line_of(command), command) for command in commands)
    for tool, group in groupby(lines, key=lambda entry: entry[0]):
        if tool in _READERS:
            _feed(tools, *_READERS[tool], "".join(f"{line}\n" for _, line, _ in group))
            continue
        for _, _, command in group:
            assert isinstance(command, CommandOfOurs), command
            _run_ours(tools, command, drain)


def _run_ours(tools: Tools, command: CommandOfOurs, drain: float) -> None:
    match command:
        case SetSysctl(name, value):
            sysctl.set_value(name, value)
        case SetTimeouts(seconds):
            output_of(tools, "ipvsadm", ["--set", *map(str, seconds)])
        case WaitForConnections(reals):
            _wait(tools, frozenset(reals), drain)
        case _:
            assert_never(command)


def text_of(commands: Iterable[Command]) -> str:
    """The commands as a person could give them: lines for a tool's input, or for a shell."""
    parts = []
    for command in commands:
        tool, line = line_of(command)
        prefix = {"sysctl": "sysctl -w ", "timeouts": "ipvsadm --set "}.get(tool, "")
        parts.append(f"{prefix}{line}\n")
    return "".join(parts)


def tool_of(commands: Iterable[Command]) -> str:
    """How the tool of the first command is called."""
    tool = line_of(next(iter(commands)))[0]
    return {"timeouts": "ipvsadm", "wait": "ipvsadm"}.get(tool, tool)


def _feed(tools: Tools, name: str, arguments: list[str], text: str) -> None:
    result = call(tools, name, arguments, text)
    reason = " ".join(result.error.split())
    # The exit code of ipvsadm -R is that of its last line alone.
    if not result.code and not (name == "ipvsadm" and reason):
        return
    how = f" (signal {-result.code})" if result.code < 0 else ""
    message = f"{name} {' '.join(arguments)} failed{how}: {reason or 'it does not say why'}"
    line = offending_line(result.error.replace("-:", "line "), text)
    if line is None and text.count("\n") == 1:
        line = text.strip()
    raise ToolError(f"{message} [{line}]" if line else message)


def _wait(tools: Tools, reals: frozenset[tuple[VirtualKey, RealKey]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while reals & active(tools):
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(_POLL_SECONDS, left))


def active(tools: Tools) -> set[tuple[VirtualKey, RealKey]]:
    """Real servers with active connections: for TCP, established ones.

    Raises:
        ToolError: ipvsadm failed.
    """
    found = set()
    key: VirtualKey | None = None
    for line in output_of(tools, "ipvsadm", ["-Ln"]).splitlines():
        words = line.split()
        match words:
            case ["->", real, _, _, count, _] if key is not None and count.isdigit():
                there = endpoint_key(key.protocol, real)
                if there is not None and int(count):
                    found.add((key, RealKey(there.address, there.port)))
            case ["TCP", server, *_]:
                key = endpoint_key(6, server)
            case ["FWM", mark, *rest]:
                family = Family.IPV6 if rest[:1] == ["IPv6"] else Family.IPV4
                key = VirtualKey(family, 0, int(mark), 0)
            case ["UDP" | "SCTP", *_]:
                key = None
    return found
