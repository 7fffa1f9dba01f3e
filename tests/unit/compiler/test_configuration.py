"""Node settings: the file, variables, flags and the Node object, in their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from svcc.compiler.model.objects import Node, Objects, Origin
from svcc.compiler.settings.configuration import (
    Configuration,
    Overrides,
    all_node_settings,
    load_configuration,
    node_settings,
)
from svcc.compiler.settings.node import NodeSettings
from svcc.compiler.settings.overrides import unknown_variables
from svcc.grammar.address import Family, parse_address, parse_network
from svcc.grammar.errors import InputError

NODE = Node(
    "node-a",
    Origin("x"),
    (parse_address("192.168.7.10"), parse_address("fd00:7::10")),
    (parse_network("10.244.1.0/24"), parse_network("fd00:244:1::/64")),
    "zone-1",
)
HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


def resolved(
    flags: Overrides | None = None,
    *,
    file: str = "",
    environment: dict[str, str] | None = None,
    nodes: tuple[Node, ...] = (NODE,),
    hostname: str = "node-a",
    folder: Path | None = None,
) -> NodeSettings:
    configuration = Configuration()
    if file:
        assert folder is not None
        path = folder / "config.yaml"
        path.write_text(HEAD + file)
        configuration = load_configuration(str(path))
    settings, _ = node_settings(
        Objects(nodes=list(nodes)),
        configuration,
        flags or Overrides(),
        Overrides.from_environment(environment or {}),
        hostname=hostname,
    )
    return settings


def test_flag_wins_over_variable_wins_over_file(tmp_path: Path) -> None:
    file = "clusterCIDR: 10.1.0.0/16\n"
    environment = {"SVCC_CLUSTER_CIDR": "10.2.0.0/16"}
    flags = Overrides(cluster_cidr="10.3.0.0/16")

    def network(settings: NodeSettings) -> str:
        return str(settings.pods.networks[Family.IPV4])

    assert network(resolved(file=file, folder=tmp_path)) == "10.1.0.0/16"
    assert network(resolved(file=file, environment=environment, folder=tmp_path)) == "10.2.0.0/16"
    assert (
        network(resolved(flags, file=file, environment=environment, folder=tmp_path))
        == "10.3.0.0/16"
    )


def test_a_whole_kube_proxy_file(tmp_path: Path) -> None:
    settings = resolved(
        file="""\
