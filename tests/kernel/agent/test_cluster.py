"""svcc run with an API server: rules follow it, outlive it, and findings become Events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kernel.agent.conftest import ADDRESS
from tests.support.api_server.certificates import Certificates
from tests.support.api_server.server import ApiServer
from tests.support.api_server.store import Object
from tests.support.kernel.namespace import Namespace
from tests.support.running import HEALTHZ, Running, running
from tests.unit.agent.api_server.conftest import write_kubeconfig

pytestmark = pytest.mark.kernel


class Cluster:
    """An API server inside of a node's namespace, with objects of a cluster."""

    def __init__(self, node: Namespace, folder: Path) -> None:
        self._node = node
        certificates = Certificates(folder)
        self._tls = certificates.server("127.0.0.1")
        with node.entered():
            self.server = ApiServer(self._tls)
        access = {"server": self.server.url, "certificate-authority": str(certificates.ca)}
        self.kubeconfig = write_kubeconfig(folder / "kubeconfig", access, {"token": "right"})
        self.put(
            {
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"},
                "status": {"addresses": [{"type": "InternalIP", "address": ADDRESS}]},
            }
        )  # fmt: skip
        self.service("web", 1, 5)

    def put(self, document: Object) -> None:
        """An object comes or changes."""
        self.server.store.put(document)

    def service(self, name: str, address: int, *backends: int) -> None:
        """A Service and its slice."""
        for document in yaml.safe_load_all(
            f"""\
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop, uid: uid-{name}}}
spec: {{clusterIP: 10.96.0.{address}, ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{port: 8080}}]
endpoints: [{", ".join(f"{{addresses: [10.244.1.{b}]}}" for b in backends)}]
"""
        ):
            self.put(document)

    def restart(self) -> None:
        """Be gone and come back with the same objects, at the same place."""
        store, port = self.server.store, self.server.port
        self.server.close()
        with self._node.entered():
            self.server = ApiServer(self._tls, port, store)

    def arguments(self, *more: str) -> tuple[Any, ...]:
        """Of svcc run."""
        return (
            "--kubeconfig", self.kubeconfig, "--node", "node-a", "--cluster-cidr", "10.244.0.0/16",
            "--mode", "nftables", "--min-sync-period", "0s", "--sync-period", "2s", *more,
        )  # fmt: skip


@pytest.fixture
def cluster(node: Namespace, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(node, tmp_path)
    yield made
    made.server.close()


def has(node: Namespace, text: str) -> bool:
    return text in node.run("nft", "list", "ruleset")


def test_rules_follow_the_api_server(cluster: Cluster, node: Namespace, tmp_path: Path) -> None:
    with running(node, tmp_path, cluster.arguments()) as run:
        run.until_logged("loaded in")
        assert has(node, "10.244.1.5 . 8080")
        cluster.service("web", 1, 5, 6)
        run.until(lambda: has(node, "10.244.1.6 . 8080"))
        cluster.service("api", 2, 7)
        run.until(lambda: has(node, "10.96.0.2 . tcp . 80"))
        partial = "kubeproxy_sync_partial_proxy_rules_duration_seconds_count"
        assert run.metrics()[partial] >= 1
        cluster.restart()
        cluster.service("web", 1, 9)
        run.until(lambda: has(node, "10.244.1.9 . 8080"))
        assert has(node, "10.96.0.2 . tcp . 80")
        going = {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "node-a", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"addresses": [{"type": "InternalIP", "address": ADDRESS}]},
        }  # fmt: skip
        cluster.put(going)
        run.until(lambda: run.get(HEALTHZ, "/healthz")[0] == 503)
        assert run.get(HEALTHZ, "/livez")[0] == 200
        assert run.end() == 0


def test_what_is_loaded_outlives_the_api_server(
    cluster: Cluster, node: Namespace, tmp_path: Path
) -> None:
    with running(node, tmp_path, cluster.arguments()) as run:
        run.until_logged("loaded in")
        run.until(lambda: run.metrics()["svcc_source_stale_seconds"] == 0)
        cluster.server.close()
        run.until(lambda: warned(run))
        assert has(node, "10.244.1.5 . 8080")
        node.run("nft", "flush", "map", "ip", "svcc", "services")
        run.until_logged("loaded in", 2)
        assert has(node, "10.96.0.1 . tcp . 80")
        assert run.get(HEALTHZ, "/healthz")[0] == 200
        assert run.metrics()["svcc_source_stale_seconds"] > 0


def warned(run: Running) -> bool:
    return any(line["level"] == "warning" for line in run.lines())


def test_nothing_is_touched_before_everything_was_listed(
    cluster: Cluster, node: Namespace, tmp_path: Path
) -> None:
    cluster.server.forbidden.add(("list", "endpointslices"))
    with running(node, tmp_path, cluster.arguments()) as run:
        run.until(lambda: warned(run))
        assert not has(node, "svcc")
        assert run.get(HEALTHZ, "/healthz")[0] == 503
        assert any("ClusterRole" in line["msg"] for line in run.lines())
        cluster.server.forbidden.clear()
        run.until_logged("loaded in")


def test_findings_become_events(cluster: Cluster, node: Namespace, tmp_path: Path) -> None:
    with running(node, tmp_path, cluster.arguments()) as run:
        run.until_logged("loaded in")
        run.end()
    with running(node, tmp_path, cluster.arguments("--audit", "--settle", "1s"), "audit") as run:
        run.until_logged("listening on", 2)
        run.until(lambda: run.metrics()["svcc_service_ports"] > 0)
        key = "10.96.0.1 . tcp . 80"
        node.run("nft", "delete", "element", "ip", "svcc", "services", f"{{ {key} }}")
        run.until(lambda: cluster.server.events)
        event = cluster.server.events[0]
        assert event["type"] == "Warning"
        assert event["involvedObject"] == {
            "apiVersion": "v1", "kind": "Service", "namespace": "shop", "name": "web",
            "uid": "uid-web",
        }  # fmt: skip
        assert "SVC" in event["message"]
        cluster.server.forbidden.add(("create", "events"))
        element = f"{{ {key} : goto cluster-ip-1 }}"
        node.run("nft", "add", "element", "ip", "svcc", "services", element)
        run.until_logged("over: ")
        run.until_logged("cannot be told as Events")
        assert run.end() == 0
