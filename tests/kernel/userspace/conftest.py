"""A node for nginx."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from svcc.compiler.lower.userspace.lowering import MODULE
from tests.support.kernel.namespace import missing
from tests.support.kernel.proxying import ProxyTestbed


@pytest.fixture(scope="module")
def proxy_testbed() -> Iterator[ProxyTestbed]:
    """One node for all tests of a module."""
    reason = missing()
    if reason is None and shutil.which("nginx") is None:
        reason = "needs nginx"
    if reason is None and not Path(MODULE).exists():
        reason = "needs nginx's stream module (Debian: libnginx-mod-stream)"
    if reason:
        pytest.skip(reason)
    with ProxyTestbed() as made:
        yield made
