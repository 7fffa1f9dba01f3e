"""examples/standalone: three hosts without a cluster, as its README has it, and what must fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.house.docs import PROGRAM, normal, programs, run_program
from tests.paths import ROOT
from tests.support.kernel.namespace import missing

pytestmark = pytest.mark.kernel
HERE = ROOT / "examples" / "standalone"
README = (HERE / "README.md").read_text()
(SHOWN,) = (match[0] for match in programs(README))
(BY_HAND,) = re.findall(r"(?<=```console\n# by hand\n).*?(?=```)", README, re.DOTALL)
PATH = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
# What apply and the verdict on loaded rules print depends on the mode.
OF_A_MODE = ("ipv4 ", "ipv6 ", "sysctl ", "nftables: ", "proved: ")


@pytest.fixture(autouse=True)
def _tools() -> None:
    if (reason := missing()) is not None:
        pytest.skip(reason)
    absent = [tool for tool in ("nsd", "unshare", "sysctl") if not shutil.which(tool, path=PATH)]
    if absent:
        pytest.skip(f"needs {', '.join(absent)}")


def run(program: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program of the example."""
    return subprocess.run(
        [str(program), *arguments],
        env={**os.environ, "PATH": PATH},
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def lines(text: str, without: Sequence[str] = ()) -> list[str]:
    """The lines of what was printed, seconds left out."""
    return [line for line in normal(text).splitlines() if not line.startswith(tuple(without))]


def test_it_prints_what_its_readme_shows() -> None:
    assert lines(run_program(SHOWN)) == lines(SHOWN), "make docs"


def test_nftables_mode_gives_the_same_answers() -> None:
    command = SHOWN.splitlines()[0].removeprefix(PROGRAM)
    shown = run_program(f"{PROGRAM}{command} --mode nftables\n")
    assert shown.count("\nnftables: ") == 5, shown
    assert lines(shown, OF_A_MODE)[1:] == lines(SHOWN, OF_A_MODE)[1:]


def test_each_line_can_be_typed() -> None:
    until_one_goes = SHOWN.split("\n# rack-3 is to go")[0].partition("\n")[2]
    shown = "\n".join(lines(until_one_goes + BY_HAND, ("# ",)))
    typed = [line[2:] for line in shown.splitlines() if line.startswith("$ ")]
    assert len(typed) > 20
    script = "".join(f"cat <<'LINE'\n$ {line}\nLINE\n{line}\n" for line in typed)
    done = run(HERE / "hosts.sh", "bash", "-e", text=script)
    assert [line for line in lines(done.stdout) if line] == [x for x in shown.splitlines() if x]


def damaged(folder: Path, file: str, old: str, new: str) -> Path:
    """The program of a copy of the example, with one change."""
    copy = folder / "standalone"
    shutil.copytree(HERE, copy)
    path = copy / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return copy / "run.py"


def test_a_lock_file_that_changes_is_a_mismatch(tmp_path: Path) -> None:
    (line,) = re.findall(r"given shop/admin node-port .*\n", (HERE / "svcc.lock").read_text())
    done = run(damaged(tmp_path, "svcc.lock", line, ""))
    assert done.returncode == 1
    assert "not as it should be: exit code 1: cmp svcc.lock" in done.stdout


def test_a_wrong_answer_is_a_mismatch(tmp_path: Path) -> None:
    program = damaged(tmp_path, "server.py", "): entry for", "): entry.replace('2', 'x') for")
    done = run(program)
    assert done.returncode == 1
    told = " ".join(done.stdout.splitlines()[-1].split())
    assert told.endswith("it should be: web:80 10.96.62.18 answered by web-1 web-2 web-3")


@pytest.mark.parametrize("instead", ["true", "svcc cleanup; {inside(host)}svcc apply"])
def test_whoever_is_not_served_all_the_time_is_a_mismatch(tmp_path: Path, instead: str) -> None:
    # On the hosts that stay only: with "true" their rules still lead to the host that went.
    program = damaged(
        tmp_path,
        "run.py",
        """    for host in left:
        do(f"{inside(host)}svcc apply""",
        f"""    for host in left:
        do(f"{{inside(host)}}{instead}""",
    )
    program.write_text(program.read_text().replace("    ask_everything(list(RACKS))\n", ""))
    done = run(program)
    assert done.returncode == 1
    assert re.search(r"not as it should be: (rack-[12]|outside): failed: ", done.stdout)


def test_whoever_is_killed_leaves_nothing() -> None:
    process = subprocess.Popen(
        [str(HERE / "hosts.sh"), "bash", "-c", "sleep inf & echo ready; sleep inf"],
        env={**os.environ, "PATH": PATH},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    # Each process inside has the pipe: it ends with the last of them.
    assert process.stdout.read() == ""
    process.wait()
    assert not list(Path("/run/netns").glob("rack-*"))
