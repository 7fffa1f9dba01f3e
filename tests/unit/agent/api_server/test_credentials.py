"""Who asks, over real TLS: each way, and what is rotated while the agent runs."""

from __future__ import annotations

import base64
import http.server
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from svcc.agent.api_server import credentials as module
from svcc.agent.api_server.access import Access, ClientSettings, ExecPlugin, FileOrData
from svcc.agent.api_server.client import Client
from svcc.agent.api_server.credentials import Credentials
from svcc.agent.api_server.errors import ClosedError, RequestError
from svcc.agent.api_server.transport import environment_proxy
from tests.support.api_server.certificates import Certificates
from tests.support.api_server.server import ApiServer
from tests.unit.agent.api_server.conftest import write_kubeconfig
from tests.unit.agent.api_server.following import SERVICES, Ticks, access_to, client_of

V1 = "client.authentication.k8s.io/v1"


def ask(access: Access | Client) -> int:
    """How many are listed."""
    client = access if isinstance(access, Client) else client_of(access, Ticks(1).timing())
    response = client.get(SERVICES.path, {}, silence=60)
    return len(json.loads(client.body(response))["items"])


def users(server: ApiServer) -> list[str]:
    return [request.user for request in server.requests]


def test_a_token(server: ApiServer, certificates: Certificates) -> None:
    assert ask(access_to(server, certificates.ca)) == 0
    assert server.requests[0].headers["User-Agent"].startswith("svcc/")
    with pytest.raises(RequestError, match="Unauthorized") as caught:
        ask(access_to(server, certificates.ca, token="wrong"))
    assert caught.value.status == 401
    assert len(server.requests) == 2


def test_a_name_and_a_password(server: ApiServer, certificates: Certificates) -> None:
    server.passwords["me"] = "pass:word"
    ask(access_to(server, certificates.ca, token="", username="me", password="pass:word"))
    assert users(server) == ["me"]


def test_a_client_certificate_in_files(server: ApiServer, certificates: Certificates) -> None:
    certificate, key = (FileOrData(str(path)) for path in certificates.client("filed"))
    ask(access_to(server, certificates.ca, token="", certificate=certificate, key=key))
    assert users(server) == ["filed"]


