"""svcc run on a real kernel: it follows files, keeps what it must, and tells how it is."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path

import pytest

from tests.kernel.agent.conftest import ADDRESS
from tests.support.command import svcc
from tests.support.kernel.namespace import Namespace
from tests.support.running import HEALTHZ, Running, running

pytestmark = pytest.mark.kernel

NODE = ("--node", "node-a", "--node-ip", ADDRESS, "--cluster-cidr", "10.244.0.0/16")
QUICK = ("--min-sync-period", "0s", "--sync-period", "2s")
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: shop}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.ADDRESS
  externalTrafficPolicy: Local
  healthCheckNodePort: 3200ADDRESS
  ports: [{port: 80, nodePort: 3100ADDRESS}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: NAME-1, namespace: shop, labels: {kubernetes.io/service-name: NAME}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.244.1.BACKEND], nodeName: node-a}]
"""


def text_of(name: str, address: int, backend: int) -> str:
    text = SERVICE.replace("NAME", name).replace("ADDRESS", str(address))
    return text.replace("BACKEND", str(backend))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "objects"
    found.mkdir()
    (found / "web.yaml").write_text(text_of("web", 1, 5))
    (found / "api.yaml").write_text(text_of("api", 2, 6))
    return found


def is_loaded(node: Namespace, folder: Path, mode: str) -> bool:
    """Whether the kernel has what a fresh compile makes of the files."""
    return svcc("diff", "-f", folder, "--mode", mode, *NODE, inside=node).code == 0


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_rules_follow_files(mode: str, node: Namespace, folder: Path, tmp_path: Path) -> None:
    arguments = ("-f", folder, "--mode", mode, *NODE, *QUICK)
    with running(node, tmp_path, arguments) as run:
        run.until_logged("loaded in")
        assert is_loaded(node, folder, mode)
        (folder / "web.yaml").write_text(text_of("web", 1, 77))
        run.until_logged("loaded in", 2)
        assert is_loaded(node, folder, mode)
        (folder / "new.yaml").write_text(text_of("new", 3, 8))
        run.until_logged("loaded in", 3)
        (folder / "api.yaml").unlink()
        run.until_logged("loaded in", 4)
        assert is_loaded(node, folder, mode)
        code, body = run.get(HEALTHZ, "/healthz")
        assert (code, json.loads(body)["nodeEligible"]) == (200, True)
        found = run.metrics()
        assert found["kubeproxy_sync_proxy_rules_duration_seconds_count"] >= 4
        assert found["svcc_service_ports"] == 2
        partial = found["kubeproxy_sync_partial_proxy_rules_duration_seconds_count"]
        assert (partial > 0) == (mode == "nftables")
        assert run.end() == 0
        assert "the rules stay" in run.lines()[-1]["msg"]
    assert is_loaded(node, folder, mode)


