"""A compiled node as files: one restore script per family, and what was compiled for whom."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from svcc import __version__
from svcc.compiler.pipeline import Compiled
from svcc.grammar.address import Family
from svcc.grammar.write import write

FILE_NAMES = {Family.IPV4: "iptables.rules", Family.IPV6: "ip6tables.rules"}
RESTORE_COMMANDS = {Family.IPV4: "iptables-restore", Family.IPV6: "ip6tables-restore"}
MANIFEST = "bundle.json"


def script(compiled: Compiled, family: Family) -> str:
    """One family's restore script."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=False,
        keep_trailing_newline=True,
    )
    return environment.get_template("iptables.rules.j2").render(
        version=__version__,
        family="IPv4" if family is Family.IPV4 else "IPv6",
        node=compiled.settings.node_name,
        mode=compiled.settings.mode,
        command=RESTORE_COMMANDS[family],
        tables=write(compiled.programs[family]),
    )


def main_family(compiled: Compiled) -> Family:
    """The family to print where only one can be: IPv4 unless all frontends are IPv6."""
    families = {port.family for port in compiled.forwarding.service_ports}
    return Family.IPV6 if families == {Family.IPV6} else Family.IPV4


def render(compiled: Compiled) -> dict[str, str]:
    """Every file of the bundle by name. The same input gives the same bytes."""
    files = {FILE_NAMES[family]: script(compiled, family) for family in Family}
    manifest = {
        "svcc": __version__,
        "node": compiled.settings.node_name,
        "mode": compiled.settings.mode,
        "route_localnet": compiled.route_localnet,
        "frontends": {
            family.label: sum(
                1
                + len(port.external_addresses)
                + len(port.balancer_addresses)
                + bool(port.node_port)
                for port in compiled.forwarding.of(family)
            )
            for family in Family
        },
        "files": {
            name: {
                "sha256": hashlib.sha256(files[name].encode()).hexdigest(),
                "chains": sum(len(table.chains) for table in compiled.programs[f].tables.values()),
                "rules": sum(len(table.commands) for table in compiled.programs[f].tables.values()),
            }
            for f, name in FILE_NAMES.items()
        },
    }
    files[MANIFEST] = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    return files


def write_bundle(compiled: Compiled, directory: str) -> list[Path]:
    """Write the bundle into a folder, made if need be; each file appears whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in render(compiled).items():
        unfinished = folder / f".{name}.{os.getpid()}"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(folder / name)
        written.append(folder / name)
    return written
