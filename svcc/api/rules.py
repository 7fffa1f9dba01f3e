"""Rules to judge: from files, from texts, or those of this network namespace."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from svcc.api.beside import Beside
from svcc.api.inputs import named_texts

if TYPE_CHECKING:
    from svcc.grammar.address import Family
    from svcc.verify.prepare.loaded import LoadedRules


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules by family, as they were read.

    ``name`` is the variant of iptables that they are live rules of, empty if they are not live.
    ``beside`` is what else is in force, which packets must get through as well.
    ``in_files``: whether their sources are files that people can open.
    """

    loaded: Mapping[Family, LoadedRules]
    in_files: bool = False
    name: str = ""
    beside: Beside = field(default_factory=Beside)

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that there are rules of."""
        return tuple(sorted(self.loaded))

    def of(self, family: Family | None) -> dict[Family, LoadedRules]:
        """Those of one family; of all for None."""
        return {f: item for f, item in self.loaded.items() if family in (None, f)}


def read_rules(
    *paths: str | os.PathLike[str],
    text: str | Mapping[str, str] = "",
    family: Family | None = None,
) -> Rules:
    """The rules of files, bundle folders or texts; each tells by content or name what it holds.

    Args:
        paths: what ``iptables-save``, ``iptables-restore``, ``ipvsadm -Sn`` and ``ipset save``
            print or read, or folders that ``svcc compile -o`` wrote.
        text: such a text, or several by the names that messages call them.
        family: of a text that does not tell.

    Raises:
        InputError: something cannot be read, or two are of one family.
    """
    from svcc.api.errors import bad_input
    from svcc.verify.rule_files import from_files, from_texts

    texts = dict(named_texts(text))
    if texts and paths:
        raise bad_input("rules", "give paths or texts, not both")
    if texts:
        return Rules(from_texts(texts, family))
    return Rules(from_files([os.fspath(path) for path in paths], family), in_files=True)