def test_what_cannot_be_read_leaves_everything(
    node: Namespace, folder: Path, tmp_path: Path
) -> None:
    with running(node, tmp_path, ("-f", folder, "--mode", "nftables", *NODE, *QUICK)) as run:
        run.until_logged("loaded in")
        right = (folder / "web.yaml").read_text()
        (folder / "web.yaml").write_text(right[: len(right) // 2])
        run.until_logged("what was read before stays")
        place = next(line["msg"] for line in run.lines() if "stays" in line["msg"])
        assert "web.yaml:" in place
        (folder / "web.yaml").write_text(right)
        run.until_logged("the files can be read again")
        assert is_loaded(node, folder, "nftables")


def test_nothing_is_taken_away_at_once(node: Namespace, folder: Path, tmp_path: Path) -> None:
    """As with apply: an empty list where something is served needs a person's word."""
    with running(node, tmp_path, ("-f", folder, "--mode", "nftables", *NODE, *QUICK)) as run:
        run.until_logged("loaded in")
        before = node.run("nft", "list", "ruleset")
        (folder / "api.yaml").unlink()
        run.until_logged("loaded in", 2)
        (folder / "web.yaml").write_text("apiVersion: v1\nkind: List\nitems: []\n")
        run.until_logged("--force goes on")
        assert "10.96.0.1 " in node.run("nft", "list", "ruleset")
        assert before != node.run("nft", "list", "ruleset")
        _, body = run.get(HEALTHZ, "/healthz")
        assert json.loads(body)["failed"] == "apply"
        assert run.metrics()['svcc_sync_failures_total{stage="apply"}'] >= 1


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_drift_is_repaired(mode: str, node: Namespace, folder: Path, tmp_path: Path) -> None:
    with running(node, tmp_path, ("-f", folder, "--mode", mode, *NODE, *QUICK)) as run:
        run.until_logged("loaded in")
        if mode == "nftables":
            node.run("nft", "flush", "map", "ip", "svcc", "services")
        else:
            node.run("iptables", "-t", "nat", "-F", "SVCC-SERVICES")
        run.until_logged("loaded in", 2)
        assert is_loaded(node, folder, mode)
        run.until(lambda: run.metrics()["svcc_drift_repaired_total"] == 1)


def test_killed_and_started_again(node: Namespace, folder: Path, tmp_path: Path) -> None:
    arguments = ("-f", folder, "--mode", "nftables", *NODE, *QUICK)
    with running(node, tmp_path, arguments) as run:
        run.until_logged("loaded in")
        (folder / "web.yaml").write_text(text_of("web", 1, 78))
        run.until_logged("loaded in", 2)
        run.end(signal.SIGKILL)
    assert is_loaded(node, folder, "nftables")
    (folder / "web.yaml").write_text(text_of("web", 1, 79))
    with running(node, tmp_path, arguments, "again") as run:
        run.until_logged("loaded in")
        assert is_loaded(node, folder, "nftables")
        said = [line["msg"] for line in run.lines()]
        # What the agent itself has loaded since another process wrote it down is no drift.
        assert not any("somebody else" in text for text in said), said


def test_a_config_map_s_links_are_followed(node: Namespace, tmp_path: Path) -> None:
    """As the kubelet swaps them: a new folder, and the link ``..data`` in one rename."""
    mount = tmp_path / "mount"

    def write(version: int, backend: int) -> None:
        inner = mount / f"..v{version}"
        inner.mkdir(parents=True)
        (inner / "web.yaml").write_text(text_of("web", 1, backend))
        (mount / "..new").symlink_to(inner.name)
        (mount / "..new").rename(mount / "..data")

    write(1, 5)
    (mount / "web.yaml").symlink_to("..data/web.yaml")
    arguments = ("-f", mount / "web.yaml", "--mode", "nftables", *NODE, *QUICK)
    with running(node, tmp_path, arguments) as run:
        run.until_logged("loaded in")
        write(2, 99)
        run.until_logged("loaded in", 2)
        assert "10.244.1.99" in node.run("nft", "list", "ruleset")


def test_balancers_are_answered(node: Namespace, folder: Path, tmp_path: Path) -> None:
    with running(node, tmp_path, ("-f", folder, "--mode", "nftables", *NODE, *QUICK)) as run:
        run.until_logged("loaded in")
        run.until(lambda: is_answered(run, 32001))
        code, body = run.get(32001, "/")
        assert (code, json.loads(body)) == (
            200,
            {
                "service": {"namespace": "shop", "name": "web"},
                "localEndpoints": 1,
                "serviceProxyHealthy": True,
            },
        )
        text = text_of("web", 1, 5).replace("nodeName: node-a", "nodeName: node-b")
        (folder / "web.yaml").write_text(text)
        run.until(lambda: run.get(32001, "/")[0] == 503)
        assert run.get(32002, "/")[0] == 200
        (folder / "web.yaml").unlink()
        run.until(lambda: not is_answered(run, 32001))


def is_answered(run: Running, port: int) -> bool:
    try:
        return bool(run.get(port, "/")[0])
    except OSError:
        return False


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_audit_tells_and_changes_nothing(
    mode: str, node: Namespace, folder: Path, tmp_path: Path
) -> None:
    given = ("-f", folder, "--mode", mode, *NODE)
    assert svcc("apply", *given, inside=node).code == 0
    with running(node, tmp_path, ("--audit", "--settle", "1s", *given)) as run:
        run.until_logged("listening on", 2)
        run.until(lambda: run.metrics()["svcc_service_ports"] > 0)
        assert not any(line["level"] == "error" for line in run.lines())
        if mode == "nftables":
            node.run("nft", "delete", "element", "ip", "svcc", "services", "{10.96.0.1 . tcp . 80}")
        else:
            rules = node.run("iptables", "-t", "nat", "-S", "SVCC-SERVICES").splitlines()
            rule = next(line for line in rules if "10.96.0.1/32" in line)
            node.run("iptables", "-t", "nat", *shlex.split(rule.replace("-A ", "-D ", 1)))
        run.until_logged("violated: ")
        (told,) = [line for line in run.lines() if line["level"] == "error"]
        assert told["service"] == "shop/web"
        assert told["frontend"].startswith("10.96.0.1:80")
        assert run.metrics()[f'svcc_findings{{code="{told["code"]}"}}'] >= 1
        damaged = node.run("nft", "list", "ruleset")
        assert svcc("apply", *given, inside=node).code == 0
        run.until_logged("over: ")
        assert node.run("nft", "list", "ruleset") != damaged
        assert not any("svcc_findings{" in name for name in run.metrics())
        (folder / "api.yaml").write_text(text_of("api", 2, 200))
        before = node.run("nft", "list", "ruleset")
        run.until(lambda: any(line.get("service") == "shop/api" for line in run.lines()))
        assert node.run("nft", "list", "ruleset") == before
        assert run.end() == 0


def test_bad_input_ends_it_at_once(node: Namespace, tmp_path: Path) -> None:
    for arguments, said in (
        (("-f", tmp_path / "none"), "there is no such file"),
        (("-f", "-"), "cannot be followed"),
        (("-f", tmp_path, "--sync-period", "soon"), "--sync-period"),
        (("-f", tmp_path, "--audit", "--force"), "--audit"),
    ):
        done = svcc("run", *arguments, inside=node)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
