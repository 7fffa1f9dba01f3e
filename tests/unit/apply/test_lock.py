"""The lock of apply: whose files it takes, whom it waits for, and what it says meanwhile."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from svcc.apply.system import lock
from svcc.apply.system.errors import ApplyError
from tests.paths import ROOT

LONG = 300.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "svcc"


def path_in(folder: Path) -> Path:
    return folder / f"{Path('/proc/self/ns/net').stat().st_ino}.lock"


def attempt(folder: Path) -> None:
    with lock.held(0, folder=folder):
        pass


@contextmanager
def holder(folder: Path) -> Iterator[int]:
    """A process of its own that holds the lock; yields its id."""
    program = f"from tests.unit.apply.test_lock import hold; hold({str(folder)!r})"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            assert process.stdin is not None
            process.stdin.close()


def hold(folder: str) -> None:
    """Until standard input ends."""
    with lock.held(None, folder=Path(folder)):
        sys.stdout.write("\n")
        sys.stdout.flush()
        sys.stdin.read()


def test_nobody_else_can_open_it(folder: Path) -> None:
    before = os.umask(0)
    try:
        attempt(folder)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert path_in(folder).stat().st_mode & 0o777 == 0o600


def test_one_at_a_time(folder: Path) -> None:
    with (
        holder(folder) as process,
        pytest.raises(ApplyError, match=rf"another svcc \(process {process}: \S+ -c from tests"),
    ):
        attempt(folder)
    attempt(folder)


def test_another_namespace_has_another_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = folder.parent / "ns"
    other.touch()
    with lock.held(None, folder=folder):
        monkeypatch.setattr(lock, "_NAMESPACE", other)
        attempt(folder)


def test_whoever_waits_says_whom_for_once(folder: Path) -> None:
    said: list[str] = []
    ended = threading.Event()

    def wait() -> None:
        with lock.held(None, said.append, folder):
            ended.set()

    with holder(folder) as process:
        thread = threading.Thread(target=wait)
        thread.start()
        while not said:
            thread.join(0.01)
        # Some more attempts, which are no news.
        thread.join(10 * lock._POLL_SECONDS)
        assert not ended.is_set()
    thread.join(LONG)
    assert ended.is_set()
    assert len(said) == 1
    assert f"waiting for another svcc (process {process}: " in said[0]
    assert f"holds {path_in(folder)}" in said[0]


def test_who_waits_is_not_taken_for_the_holder(folder: Path) -> None:
    attempt(folder)
    waiting = os.open(path_in(folder), os.O_RDWR)
    try:
        with holder(folder) as process, pytest.raises(ApplyError, match=f"process {process}:"):
            attempt(folder)
    finally:
        os.close(waiting)


def test_a_file_of_the_dead_is_no_obstacle(folder: Path) -> None:
    with holder(folder) as process:
        os.kill(process, 9)
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        assert path_in(folder).exists()
        attempt(folder)


def test_a_file_that_is_removed_while_it_is_waited_for(folder: Path) -> None:
    said: list[str] = []
    both = threading.Event()

    def wait() -> None:
        with lock.held(None, said.append, folder), pytest.raises(ApplyError, match="another svcc"):
            attempt(folder)
        both.set()

    with lock.held(None, folder=folder):
        thread = threading.Thread(target=wait)
        thread.start()
        while not said:
            thread.join(0.01)
        path_in(folder).unlink()
    thread.join(LONG)
    assert both.is_set()


def test_a_link_is_not_followed(folder: Path) -> None:
    attempt(folder)
    path = path_in(folder)
    victim = folder.parent / "victim"
    path.unlink()
    path.symlink_to(victim)
    with pytest.raises(ApplyError, match=r"\.lock cannot be used: it is a symbolic link; remove"):
        attempt(folder)
    assert not victim.exists()


def test_a_folder_that_is_a_link_is_not_followed(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    with pytest.raises(ApplyError, match=r"svcc, cannot be used: it is a symbolic link"):
        attempt(folder)
    assert not list(elsewhere.iterdir())


def test_a_folder_that_cannot_be_made(folder: Path) -> None:
    folder.touch()
    with pytest.raises(ApplyError, match=r"svcc, cannot be used: Not a directory"):
        attempt(folder)
    with pytest.raises(ApplyError, match=r"cannot be used: No such file or directory"):
        attempt(folder.parent / "not there" / "svcc")


def test_what_others_may_open_is_refused(folder: Path) -> None:
    attempt(folder)
    path_in(folder).chmod(0o640)
    with pytest.raises(ApplyError, match=r"\(mode 640\).*chmod 600"):
        attempt(folder)
    path_in(folder).chmod(0o600)
    folder.chmod(0o770)
    with pytest.raises(ApplyError, match=r"\(mode 770\).*chmod 700"):
        attempt(folder)
    # What systemd makes of RuntimeDirectory=svcc.
    folder.chmod(0o755)
    attempt(folder)


def test_no_plain_file(folder: Path) -> None:
    attempt(folder)
    path_in(folder).unlink()
    os.mkfifo(path_in(folder), 0o600)
    with pytest.raises(ApplyError, match="is no plain file; remove it"):
        attempt(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_what_belongs_to_somebody_else_is_refused(folder: Path) -> None:
    attempt(folder)
    os.chown(path_in(folder), 65534, 65534)
    with pytest.raises(ApplyError, match=r"\.lock belongs to user 65534"):
        attempt(folder)
    path_in(folder).unlink()
    os.chown(folder, 65534, 65534)
    with pytest.raises(ApplyError, match=r"svcc belongs to user 65534"):
        attempt(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_nobody_gets_no_hold_of_it(folder: Path) -> None:
    """A lock of flock(2) needs no more than a descriptor."""
    folder.parent.chmod(0o755)
    attempt(folder)
    child = os.fork()
    if child == 0:
        code = 0
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        for place, flags in ((path_in(folder), os.O_RDONLY), (folder, os.O_RDONLY)):
            with suppress(PermissionError):
                fcntl.flock(os.open(place, flags), fcntl.LOCK_EX)
                code = 1
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    attempt(folder)
