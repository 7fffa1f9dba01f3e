"""Boxes: some packets by their destination."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """Packets with the destination bits ``address`` under ``mask``, and so on; None: any."""

    address: int = 0
    mask: int = 0
    protocol: int | None = None
    first_port: int = 0
    last_port: int = 65535
    local: bool | None = None
