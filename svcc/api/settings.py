"""The settings of a node, from a KubeProxyConfiguration, flags, variables and its Node object."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from svcc.api.errors import bad_input
from svcc.api.inputs import TEXT, Note

if TYPE_CHECKING:
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.configuration import Configuration
    from svcc.compiler.settings.node import NodeSettings
    from svcc.compiler.settings.overrides import Overrides

CONFIGURATION = "<configuration>"
NOTHING: Mapping[str, str] = {}


class Flags(TypedDict, total=False):
    """kube-proxy's flags and svcc's own, by their names with underscores; docs/cli.md has each.

    Lists of CIDRs are sequences, or texts with commas; durations are texts such as ``15m``.
    """

    mode: str
    node_ip: str | Sequence[str]
    pod_cidr: str | Sequence[str]
    zone: str
    cluster_cidr: str | Sequence[str]
    service_cluster_ip_range: str | Sequence[str]
    detect_local_mode: str
    pod_bridge_interface: str
    pod_interface_name_prefix: str
    nodeport_addresses: str | Sequence[str]
    masquerade_all: bool
    iptables_masquerade_bit: int
    iptables_localhost_nodeports: bool
    conntrack_tcp_be_liberal: bool
    feature_gates: str
    ipvs_scheduler: str
    ipvs_strict_arp: bool
    ipvs_exclude_cidrs: str | Sequence[str]
    ipvs_tcp_timeout: str
    ipvs_tcpfin_timeout: str
    ipvs_udp_timeout: str


_FIELD = {"mode": "proxy_mode", "node": "hostname_override"}
"""Settings whose flag has a shorter name."""


def load_configuration(
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None, *, text: str = ""
) -> Configuration:
    """A KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1).

    Args:
        config: the path of a file (YAML or JSON), or the object itself; None: nothing is set.
        text: YAML or JSON in place of ``config``.

    Returns:
        Its settings; ``ignored`` names the fields that were passed over.

    Raises:
        InputError: it cannot be read, or a setting is wrong.
    """
    from svcc.compiler.load.document import Source
    from svcc.compiler.load.python_objects import python_objects
    from svcc.compiler.settings.configuration import Configuration, configuration_of
    from svcc.compiler.settings.configuration import load_configuration as load_file

    if text:
        return configuration_of(Source(TEXT, text))
    if config is None:
        return Configuration()
    if isinstance(config, Mapping):
        return configuration_of(python_objects([config], CONFIGURATION, numbered=False))
    return load_file(os.fspath(config))


def node_settings(
    objects: Objects,
    config: Configuration | str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    node: str | None = None,
    environment: Mapping[str, str] = NOTHING,
    note: Note | None = None,
    **flags: Unpack[Flags],
) -> NodeSettings:
    """The settings of one node. A flag wins over a variable, which wins over the configuration.

    Args:
        objects: addresses, pod CIDRs and zone come from the Node of that name among them,
            unless flags give them.
        config: what :func:`load_configuration` takes or gives.
        node: the node's name; by default the configuration's ``hostnameOverride``, else the
            name of this host.
        environment: where variables ``SVCC_…`` are looked for; nowhere by default.
        note: is told what was assumed.
        flags: see :class:`Flags`.

    Raises:
        InputError: a setting is wrong, or there is no such Node.
    """
    from svcc.compiler.settings import configuration
    from svcc.compiler.settings.overrides import Overrides

    found, notes = configuration.node_settings(
        objects,
        _configuration(config),
        _overrides(node, flags),
        Overrides.from_environment(environment),
        hostname=socket.gethostname(),
    )
    _tell_unknown_variables(environment, note)
    if note is not None:
        for text in notes:
            note(f"note: {text}")
    return found


def all_node_settings(
    objects: Objects,
    config: Configuration | str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] = NOTHING,
    note: Note | None = None,
    **flags: Unpack[Flags],
) -> list[NodeSettings]:
    """The settings of every Node among the objects, by name; arguments as above.

    Raises:
        InputError: a setting is wrong, or there is no Node.
    """
    from svcc.compiler.settings import configuration
    from svcc.compiler.settings.overrides import Overrides

    found = configuration.all_node_settings(
        objects,
        _configuration(config),
        _overrides(None, flags),
        Overrides.from_environment(environment),
    )
    _tell_unknown_variables(environment, note)
    return list(found)


def _tell_unknown_variables(environment: Mapping[str, str], note: Note | None) -> None:
    from svcc.compiler.settings.overrides import unknown_variables

    if note is not None:
        for problem in unknown_variables(environment):
            note(str(problem))


def _configuration(
    config: Configuration | str | os.PathLike[str] | Mapping[str, Any] | None,
) -> Configuration:
    from svcc.compiler.settings.configuration import Configuration

    return config if isinstance(config, Configuration) else load_configuration(config)


def _overrides(node: str | None, flags: Flags) -> Overrides:
    """Flags as the compiler takes them.

    Raises:
        TypeError: there is no such flag.
        InputError: a value is not of its flag's type.
    """
    from svcc.compiler.settings.overrides import Overrides, flag_of

    given: dict[str, Any] = {} if node is None else {"hostname_override": node}
    given |= {_FIELD.get(name, name): value for name, value in flags.items() if value is not None}
    kinds = {item.name: str(item.type) for item in fields(Overrides)}
    for name, value in given.items():
        if name not in kinds:
            raise TypeError(f"there is no flag {flag_of(name)}")
        given[name] = _as_kind(kinds[name], value, flag_of(name))
    return Overrides(**given)


def _as_kind(kind: str, value: object, flag: str) -> object:
    match kind.split(" ")[0], value:
        case "bool", bool():
            return value
        case "int", int() if not isinstance(value, bool):
            return value
        case "str", str():
            return value
        case "str", list() | tuple() if all(isinstance(part, str) for part in value):
            return ",".join(value)
        case "tuple[str,", str():
            return (value,)
        case "tuple[str,", list() | tuple() if all(isinstance(part, str) for part in value):
            return tuple(value)
    wanted = {"bool": "true or false", "int": "a number"}.get(kind.split(" ")[0], "text")
    raise bad_input(flag, f"{value!r:.60} is not {wanted}")
