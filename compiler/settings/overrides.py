"""Settings as flags and variables give them: texts and numbers, not yet judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from svcc.compiler.api_names.nearest import did_you_mean
from svcc.compiler.load.text import shorten
from svcc.grammar.errors import InputError, Position, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Settings given by flags, variables or the configuration file; None: not given.

    Field names are kube-proxy's flag names with underscores, or kube-apiserver's.
    """

    proxy_mode: str | None = None
    hostname_override: str | None = None
    cluster_cidr: str | None = None
    service_cluster_ip_range: str | None = None
    nodeport_addresses: str | None = None
    detect_local_mode: str | None = None
    pod_bridge_interface: str | None = None
    pod_interface_name_prefix: str | None = None
    masquerade_all: bool | None = None
    iptables_masquerade_bit: int | None = None
    iptables_localhost_nodeports: bool | None = None
    conntrack_tcp_be_liberal: bool | None = None
    ipvs_scheduler: str | None = None
    ipvs_strict_arp: bool | None = None
    ipvs_exclude_cidrs: str | None = None
    ipvs_tcp_timeout: str | None = None
    ipvs_tcpfin_timeout: str | None = None
    ipvs_udp_timeout: str | None = None
    feature_gates: str | None = None
    node_ip: tuple[str, ...] | None = None
    pod_cidr: tuple[str, ...] | None = None
    zone: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Overrides:
        """Settings from SVCC_* variables, named as the flags: ``SVCC_CLUSTER_CIDR``.

        ``SVCC_MODE`` and ``SVCC_NODE`` are short for ``SVCC_PROXY_MODE`` and
        ``SVCC_HOSTNAME_OVERRIDE``.

        Raises:
            InputError: a variable's value is not of its type.
        """
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for item in fields(cls):
            for name in (item.name, _SHORT.get(item.name, item.name)):
                variable = f"SVCC_{name.upper()}"
                if variable not in environment:
                    continue
                try:
                    values[item.name] = _from_text(str(item.type), environment[variable])
                except ValueError as error:
                    problems.append(Problem(Position(variable), str(error)))
        if problems:
            raise InputError(problems)
        return cls(**values)

    def over(self, other: Overrides) -> Overrides:
        """These settings, and the other's where these say nothing."""
        given = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) is not None
        }
        return replace(other, **given)


_NO_SETTINGS = ("SVCC_DEBUG", "SVCC_FOLDER", "SVCC_LONG", "SVCC_UML_SECONDS")
"""Variables of svcc and its tests besides."""


def unknown_variables(environment: Mapping[str, str]) -> list[Problem]:
    """Warnings of variables SVCC_* that are none: what they were to set is not set."""
    names = {name.upper() for item in fields(Overrides) for name in (item.name, _short(item.name))}
    known = {f"SVCC_{name}" for name in names} | set(_NO_SETTINGS)
    return [
        Problem(
            Position(variable[:60]),
            f"svcc reads no such variable{did_you_mean(variable, known)}",
            "warning",
        )
        for variable in sorted(environment)
        if variable.startswith("SVCC_") and variable not in known
    ]


def _short(name: str) -> str:
    return _SHORT.get(name, name)


_SHORT = {"proxy_mode": "mode", "hostname_override": "node"}
_WORDS = {"true": True, "1": True, "false": False, "0": False}


def _from_text(kind: str, text: str) -> Any:
    if kind.startswith("bool"):
        if text.lower() not in _WORDS:
            raise ValueError(f"{shorten(text)} is neither true nor false")
        return _WORDS[text.lower()]
    if kind.startswith("int"):
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise ValueError(f"{shorten(text)} is not a number")
        return int(text)
    if kind.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def flag_of(name: str) -> str:
    """The flag of a setting."""
    return "--" + _SHORT.get(name, name).replace("_", "-")


def variable_of(name: str) -> str:
    """The variable of a setting."""
    return "SVCC_" + _SHORT.get(name, name).upper()


@dataclass(frozen=True, slots=True)
class Layers:
    """Flags over variables over the file, and where each setting was given.

    ``file_positions`` has the settings that the file gives.
    """

    flags: Overrides
    environment: Overrides
    file: Overrides
    file_positions: Mapping[str, Position]

    def merged(self) -> Overrides:
        """What is in force."""
        return self.flags.over(self.environment.over(self.file))

    def position(self, name: str) -> Position:
        """Where the setting that is in force was given; its flag if nowhere."""
        if getattr(self.flags, name) is None:
            if getattr(self.environment, name) is not None:
                return Position(variable_of(name))
            if name in self.file_positions:
                return self.file_positions[name]
        return Position(flag_of(name))
