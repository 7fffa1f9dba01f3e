"""Damage to the rules of kube-proxy and of svcc is caught with a packet, harmless changes are not
flagged, damage outside the model is never proved, and the table of docs/damages.md has every kind.
"""

from __future__ import annotations

import re

import pytest

from tests.damages.blame import NOT_NAMED, damaged
from tests.damages.table import DOCUMENT, key
from tests.damages.trials import RULES, Trial, Tried, run, trials

TRIALS = list(trials())
BLAMED = [t for t in TRIALS if t.wanted == "violated" and not t.rules.endswith("nftables")]
"""In nftables mode one line is often several rules, of which the search changes one at a time: how
often the damaged line is named is told in the table, and not held.
"""


@pytest.mark.slow
@pytest.mark.parametrize("trial", TRIALS, ids=key)
def test_verdict(trial: Trial) -> None:
    tried = run(trial, causes=not trial.rules.endswith("nftables"))
    assert tried.right, tried.report.to_text()
    if trial.wanted == "undecided":
        assert re.search(r":\d+: (-A |\S+: |table )", tried.report.to_text())


@pytest.mark.slow
@pytest.mark.parametrize("trial", BLAMED, ids=key)
def test_the_damaged_line_is_the_cause(trial: Trial) -> None:
    """For each finding; where it may not be, a reason is given. Which packet is found, and so
    which of several causes that are as good, depends on what the solver was asked before.
    """
    tried = run(trial)
    assert tried.blamed()
    assert all(tried.blamed()) or key(trial) in NOT_NAMED, tried.report.to_text()


def test_few_causes_have_an_excuse() -> None:
    assert NOT_NAMED.keys() <= {key(trial) for trial in BLAMED}
    assert all(NOT_NAMED.values())
    assert len(NOT_NAMED) <= 14


def test_another_line_is_not_the_cause() -> None:
    found = damaged("-A X -j ACCEPT\n", "-A X -j DROP\n", "rules")
    assert found.is_named_by({"file": "some/rules", "line": 1})
    assert not found.is_named_by({"file": "rules", "line": 2})
    assert not found.is_named_by({"file": "others", "line": 1})
    gone = damaged("-A X -j DROP\n-A Y -j DROP\n", "-A Y -j DROP\n", "rules")
    assert gone.is_named_by({"file": "rules", "line": 1, "chain": "X"})
    assert not gone.is_named_by({"file": "rules", "line": 1, "chain": "Y"})


def test_lists_are_large_enough() -> None:
    for rules in RULES:
        names = [t.name for t in TRIALS if t.rules == rules]
        assert len(names) == len(set(names))
        damage = [t for t in TRIALS if (t.rules, t.wanted) == (rules, "violated")]
        assert len(damage) >= 40
    assert len([t for t in TRIALS if t.wanted == "proved"]) >= 30
    assert len([t for t in TRIALS if "affinity" in t.name and t.wanted == "violated"]) >= 20


def test_table_is_current() -> None:
    """``python -m tests.damages --kernel --write`` writes it."""
    text = DOCUMENT.read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    listed = [
        re.findall(r"^\| (.+?) \| .+? \| (yes|\*\*no\*\*) \|", section, flags=re.MULTILINE)
        for section in sections
    ]
    names = [name for found in listed for name, _ in found]
    wanted: dict[tuple[str, str], list[str]] = {}
    for trial in TRIALS:
        wanted.setdefault((trial.rules, trial.wanted), []).append(trial.name)
    assert names == [name for found in wanted.values() for name in found]
    assert all(right == "yes" for found in listed for _, right in found)
    assert "| no |" not in text


def test_a_missed_damage_would_show() -> None:
    proved = next(t for t in TRIALS if t.wanted == "proved" and t.rules == "iptables")
    as_damage = Trial(proved.rules, "violated", proved.change)
    report = run(proved).report
    assert Tried(proved, report).right
    assert not Tried(as_damage, report).right
