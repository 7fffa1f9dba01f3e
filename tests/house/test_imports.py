"""Imports point one way, and heavy libraries are loaded only where they are used."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import product

import pytest

from tests.house.imports import PACKAGES, circles, imported_modules, imports, modules
from tests.house.rooms import (
    FOLDERS,
    MOST_FILES,
    NEVERS,
    ROOMS,
    Never,
    Room,
    refusal,
    room_of,
)
from tests.paths import ROOT

MODULES = modules()
IMPORTED = {
    module: imported_modules(path.read_text(), MODULES.keys()) for module, path in MODULES.items()
}
WITH_CODE = [m for m, path in MODULES.items() if path.name != "__init__.py" or IMPORTED[m]]
"""All but packages that say only what is in them."""


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_imports_only_what_its_row_says(room: Room) -> None:
    wrong = [
        f"{module} imports {other}: {reason}"
        for module in WITH_CODE
        if room_of(module) == room.name
        for other in sorted(IMPORTED[module])
        if (reason := refusal(module, other)) is not None
    ]
    assert not wrong, "\n".join(wrong)


def test_every_module_is_in_a_room() -> None:
    assert [module for module in WITH_CODE if room_of(module) is None] == []
    assert len(WITH_CODE) > 120
    assert {module.split(".")[1] for module in WITH_CODE} > {*PACKAGES, "commands", "cli"}


def test_packages_import_nothing() -> None:
    """Or to import one module of a room would be to import others; svcc.api loads them lazily."""
    wrong = [m for m, path in MODULES.items() if path.name == "__init__.py" and IMPORTED[m]]
    assert wrong == ["svcc.api"]


def test_no_module_is_imported_by_its_place_in_the_repository() -> None:
    wrong = [
        f"{module} imports {name}: import svcc.{name}"
        for module, path in MODULES.items()
        for name, _ in imports(path.read_text())
        if name.split(".")[0] in PACKAGES
    ]
    assert wrong == []


def test_no_circles() -> None:
    knots = circles(IMPORTED)
    assert not knots, "\n".join(" <-> ".join(knot) for knot in knots)


def test_no_folder_is_a_hall() -> None:
    count: Counter[str] = Counter()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "__init__.py":
                count[str(path.parent.relative_to(ROOT))] += 1
    assert count["verify/smt"] > 1
    crowded = [f"{folder}: {files} files" for folder, files in count.items() if files > MOST_FILES]
    assert not crowded, f"{crowded}: these want rooms"


# -- the table, and whether the checks can fail --------------------------------------------

NAMES = [room.name for room in ROOMS]
MODULE_ROOMS = ("svcc", "cli", "__main__", "compiler.pipeline", "compiler.bundle")
"""Rooms that are a module themselves."""


def test_rooms_import_rooms_above_them_only() -> None:
    for number, room in enumerate(ROOMS):
        below = [other for other in NAMES[number + 1 :] if room.may_import(other)]
        assert below == [], room.name


def made_up(room: str) -> str:
    """The name of a module in a room."""
    if room == "svcc":
        return room
    return f"svcc.{room}" if room in MODULE_ROOMS else f"svcc.{room}.made_up"


def refused(room: str, other: str, form: str) -> str | None:
    """What is said of an import between made-up modules of two rooms."""
    module = made_up(other)
    package, _, name = module.rpartition(".")
    text = form.format(module=module, package=package, name=name)
    (imported,) = imported_modules(text, {module})
    assert imported == module
    return refusal(made_up(room), imported)


FORMS = (
    "from {module} import thing",
    "import {module}",
    "from {package} import {name}",
    "def run():\n    from {module} import thing",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {module}",
)


def at_and_below(name: str) -> list[str]:
    """The rooms that a row of the nevers speaks of."""
    return [room for room in NAMES if room == name or room.startswith(f"{name}.")]


BROKEN = [(never, other) for never in NEVERS for other in never.others.split()]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("never", "other"), BROKEN, ids=lambda v: getattr(v, "room", v))
def test_each_never_is_refused_once_broken(never: Never, other: str, form: str) -> None:
    pairs = list(product(at_and_below(never.room), at_and_below(other)))
    assert pairs
    for room, each in pairs:
        assert f"must never import {each}: {never.reason}" in (refused(room, each, form) or "")


def test_no_row_lists_what_must_never_be() -> None:
    for never, other in BROKEN:
        for name, each in product(at_and_below(never.room), at_and_below(other)):
            row = ROOMS[NAMES.index(name)]
            assert not row.may_import(each), (name, each)


@pytest.mark.parametrize(
    ("room", "other"),
    [
        ("grammar.ipvs", "grammar.iptables"),
        ("compiler.model", "compiler.load"),
        ("compiler.resolve", "compiler.lower.shared"),
        ("verify.netfilter", "verify.spec"),
        ("verify.spec", "verify.prepare"),
        ("verify.model", "verify.simulator"),
        ("verify.proof", "verify"),
        ("verify.recheck", "verify.policy"),
        ("verify.equivalence", "verify"),
        ("apply", "compiler.model"),
        ("apply.ipvs", "apply"),
        ("commands", "cli"),
        ("api", "cli"),
        ("cli", "verify"),
    ],
)
def test_what_no_row_lists_is_refused(room: str, other: str) -> None:
    assert "may not import" in (refused(room, other, FORMS[0]) or "")


@pytest.mark.parametrize(
    ("room", "other"),
    [
        ("grammar.iptables", "grammar.ipvs"),
        ("compiler.settings", "compiler.load"),
        ("verify.proof", "verify.smt"),
        ("verify.simulator", "verify.netfilter"),
        ("verify", "verify.policy"),
        ("apply", "apply.ipvs"),
        ("api", "verify"),
        ("commands", "api"),
        ("compiler.bundle", "svcc"),
    ],
)
def test_what_a_row_lists_is_not_refused(room: str, other: str) -> None:
    assert refusal(made_up(room), made_up(other)) is None


def test_a_module_without_a_room_is_refused() -> None:
    assert "is in no room" in (refusal("svcc.verify.attic.thing", "svcc.grammar.address") or "")
    assert "is in no room" in (refusal("svcc.verify.engine", "svcc.verify.attic.thing") or "")


def test_circles_are_found() -> None:
    assert circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == [["a", "b", "c"]]
    assert circles({"a": ["a"]}) == [["a"]]
    assert circles({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def test_relative_imports_are_refused() -> None:
    with pytest.raises(ValueError, match="relative"):
        list(imports("from . import thing"))


# -- what is loaded ------------------------------------------------------------------------

LOWERING = (
    "svcc.compiler.lower",
    "svcc.compiler.resolve",
    "svcc.compiler.pipeline",
    "svcc.compiler.bundle",
)


def test_the_verifier_loads_no_lowering_even_indirectly() -> None:
    code = "import sys, svcc.verify.engine, svcc.compiler.load.loader; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = done.stdout.split()
    assert "svcc.verify.engine" in loaded
    assert not [name for name in loaded if name.startswith(LOWERING)]


HEAVY = ("z3", "lark", "yaml", "urllib3", "hypothesis")


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import svcc.cli; svcc.cli.parser()", ()),
        ("import svcc.api; dir(svcc.api)", ()),
        ("from svcc.api import apply, compile, load, node_settings, read_rules", ()),
        ("import svcc.verify.engine", ("z3",)),
        ("import svcc.apply.engine", ()),
        ("import svcc.compiler.pipeline, svcc.compiler.load.loader", ()),
    ],
)
def test_heavy_libraries_are_lazy(statement: str, allowed: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(done.stdout.split())
    assert "svcc" in loaded
    assert not (set(HEAVY) & loaded) - set(allowed)
