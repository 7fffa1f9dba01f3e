"""What userspace mode loads: a configuration of nginx, and addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from svcc.grammar.address import Family
from svcc.grammar.nginx.directives import Configuration

DEVICE = "svcc-user0"
"""The dummy device that makes virtual IPs addresses of the node."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Both families. ``addresses`` must be on a device before nginx starts: it listens on them,
    and what has no listener is refused there. They are sorted.
    """

    configuration: Configuration
    addresses: Mapping[Family, tuple[int, ...]]
