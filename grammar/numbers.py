"""Numbers as the texts of tools have them.

Every function raises ValueError with a message for the person who wrote the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_PORT = 65535

TRANSPORTS = {"tcp": 6, "udp": 17, "sctp": 132}
"""Name to IANA number of the protocols that a Service can have."""

_DECIMAL = re.compile(r"[0-9]{1,19}")
_C_INTEGER = re.compile(r"0[0-7]{1,21}|0[xX][0-9a-fA-F]{1,16}|0|[1-9][0-9]{0,18}")


def decimal(text: str, low: int, high: int) -> int:
    """A number in plain digits, as ipvsadm(8) reads it."""
    if not _DECIMAL.fullmatch(text) or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is not a number from {low} to {high}")
    return int(text)


def c_integer(text: str, low: int, high: int) -> int:
    """A decimal, hexadecimal or octal number, as strtoul(3) reads it with base 0.

    So iptables(8) and ipset(8) read theirs: ``010`` is 8, and ``08`` is none.
    """
    if _C_INTEGER.fullmatch(text):
        is_octal = text[0] == "0" and text.isdigit()
        value = int(text, 8 if is_octal else 0)
        if low <= value <= high:
            return value
    raise ValueError(f"{text!r} is not a number from {low} to {high}")


def port(text: str) -> int:
    """A port as a C integer, as iptables(8) and ipset(8) read it nearly everywhere."""
    return _port(text, c_integer)


def decimal_port(text: str) -> int:
    """A port in plain digits."""
    return _port(text, decimal)


def _port(text: str, read: Callable[[str, int, int], int]) -> int:
    """The name of a service is refused, since its number depends on the machine."""
    try:
        return read(text, 0, MAX_PORT)
    except ValueError:
        message = f"{text!r} is not a port number (0-{MAX_PORT}); write the number"
        raise ValueError(message) from None
