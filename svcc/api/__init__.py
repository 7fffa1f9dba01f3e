"""svcc as a library: load, compile, prove, explain, compare, apply.

``docs/python.md`` shows how. The names in ``__all__`` are stable, everything else is internal.
Nothing here prints or reads the environment; what a person should know is told to the ``note``
that a function takes. Each name is imported when it is first asked for, so that a program loads
no solver to compile.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svcc.api.comparison import compare
    from svcc.api.compilation import CompiledRules, compile, compile_nodes  # noqa: A004
    from svcc.api.errors import ApplyError, InputError, NotProvedError
    from svcc.api.explanation import Answer, ask, explain
    from svcc.api.inputs import load
    from svcc.api.live import live_rules
    from svcc.api.loaded.confirming import awaited, confirm, revert, wait_for_end
    from svcc.api.loaded.seen import Status, status
    from svcc.api.node import Difference, apply, cleanup, diff, difference
    from svcc.api.policies import read_policies
    from svcc.api.rules import Rules, read_node_rules, read_rules
    from svcc.api.settings import Flags, all_node_settings, load_configuration, node_settings
    from svcc.api.verification import verify, verify_nodes
    from svcc.apply.outcome import Outcome
    from svcc.apply.reverting.confirmation import Confirmation
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.configuration import Configuration
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Family
    from svcc.grammar.errors import Position, Problem
    from svcc.verify.confirm.findings import Counterexample, Finding
    from svcc.verify.report.explanation import Explanation
    from svcc.verify.report.report import Report
    from svcc.verify.spec.codes import CODES

__all__ = [
    "CODES",
    "Answer",
    "ApplyError",
    "CompiledRules",
    "Configuration",
    "Confirmation",
    "Counterexample",
    "Difference",
    "Explanation",
    "Family",
    "Finding",
    "Flags",
    "InputError",
    "NodeSettings",
    "NotProvedError",
    "Objects",
    "Outcome",
    "Position",
    "Problem",
    "Report",
    "Rules",
    "Status",
    "all_node_settings",
    "apply",
    "ask",
    "awaited",
    "cleanup",
    "compare",
    "compile",
    "compile_nodes",
    "confirm",
    "diff",
    "difference",
    "explain",
    "live_rules",
    "load",
    "load_configuration",
    "node_settings",
    "read_node_rules",
    "read_policies",
    "read_rules",
    "revert",
    "status",
    "verify",
    "verify_nodes",
    "wait_for_end",
]

_HOME = {
    "svcc.api.comparison": ("compare",),
    "svcc.api.compilation": ("CompiledRules", "compile", "compile_nodes"),
    "svcc.api.loaded.confirming": ("awaited", "confirm", "revert", "wait_for_end"),
    "svcc.api.errors": ("ApplyError", "InputError", "NotProvedError"),
    "svcc.api.explanation": ("Answer", "ask", "explain"),
    "svcc.api.inputs": ("load",),
    "svcc.api.live": ("live_rules",),
    "svcc.api.node": ("Difference", "apply", "cleanup", "diff", "difference"),
    "svcc.api.loaded.seen": ("Status", "status"),
    "svcc.api.policies": ("read_policies",),
    "svcc.api.rules": ("Rules", "read_node_rules", "read_rules"),
    "svcc.api.settings": ("Flags", "all_node_settings", "load_configuration", "node_settings"),
    "svcc.api.verification": ("verify", "verify_nodes"),
    "svcc.apply.outcome": ("Outcome",),
    "svcc.apply.reverting.confirmation": ("Confirmation",),
    "svcc.compiler.model.objects": ("Objects",),
    "svcc.compiler.settings.configuration": ("Configuration",),
    "svcc.compiler.settings.node": ("NodeSettings",),
    "svcc.grammar.address": ("Family",),
    "svcc.grammar.errors": ("Position", "Problem"),
    "svcc.verify.confirm.findings": ("Counterexample", "Finding"),
    "svcc.verify.report.explanation": ("Explanation",),
    "svcc.verify.report.report": ("Report",),
    "svcc.verify.spec.codes": ("CODES",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(module), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
