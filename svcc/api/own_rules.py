"""The rules that svcc itself compiles, as the verifier takes them: as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svcc.api.compilation import compiled_for

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.api.rules import Rules
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.pipeline import Compiled
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Family
    from svcc.verify.prepare.loaded import LoadedRules


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
