"""``svcc run`` as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from tests.paths import ROOT
from tests.support.kernel.namespace import Namespace

MOST_SECONDS = 900.0
"""After which a process that is alive and has not come to it never will."""
HEALTHZ, METRICS = 10256, 10249


class Running:
    """A process that follows."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, inside: Namespace) -> None:
        self.process = process
        self._log = log
        self._inside = inside

    def lines(self) -> list[dict[str, Any]]:
        """What was logged."""
        text = self._log.read_text()
        # The last line may be half written.
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def until(self, is_true: Callable[[], object]) -> None:
        """Wait for something as long as the process is alive."""
        begin = time.monotonic()
        while not is_true():
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() - begin < MOST_SECONDS, self._log.read_text()
            time.sleep(0.05)

    def until_logged(self, text: str, times: int = 1) -> None:
        """Wait for lines of the log."""
        self.until(lambda: sum(text in line["msg"] for line in self.lines()) >= times)

    def get(self, port: int, path: str) -> tuple[int, str]:
        """Ask it over HTTP, from inside its namespace."""
        opener = build_opener(ProxyHandler({}))
        with self._inside.entered():
            try:
                with opener.open(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                    return answer.status, answer.read().decode()
            except HTTPError as error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Each measure by name and labels."""
        _, text = self.get(METRICS, "/metrics")
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait()


@contextmanager
def running(
    inside: Namespace, folder: Path, arguments: Sequence[object], name: str = "run"
) -> Iterator[Running]:
    """``svcc run`` with these arguments in a namespace; it is gone afterwards."""
    log = folder / f"{name}.log"
    command = [sys.executable, "-m", "svcc", "run", "--log-format", "json", *map(str, arguments)]
    with inside.entered(), log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stderr=output, stdout=output)
    try:
        yield Running(process, log, inside)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
