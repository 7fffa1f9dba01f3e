"""The rules that svcc itself compiles, as the verifier takes them: as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from svcc.api.compilation import compiled_for

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.api.rules import Rules
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.pipeline import Compiled
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Family, Network
    from svcc.grammar.iptables.program import Program
    from svcc.grammar.ipvs.state import Ipvs
    from svcc.grammar.nftables.program import Ruleset
    from svcc.verify.prepare.loaded import LoadedRules
    from svcc.verify.userspace.model import ProxyModel


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a node is to load: compiled just now, or read from a folder.

    ``tables`` are those of nftables mode, which has no ``programs``. ``loaded`` are the same rules
    as the verifier takes them, None to read ``compiled`` back. ``exclude`` are addresses whose
    virtual servers are left alone, ``folder`` is where it was read.
    """

    settings: NodeSettings
    programs: Mapping[Family, Program]
    route_localnet: bool
    ipvs: Ipvs | None
    exclude: tuple[Network, ...]
    compiled: Compiled | None = None
    tables: Ruleset | None = None
    loaded: Mapping[Family, LoadedRules] | None = None
    folder: str = ""

    def for_verifier(self) -> Mapping[Family, LoadedRules]:
        """The rules as the verifier takes them."""
        if self.loaded is not None:
            return self.loaded
        assert self.compiled is not None
        return read_back(self.compiled)


def wanted_of(compiled: Compiled) -> Wanted:
    """What was compiled."""
    return Wanted(
        compiled.settings,
        compiled.programs,
        compiled.route_localnet,
        compiled.ipvs,
        compiled.settings.ipvs.exclude_networks,
        compiled,
        compiled.tables,
    )


def wanted_of_folder(folder: str, settings: NodeSettings) -> Wanted:
    """What a folder holds that ``svcc compile -o`` wrote: for one node, or with ``--all-nodes``
    for all, of which the one of the settings counts. The mode is the folder's.

    Raises:
        InputError: it is no such folder, something in it is not as it was written, or it is
            another node's.
    """
    from pathlib import Path

    from svcc.api.errors import bad_input
    from svcc.api.rules import must_be_of, node_folders
    from svcc.compiler.files.read import read_bundle
    from svcc.grammar.errors import InputError
    from svcc.verify.prepare.loaded import EVERYTHING
    from svcc.verify.rule_files import from_files

    if (nodes := node_folders(folder)) is not None:
        folders, problems = nodes
        if settings.node_name not in folders:
            names = ", ".join(folders)
            message = f"no rules of node {settings.node_name}; there are those of {names}"
            raise bad_input(folder, message)
        if problems:
            raise InputError(problems)
        folder = folders[settings.node_name][0]
    bundle = read_bundle(folder)
    manifest = bundle.manifest
    must_be_of(manifest.node, settings.node_name, of_files=False)
    loaded = from_files([str(Path(folder))], None)
    return Wanted(
        replace(settings, mode=manifest.mode),
        bundle.programs,
        manifest.route_localnet,
        bundle.ipvs,
        (*settings.ipvs.exclude_networks, *manifest.exclude),
        tables=bundle.tables,
        loaded={family: replace(item, whole=EVERYTHING) for family, item in loaded.items()},
        folder=folder,
    )


def read_back(compiled: Compiled) -> dict[Family, LoadedRules]:
    """Both families' scripts, read back."""
    from svcc.compiler.bundle import (
        FILE_NAMES,
        NFTABLES,
        ipvs_scripts,
        nftables_script,
        script,
    )
    from svcc.verify.prepare.loaded import EVERYTHING
    from svcc.verify.rule_files import from_text, ipvs_of, of_nftables

    if compiled.tables is not None:
        text = nftables_script(compiled, compiled.tables)
        return of_nftables(text, NFTABLES, whole=EVERYTHING)
    found = {
        family: from_text(script(compiled, family), family, FILE_NAMES[family], whole=EVERYTHING)
        for family in compiled.programs
    }
    if compiled.ipvs is not None:
        texts = ipvs_scripts(compiled, compiled.ipvs)
        beside = {name.split(".")[0]: (text, name) for name, text in texts.items()}
        for item in found.values():
            item.rules.ipvs = ipvs_of(beside)
    return found


def rules_or_own(
    objects: Objects,
    settings: NodeSettings,
    rules: Rules | None,
    only: Family | None,
    note: Note | None,
) -> dict[Family, LoadedRules]:
    """The given rules of one family, or of all for None; without any, those that svcc compiles.

    Raises:
        InputError: compiling fails.
    """
    if rules is not None:
        return rules.of(only)
    own = read_back(compiled_for(objects, settings, note=note))
    return {family: item for family, item in own.items() if only in (None, family)}


def own_proxy(objects: Objects, settings: NodeSettings, note: Note | None) -> ProxyModel:
    """The model of what svcc compiles, read back.

    Raises:
        InputError: compiling fails.
    """
    from svcc.compiler.bundle import ADDRESSES, NGINX, proxy_scripts
    from svcc.grammar.ipvs.addresses import parse
    from svcc.grammar.nginx.read import read_text
    from svcc.verify.userspace.reading import model_of

    compiled = compiled_for(objects, settings, note=note)
    assert compiled.proxy is not None
    texts = proxy_scripts(compiled, compiled.proxy)
    model = model_of(read_text(texts[NGINX], NGINX))
    model.addresses, model.addresses_file = parse(texts[ADDRESSES], source=ADDRESSES), ADDRESSES
    return model
