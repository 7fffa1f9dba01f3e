"""The manifests: as the API server's schemas have them, with no more rights than are needed."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from svcc.cli import parser
from tests.packaging.image import chain, stages
from tests.paths import ROOT
from tests.support.command import svcc

FOLDER = ROOT / "packaging" / "kubernetes"
VERSIONS = ("1.30", "1.36")
Value = dict[str, Any]


def documents(path: Path) -> list[Value]:
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


OBJECTS = [
    path
    for path in sorted(FOLDER.glob("*/*.yaml"))
    if (path.name != "kustomization.yaml" and path.parent.name == "base")
    or path.name == "events.yaml"
]


def merged(use: str) -> Value:
    """The DaemonSet of a use: the base's, with the patch of the use on it.

    Containers, volumes and mounts are merged by their name or path, as a strategic merge does.
    """
    (base,) = documents(FOLDER / "base" / "daemonset.yaml")
    (patch,) = documents(FOLDER / use / "daemonset.yaml")
    found: Value = _merge(base, patch)
    return found


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: _merge(below.get(key), value) for key, value in above.items()}}
    if isinstance(below, list) and above and isinstance(above[0], dict):
        key = next(key for key in ("mountPath", "name") if key in above[0])
        known = {item[key]: item for item in below}
        for item in above:
            known[item[key]] = _merge(known.get(item[key]), item)
        return list(known.values())
    return copy.deepcopy(above)


def built(use: str) -> list[Value]:
    """What kustomize makes of a use."""
    tool = shutil.which("kustomize")
    kubectl = shutil.which("kubectl")
    if tool is None and kubectl is None:
        pytest.skip("needs kustomize or kubectl")
    command = [tool, "build"] if tool else [str(kubectl), "kustomize"]
    done = subprocess.run(
        [*command, str(FOLDER / use)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def _unordered(values: list[Value] | None) -> list[str]:
    return sorted(json.dumps(value, sort_keys=True) for value in values or [])


def container(daemon_set: Value) -> Value:
    (found,) = daemon_set["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_objects_are_as_the_schemas_have_them(path: Path, version: str) -> None:
    for found in documents(path):
        kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("use", ["replacement", "audit"])
def test_patched_daemon_sets_are_as_the_schemas_have_them(use: str, version: str) -> None:
    kubernetes_validate.validate(merged(use), version, strict=True)


def test_the_schemas_find_a_wrong_field() -> None:
    wrong = merged("audit")
    wrong["spec"]["template"]["spec"]["hostNetworks"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("use", ["replacement", "audit", "audit-legacy"])
def test_kustomize_makes_what_the_schemas_have(use: str) -> None:
    found = built(use)
    for each in found:
        kubernetes_validate.validate(each, VERSIONS[-1], strict=True)
        if not each["kind"].startswith("Cluster"):
            assert each["metadata"]["namespace"] == "kube-system"
    by_kind = {each["kind"]: each for each in found}
    pod = by_kind["DaemonSet"]["spec"]["template"]["spec"]
    account = by_kind["ServiceAccount"]["metadata"]["name"]
    assert pod["serviceAccountName"] == account
    for each in found:
        if each["kind"] == "ClusterRoleBinding":
            assert [subject["name"] for subject in each["subjects"]] == [account]


@pytest.mark.parametrize("use", ["replacement", "audit"])
def test_the_test_merges_as_kustomize_does(use: str) -> None:
    (daemon_set,) = (each for each in built(use) if each["kind"] == "DaemonSet")
    expected, found = (
        merged(use)["spec"]["template"]["spec"],
        daemon_set["spec"]["template"]["spec"],
    )
    ours, theirs = container(merged(use)), container(daemon_set)
    for key in ("args", "securityContext", "readinessProbe", "env"):
        assert ours[key] == theirs[key]
    for one, other in ((ours, theirs), (expected, found)):
        for key in ("volumeMounts", "volumes"):
            assert _unordered(one.get(key)) == _unordered(other.get(key))


@pytest.mark.parametrize("use", ["replacement", "audit"])
def test_no_more_privileges_than_net_admin(use: str) -> None:
    pod = merged(use)["spec"]["template"]["spec"]
    assert pod["hostNetwork"] is True
    assert not pod.get("hostPID")
    assert not pod.get("initContainers")
    context = container(merged(use))["securityContext"]
    assert context["privileged"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}


def test_the_audit_is_not_root_and_has_nothing_of_the_host() -> None:
    pod = merged("audit")["spec"]["template"]["spec"]
    context = container(merged("audit"))["securityContext"]
    assert context["runAsNonRoot"] is True
    user = chain("audit")[-1].last("USER")
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert [volume["name"] for volume in pod["volumes"] if "hostPath" in volume] == []
    assert container(merged("replacement"))["securityContext"]["allowPrivilegeEscalation"] is False


def test_what_the_legacy_tables_need_comes_by_the_images_way() -> None:
    (daemon_set,) = (each for each in built("audit-legacy") if each["kind"] == "DaemonSet")
    found = container(daemon_set)
    entry = stages()["audit"].command("ENTRYPOINT")
    assert [word.replace(",+net_raw", "") for word in found["command"]] == entry
    assert found["securityContext"]["capabilities"]["add"] == ["NET_ADMIN", "NET_RAW"]
    assert found["securityContext"]["runAsUser"] != 0


def test_only_what_is_followed_may_be_read() -> None:
    rules = [
        (group, resource, verb)
        for path in OBJECTS
        for found in documents(path)
        for rule in found.get("rules", [])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    reading = [(g, r, v) for g, r, v in rules if v in ("get", "list", "watch")]
    assert {(g, r) for g, r, _ in reading} == {
        ("", "services"), ("", "nodes"), ("discovery.k8s.io", "endpointslices"),
    }  # fmt: skip
    assert {rule for rule in rules if rule not in reading} == {
        ("", "events", verb) for verb in ("create", "patch")
    }
    (account,) = (
        found
        for found in documents(FOLDER / "base" / "access.yaml")
        if found["kind"] == "ServiceAccount"
    )
    assert account["automountServiceAccountToken"] is False


@pytest.mark.parametrize("use", ["replacement", "audit"])
def test_its_command_line_is_one(use: str) -> None:
    found = container(merged(use))
    given = parser().parse_args(found["args"])
    assert given.audit == (use == "audit")
    probe = found["readinessProbe"]["httpGet"]
    assert given.healthz_bind_address.endswith(f":{probe['port']}")
    mounts = [mount["mountPath"] for mount in found["volumeMounts"]]
    assert any(given.config.startswith(f"{mount}/") for mount in mounts)
    assert [variable["name"] for variable in found["env"]] == ["SVCC_NODE"]


def test_svcc_reads_them_as_manifests() -> None:
    done = svcc("get", "services", "-R", "-f", FOLDER)
    assert "Traceback" not in done.err
    assert "error" not in done.err
