"""Other tools' rules beside the service rules: what they do to packets of their own is theirs,
what is wrong is found beside them, and what they break is found too."""

from __future__ import annotations

from functools import lru_cache

import pytest

from svcc.grammar.address import Family
from svcc.grammar.parse import parse
from svcc.grammar.ruleset import load
from svcc.verify.engine import LoadedRules, verify
from svcc.verify.prove import Prover
from svcc.verify.report import Report
from tests.support.beside import TOOLS, merged, tool
from tests.support.damage import DAMAGE
from tests.support.dumps import DUMPS, dump_objects, dump_settings

NAMES = sorted(path.name for path in DUMPS.iterdir() if path.is_dir())
FILE = "iptables-save.txt"
PROVER = Prover()


@lru_cache(maxsize=32)
def dump(name: str) -> str:
    return (DUMPS / name / FILE).read_text()


def judge(name: str, text: str, *tools: str) -> Report:
    both = merged(text, *(tool(item) for item in tools))
    rules = load(parse(both, family=Family.IPV4, source=FILE))
    loaded = {Family.IPV4: LoadedRules(rules, FILE)}
    return verify(dump_objects(name), dump_settings(name), loaded, prover=PROVER)


@pytest.mark.parametrize("name", TOOLS)
def test_kube_proxy_is_right_beside_them(name: str) -> None:
    wrong = []
    for of in NAMES:
        report = judge(of, dump(of), name)
        if report.verdict != "proved":
            wrong.append(f"{of}\n{report.to_text()}")
    assert not wrong, "\n".join(wrong[:2])


@pytest.mark.parametrize("name", TOOLS)
def test_damage_is_found_beside_them(name: str) -> None:
    missed = []
    for change in DAMAGE:
        lines = change.edit(dump(change.dump).splitlines())
        report = judge(change.dump, "\n".join(lines), name)
        if report.verdict != "violated":
            missed.append(f"{change.name}: {report.verdict}")
        assert "internal error" not in report.to_text(), change.name
    assert not missed, "\n".join(missed)
