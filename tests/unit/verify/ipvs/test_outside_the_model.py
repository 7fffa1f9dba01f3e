"""What a virtual server does that the models do not know is neither proved nor refuted."""

from __future__ import annotations

import pytest

from svcc.compiler.bundle import IPVSADM
from svcc.verify.spec.codes import OUTSIDE_THE_MODEL
from tests.support.damage.edits import Change, Edit, sub
from tests.support.damage.ipvs_damage import REAL, judge

SERVER = "(-A -t 10.96.0.16:80 -s rr)"
CHANGES: dict[str, tuple[str, Edit]] = {
    "direct routing": ("external-local", sub(f"({REAL}10.244.1.5:8080) -m", r"\1 -g")),
    "a tunnel": ("external-local", sub(f"({REAL}10.244.1.5:8080) -m", r"\1 -i")),
    "thresholds": ("external-local", sub(f"({REAL}10.244.1.5:8080 -m -w 1)", r"\1 -x 10 -y 5")),
    "fail over": ("external-local", sub(f"{SERVER}$", "-A -t 10.96.0.16:80 -s fo")),
    "overflow": ("external-local", sub(f"{SERVER}$", "-A -t 10.96.0.16:80 -s ovf")),
    "clients of a network": (
        "affinity", sub("(10.96.0.24:80 -s rr -p 600)", r"\1 -M 255.255.255.0"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_is_undecided(name: str) -> None:
    case, edit = CHANGES[name]
    assert judge(case).verdict == "proved"
    report = judge(case, Change(name, case, edit, IPVSADM))
    assert report.verdict == "undecided", report.to_text()
    assert {f.code for f in report.findings if f.verdict != "proved"} == {OUTSIDE_THE_MODEL}
    assert "-A IPVS -m comment" in report.to_text()
