"""Two rule sets compared by what they do to packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svcc.api.settings import node_settings
from svcc.compiler.model.objects import Objects
from svcc.verify.equivalence.compare import compare as compare_rules
from svcc.verify.open_questions.of_rules import about_both
from svcc.verify.open_questions.question import left_open

if TYPE_CHECKING:
    from svcc.api.rules import Rules
    from svcc.api.verification import Progress
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Family
    from svcc.verify.report.report import Report


def compare(
    rules: Rules,
    against: Rules,
    objects: Objects | None = None,
    settings: NodeSettings | None = None,
    *,
    family: Family | None = None,
    progress: Progress | None = None,
) -> Report:
    """Prove that two rule sets do the same to every packet, or show one that fares differently.

    Args:
        rules: the ones.
        against: the others.
        objects: give frontends their names; needed for nothing else.
        settings: of the node that both are for; by default one of which nothing is known.
        family: compare no other.
        progress: is told how many of how many parts are done.

    Returns:
        A report that is ``proved`` if both do the same.

    Raises:
        InputError: a default setting is wrong.
    """
    objects = Objects() if objects is None else objects
    settings = node_settings(objects) if settings is None else settings
    report = compare_rules(
        objects, settings, rules.of(family), against.of(family), progress=progress
    )
    mine, theirs = rules.of(family), against.of(family)
    questions = [
        question
        for of in sorted(mine.keys() & theirs.keys())
        for question in about_both(mine[of], theirs[of])
    ]
    report.findings = left_open(report.findings, questions)
    report.in_files = rules.in_files
    return report