def test_certificates_as_data_are_written_nowhere(
    server: ApiServer, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = (FileOrData(data=path.read_bytes()) for path in certificates.client("data"))
    ca = FileOrData(data=certificates.ca.read_bytes())
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    open_files = len(os.listdir("/proc/self/fd"))
    client = client_of(
        Access(source="t", server=server.url, ca=ca, certificate=certificate, key=key),
        Ticks(1).timing(),
    )
    ask(client)
    assert users(server) == ["data"]
    assert list(tmp_path.iterdir()) == []
    client.close()
    assert len(os.listdir("/proc/self/fd")) <= open_files + 2  # the connection's two ends


def test_a_file_of_a_token_is_read_as_it_rotates(
    server: ApiServer, certificates: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("right\n")
    client = client_of(
        access_to(server, certificates.ca, token="", token_file=str(path)), Ticks(1).timing()
    )
    ask(client)
    server.tokens = {"newer": "svcc"}
    path.write_text("newer")
    ask(client)
    assert users(server) == ["svcc", "svcc"]
    # While it cannot be read the last one counts, as with client-go.
    path.unlink()
    ask(client)
    path.write_text("")
    ask(client)
    assert users(server) == ["svcc"] * 4


def test_a_token_that_rotates_between_asking_and_the_answer(
    server: ApiServer, certificates: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("right")

    def rotate(handler: object, request: object) -> bool:
        server.tokens = {"newer": "svcc"}
        if path.read_text() == "right":
            path.write_text("newer")
            server.requests[-1] = server.requests[-1].__class__("", {}, "", {})
            handler.answer(401, {"kind": "Status", "code": 401, "message": "Unauthorized"})  # type: ignore[attr-defined]
            return False
        return True

    server.faults.append(rotate)
    ask(access_to(server, certificates.ca, token="", token_file=str(path)))
    assert users(server) == ["", "svcc"]


def test_no_token_at_all(server: ApiServer, certificates: Certificates, tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(RequestError, match="token: the token cannot be read: No such file"):
        ask(access_to(server, certificates.ca, token="", token_file=str(path)))
    path.write_text(" \n")
    with pytest.raises(RequestError, match="there is no token in it"):
        ask(access_to(server, certificates.ca, token="", token_file=str(path)))
    assert server.requests == []


def test_a_kubeconfig_that_is_written_anew_counts(
    server: ApiServer, certificates: Certificates, tmp_path: Path
) -> None:
    cluster = {"server": server.url, "certificate-authority": str(certificates.ca)}
    path = write_kubeconfig(tmp_path / "k", cluster, {"token": "right"})
    warnings: list[str] = []
    client = Client(ClientSettings(str(path), qps=0), Ticks(1).timing(), warnings.append)
    ask(client)
    server.tokens = {"newer": "other"}
    write_kubeconfig(path, cluster, {"token": "newer"})
    ask(client)
    assert users(server) == ["svcc", "other"]
    path.write_text("current-context: none")
    ask(client)
    ask(client)
    assert users(server)[2:] == ["other", "other"]
    assert len(warnings) == 1
    assert "there is no context 'none'; what it said before still counts" in warnings[0]


def test_a_ca_that_is_rotated(tmp_path: Path) -> None:
    old, new = Certificates(tmp_path, "old"), Certificates(tmp_path, "new")
    ca = tmp_path / "ca"
    ca.write_bytes(old.ca.read_bytes())
    first = ApiServer(old.server("127.0.0.1"))
    client = client_of(access_to(first, ca), Ticks(1).timing())
    try:
        ask(client)
    finally:
        first.close()
    second = ApiServer(new.server("127.0.0.1"), first.port)
    try:
        with pytest.raises(RequestError, match=r"its certificate is not right: .*self-signed"):
            ask(client)
        (tmp_path / "next").write_bytes(new.ca.read_bytes())
        (tmp_path / "next").rename(ca)
        ask(client)
        assert users(second) == ["svcc"]
    finally:
        second.close()


def test_the_servers_name_must_be_right(certificates: Certificates) -> None:
    server = ApiServer(certificates.server("api.example"))
    try:
        with pytest.raises(RequestError, match=r"its certificate is not right: .*127\.0\.0\.1"):
            ask(access_to(server, certificates.ca))
        ask(access_to(server, certificates.ca, server_name="api.example"))
        with pytest.raises(RequestError, match="its certificate is not right"):
            ask(access_to(server, certificates.ca, server_name="other.example"))
        with pytest.raises(RequestError, match="its certificate is not right"):
            ask(Access(source="t", server=server.url, token="right"))
        ask(Access(source="t", server=server.url, token="right", skip_verify=True))
        assert users(server) == ["svcc", "svcc"]
    finally:
        server.close()


def test_files_that_are_no_certificates(
    server: ApiServer, certificates: Certificates, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("nothing")
    with pytest.raises(RequestError, match="wrong: no CA certificate can be read"):
        ask(access_to(server, wrong))
    with pytest.raises(RequestError, match=r"gone: no CA certificate can be read: No such file"):
        ask(access_to(server, tmp_path / "gone"))
    pair = {"certificate": FileOrData(str(wrong)), "key": FileOrData(str(wrong))}
    with pytest.raises(RequestError, match="wrong: it or its key cannot be used"):
        ask(access_to(server, certificates.ca, **pair))


def test_a_server_without_tls() -> None:
    server = ApiServer()
    try:
        assert ask(Access(source="t", server=server.url, token="right")) == 0
    finally:
        server.close()


# -- plugins -------------------------------------------------------------------------------


def plugin(folder: Path, code: str, version: str = V1, **more: Any) -> ExecPlugin:
    """A program of Python; ``n`` is how often it has run."""
    script = folder / "plugin"
    count = folder / "count"
    script.write_text(
        f"#!{sys.executable}\nimport json, os, sys, time\n"
        f"open({str(count)!r}, 'a').write('x')\nn = os.path.getsize({str(count)!r})\n"
        f"asked = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "def say(**status):\n"
        "    print(json.dumps({'kind': 'ExecCredential', 'apiVersion': asked['apiVersion'],"
        " 'status': status}))\n" + code
    )
    script.chmod(0o755)
    return ExecPlugin(version, str(script), **more)


def runs(folder: Path) -> int:
    return (folder / "count").stat().st_size


@pytest.mark.parametrize("version", [V1, f"{V1}beta1"])
def test_a_plugin_prints_a_token(
    server: ApiServer, certificates: Certificates, tmp_path: Path, version: str
) -> None:
    made = plugin(
        tmp_path,
        "assert sys.argv[1:] == ['a', 'b'] and os.environ['X'] == 'y'\n"
        "assert asked['kind'] == 'ExecCredential' and asked['spec'] == {'interactive': False}\n"
        "say(token='right')",
        version,
        arguments=("a", "b"),
        environment={"X": "y"},
    )
    client = client_of(access_to(server, certificates.ca, token="", exec=made), Ticks(1).timing())
    ask(client)
    ask(client)
    assert users(server) == ["svcc", "svcc"]
    assert runs(tmp_path) == 1


def test_a_plugin_is_told_the_cluster(tmp_path: Path) -> None:
    told = {"server": "https://a", "config": {"x": 1}}
    made = plugin(
        tmp_path, "say(token=asked['spec']['cluster']['config']['x'] * 't')", cluster=told
    )
    credential = Credentials(Access(source="t", server="https://a", exec=made)).current()
    assert credential.authorization == "Bearer t"


def test_a_plugin_prints_a_certificate(
    server: ApiServer, certificates: Certificates, tmp_path: Path
) -> None:
    certificate, key = certificates.client("printed")
    made = plugin(
        tmp_path,
        f"say(clientCertificateData=open({str(certificate)!r}).read(),"
        f" clientKeyData=open({str(key)!r}).read())",
    )
    ask(access_to(server, certificates.ca, token="", exec=made))
    assert users(server) == ["printed"]


def test_what_a_plugin_printed_is_used_until_it_expires(tmp_path: Path) -> None:
    made = plugin(tmp_path, "say(token=f't{n}', expirationTimestamp='2030-01-01T00:00:00Z')")
    now = [datetime(2029, 12, 31, tzinfo=UTC)]
    credentials = Credentials(Access(source="t", server="https://a", exec=made), now=lambda: now[0])
    assert credentials.current().authorization == "Bearer t1"
    assert credentials.current().authorization == "Bearer t1"
    now[0] += timedelta(days=2)
    assert credentials.current().authorization == "Bearer t2"


def test_a_plugin_is_run_again_when_the_server_says_401(
    server: ApiServer, certificates: Certificates, tmp_path: Path
) -> None:
    made = plugin(tmp_path, "say(token=f't{n}')")
    server.tokens = {"t1": "svcc"}
    client = client_of(access_to(server, certificates.ca, token="", exec=made), Ticks(1).timing())
    ask(client)
    server.tokens = {"t2": "svcc"}
    ask(client)
    assert users(server) == ["svcc", "", "svcc"]
    server.tokens = {}
    with pytest.raises(RequestError, match="Unauthorized"):
        ask(client)
    # Once, not until it gives one that is taken.
    assert runs(tmp_path) == 3


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("sys.exit('log in first')", "plugin: exit code 1: log in first"),
        ("print('{}')", "plugin: what it printed is no ExecCredential"),
        ("print('[]')", "plugin: what it printed is no ExecCredential"),
        ("say()", "plugin: what it printed is no ExecCredential"),
        ("say(clientCertificateData='x')", "plugin: what it printed is no ExecCredential"),
        ("say(token='x', expirationTimestamp='soon')", "is no ExecCredential"),
        ("asked['apiVersion'] += 'x'\nsay(token='x')", "is no ExecCredential"),
    ],
)
def test_plugins_that_fail(tmp_path: Path, code: str, message: str) -> None:
    access = Access(source="t", server="https://a", exec=plugin(tmp_path, code))
    with pytest.raises(RequestError) as caught:
        Credentials(access).current()
    assert message in str(caught.value)


def test_a_plugin_that_is_not_there() -> None:
    made = ExecPlugin(V1, "no-such-plugin", install_hint="get it at the cloud's site")
    with pytest.raises(RequestError, match="there is no such program; get it at the cloud's site"):
        Credentials(Access(source="t", server="https://a", exec=made)).current()


def test_a_plugin_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(source="t", server="https://a", exec=plugin(tmp_path, "time.sleep(1000)"))
    monkeypatch.setattr(module, "EXEC_TIMEOUT", 0.4)
    with pytest.raises(RequestError, match="it does not end"):
        Credentials(access).current()
    with pytest.raises(ClosedError):
        Credentials(access, lambda: True).current()


# -- proxies -------------------------------------------------------------------------------


class _Proxy(http.server.BaseHTTPRequestHandler):
    """CONNECT, and nothing else."""

    asked: list[tuple[str, str | None]]

    def do_CONNECT(self) -> None:
        self.asked.append((self.path, self.headers.get("Proxy-Authorization")))
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port))) as there:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=self._copy, args=(there, self.connection))
            back.start()
            self._copy(self.connection, there)
            back.join()
        self.close_connection = True

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    asked: list[tuple[str, str | None]] = []
    handler = type("P", (_Proxy,), {"asked": asked})
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"127.0.0.1:{made.server_address[1]}", asked
    made.shutdown()
    thread.join()
    made.socket.close()