mode: ""
bindAddress: 0.0.0.0
clusterCIDR: 10.244.0.0/16,fd00:244::/32
nodePortAddresses: [192.168.0.0/16]
iptables: {masqueradeAll: true, masqueradeBit: 10, localhostNodePorts: false, syncPeriod: 30s}
conntrack: {tcpBeLiberal: true, maxPerCore: 32768}
ipvs: {scheduler: rr, strictARP: true}
""",
        folder=tmp_path,
    )
    assert settings.mode == "iptables"
    assert settings.masquerade_all
    assert settings.masquerade_mark == 1 << 10
    assert not settings.localhost_node_ports
    assert settings.tcp_be_liberal
    assert settings.zone == "zone-1"
    assert settings.primary_address(Family.IPV6) == parse_address("fd00:7::10")
    # No CIDR of IPv6: all its addresses, as kube-proxy has it.
    assert [str(n) for n in settings.node_port_networks or ()] == ["192.168.0.0/16", "::/0"]


@pytest.mark.parametrize(
    ("file", "flag", "allowed"),
    [
        ("", None, True),
        ("featureGates: {AllowServiceExternalIPs: false, Other: true}", None, False),
        ("featureGates: {Other: true}", None, True),
        ("featureGates: {AllowServiceExternalIPs: false}", "AllowServiceExternalIPs=true", True),
        ("", "Other=true,AllowServiceExternalIPs=false", False),
    ],
)
def test_the_gate_of_external_ips(
    file: str, flag: str | None, allowed: bool, tmp_path: Path
) -> None:
    settings = resolved(Overrides(feature_gates=flag), file=file + "\n", folder=tmp_path)
    assert settings.external_ips == allowed


def test_a_gate_is_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--feature-gates"):
        resolved(Overrides(feature_gates="AllowServiceExternalIPs"))
    with pytest.raises(InputError, match="featureGates"):
        resolved(file="featureGates: {AllowServiceExternalIPs: 1}\n", folder=tmp_path)


def test_fields_that_are_passed_over_are_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + "bindAddress: 0.0.0.0\niptables: {syncPeriod: 30s}\n")
    assert load_configuration(str(path)).ignored == ("bindAddress", "iptables.syncPeriod")


def test_detect_local_modes() -> None:
    by_node = resolved(Overrides(detect_local_mode="NodeCIDR"))
    assert str(by_node.pods.networks[Family.IPV4]) == "10.244.1.0/24"
    bridge = Overrides(detect_local_mode="BridgeInterface", pod_bridge_interface="cbr0")
    assert resolved(bridge).pods.in_interface == "cbr0"
    prefix = Overrides(detect_local_mode="InterfaceNamePrefix", pod_interface_name_prefix="veth")
    assert resolved(prefix).pods.in_interface == "veth+"


def test_primary_node_port_addresses() -> None:
    settings = resolved(Overrides(nodeport_addresses="primary"))
    assert [str(n) for n in settings.node_port_networks or ()] == [
        "192.168.7.10/32",
        "fd00:7::10/128",
    ]
    assert not settings.loopback_node_ports(Family.IPV4)


def test_who_the_node_is() -> None:
    assert resolved(nodes=()).known_node is False
    assert resolved(Overrides(hostname_override="other"), nodes=()).known_node is True
    assert resolved(hostname="elsewhere").known_node is False
    with pytest.raises(InputError, match="no Node 'other' among the objects; there are node-a"):
        resolved(Overrides(hostname_override="other"))
    assert [
        s.node_name
        for s in all_node_settings(Objects(nodes=[NODE]), Configuration(), Overrides(), Overrides())
    ] == ["node-a"]
    with pytest.raises(InputError, match="no Node among the objects"):
        all_node_settings(Objects(), Configuration(), Overrides(), Overrides())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (Overrides(cluster_cidr="10.0.0.0/8,10.1.0.0/16"), "are of one family; give one"),
        (Overrides(cluster_cidr="10.0.0.0/99"), "prefix longer than 32"),
        (Overrides(iptables_masquerade_bit=32), "--iptables-masquerade-bit: error: 32 is out of"),
        (Overrides(proxy_mode="kernelspace"), "'kernelspace' is not known; write iptables or ipvs"),
        (Overrides(detect_local_mode="BridgeInterface"), "needs the bridge's name"),
        (Overrides(nodeport_addresses="primary,10.0.0.0/8"), "primary stands alone"),
        (
            Overrides(service_cluster_ip_range="10.0.0.0/8,10.96.0.0/12"),
            "--service-cluster-ip-range: error: 10.0.0.0/8 and 10.96.0.0/12 are of one family",
        ),
        (
            Overrides(cluster_cidr="10.96.0.0/16", service_cluster_ip_range="10.96.0.0/12"),
            "10.96.0.0/12 overlaps the pod network 10.96.0.0/16",
        ),
        (
            Overrides(service_cluster_ip_range="192.168.0.0/16"),
            "192.168.0.0/16 holds the node's address 192.168.7.10",
        ),
        (Overrides(hostname_override="a b", node_ip=("1.2.3.4",)), "'a b' is not a node name"),
    ],
)
def test_bad_settings(flags: Overrides, message: str) -> None:
    with pytest.raises(InputError) as caught:
        resolved(flags)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mode: fast\n", ":3:7: error: mode: 'fast' is not known"),
        ("iptables: {masqueradeAll: 1}\n", ":3:27: error: iptables.masqueradeAll: this is a num"),
        ("iptables: {masqueradeBit: 40}\n", ":3:27: error: iptables.masqueradeBit: 40 is out of"),
        ("nodePortAddresses: [here]\n", ":3:21: error: nodePortAddresses[0]: 'here' is not a CIDR"),
        ("ipvs: {scheduler: best}\n", ":3:19: error: ipvs.scheduler: 'best' is not known"),
        ("clusterCIDR: ten\n", ":3:14: error: clusterCIDR: 'ten' is not a CIDR"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        resolved(file=text, folder=tmp_path)
    assert message in str(caught.value)


def test_a_setting_is_blamed_where_it_was_given(tmp_path: Path) -> None:
    two = "10.0.0.0/8,10.1.0.0/16"

    def blamed(**given: Any) -> str:
        with pytest.raises(InputError) as caught:
            resolved(folder=tmp_path, **given)
        return str(caught.value).split(": error:")[0]

    file = f"detectLocalMode: ClusterCIDR\nclusterCIDR: {two}\n"
    assert blamed(file=file) == f"{tmp_path}/config.yaml:4:14"
    assert blamed(environment={"SVCC_CLUSTER_CIDR": two}, file=file) == "SVCC_CLUSTER_CIDR"
    assert blamed(flags=Overrides(cluster_cidr=two), file=file) == "--cluster-cidr"
    assert blamed(file="hostnameOverride: other\n") == f"{tmp_path}/config.yaml:3:19"
    assert blamed(environment={"SVCC_NODE": "other"}) == "SVCC_NODE"
    absent = "detectLocalMode: BridgeInterface\n"
    assert blamed(file=absent) == "--pod-bridge-interface"


def test_interface_names() -> None:
    longest = "a" * 15
    bridge = Overrides(detect_local_mode="BridgeInterface", pod_bridge_interface=longest)
    assert resolved(bridge).pods.in_interface == longest
    prefix = Overrides(detect_local_mode="InterfaceNamePrefix", pod_interface_name_prefix=longest)
    with pytest.raises(InputError, match="is no such prefix"):
        resolved(prefix)
    for name in ("eth 0", "eth+", "a/b", 'x" -j ACCEPT', "ä"):
        named = Overrides(detect_local_mode="BridgeInterface", pod_bridge_interface=name)
        with pytest.raises(InputError, match="is no interface's name"):
            resolved(named)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("apiVersion: v1\nkind: ConfigMap\n")
    with pytest.raises(InputError, match="this is no KubeProxyConfiguration"):
        load_configuration(str(path))


def test_bad_variable() -> None:
    with pytest.raises(InputError, match="SVCC_MASQUERADE_ALL: error: 'perhaps' is neither"):
        Overrides.from_environment({"SVCC_MASQUERADE_ALL": "perhaps"})


IN_A_CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
data:
  config.conf: |-
    apiVersion: kubeproxy.config.k8s.io/v1alpha1
    kind: KubeProxyConfiguration
    clusterCIDR: 10.1.0.0/16
    iptables:
      masqueradeBit: 77
  kubeconfig.conf: |-
    kind: Config
"""


