"""The table of docs/damages.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from svcc.verify.simulator.packet import Packet
from tests.damages.blame import NOT_NAMED
from tests.damages.trials import RULES, Trial, Tried
from tests.paths import ROOT

DOCUMENT = ROOT / "docs" / "damages.md"
_BEGIN = "<!-- written by python -m tests.damages --write -->\n"
_HEADINGS = {
    "violated": "Damage that is caught",
    "proved": "Harmless changes that are not flagged",
    "undecided": "Damage by matches outside the model: undecided, never proved",
}


def caught_as(tried: Tried) -> str:
    """The properties that are violated."""
    return ", ".join(dict.fromkeys(finding.property for finding in tried.violations()))


def packet_shown(tried: Tried) -> str:
    """The first packet that shows the damage, in short."""
    for finding in tried.violations():
        if finding.counterexample is not None:
            return _short(finding.counterexample.packet)
    return "none: " + next((f.reason for f in tried.violations()), "")[:60]


def _short(packet: Packet) -> str:
    return str(packet).replace("the node itself", "node")


def tables(tried: Sequence[Tried], in_kernel: Mapping[str, str]) -> str:
    """The tables in Markdown; ``in_kernel`` tells of trials what the kernel did."""
    lines: list[str] = []
    for rules, title in RULES.items():
        for wanted, heading in _HEADINGS.items():
            found = [t for t in tried if (t.trial.rules, t.trial.wanted) == (rules, wanted)]
            if not found:
                continue
            lines += ["", f"## {title}: {heading[0].lower()}{heading[1:]}", ""]
            if wanted == "violated":
                lines += [
                    "| damage | in | caught | as | packet, replayed | cause | kernel |",
                    "|---|---|---|---|---|---|---|",
                ]
            else:
                lines += ["| change | in | right | verdict |", "|---|---|---|---|"]
            for one in found:
                cells = [one.trial.name, one.trial.base, "yes" if one.right else "**no**"]
                if wanted == "violated":
                    kernel = in_kernel.get(key(one.trial), "–")
                    named = "–"
                    if blamed := one.blamed():
                        named = (
                            "yes"
                            if all(blamed)
                            else f"– ({NOT_NAMED.get(key(one.trial), 'another')})"
                        )
                    cells += [caught_as(one), f"`{packet_shown(one)}`", named, kernel]
                else:
                    cells.append(one.report.verdict)
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def key(trial: Trial) -> str:
    """What a trial is known by."""
    return f"{trial.rules}: {trial.name}"


def summary(tried: Sequence[Tried], in_kernel: Mapping[str, str]) -> str:
    """How many of each, in a sentence for each kind of rules."""
    lines = []
    for rules, title in RULES.items():
        of = [t for t in tried if t.trial.rules == rules]
        counts = []
        for wanted, words in (
            ("violated", "kinds of damage caught"),
            ("proved", "harmless changes not flagged"),
            ("undecided", "by matches outside the model undecided"),
        ):
            these = [t for t in of if t.trial.wanted == wanted]
            if these:
                counts.append(f"{sum(t.right for t in these)} of {len(these)} {words}")
        named = [all(blamed) for t in of if (blamed := t.blamed())]
        if named:
            counts.append(f"{sum(named)} of {len(named)} damaged lines named as the cause")
        seen = [in_kernel[key(t.trial)] for t in of if key(t.trial) in in_kernel]
        if seen:
            observable = sum(not text.startswith("–") for text in seen)
            counts.append(f"{seen.count('yes')} of {observable} that a packet can show "
                          "confirmed by the kernel")  # fmt: skip
        lines.append(f"- {title}: {', '.join(counts)}.")
    return "\n".join(lines) + "\n"


def write(tried: Sequence[Tried], in_kernel: Mapping[str, str]) -> None:
    """Put the tables into the document, in place of the last ones."""
    head, begin, _ = DOCUMENT.read_text().partition(_BEGIN)
    assert begin, f"{DOCUMENT.name} has no line {_BEGIN!r}"
    DOCUMENT.write_text(f"{head}{begin}\n{summary(tried, in_kernel)}{tables(tried, in_kernel)}")
