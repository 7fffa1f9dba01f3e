"""Objects and settings from Python values are what they are from files."""

from __future__ import annotations

import enum
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

import svcc.api
from svcc.compiler.model.objects import Objects, Origin
from tests.paths import DATA, ROOT

FILES = sorted(
    path
    for pattern in (
        "cases/**/objects.yaml",
        "cases-ipvs/**/objects.yaml",
        "kube-proxy/**/objects.yaml",
    )
    for path in DATA.glob(pattern)
)
CONFIG = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration"}
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"clusterIP": "10.96.0.10", "ports": [{"port": 80}]},
}


def problems(*arguments: Any, **given: Any) -> list[str]:
    with pytest.raises(svcc.api.InputError) as raised:
        svcc.api.load(*arguments, **given)
    return [str(problem) for problem in raised.value.problems]


def without_origin(objects: Objects) -> Objects:
    origin = Origin("")
    return Objects(
        [replace(item, origin=origin) for item in objects.services],
        [replace(item, origin=origin) for item in objects.slices],
        [replace(item, origin=origin) for item in objects.nodes],
        objects.skipped_kinds,
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DATA)))
def test_dicts_are_read_as_the_file(path: Path) -> None:
    values = [item for item in yaml.safe_load_all(path.read_text()) if item is not None]
    from_file = svcc.api.load(path)
    assert without_origin(svcc.api.load(objects=values)) == without_origin(from_file)
    from_text = svcc.api.load(text={str(path): path.read_text()})
    assert from_text == from_file


def test_there_are_files() -> None:
    assert len(FILES) > 20


def test_all_kinds_of_input_are_one() -> None:
    other = {**SERVICE, "metadata": {"name": "db"}}
    found = svcc.api.load(
        ROOT / "examples" / "classic" / "clusterip.yaml",
        text="{apiVersion: v1, kind: Node, metadata: {name: node-a}}",
        objects=[{**other, "spec": {"clusterIP": "10.96.0.11", "ports": [{"port": 1}]}}],
    )
    assert [service.key for service in found.services] == ["default/myapp", "default/db"]
    assert [node.name for node in found.nodes] == ["node-a"]
    clash = problems(text=yaml.safe_dump(SERVICE), objects=[{**other, "spec": SERVICE["spec"]}])
    assert clash == [
        "<objects>[0] (Service db): error: Services shop/web and default/db both claim "
        "10.96.0.10:80/TCP; shop/web stands at <text>:1:1; change one of them [SVC057]"
    ]


def test_what_a_program_may_give_as_json() -> None:
    class Kind(str, enum.Enum):  # noqa: UP042
        SERVICE = "Service"

    class Port(enum.IntEnum):
        HTTP = 80

    meta = {"name": "web", "creationTimestamp": yaml.safe_load("2026-01-01T00:00:00Z")}
    value = MappingProxyType(
        {
            "apiVersion": "v1",
            "kind": Kind.SERVICE,
            "metadata": meta,
            "spec": {"clusterIP": "10.96.0.10", "ports": ({"port": Port.HTTP},)},
        }
    )
    (service,) = svcc.api.load(objects=[value]).services
    assert (service.name, service.ports[0].port) == ("web", 80)
    assert type(service.ports[0].port) is int


def test_a_typed_list_and_places_in_it() -> None:
    bad = {"metadata": {"name": "db"}, "spec": {"clusterIP": "x", "ports": [{"port": 1}]}}
    items = [{k: v for k, v in SERVICE.items() if k not in ("kind", "apiVersion")}, bad]
    listed = {"apiVersion": "v1", "kind": "ServiceList", "items": items}
    assert problems(objects=[listed]) == [
        "<objects>[0].items[1] (Service db): error: spec.clusterIP: 'x' is not an IP address"
    ]


def test_what_is_no_object_is_refused() -> None:
    circle: dict[str, Any] = {"apiVersion": "v1", "kind": "Service"}
    circle["spec"] = circle
    assert "nested deeper" in problems(objects=[circle])[0]
    assert "sanitize_for_serialization" in problems(objects=[object()])[0]
    assert "the key 1 is no string" in problems(objects=[{**SERVICE, "spec": {1: 2}}])[0]
    assert "metadata.x: a builtins.set" in problems(objects=[{"metadata": {"x": {1}}}])[0]
    # What the official client's to_dict() makes.
    python_names = {"api_version": "v1", "kind": "Service", "metadata": {"name": "a"}}
    assert "apiVersion is missing" in problems(objects=[python_names])[0]
    assert "is no Kubernetes object" in problems(objects=["text"])[0]


def test_a_name_twice_is_refused() -> None:
    path = ROOT / "examples" / "classic" / "clusterip.yaml"
    (problem,) = problems(path, text={str(path): path.read_text()})
    assert "given twice" in problem


def test_configuration_from_file_text_and_value(tmp_path: Path) -> None:
    value = {
        **CONFIG,
        "clusterCIDR": "10.244.0.0/16",
        "iptables": {"masqueradeBit": 7, "syncPeriod": "30s"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(value))
    objects = svcc.api.Objects()
    found = [
        svcc.api.node_settings(objects, config, node="node-a")
        for config in (
            path, str(path), value, svcc.api.load_configuration(text=path.read_text()),
        )
    ]  # fmt: skip
    assert found[0].masquerade_bit == 7
    assert all(item == found[0] for item in found)
    assert svcc.api.load_configuration(value).ignored == ("iptables.syncPeriod",)
    with pytest.raises(svcc.api.InputError) as raised:
        svcc.api.load_configuration({**value, "iptables": {"masqueradeBit": 99}})
    assert str(raised.value) == (
        "<configuration>: error: iptables.masqueradeBit: 99 is out of range; write 0 to 31"
    )


def test_flags_win_over_variables_and_variables_over_the_configuration() -> None:
    objects = svcc.api.Objects()
    config = {**CONFIG, "clusterCIDR": "10.1.0.0/16", "mode": "ipvs"}
    environment = {"SVCC_CLUSTER_CIDR": "10.2.0.0/16"}

    def cidr(**given: Any) -> str:
        found = svcc.api.node_settings(objects, config, node="node-a", **given)
        assert found.mode == "ipvs"
        (network,) = found.pods.networks.values()
        return str(network)

    assert cidr() == "10.1.0.0/16"
    assert cidr(environment=environment) == "10.2.0.0/16"
    assert cidr(environment=environment, cluster_cidr=["10.3.0.0/16"]) == "10.3.0.0/16"


def test_wrong_flags() -> None:
    objects = svcc.api.Objects()
    wrong: Any = {
        "masquerade_all": "yes",
        "mode": 7,
        "node_ip": [1],
        "iptables_masquerade_bit": True,
    }
    given: Any = svcc.api.node_settings
    for name, value in wrong.items():
        with pytest.raises(svcc.api.InputError, match=f"--{name.replace('_', '-')}: error: "):
            given(objects, node="a", **{name: value})
    with pytest.raises(TypeError, match="there is no flag --masquerade"):
        given(objects, node="a", masquerade=True)


def test_notes_are_told() -> None:
    said: list[str] = []
    svcc.api.node_settings(svcc.api.Objects(), note=said.append)
    assert len(said) == 1
    assert said[0].startswith("note: no Node among the objects")
