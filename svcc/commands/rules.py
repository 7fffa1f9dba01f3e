"""The rules that svcc itself compiles, as the verifier takes them: as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svcc.compiler.pipeline import Compiled
    from svcc.grammar.address import Family
    from svcc.verify.engine import LoadedRules


def compiled_rules(compiled: Compiled) -> dict[Family, LoadedRules]:
    """Both families' scripts, read back."""
    from svcc.compiler.bundle import FILE_NAMES, script
    from svcc.verify.sources import from_text

    return {
        family: from_text(script(compiled, family), family, FILE_NAMES[family])
        for family in compiled.programs
    }
