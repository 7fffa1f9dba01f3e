"""At a terminal apply asks; when the terminal is gone, all goes back."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from svcc.apply.reverting import confirmation
from tests.paths import ROOT
from tests.support.kernel.namespace import Namespace
from tests.support.kernel.reverting import LONG, record, state, wait_for_watchdog
from tests.support.kernel.shop import MODES, SETTINGS, A, B, C, apply, shop

pytestmark = pytest.mark.kernel

OLD, NEW = shop(A, B), shop(B, C)


class AtTerminal:
    """svcc apply with a terminal of its own."""

    def __init__(self, objects: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "svcc", "apply", "-f", str(objects), *SETTINGS,
                   *MODES["nftables"], *arguments]  # fmt: skip
        self.terminal, other = pty.openpty()
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=other, stdout=other, stderr=other, preexec_fn=_lead
        )
        os.close(other)
        self.said = ""

    def read_until(self, text: str) -> str:
        """What it says until then; all of it if it ends before."""
        while text not in self.said:
            try:
                found = os.read(self.terminal, 4096)
            except OSError:
                break
            self.said += found.decode()
        return self.said

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self.terminal, f"{text}\n".encode())

    def hang_up(self) -> None:
        """The connection is lost."""
        os.close(self.terminal)
        self.terminal = -1


def _lead() -> None:
    """Lead a session whose terminal this is."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def at_terminal(objects: Path, *arguments: str) -> Iterator[AtTerminal]:
    made = AtTerminal(objects, *arguments)
    try:
        yield made
    finally:
        if made.terminal >= 0:
            os.close(made.terminal)
        made.process.wait()


@pytest.fixture
def new(tmp_path: Path) -> Path:
    path = tmp_path / "new.yaml"
    path.write_text(NEW)
    return path


@pytest.mark.parametrize("answer", ["yes", "no", ""])
def test_an_answer_decides(node: Namespace, new: Path, answer: str) -> None:
    assert apply(OLD, "nftables").code == 0
    was = state(node)
    with at_terminal(new, "--confirm-timeout", LONG) as session:
        assert "keep what is loaded?" in session.read_until("it goes back) ")
        assert state(node) != was
        session.type(answer)
        session.read_until("nothing that it says")
        code = session.process.wait()
    ended = wait_for_watchdog()
    if answer == "yes":
        assert (code, ended.state) == (0, "confirmed")
        assert apply(NEW, "nftables").out.startswith("nothing to do")
    else:
        assert (code, ended.state) == (1, "reverted")
        assert "is undone" in session.said
        assert state(node) == was


def test_no_answer(node: Namespace, new: Path) -> None:
    assert apply(OLD, "nftables").code == 0
    was = state(node)
    with at_terminal(new, "--confirm-timeout", "1s") as session:
        assert "nobody confirmed it within 1 s" in session.read_until("nothing that it says")
        assert session.process.wait() == 1
    assert state(node) == was


@pytest.mark.parametrize("arguments", [(), ("--confirm-command", "sleep 1000000")])
def test_the_terminal_is_gone(node: Namespace, new: Path, arguments: tuple[str, ...]) -> None:
    assert apply(OLD, "nftables").code == 0
    was = state(node)
    with at_terminal(new, "--confirm-timeout", "2s", *arguments) as session:
        # Whoever is not asked yet would find no terminal and not ask.
        session.read_until("changed\r\n" if arguments else "it goes back) ")
        session.hang_up()
        # On a busy machine the time may have been over before.
        assert session.process.wait() in (-signal.SIGHUP, 1)
    assert wait_for_watchdog().state == "reverted"
    assert state(node) == was


def test_the_watchdog_has_no_terminal(node: Namespace, new: Path) -> None:
    with at_terminal(new, "--confirm-timeout", LONG) as session:
        session.read_until("it goes back) ")
        watchdog = record().watchdog
        fields = Path(f"/proc/{watchdog}/stat").read_text().rpartition(")")[2].split()
        its_session, terminal = int(fields[3]), int(fields[4])
        assert terminal == 0
        assert its_session not in (watchdog, os.getsid(session.process.pid))
        files = {os.readlink(entry.path) for entry in os.scandir(f"/proc/{watchdog}/fd")}
        assert not [name for name in files if name.startswith("/dev/pts/")]
        assert Path(f"/proc/{watchdog}/comm").read_text() == "svcc-watchdog\n"
        # A hangup is nothing to it.
        os.kill(watchdog, signal.SIGHUP)
        session.type("yes")
        session.read_until("nothing that it says")
    ended = wait_for_watchdog()
    assert ended.state == "confirmed"
    assert node
    confirmation.remove()
