"""The rules of small object sets, one folder each, as a newcomer would read them.

``pytest tests/golden --regenerate-golden`` writes the rules anew; read the difference before
committing it.
"""

from __future__ import annotations

from random import Random

import pytest

from svcc.compiler.bundle import FILE_NAMES
from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.configuration import Overrides, load_configuration, node_settings
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.iptables.ruleset import load as load_rules
from svcc.grammar.iptables.write import write
from svcc.verify.rule_files import from_text
from tests.paths import DATA
from tests.support.kernel.namespace import missing, namespace
from tests.support.proofs import verify

COMMANDS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
CASES = DATA / "cases"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())


def inputs(name: str) -> tuple[Objects, NodeSettings]:
    objects = load([str(CASES / name / "objects.yaml")])
    configuration = load_configuration(str(CASES / name / "config.yaml"))
    settings, _ = node_settings(
        objects, configuration, Overrides(), Overrides(), hostname="elsewhere"
    )
    return objects, settings


def rules(name: str) -> dict[Family, str]:
    objects, settings = inputs(name)
    compiled = compile_objects(objects, settings)
    return {family: write(program) for family, program in compiled.programs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_rules_are_as_written_down(name: str, request: pytest.FixtureRequest) -> None:
    for family, text in rules(name).items():
        path = CASES / name / FILE_NAMES[family]
        if request.config.getoption("--regenerate-golden"):
            path.write_text(text)
        assert text == path.read_text(), f"{path} differs"


@pytest.mark.parametrize("name", NAMES)
def test_rules_are_right(name: str) -> None:
    objects, settings = inputs(name)
    loaded = {
        family: from_text((CASES / name / file).read_text(), family, file)
        for family, file in FILE_NAMES.items()
    }
    report = verify(objects, settings, loaded)
    assert report.verdict == "proved", report.to_text()


@pytest.mark.parametrize("name", NAMES)
def test_order_of_the_objects_does_not_matter(name: str) -> None:
    objects, settings = inputs(name)
    expected = compile_objects(objects, settings).programs
    random = Random(name)
    for _ in range(3):
        random.shuffle(objects.services)
        random.shuffle(objects.slices)
        assert compile_objects(objects, settings).programs == expected


def loaded_rules(text: str, family: Family) -> RuleSet:
    return load_rules(parse(text, family=family, source="rules"))


@pytest.mark.kernel
@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_kernel_holds_what_is_written_down(variant: str) -> None:
    """Whole and with --noflush: both find the base chains, whatever is loaded already."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    for options in ([], ["--noflush"]):
        for name in NAMES:
            with namespace() as node:
                for family, file in FILE_NAMES.items():
                    text = (CASES / name / file).read_text()
                    command = f"{COMMANDS[family]}-{variant}"
                    node.run(f"{command}-restore", *options, text=text)
                    saved = loaded_rules(node.run(f"{command}-save"), family)
                    wanted = loaded_rules(text, family)
                    for table in ("filter", "nat"):
                        assert saved.tables[table] == wanted.tables[table], name
