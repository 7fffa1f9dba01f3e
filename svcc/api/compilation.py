"""Objects compiled to the texts that the kernel's tools load."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from svcc.api.errors import bad_input
from svcc.api.inputs import once

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from svcc.api.inputs import Note
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.pipeline import Compiled
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Family


class CompiledRules:
    """What was compiled for one node.

    ``notes`` are for the person who asked for it. ``families`` are those with a frontend.
    """

    def __init__(self, compiled: Compiled) -> None:
        from svcc.grammar.address import Family

        self._compiled = compiled
        self.settings: NodeSettings = compiled.settings
        self.notes: tuple[str, ...] = compiled.notes
        self.families: tuple[Family, ...] = tuple(
            family for family in Family if compiled.forwarding.of(family)
        )

    @cached_property
    def texts(self) -> dict[str, str]:
        """Every file of the bundle by its name; the same input gives the same bytes.

        ``iptables.rules`` and ``ip6tables.rules`` are inputs of iptables-restore and
        ip6tables-restore; in ipvs mode ``ipvsadm.rules``, ``ipset.rules`` and
        ``addresses.batch`` are those of ``ipvsadm -R``, ``ipset restore`` and ``ip -batch``; in
        nftables mode ``nftables.rules`` alone is that of ``nft -f``. ``bundle.json`` says what
        was compiled. In userspace mode there are ``nginx.conf`` and, for ``ip -batch``,
        ``addresses.batch`` or ``addresses-on-loopback.batch``.
        """
        from svcc.compiler.bundle import render

        return render(self._compiled)

    def text(self, family: Family) -> str:
        """The input of one family's iptables-restore."""
        from svcc.compiler.bundle import script

        return script(self._compiled, family)

    @property
    def virtual_servers(self) -> str | None:
        """The input of ``ipvsadm -R``; None outside ipvs mode."""
        from svcc.compiler.bundle import IPVSADM, ipvs_scripts

        if self._compiled.ipvs is None:
            return None
        return ipvs_scripts(self._compiled, self._compiled.ipvs)[IPVSADM]

    @property
    def tables(self) -> str | None:
        """The input of ``nft -f``; None outside nftables mode."""
        from svcc.compiler.bundle import nftables_script

        found = self._compiled.tables
        return None if found is None else nftables_script(self._compiled, found)

    @property
    def proxy(self) -> str | None:
        """The configuration of nginx; None outside userspace mode."""
        from svcc.compiler.bundle import NGINX, proxy_scripts

        found = self._compiled.proxy
        return None if found is None else proxy_scripts(self._compiled, found)[NGINX]

    def write(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write the files into a folder, made if need be; each appears whole or not at all.

        What an earlier run has written there and this one has not goes; other files stay.

        Raises:
            InputError: the folder cannot be written, or its ``bundle.json`` is not svcc's.
        """
        from svcc.compiler.files.write import write_bundle

        try:
            return write_bundle(self._compiled, os.fspath(folder))
        except OSError as error:
            raise bad_input(os.fspath(folder), f"cannot write: {error.strerror}") from None


def compile(  # noqa: A001
    objects: Objects, settings: NodeSettings, *, comments: bool = True
) -> CompiledRules:
    """Compile the objects for a node.

    Args:
        objects: from :func:`svcc.api.load`.
        settings: from :func:`svcc.api.node_settings`; they say for which mode.
        comments: whether rules say which Service they are for.

    Raises:
        InputError: the kernel's limits are too narrow.
    """
    return CompiledRules(compiled_for(objects, settings, comments=comments))


def compile_nodes(
    objects: Objects,
    nodes: Iterable[NodeSettings],
    folder: str | os.PathLike[str],
    *,
    comments: bool = True,
    note: Note | None = None,
) -> list[Path]:
    """Compile the objects for several nodes, and write each one's files into a subfolder of its
    name; nothing is written unless all of them can be compiled.

    Args:
        objects: from :func:`svcc.api.load`.
        nodes: from :func:`svcc.api.all_node_settings`.
        folder: made if need be. What an earlier run has written there and this one has not goes.
        comments: whether rules say which Service they are for.
        note: is told what a person should know, each thing once.

    Raises:
        InputError: as :func:`compile`, or the folder cannot be written.
    """
    from svcc.compiler.files.write import write_bundles

    tell = once(note)
    try:
        return write_bundles(
            (compiled_for(objects, each, comments=comments, note=tell) for each in nodes),
            os.fspath(folder),
        )
    except OSError as error:
        raise bad_input(os.fspath(folder), f"cannot write: {error.strerror}") from None


def compiled_for(
    objects: Objects, settings: NodeSettings, *, comments: bool = True, note: Note | None = None
) -> Compiled:
    """The compiler's result; its notes are told.

    Raises:
        InputError: as :func:`compile`.
    """
    from svcc.compiler.lower.shared.depth import TooDeepError
    from svcc.compiler.pipeline import compile_objects

    try:
        compiled = compile_objects(objects, settings, comments=comments)
    except TooDeepError as error:
        hint = "nf_tables allows no more; use --mode ipvs, or fewer Services"
        raise bad_input("-f", f"{error}: {hint}") from None
    if note is not None:
        for text in compiled.notes:
            note(f"note: {text}")
    return compiled
