"""Run a command in a Linux kernel that has IPVS: User Mode Linux, with this machine's files.

The kernel is Debian's package user-mode-linux (6.1). Its root file system is the host's, so
python and the tests run there as they are; its processes, network and modules are its own.
``python -m tests.kernel.uml.boot COMMAND…`` runs a command by hand.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.kernel.uml import launch, spawner

KERNEL = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
MEMORY = "1536M"
PATIENCE = 900.0
"""CPU seconds without a word after which a command counts as stuck."""
_ASLEEP, _AWAKE = 600.0, 1.0
"""Seconds in which less than so many CPU seconds used show that nobody wants the processor."""
_ENVIRONMENT = {
    # Whatever is in AVX registers is lost at every page fault (see launch.py).
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps="
    "-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load"
    # A page that is touched for the first time takes 50 microseconds: none is given back.
    ":glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=1073741824"
    ":glibc.malloc.top_pad=16777216",
    "PYTHONMALLOC": "malloc",
    "OPENSSL_ia32cap": "~0x1000000000000000:0",
}


def missing() -> str | None:
    """Why the kernel cannot be started here, None if it can."""
    if os.geteuid() != 0:
        return "needs root for User Mode Linux with the host's files"
    if shutil.which(KERNEL) is None or not MODULES.is_dir():
        return "needs User Mode Linux (Debian package: user-mode-linux)"
    absent = [tool for tool in ("ipvsadm", "modprobe") if shutil.which(tool) is None]
    return f"needs {', '.join(absent)}" if absent else None


def run(command: list[str], *, patience: float = PATIENCE) -> tuple[int, str]:
    """Boot, run a command from this folder with the variables CI and SVCC_*, halt.

    Args:
        command: program and arguments.
        patience: CPU seconds that the kernel may use while the command prints nothing.

    Returns:
        Exit code and output of the command; -1 if it was stopped.
    """
    _link_modules()
    with tempfile.TemporaryDirectory(prefix="svcc-uml-") as name:
        folder = Path(name)
        line = " ".join(shlex.quote(word) for word in command)
        exports = "".join(
            f"export {name}={shlex.quote(value)}\n"
            for name, value in os.environ.items()
            if name == "CI" or name.startswith("SVCC_")
        )
        first = f"{shlex.quote(sys.executable)} -I -S {shlex.quote(spawner.__file__)}"
        script = f"{exports}cd {shlex.quote(os.getcwd())}\nexec {first} {line}\n"
        (folder / "command").write_text(script)
        arguments = [
            sys.executable, launch.__file__, KERNEL, "rootfstype=hostfs", "rootflags=/", "rw",
            f"mem={MEMORY}", f"init={Path(__file__).with_name('init.sh')}", "con=null",
            "con0=null,fd:1", f"SVCC_FOLDER={folder}",
            *(f"{name}={value}" for name, value in _ENVIRONMENT.items()),
        ]  # fmt: skip
        console, output, code = folder / "console", folder / "output", folder / "code"
        with (
            console.open("wb") as printed,
            subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": "/dev/shm"},
                start_new_session=True,
            ) as kernel,
        ):
            try:
                stopped = _wait(kernel, (console, output), patience)
            finally:
                # Its processes are processes here, of one group.
                with suppress(ProcessLookupError):
                    os.killpg(kernel.pid, signal.SIGKILL)
        text = output.read_text(errors="replace") if output.exists() else ""
        if not code.exists():
            return -1, f"{text}\n{console.read_text(errors='replace')}\n{stopped}"
        return int(code.read_text()), text


def _wait(kernel: subprocess.Popen[bytes], printed: Sequence[Path], patience: float) -> str:
    """Wait for the end, or for a time without any progress; why it is no use to wait on.

    What counts is the processor time that the kernel got: on a busy machine that is little. Who
    would run if it were let is not asleep.
    """
    size, used_then = -1, 0.0
    idle_since, used_last = time.monotonic(), 0.0
    while True:
        with suppress(subprocess.TimeoutExpired):
            kernel.wait(timeout=1)
            return f"the kernel ended with {kernel.returncode}"
        (used, wants_more), now = _used_by_group(kernel.pid), time.monotonic()
        size_now = sum(path.stat().st_size for path in printed if path.exists())
        if size_now != size:
            size, used_then = size_now, used
            idle_since, used_last = now, used
        if used - used_then > patience:
            return f"stopped: nothing was printed for {patience:.0f} s of processor time"
        if wants_more or used - used_last > _AWAKE:
            idle_since, used_last = now, used
        if now - idle_since > _ASLEEP:
            return f"stopped: it has done next to nothing for {_ASLEEP:.0f} s"


def _used_by_group(group: int) -> tuple[float, bool]:
    """Seconds of processor time that a process group has used, children that ended included, and
    whether any of it wants the processor now.
    """
    ticks, wants_more = 0, False
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += sum(map(int, fields[11:15]))
                wants_more |= fields[0] == "R"
    return ticks / os.sysconf("SC_CLK_TCK"), wants_more


def _link_modules() -> None:
    """Where modprobe inside looks for the modules of that kernel."""
    for folder in MODULES.iterdir():
        link = Path("/lib/modules") / folder.name
        link.parent.mkdir(exist_ok=True)
        if not link.exists():
            link.symlink_to(folder)


if __name__ == "__main__":
    code, text = run(sys.argv[1:])
    sys.stdout.write(text)
    sys.exit(code if code >= 0 else 1)
