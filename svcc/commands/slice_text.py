"""Slices and the rules in them, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from svcc.verify.report.concerned_rules import ConcernedHook, concerned_rules
from svcc.verify.report.kept_rules import STAGES, KeptChain, KeptRule, RegionSlice
from svcc.verify.report.smt_script import direction


def slice_text(item: RegionSlice) -> str:
    """A region: every base chain with what it keeps, chains that it leads to below it."""
    lines = [f"{item.region.name}, {direction(item.region)}"]
    for chain in item.chains:
        name = f": {chain.table} {chain.chain}, policy {chain.policy}" if chain.chain else ""
        lines.append(f"  {STAGES[chain.stage]}{name}")
        lines += _nested(chain.rules, "    ")
    return "\n".join(lines) + "\n"


def _nested(rules: Iterable[KeptRule], indent: str) -> Iterator[str]:
    for rule in rules:
        words = (f"-A {rule.chain}", *rule.open, rule.action)
        yield f"{indent}{rule.place}{' '.join(word for word in words if word)}"
        yield from _nested(rule.body, indent + "  ")


def slice_json(item: RegionSlice) -> dict[str, Any]:
    """A region as JSON."""
    return {
        "frontend": item.region.name,
        "packets": direction(item.region),
        "chains": [_chain_json(chain) for chain in item.chains],
    }


def _chain_json(chain: KeptChain) -> dict[str, Any]:
    return {
        "stage": chain.stage,
        "table": chain.table,
        "chain": chain.chain,
        "policy": chain.policy,
        "rules": [_kept_json(rule) for rule in chain.rules],
    }


def _kept_json(rule: KeptRule) -> dict[str, Any]:
    found = _rule_json(rule) | {"open": list(rule.open), "action": rule.action}
    if rule.body:
        found["body"] = [_kept_json(each) for each in rule.body]
    return found


def _rule_json(rule: KeptRule) -> dict[str, Any]:
    """The rule as it was read; without file and line if it stands in no text."""
    found: dict[str, Any] = {"chain": rule.chain, "rule": rule.text}
    return found | {"file": rule.file, "line": rule.line} if rule.line else found


def rules_text(name: str, slices: Sequence[RegionSlice]) -> str:
    """The rules of one frontend by base chain, each with why it concerns the frontend."""
    lines = [name]
    for hook in concerned_rules(slices):
        lines.append(f"  {hook.table} {hook.chain}" if hook.chain else "  IPVS")
        for found in hook.rules.values():
            lines.append(f"    {found.rule.place}{found.rule.text}")
            lines += [f"      {reason}" for reason in found.reasons()]
    return "\n".join(lines) + "\n"


def rules_json(name: str, slices: Sequence[RegionSlice]) -> dict[str, Any]:
    """The rules of one frontend as JSON."""
    return {"frontend": name, "hooks": [_hook_json(hook) for hook in concerned_rules(slices)]}


def _hook_json(hook: ConcernedHook) -> dict[str, Any]:
    rules = [
        _rule_json(found.rule)
        | {"kept": [{"packets": of, "open": list(open_)} for open_, of in found.kept.items()]}
        for found in hook.rules.values()
    ]
    return {"table": hook.table, "chain": hook.chain, "rules": rules}