def test_by_way_of_a_proxy(
    server: ApiServer,
    certificates: Certificates,
    proxy: tuple[str, list[tuple[str, str | None]]],
) -> None:
    where, asked = proxy
    client = client_of(
        access_to(server, certificates.ca, proxy=f"http://me:word@{where}"), Ticks(1).timing()
    )
    ask(client)
    client.close()
    pair = base64.b64encode(b"me:word").decode()
    assert asked == [(f"127.0.0.1:{server.port}", f"Basic {pair}")]
    assert users(server) == ["svcc"]


@pytest.mark.parametrize(
    ("server", "proxy"),
    [
        ("https://10.1.2.3:6443", "http://p:1"),
        ("https://api.example", "http://p:1"),
        ("http://10.1.2.3", ""),
        ("https://10.96.0.1", ""),
        ("https://[fd00::7]:6443", ""),
        ("https://[fd01::7]:6443", "http://p:1"),
        ("https://a.cluster.local:6443", ""),
        ("https://localhost:6443", ""),
        ("https://127.0.0.1:6443", ""),
    ],
)
def test_the_proxy_of_the_environment(
    server: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", "10.96.0.0/12, fd00::/16,.cluster.local")
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert environment_proxy(server) == proxy


# -- how often -----------------------------------------------------------------------------


def test_requests_are_no_more_than_qps_and_burst(
    server: ApiServer, certificates: Certificates
) -> None:
    ticks = Ticks(1000)
    access = access_to(server, certificates.ca)
    settings = ClientSettings(qps=2.0, burst=3)
    client = Client(settings, ticks.timing(), print, lambda _: access)
    for _ in range(7):
        ask(client)
    assert ticks.waits == [0.5] * 4
    ticks.time += 100
    for _ in range(4):
        ask(client)
    assert ticks.waits == [0.5] * 5
