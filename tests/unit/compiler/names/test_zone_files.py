"""Zone files in a folder: serials, what is written, settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from svcc.api import InputError, Objects, load
from svcc.api.standalone.names import compile_names, name_settings
from svcc.compiler.files.zones import next_serial
from svcc.compiler.names.records import dashed
from svcc.grammar.address import parse_address
from svcc.grammar.dns.read import read_zone

SHOP = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.20, ports: [{name: http, port: 80}]}
"""


def written(objects: Objects, folder: Path, **settings: object) -> list[str]:
    found = compile_names(objects, name_settings(**settings))  # type: ignore[arg-type]
    return sorted(path.name for path in found.write(folder))


def serial(path: Path) -> int:
    return read_zone(path.read_text(), str(path)).authority.serial


def test_serials_rise_where_something_changes(tmp_path: Path) -> None:
    forward, reverse = tmp_path / "cluster.local.zone", tmp_path / "in-addr.arpa.zone"
    objects = load(text=SHOP)
    assert written(objects, tmp_path) == ["cluster.local.zone", "in-addr.arpa.zone"]
    assert (serial(forward), serial(reverse)) == (1, 1)
    before = forward.read_bytes()
    assert written(objects, tmp_path) == []
    assert forward.read_bytes() == before
    # A port more says nothing new of addresses.
    other = load(text=SHOP.replace("port: 80", "port: 81"))
    assert written(other, tmp_path) == ["cluster.local.zone"]
    assert (serial(forward), serial(reverse)) == (2, 1)
    assert written(other, tmp_path, ttl=30) == ["cluster.local.zone", "in-addr.arpa.zone"]
    assert (serial(forward), serial(reverse)) == (3, 2)


def test_a_file_that_says_the_same_in_other_words_is_left_alone(tmp_path: Path) -> None:
    objects = load(text=SHOP)
    written(objects, tmp_path)
    forward = tmp_path / "cluster.local.zone"
    text = forward.read_text()
    said = text.replace("web.shop.svc 5 IN A", "WEB.shop.svc.cluster.local. 5 A").replace(
        " 1 ", " 7 "
    )
    assert said != text
    forward.write_text(f"; by hand\n{said}")
    assert written(objects, tmp_path) == []
    assert forward.read_text().startswith("; by hand")
    written(load(text=SHOP.replace("10.96.0.20", "10.96.0.21")), tmp_path)
    assert serial(forward) == 8


def test_a_reverse_zone_that_loses_its_last_name_stays_as_an_empty_one(tmp_path: Path) -> None:
    written(load(text=SHOP), tmp_path)
    empty = load(text="apiVersion: v1\nkind: List\nitems: []\n")
    assert written(empty, tmp_path) == ["cluster.local.zone", "in-addr.arpa.zone"]
    zone = read_zone((tmp_path / "in-addr.arpa.zone").read_text(), "f")
    assert [record.data.type for record in zone.records] == ["NS"]
    assert not (tmp_path / "ip6.arpa.zone").exists()


@pytest.mark.parametrize(
    ("before", "after"), [(1, 2), (2**31 - 1, 2**31), (2**32 - 2, 2**32 - 1), (2**32 - 1, 1)]
)
def test_serials_go_round(before: int, after: int) -> None:
    assert next_serial(before) == after
    # RFC 1982, 3.2: the next one is greater.
    assert 0 < (after - before) % 2**32 < 2**31


@pytest.mark.parametrize(
    "text",
    ["nonsense\n", "\x00\n\x01\n", "$ORIGIN example.\n@ 5 IN SOA ns hm 1 2 3 4 5\n", "\xff"],
)
def test_somebody_elses_file_is_not_overwritten(text: str, tmp_path: Path) -> None:
    path = tmp_path / "in-addr.arpa.zone"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"in-addr\.arpa\.zone"):
        written(load(text=SHOP), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("10.244.1.5", "10-244-1-5"),
        ("fd00:10:244::5", "fd00-10-244--5"),
        ("fd00::", "fd00--0"),
        ("::5", "0--5"),
        ("::", "0--0"),
    ],
)
def test_an_address_as_a_label(address: str, label: str) -> None:
    assert dashed(parse_address(address)) == label


