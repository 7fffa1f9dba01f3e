"""Something in manifests that most likely was not meant."""

from __future__ import annotations

from dataclasses import dataclass

from svcc.compiler.model.objects import Origin
from svcc.grammar.errors import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """``subject`` of ``owner`` (``Service shop/web``) ``says`` what is wrong, as a sentence.

    An error is one whatever the cluster is; a warning may be meant so; a note costs nothing.
    """

    code: str
    severity: Severity
    owner: str
    subject: str
    says: str
    place: Origin

    def sentence(self) -> str:
        """All of it in words."""
        return f"{self.owner}: {self.subject} {self.says}"
