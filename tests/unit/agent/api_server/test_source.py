"""The source as a whole, over TLS: what is there is seen, whatever comes between."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from svcc.agent.api_server import follower, transport
from svcc.agent.sources.documents import Documents, Key
from svcc.agent.sources.source import Source
from tests.support.api_server.certificates import Certificates
from tests.support.api_server.server import ApiServer, Hang, half, status
from tests.unit.agent.api_server.following import HANGS, key, node, running, service

PROXY_NAME = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"


def slice_of(name: str, **labels: str) -> dict[str, object]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.1.2"]}],
        "ports": [{"port": 8080}],
    }


def test_what_is_there_is_seen_and_what_changes(server: ApiServer, kubeconfig: Path) -> None:
    server.store.put(service("web"))
    server.store.put(slice_of("web-1"))
    server.store.put(node("n1"))
    server.store.put(node("n2"))
    with running(kubeconfig) as run:
        source: Source = run.source
        assert source.parts == ("services", "endpointslices", "node")
        run.until(lambda: not run.documents.missing)
        assert run.found.keys() == {
            key("web"),
            Key("EndpointSlice", "shop", "web-1"),
            Key("Node", "", "n1"),
        }
        found = run.found[key("web")]
        assert (found["apiVersion"], found["kind"]) == ("v1", "Service")
        assert found["spec"] == service("web")["spec"]
        assert found["metadata"].keys() == {"name", "namespace", "labels", "uid"}
        server.store.put(service("db"))
        server.store.put(service("web", "10.96.0.2"))
        run.until(lambda: "db" in run.names())
        run.until(lambda: run.found[key("web")]["spec"]["clusterIP"] == "10.96.0.2")
        server.store.delete(service("web"))
        run.until(lambda: run.names() == {"db"})
        server.store.put(service("web"))
        run.until(lambda: run.names() == {"db", "web"})
        run.until(lambda: run.source.stale_since is None)
        assert run.told == []


def test_a_change_is_slim_as_a_list_is(server: ApiServer, kubeconfig: Path) -> None:
    server.store.put(service("web"))
    with running(kubeconfig) as run:
        run.until(lambda: "web" in run.names() and bool(server.watching("services")))
        listed = run.found[key("web")]
        server.store.put(service("same"))
        run.until(lambda: "same" in run.names())
        changed = run.found[key("same")]
        assert listed.keys() == changed.keys()
        assert listed["metadata"].keys() == changed["metadata"].keys()
        # The same object once more, with a new version only, is no change.
        server.store.put(service("web"))
        server.store.put(service("last"))
        run.until(lambda: "last" in run.names())
        assert run.found[key("web")] == listed


def test_other_proxies_services_and_headless_slices_are_not_asked_for(
    server: ApiServer, kubeconfig: Path
) -> None:
    server.store.put(service("ours"))
    server.store.put(service("theirs", **{PROXY_NAME: "other"}))
    server.store.put(slice_of("headless", **{HEADLESS: ""}))
    with running(kubeconfig) as run:
        run.until(lambda: not run.documents.missing)
        assert run.found.keys() == {key("ours")}
        run.until(lambda: bool(server.watching("services")))
        server.store.put(service("ours", **{PROXY_NAME: "other"}))
        run.until(lambda: not run.names())
        server.store.put(service("theirs"))
        run.until(lambda: run.names() == {"theirs"})


def test_the_own_node_may_come_later(server: ApiServer, kubeconfig: Path) -> None:
    with running(kubeconfig, "n2") as run:
        run.until(lambda: not run.documents.missing and bool(server.watching("nodes")))
        server.store.put(node("n1"))
        server.store.put(node("n2"))
        run.until(lambda: Key("Node", "", "n2") in run.found)
        assert Key("Node", "", "n1") not in run.found


def test_the_server_is_gone_and_comes_back(
    certificates: Certificates, server: ApiServer, kubeconfig: Path
) -> None:
    server.store.put(service("web"))
    server.store.put(service("old"))
    with running(kubeconfig) as run:
        run.until(lambda: "web" in run.names() and run.source.stale_since is None)
        server.close()
        run.until(lambda: any("Connection refused" in line for line in run.told))
        since = run.source.stale_since
        assert run.names() == {"web", "old"}
        again = ApiServer(certificates.server("127.0.0.1"), server.port)
        try:
            again.store.version = 500
            again.store.put(service("web"))
            again.store.compact()
            run.until(lambda: run.names() == {"web"})
            run.until(lambda: run.source.stale_since is None)
            assert since is not None
            assert any(line.startswith("note: services") for line in run.told)
        finally:
            again.close()


def test_an_older_backup_was_restored(
    server: ApiServer, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "WATCH_SILENCE", 0.5)
    server.store.put(service("web"))
    server.store.put(service("late"))
    with running(kubeconfig) as run:
        run.until(lambda: "late" in run.names() and bool(server.watching("services")))
        server.store.delete_unseen(service("late"))
        server.store.restore(50)
        for watch in server.watching("services"):
            watch.drop()
        run.until(lambda: run.names() == {"web"})


def test_nothing_is_listed_until_somebody_answers(server: ApiServer, kubeconfig: Path) -> None:
    server.store.put(service("web"))
    server.fail(3, half, resource="services")
    with running(kubeconfig) as run:
        run.until(lambda: bool(run.told))
        run.until(lambda: "web" in run.names())
        run.until(lambda: len(server.asked("services", "watch")) == 1)
        assert len(server.asked("services", "list")) == 4


def test_what_is_forbidden_is_told_with_the_right_that_is_missing(
    server: ApiServer, kubeconfig: Path
) -> None:
    server.forbidden = {("list", "endpointslices"), ("watch", "services")}
    server.store.put(service("web"))
    with running(kubeconfig) as run:
        run.until(lambda: len(server.asked("endpointslices")) > 3)
        run.until(lambda: len(server.asked("services", "watch")) > 3)
        run.until(lambda: len(run.told) == 2)
        told = "\n".join(sorted(run.told))
        assert 'User "svcc" cannot list resource "endpointslices"' in told
        assert (
            'apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], '
            'verbs: ["list", "watch"]' in told
        )
        assert 'User "svcc" cannot watch resource "services"' in told
        assert run.documents.missing == ("endpointslices",)
        assert run.names() == {"web"}
        assert run.source.stale_since is not None
        server.forbidden = set()
        run.until(lambda: not run.documents.missing and run.source.stale_since is None)


def closed_while_it_runs(kubeconfig: Path, is_there: threading.Event) -> None:
    with running(kubeconfig):
        assert is_there.wait(HANGS)


def test_it_ends_while_an_answer_is_waited_for(server: ApiServer, kubeconfig: Path) -> None:
    hang = Hang()
    server.fail(100, hang)
    try:
        closed_while_it_runs(kubeconfig, hang.begun)
    finally:
        hang.released.set()


def test_it_ends_while_a_watch_is_silent(server: ApiServer, kubeconfig: Path) -> None:
    with running(kubeconfig) as run:
        run.until(lambda: all(server.watching(name) for name in ("services", "nodes")))
    assert not [t for t in threading.enumerate() if t.name.startswith("svcc-")]


def test_it_ends_while_it_waits_to_try_again(kubeconfig: Path, server: ApiServer) -> None:
    server.fail(100, status(503, "ServiceUnavailable", "not now"))
    with running(kubeconfig, haste=1e-3) as run:
        run.until(lambda: len(run.told) == 3)


def test_it_ends_in_the_middle_of_a_handshake(
    tmp_path: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        text = kubeconfig.read_text()
        port = silent.getsockname()[1]
        there = tmp_path / "silent"
        there.write_text(
            "\n".join(
                f"    server: https://127.0.0.1:{port}" if "server:" in line else line
                for line in text.splitlines()
            )
        )
        with running(there):
            silent.accept()[0].close()


@pytest.mark.parametrize("part", ["services", "endpointslices", "node"])
def test_parts_are_those_that_documents_have(part: str, kubeconfig: Path) -> None:
    with running(kubeconfig) as run:
        assert part in run.source.parts
        Documents(run.source.parts).replace(part, [])
