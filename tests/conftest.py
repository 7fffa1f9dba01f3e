"""In CI a test that needs the kernel must run: there a skip is a failure, by name."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.effort import load_profile

load_profile()
# The lock of iptables-legacy is the machine's, but each worker has namespaces of its own: it waits
# for nobody else.
XTABLES_LOCK = Path(tempfile.gettempdir(), f"svcc-xtables-{os.getpid()}.lock")
os.environ["XTABLES_LOCKFILE"] = str(XTABLES_LOCK)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate-golden", action="store_true", help="write the golden files anew")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    in_ci = os.environ.get("CI") == "true" and os.geteuid() == 0
    if in_ci and report.skipped and item.get_closest_marker("kernel") is not None:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but CI must run it: {report.longrepr}"
    return report


def pytest_unconfigure() -> None:
    XTABLES_LOCK.unlink(missing_ok=True)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """The command line switches it off for the rest of its process."""
    gc.enable()


def pytest_collection_finish() -> None:
    """What was collected stays to the end, and what the provers remember: nothing to search."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test first, or all workers but one wait for it at the end."""
    items.sort(key=lambda item: "tests/kernel/uml/" not in item.nodeid)
