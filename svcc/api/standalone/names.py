"""Names of Services as files: ``svcc compile --target dns`` and ``--target hosts``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from svcc.api.errors import bad_input
from svcc.api.inputs import Note
from svcc.compiler.settings.names import (
    CLUSTER_DOMAIN,
    MAX_TTL,
    REVERSE,
    TTL,
    NameSettings,
    reverse_zone,
)

if TYPE_CHECKING:
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.names.zones import Zones
    from svcc.grammar.address import Network
    from svcc.grammar.dns.zone import Zone

__all__ = [
    "TTL",
    "CompiledNames",
    "NameSettings",
    "Zone",
    "compile_names",
    "name_settings",
    "read_zones",
]


def name_settings(
    *,
    cluster_domain: str = "",
    ttl: int = TTL,
    reverse_networks: Sequence[str] = (),
    kubelet_config: str | os.PathLike[str] | None = None,
) -> NameSettings:
    """How Services are named.

    Args:
        cluster_domain: empty: as the kubelet has it, else ``cluster.local``.
        ttl: of records, in seconds.
        reverse_networks: CIDRs that have a reverse zone each; none: one zone for each family.
        kubelet_config: a KubeletConfiguration, or the ConfigMap that has it.

    Raises:
        InputError: a value is wrong.
    """
    from svcc.compiler.settings import names

    domain = names.CLUSTER_DOMAIN
    if kubelet_config is not None:
        from svcc.compiler.settings.kubelet import kubelet_cluster_domain

        domain = kubelet_cluster_domain(os.fspath(kubelet_config)) or domain
    if cluster_domain:
        try:
            domain = names.cluster_domain(cluster_domain)
        except ValueError as error:
            raise bad_input("--cluster-domain", str(error)) from None
    if not 0 <= ttl <= MAX_TTL:
        raise bad_input("--dns-ttl", f"{ttl} is not from 0 to {MAX_TTL} seconds")
    return NameSettings(domain, ttl, tuple(map(_network, dict.fromkeys(reverse_networks))))


def _network(text: str) -> Network:
    from svcc.compiler.load.addresses import network

    try:
        found = network(text)
        reverse_zone(found)
    except ValueError as error:
        raise bad_input("--dns-reverse-zone", str(error)) from None
    return found


class CompiledNames:
    """The zones of a cluster; ``origins`` are their names, that of the cluster domain first."""

    def __init__(self, found: Zones) -> None:
        self._found = found
        self.notes = found.notes
        self.origins = tuple(zone.origin for zone in found.zones if len(zone.records) > 1)

    def text(self, origin: str = "") -> str:
        """A zone as a file (RFC 1035), with serial 1; by default that of the cluster domain."""
        from svcc.grammar.dns.write import zone_text

        zones = {zone.origin: zone for zone in self._found.zones}
        return zone_text(zones[origin or self._found.zones[0].origin])

    @property
    def hosts(self) -> str:
        """Names of Services and endpoints as hosts(5) has them."""
        from svcc.compiler.names.hosts import hosts_text

        return hosts_text(self._found.zones[0])

    def write(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write each zone to ``ORIGIN.zone`` in a folder, with the serial behind that of the file
        which is there; a file that says the same already is left alone.

        Returns:
            The files that were written.

        Raises:
            InputError: the folder cannot be written, or such a file is no zone file.
        """
        from svcc.compiler.files.zones import write_zones

        try:
            return write_zones(self._found, os.fspath(folder))
        except OSError as error:
            raise bad_input(os.fspath(folder), f"cannot write: {error.strerror}") from None


def compile_names(
    objects: Objects, settings: NameSettings | None = None, *, note: Note | None = None
) -> CompiledNames:
    """The names of Services, as the Kubernetes DNS specification 1.1.0 has them.

    Args:
        objects: from :func:`svcc.api.load`.
        settings: from :func:`name_settings`.
        note: is told what has no name, and why.
    """
    from svcc.compiler.names.zones import zones

    found = CompiledNames(zones(objects, settings or NameSettings()))
    if note is not None:
        for text in found.notes:
            note(f"note: {text}")
    return found


def read_zones(
    paths: Sequence[str | os.PathLike[str]],
    cluster_domain: str = CLUSTER_DOMAIN,
    *,
    note: Note | None = None,
) -> list[Zone]:
    """Zone files (RFC 1035), to be judged by :func:`svcc.api.verify`.

    Args:
        paths: files, or folders with files ``*.zone``. ``ZONE=FILE`` says which zone it is where
            the file does not, by ``$ORIGIN`` or an absolute name.
        cluster_domain: below which Services have their names.
        note: is told what cannot be judged without other zones.

    Raises:
        InputError: a file cannot be read, is no zone file, or is of a zone that has no names of
            Services; or a zone was given twice.
    """
    from svcc.compiler.load.inputs import reason
    from svcc.grammar.dns.read import read_zone
    from svcc.grammar.dns.zone import is_below

    found: dict[str, Zone] = {}
    for path, origin in _zone_files(paths):
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise bad_input(path, f"cannot read: {reason(error)}") from None
        zone = read_zone(text, path, origin)
        if zone.origin != cluster_domain and not any(
            is_below(zone.origin, top) for top in REVERSE.values()
        ):
            hint = f"that is {cluster_domain}; --cluster-domain names another"
            raise bad_input(
                path, f"{zone.origin} is neither the cluster domain nor a reverse zone: {hint}"
            )
        if zone.origin in found:
            raise bad_input(path, f"the zone {zone.origin} is in {found[zone.origin].file} already")
        found[zone.origin] = zone
    if note is not None and cluster_domain not in found:
        note(f"note: the zone {cluster_domain} was not given; names of Services are not judged")
    if note is not None and set(found) <= {cluster_domain}:
        note("note: no reverse zone was given; names of addresses are not judged")
    return list(found.values())


def _zone_files(
    paths: Sequence[str | os.PathLike[str]],
) -> list[tuple[str, str | None]]:
    """Each file, with its zone where that was said."""
    files: list[tuple[str, str | None]] = []
    for each in paths:
        given = os.fspath(each)
        origin, equals, rest = given.partition("=")
        if equals and re.fullmatch(r"[A-Za-z0-9._-]+", origin) and not os.path.exists(given):
            files.append((rest, f"{origin.rstrip('.').lower()}."))
        elif os.path.isdir(given):
            inside = sorted(str(path) for path in Path(given).glob("*.zone"))
            if not inside:
                raise bad_input(given, "no file *.zone in this folder")
            files += [(path, None) for path in inside]
        else:
            files.append((given, None))
    return files