def wrong_bit(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_configuration(str(path))
    return str(caught.value).removeprefix(str(path))


def test_places_in_a_config_map_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cm.yaml"
    said = "error: iptables.masqueradeBit: 77 is out of range; write 0 to 31"
    assert wrong_bit(path, IN_A_CONFIG_MAP) == f":9:22: {said}"
    indented = "".join(f"  {line}\n" for line in IN_A_CONFIG_MAP.splitlines())
    a_list = f"apiVersion: v1\nkind: List\nitems:\n-{indented[1:]}"
    assert wrong_bit(path, a_list) == f":12:24: {said}"
    # As JSON has it the text is one line.
    as_json = json.dumps(yaml.safe_load(IN_A_CONFIG_MAP))
    assert wrong_bit(path, as_json) == f" (data: 'config.conf'):5:18: {said}"


def test_the_configuration_in_a_config_map(tmp_path: Path) -> None:
    path = tmp_path / "cm.yaml"
    path.write_text(IN_A_CONFIG_MAP.replace("77", "7"))
    found = load_configuration(str(path))
    assert (found.settings.cluster_cidr, found.settings.iptables_masquerade_bit) == (
        "10.1.0.0/16",
        7,
    )
    assert str(found.positions["cluster_cidr"]) == f"{path}:7:18"


def test_several_configurations(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{HEAD}---\n{HEAD}")
    with pytest.raises(InputError, match=r"yaml:4:1: error: there are 2 of kind KubeProxyC"):
        load_configuration(str(path))


def test_unknown_fields_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + "clusterCidr: 10.1.0.0/16\nipvs: {strictArp: true}\nportRange: ''\n")
    found = load_configuration(str(path))
    assert [str(problem).removeprefix(f"{path}:") for problem in found.warnings] == [
        "3:1: warning: clusterCidr: KubeProxyConfiguration has no such field, so it is passed "
        "over; did you mean clusterCIDR?",
        "4:8: warning: ipvs.strictArp: KubeProxyConfiguration has no such field, so it is passed "
        "over; did you mean strictARP?",
    ]
    assert found.ignored == ("portRange",)


def test_variables_that_do_not_exist_are_told() -> None:
    environment = {"SVCC_CLUSTR_CIDR": "x", "SVCC_NODE": "a", "SVCC_DEBUG": "1", "HOME": "/"}
    assert [str(problem) for problem in unknown_variables(environment)] == [
        "SVCC_CLUSTR_CIDR: warning: svcc reads no such variable; did you mean SVCC_CLUSTER_CIDR?"
    ]


def test_an_empty_node_name_is_no_name() -> None:
    for flags, environment, blamed in (
        (Overrides(hostname_override=""), {}, "--node"),
        (None, {"SVCC_NODE": " "}, "SVCC_NODE"),
    ):
        with pytest.raises(InputError, match=f"{blamed}: error: the name of the node is empty"):
            resolved(flags, environment=environment)
    assert resolved(file="", hostname="node-a").node_name == "node-a"


def test_old_spellings_of_networks(tmp_path: Path) -> None:
    settings = resolved(file="clusterCIDR: 010.001.0.0/16\n", folder=tmp_path)
    assert settings.pods.networks == {Family.IPV4: parse_network("10.1.0.0/16")}
    settings = resolved(Overrides(cluster_cidr="010.001.0.0/16", node_ip=("192.168.07.010",)))
    assert settings.pods.networks == {Family.IPV4: parse_network("10.1.0.0/16")}
    assert settings.addresses == (parse_address("192.168.7.10"),)