def test_what_has_no_name_is_told() -> None:
    manifest = SHOP + "".join(
        f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
        for name, spec in (
            ("new", "ports: [{port: 80}]"),
            ("numbers", "type: ExternalName, externalName: 192.0.2.1"),
            ("bare", "clusterIP: None"),
            ("long", f"clusterIP: 10.96.0.9, ports: [{{port: 1, name: {'p' * 63}}}]"),
        )
    )
    notes: list[str] = []
    text = compile_names(load(text=manifest), note=notes.append).text()
    told = "\n".join(notes)
    for name in ("default/new", "default/numbers", "default/bare"):
        assert name in told
    assert f"_{'p' * 63} has 64 letters, and DNS allows 63" in told
    for name in ("new", "numbers", "bare", "_p"):
        assert f"\n{name}" not in text
    assert "\nlong.default.svc 5 IN A 10.96.0.9\n" in text


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ("cluster_local", "is no domain name"),
        ("", ""),
        ("a..b", "is no domain name"),
        ("x" * 64, "is no domain name"),
        (".".join(["x" * 60] * 4), "leave no room"),
        ("10.in-addr.arpa", "where addresses have their names"),
    ],
)
def test_a_cluster_domain_is_a_name(domain: str, message: str) -> None:
    if not message:
        assert name_settings(cluster_domain=domain).cluster_domain == "cluster.local"
        return
    with pytest.raises(InputError, match=message):
        name_settings(cluster_domain=domain)


def test_the_cluster_domain_is_written_as_it_is_compared() -> None:
    settings = name_settings(cluster_domain="K8s.Example.COM.")
    found = compile_names(load(text=SHOP), settings)
    assert found.text().startswith("$ORIGIN k8s.example.com.\n")
    assert "10.96.0.20 web.shop.svc.k8s.example.com web.shop.svc web.shop\n" in found.hosts


KUBELET = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


def test_the_kubelet_says_the_cluster_domain(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.yaml"
    path.write_text(f"{KUBELET}clusterDomain: corp.example\n")
    assert name_settings(kubelet_config=path).cluster_domain == "corp.example"
    settings = name_settings(kubelet_config=path, cluster_domain="a.example")
    assert settings.cluster_domain == "a.example"
    path.write_text(KUBELET)
    assert name_settings(kubelet_config=path).cluster_domain == "cluster.local"
    indented = "".join(
        f"    {line}\n" for line in f"{KUBELET}clusterDomain: b.example".splitlines()
    )
    path.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kubelet-config}\n"
        f"data:\n  kubelet: |\n{indented}"
    )
    assert name_settings(kubelet_config=path).cluster_domain == "b.example"
    for text, message in (
        (f"{KUBELET}clusterDomain: no_name\n", r":3:\d+: error: clusterDomain: 'no_name' is no"),
        (f"{KUBELET}clusterDomain: 7\n", r"clusterDomain"),
        ("apiVersion: v1\nkind: Pod\n", "this is no KubeletConfiguration"),
        ("kind: [\n", r"\d"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            name_settings(kubelet_config=path)


@pytest.mark.parametrize(
    ("network", "zone"),
    [
        ("10.96.0.0/16", "96.10.in-addr.arpa"),
        ("10.96.3.0/24", "3.96.10.in-addr.arpa"),
        ("0.0.0.0/0", "in-addr.arpa"),
        ("fd00:96::/32", "6.9.0.0.0.0.d.f.ip6.arpa"),
        ("fd00:9600::/28", "0.6.9.0.0.d.f.ip6.arpa"),
    ],
)
def test_reverse_zones_of_networks(network: str, zone: str) -> None:
    settings = name_settings(reverse_networks=[network])
    found = compile_names(load(text=SHOP), settings)
    assert found.text(zone).startswith(f"$ORIGIN {zone}.\n")


@pytest.mark.parametrize("network", ["10.96.0.0/12", "fd00::/30", "10.96.0.1", "x"])
def test_networks_that_have_no_reverse_zone(network: str) -> None:
    with pytest.raises(InputError, match="--dns-reverse-zone"):
        name_settings(reverse_networks=[network])


def test_the_name_server_is_the_one_in_the_cluster() -> None:
    objects = load("examples/names/cluster.yaml")
    assert "@ 5 IN NS kube-dns.kube-system.svc\n" in compile_names(objects).text()
    others = replace(objects, services=[s for s in objects.services if s.name != "kube-dns"])
    assert "@ 5 IN NS localhost.\n" in compile_names(others).text()


@pytest.mark.parametrize("hostname", ["no_host", "a.b", "A", "x" * 64])
def test_a_hostname_is_a_label(hostname: str) -> None:
    text = (
        "apiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\n"
        f"subsets:\n- addresses:\n  - ip: 10.244.1.5\n    hostname: {hostname}\n"
    )
    with pytest.raises(InputError, match=r":7:15: error: .*hostname: .* is not a valid name"):
        load(text=text)
