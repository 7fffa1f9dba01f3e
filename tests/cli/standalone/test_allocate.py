"""svcc allocate, and --lock of the commands that load objects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.support.command import svcc

WEB = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: shop}
subsets: [{addresses: [{ip: 10.244.1.5}], ports: [{port: 80}]}]
"""
NODE = ("--node", "a", "--node-ip", "192.168.7.10", "--cluster-cidr", "10.244.0.0/16")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "web.yaml"
    path.write_text(WEB)
    return path


def test_what_allocate_gave_is_compiled_and_proved(manifest: Path) -> None:
    lock = manifest.with_name("svcc.lock")
    given = ("-f", manifest, "--lock", lock)
    check = svcc("allocate", *given, "--check")
    assert (check.code, check.out) == (1, "")
    assert "would change" in check.err
    dry = svcc("allocate", *given, "--dry-run", "-o", "json")
    assert dry.code == 0
    assert not lock.exists()
    assert svcc("allocate", *given, "-o", "name").out == "service/web\n"
    assert svcc("allocate", *given, "--check").code == 0
    (service,) = json.loads(dry.out)["items"]
    spec = service["spec"]
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    text = lock.read_text()
    assert f"given shop/web cluster-ip ipv4 {spec['clusterIP']}\n" in text
    assert f"given shop/web node-port 80 {spec['ports'][0]['nodePort']}\n" in text
    compiled = svcc("compile", *given, *NODE)
    assert compiled.code == 0
    assert f"-d {spec['clusterIP']}/32" in compiled.out
    assert f"--dport {spec['ports'][0]['nodePort']}" in compiled.out
    verified = svcc("verify", *given, *NODE)
    assert verified.code == 0
    assert "1 Service proved" in verified.out
    # What is printed is as good as the manifest and the lock together.
    whole = manifest.with_name("whole.yaml")
    whole.write_text(svcc("allocate", *given, "-o", "yaml").out)
    assert yaml.safe_load(whole.read_text())["items"] == [service]
    slices = manifest.with_name("endpoints.yaml")
    slices.write_text(WEB.partition("---\n")[2])
    assert svcc("compile", "-f", whole, "-f", slices, *NODE).out == compiled.out


def test_what_is_not_allocated_is_told_with_what_to_run(manifest: Path) -> None:
    lock = manifest.with_name("svcc.lock")
    lock.write_text("given shop/web cluster-ip ipv4 10.96.0.5\n")
    for command in ("compile", "verify", "diff", "apply"):
        found = svcc(command, "-f", manifest, "--lock", lock, *NODE)
        assert found.code == 2, command
        message = f"{manifest}:1:1: error: Service shop/web has no node-port 80 and none in {lock}"
        assert found.err.startswith(f"{message}; run svcc allocate")
    missing = svcc("compile", "-f", manifest, "--lock", manifest.with_name("none"), *NODE)
    assert missing.code == 2
    assert "there is no such file; svcc allocate writes it" in missing.err


def test_without_a_lock_what_is_missing_is_told(manifest: Path) -> None:
    for command in ("compile", "verify"):
        found = svcc(command, "-f", manifest, *NODE)
        message = f"{manifest}:4:32: warning: Service shop/web: port 80/TCP has no nodePort"
        assert message in found.err
        assert "svcc allocate" in found.err
    # Whoever fills it in or looks at it is not told.
    lock = manifest.with_name("svcc.lock")
    for words in (("allocate", "--dry-run", "--lock", lock), ("get", "svc", "-A")):
        found = svcc(*words, "-f", manifest)
        assert (found.code, found.err) == (0, "")


def test_a_number_of_two_services_is_refused_with_both_names(manifest: Path) -> None:
    lock = manifest.with_name("svcc.lock")
    svcc("allocate", "-f", manifest, "--lock", lock)
    address = lock.read_text().partition("ipv4 ")[2].partition("\n")[0]
    thief = manifest.with_name("thief.yaml")
    thief.write_text(
        WEB.replace("name: web", "name: thief").replace("type: NodePort", f"clusterIP: {address}")
    )
    before = lock.read_text()
    for command in (("allocate",), ("verify", *NODE)):
        found = svcc(*command, "-f", manifest, "-f", thief, "--lock", lock)
        assert found.code == 2
        assert f"Services shop/web and shop/thief both have cluster IP {address}" in found.err
        assert f"{lock}:3:1" in found.err
    assert lock.read_text() == before


def test_a_broken_lock_has_a_line_and_column(manifest: Path) -> None:
    lock = manifest.with_name("svcc.lock")
    lock.write_text("given shop/web cluster-ip ipv4 10.96.0.500\n")
    for command in (("allocate",), ("verify", *NODE)):
        found = svcc(*command, "-f", manifest, "--lock", lock)
        assert found.code == 2
        assert found.err.startswith(f"{lock}:1:32: error: ")


def test_a_lock_that_cannot_be_written(manifest: Path) -> None:
    found = svcc("allocate", "-f", manifest, "--lock", manifest / "svcc.lock")
    assert found.code == 2
    assert "Traceback" not in found.err


def test_ranges_are_kept_in_the_lock(manifest: Path) -> None:
    given = ("allocate", "-f", manifest, "--lock", manifest.with_name("svcc.lock"), "-o", "json")
    ranges = ("--service-cluster-ip-range", "fd00::/112")
    first = svcc(*given, *ranges, "--service-node-port-range", "20000-20050")
    assert svcc(*given).out == first.out
    spec = json.loads(first.out)["items"][0]["spec"]
    assert spec["clusterIP"].startswith("fd00::")
    assert spec["ipFamilies"] == ["IPv6"]
    assert 20016 <= spec["ports"][0]["nodePort"] <= 20050
    wrong = svcc(*given, "--service-cluster-ip-range", "fd00::")
    assert wrong.code == 2
    assert wrong.err.startswith("--service-cluster-ip-range: error: 'fd00::' is not a CIDR")
