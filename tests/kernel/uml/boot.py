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
from pathlib import Path

from tests.kernel.uml import launch

KERNEL = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
MEMORY = "1536M"
_ENVIRONMENT = {
    # Whatever is in AVX registers is lost at every page fault (see launch.py).
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps="
    "-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load",
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


def run(command: list[str], *, seconds: float) -> tuple[int, str]:
    """Boot, run a command from this folder with the variables CI and SVCC_*, halt.

    Args:
        command: program and arguments.
        seconds: after which the kernel is killed.

    Returns:
        Exit code and output of the command; -1 if it did not end.
    """
    _link_modules()
    with tempfile.TemporaryDirectory(prefix="svcc-uml-") as folder:
        line = " ".join(shlex.quote(word) for word in command)
        exports = "".join(
            f"export {name}={shlex.quote(value)}\n"
            for name, value in os.environ.items()
            if name == "CI" or name.startswith("SVCC_")
        )
        script = f"{exports}cd {shlex.quote(os.getcwd())}\nexec {line}\n"
        Path(folder, "command").write_text(script)
        arguments = [
            sys.executable, launch.__file__, KERNEL, "rootfstype=hostfs", "rootflags=/", "rw",
            f"mem={MEMORY}", f"init={Path(__file__).with_name('init.sh')}", "con=null",
            "con0=null,fd:1", "quiet", f"SVCC_FOLDER={folder}",
            *(f"{name}={value}" for name, value in _ENVIRONMENT.items()),
        ]  # fmt: skip
        with subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "TMPDIR": "/dev/shm"},
            start_new_session=True,
        ) as kernel:
            try:
                console, _ = kernel.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                # Its processes are processes here, of one group.
                os.killpg(kernel.pid, signal.SIGKILL)
                console = f"stopped after {seconds} s"
        output, code = Path(folder, "output"), Path(folder, "code")
        text = output.read_text(errors="replace") if output.exists() else ""
        if not code.exists():
            return -1, f"{text}\n{console}"
        return int(code.read_text()), text


def _link_modules() -> None:
    """Where modprobe inside looks for the modules of that kernel."""
    for folder in MODULES.iterdir():
        link = Path("/lib/modules") / folder.name
        link.parent.mkdir(exist_ok=True)
        if not link.exists():
            link.symlink_to(folder)


if __name__ == "__main__":
    code, text = run(sys.argv[1:], seconds=float(os.environ.get("SVCC_UML_SECONDS", "900")))
    sys.stdout.write(text)
    sys.exit(code if code >= 0 else 1)
