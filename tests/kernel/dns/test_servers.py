"""Name servers with svcc's zones, asked what tests/data/names/answers.txt has the answers to."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from svcc.api import load
from svcc.api.standalone.names import compile_names
from tests.support.kernel.namespace import Namespace, missing, namespace
from tests.support.readings.dns_answers import questions

pytestmark = pytest.mark.kernel
ZONES = ("cluster.local", "in-addr.arpa", "ip6.arpa")
PORT = 5353
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def tool(name: str) -> str:
    """The path of a tool; the test is skipped without it."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


@pytest.fixture(scope="module")
def zones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the zones of the example."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("zones")
    compile_names(load("examples/names/cluster.yaml")).write(folder)
    return folder


def nsd(folder: Path, zones: Path) -> Sequence[str]:
    """NSD's configuration, and the command that starts it."""
    listed = "".join(f'zone:\n name: {z}\n zonefile: "{zones}/{z}.zone"\n' for z in ZONES)
    config = folder / "nsd.conf"
    config.write_text(
        f'server:\n ip-address: 127.0.0.1@{PORT}\n do-ip6: no\n username: ""\n'
        f' zonesdir: "{folder}"\n pidfile: "{folder}/pid"\n database: ""\n'
        f' xfrdfile: "{folder}/xfrd"\n xfrdir: "{folder}"\n zonelistfile: "{folder}/list"\n'
        f"remote-control:\n control-enable: no\n{listed}"
    )
    return tool("nsd"), "-d", "-c", str(config)


def knot(folder: Path, zones: Path) -> Sequence[str]:
    """Knot DNS's configuration, and the command that starts it."""
    listed = "".join(f'  - domain: {z}\n    file: "{zones}/{z}.zone"\n' for z in ZONES)
    config = folder / "knot.conf"
    config.write_text(
        f"server:\n  rundir: {folder}\n  listen: 127.0.0.1@{PORT}\n  udp-workers: 1\n"
        "  tcp-workers: 1\n  background-workers: 1\n"
        f"database:\n  storage: {folder}\n  journal-db-max-size: 1M\n"
        "template:\n  - id: default\n    journal-content: none\n    zonefile-sync: -1\n"
        f"zone:\n{listed}"
    )
    return tool("knotd"), "-c", str(config)


def bind(folder: Path, zones: Path) -> Sequence[str]:
    """BIND's configuration, and the command that starts it."""
    listed = "".join(f'zone "{z}" {{ type primary; file "{zones}/{z}.zone"; }};\n' for z in ZONES)
    config = folder / "named.conf"
    config.write_text(
        f'options {{ directory "{folder}"; pid-file none; listen-on-v6 {{ none; }};\n'
        f"listen-on port {PORT} {{ 127.0.0.1; }}; recursion no; empty-zones-enable no;\n"
        "session-keyfile none; lock-file none; dnssec-validation no; };\n"
        f"controls {{ }};\n{listed}"
    )
    return tool("named"), "-g", "-n", "1", "-c", str(config)


@contextmanager
def serving(command: Sequence[str], folder: Path) -> Iterator[Namespace]:
    """A namespace of its own with a name server that answers."""
    with namespace() as made, (folder / "log").open("w") as log:
        with made.entered():
            server = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=folder, start_new_session=True
            )
        try:
            for zone in ZONES:
                while True:
                    assert server.poll() is None, (folder / "log").read_text()
                    with made.entered():
                        reply = _ask(zone, "SOA", 0.2)
                    if reply is not None and reply.answer:
                        break
            yield made
        finally:
            # NSD has children, which are of its group.
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _ask(name: str, type_: str, seconds: float) -> dns.message.Message | None:
    """A question over loopback; None where nobody answers in time."""
    query = dns.message.make_query(name, type_)
    query.flags &= ~dns.flags.RD
    try:
        return dns.query.udp(query, "127.0.0.1", timeout=seconds, port=PORT)
    except (dns.exception.Timeout, OSError):
        return None


def told(reply: dns.message.Message, type_: str) -> list[str]:
    """The answer as the data file has it."""
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return ["NXDOMAIN"]
    assert reply.rcode() == dns.rcode.NOERROR
    records = [
        rdata.to_text()
        for rrset in reply.answer
        if rrset.rdtype in (dns.rdatatype.from_text(type_), dns.rdatatype.CNAME)
        for rdata in rrset
    ]
    return sorted(records) or ["NODATA"]


@pytest.mark.parametrize("server", [nsd, knot, bind])
def test_names_are_answered(
    server: Callable[[Path, Path], Sequence[str]], zones: Path, tmp_path: Path
) -> None:
    with serving(server(tmp_path, zones), tmp_path) as made, made.entered():
        for question in questions():
            reply = None
            while reply is None:
                reply = _ask(question.name, question.type, 5)
            assert told(reply, question.type) == question.answers, question
            assert reply.flags & dns.flags.AA


@pytest.mark.parametrize("zone", ZONES)
def test_zone_files_are_accepted(zone: str, zones: Path) -> None:
    file = str(zones / f"{zone}.zone")
    for command in (
        (tool("named-checkzone"), "-k", "fail", "-m", "fail", "-i", "local", zone, file),
        (tool("nsd-checkzone"), zone, file),
        (tool("kzonecheck"), "-o", zone, file),
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
