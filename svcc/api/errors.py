"""What the library raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svcc.apply.system.errors import ApplyError
from svcc.grammar.errors import InputError, Position, Problem

if TYPE_CHECKING:
    from svcc.compiler.settings.node import NodeSettings
    from svcc.verify.report.report import Report

__all__ = ["ApplyError", "InputError", "NotProvedError", "bad_input"]


class NotProvedError(Exception):
    """The rules are not proved, so nothing was loaded: ``report`` says what is wrong.

    ``folder`` is where they were read, empty for those that were compiled just now.
    """

    def __init__(self, report: Report, folder: str = "") -> None:
        self.report = report
        super().__init__(
            f"the rules of {folder} are not proved by these objects, so nothing was loaded"
            if folder
            else "the compiled rules are not proved, so nothing was loaded; please report this"
        )


def needs_rules(settings: NodeSettings, what: str) -> None:
    """Refuse what only rules of the kernel have; ``what`` says what to do instead.

    Raises:
        InputError: the settings are of userspace mode.
    """
    if settings.mode == "userspace":
        raise bad_input("--mode userspace", what)


def bad_input(what: str, message: str) -> InputError:
    """One thing that is wrong; ``what`` is the option or input that it is wrong with."""
    return InputError([Problem(Position(what), message)])
