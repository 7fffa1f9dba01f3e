"""Kernel settings of the network namespace (Documentation/networking/ip-sysctl.rst)."""

from __future__ import annotations

from pathlib import Path

from svcc.apply.system.errors import ToolError
from svcc.grammar.address import Family

ROUTE_LOCALNET = "net/ipv4/conf/all/route_localnet"
FORWARDING = {
    Family.IPV4: "net/ipv4/ip_forward",
    Family.IPV6: "net/ipv6/conf/all/forwarding",
}


def read(name: str) -> bool | None:
    """Whether a switch is on; None where the kernel does not have it."""
    text = value(name)
    return None if text is None else text != "0"


def write(name: str, on: bool) -> None:
    """Turn a switch on or off.

    Raises:
        ToolError: the kernel or the container refuses.
    """
    set_value(name, "1" if on else "0")


def value(name: str) -> str | None:
    """A setting as the kernel prints it; None where the kernel does not have it."""
    try:
        return _path(name).read_text().strip()
    except OSError:
        return None


def set_value(name: str, text: str) -> None:
    """Give a setting a value.

    Raises:
        ToolError: the kernel or the container refuses.
    """
    try:
        _path(name).write_text(f"{text}\n")
    except OSError as error:
        raise ToolError(f"cannot set {dotted(name)} to {text}: {error.strerror}") from error


def dotted(name: str) -> str:
    """The name as sysctl(8) prints it."""
    return name.replace("/", ".")


def _path(name: str) -> Path:
    return Path("/proc/sys") / name
