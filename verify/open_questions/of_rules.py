"""What a text of rules does not show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.iptables.program import IpvsMatch, MapMark, NatTarget, Rule, SetMatch
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.confirm.findings import Finding
from svcc.verify.model.ownership import SERVICE_PREFIXES, is_service_chain
from svcc.verify.open_questions.question import OpenQuestion
from svcc.verify.prepare.loaded import LoadedRules, Part, Remark
from svcc.verify.spec import codes
from svcc.verify.spec.properties import (
    CAPTURES,
    ENDS,
    LETS_THROUGH,
    POLICY,
    REACHES,
    REFUSES,
    SAME,
)

_WHAT_IT_DOES = {"filter": "what refuses and drops packets", "nat": "what translates packets"}
_DECIDED_IN_FILTER = frozenset({REACHES, CAPTURES, REFUSES, LETS_THROUGH, ENDS, POLICY, SAME})
_REFUTED_BY_FILTER = frozenset(
    {codes.NOT_REFUSED, codes.OTHER_REFUSAL, codes.NOT_LET_THROUGH, codes.POLICY}
)
"""What is found wrong for want of a rule that filter may have."""
_PRINTED_BY: dict[Part, str] = {
    "virtual servers": "ipvsadm -Sn", "sets": "ipset save",
}  # fmt: skip


def about_rules(
    item: LoadedRules, settings: NodeSettings, *, has_frontends: bool
) -> Iterator[OpenQuestion]:
    """What is not known of one family's rules; ``has_frontends``: any Service is judged by them."""
    unshown = set()
    for remark in item.remarks:
        unshown.add(remark.table)
        yield _not_shown(item, remark)
    if not has_frontends:
        return
    for table, what in _WHAT_IT_DOES.items():
        if table in item.rules.tables or table in unshown or "tables" in item.whole:
            continue
        yield _table_not_given(item, table, what, _concerned_by(table))
    missing = _missing_of_ipvs(item, settings)
    if missing:
        commands = " and ".join(f"`{_PRINTED_BY[part]}`" for part in missing)
        yield OpenQuestion(
            code=codes.IPVS_NOT_GIVEN,
            family=item.rules.family,
            subject=f"{' and '.join(missing)} of IPVS",
            says="were not given: the rules alone tell nothing",
            reason=f"{item.source} is of a node in ipvs mode; add what {commands} "
            f"print{'s' * (len(missing) == 1)} with --rules",
            concerns=_anything,
            explains=frozenset({codes.OUTSIDE_THE_MODEL}),
        )


def about_both(one: LoadedRules, other: LoadedRules) -> Iterator[OpenQuestion]:
    """What is not known where two texts are compared: what only one of them shows.

    A table that neither has is not compared, and nothing is said of it.
    """
    for item, beside in ((one, other), (other, one)):
        for remark in item.remarks:
            yield replace(_not_shown(item, remark), concerns=_is_proved)
        for table, what in _WHAT_IT_DOES.items():
            rules = beside.rules.tables.get(table, {})
            if table in item.rules.tables or "tables" in item.whole:
                continue
            if any(chain.rules or chain.policy == "DROP" for chain in rules.values()):
                yield _table_not_given(item, table, what, _anything)


def _table_not_given(
    item: LoadedRules, table: str, what: str, concerns: Callable[[Finding], bool]
) -> OpenQuestion:
    return OpenQuestion(
        code=codes.TABLE_NOT_GIVEN,
        family=item.rules.family,
        subject=f"table {table}",
        says=f"was not given: {what} is unknown",
        reason=f"{item.source} has no table {table}; give all that `{_save(item)}` prints, "
        "without -t (tables that were printed one by one may stand in one file)",
        concerns=concerns,
    )


def _save(item: LoadedRules) -> str:
    return "iptables-save" if item.rules.family is Family.IPV4 else "ip6tables-save"


def _not_shown(item: LoadedRules, remark: Remark) -> OpenQuestion:
    place = f"{item.source}:{remark.line}: {remark.text}"
    if remark.table:
        return OpenQuestion(
            code=codes.NOT_SHOWN,
            family=item.rules.family,
            subject=f"table {remark.table}",
            says="is not shown, says the text itself",
            reason=f"{place}; it has rules that only `{remark.command}` prints",
            concerns=_concerned_by(remark.table),
        )
    return OpenQuestion(
        code=codes.NOT_SHOWN,
        family=item.rules.family,
        subject="rules of iptables-legacy",
        says="are in force too, says the text itself",
        reason=f"{place}; print them with `{remark.command}`, or judge the node by "
        "`svcc verify --live`, which reads both",
        concerns=_is_proved if _has_service_chains(item.rules) else _anything,
    )


def _anything(finding: Finding) -> bool:
    return finding.property != ENDS or finding.verdict == "proved"


def _is_proved(finding: Finding) -> bool:
    return finding.verdict == "proved"


def _concerned_by_filter(finding: Finding) -> bool:
    if finding.verdict == "proved":
        return finding.property in _DECIDED_IN_FILTER
    return finding.code in _REFUTED_BY_FILTER


def _concerned_by(table: str) -> Callable[[Finding], bool]:
    """Which findings another content of a table could turn round."""
    if table == "nat":
        return _anything
    return _concerned_by_filter if table == "filter" else _is_proved


def _service_rules(rules: RuleSet) -> Iterator[Rule]:
    for table, chains in rules.tables.items():
        for name, chain in chains.items():
            if is_service_chain(table, name):
                yield from chain.rules


def _has_service_chains(rules: RuleSet) -> bool:
    return next(_service_rules(rules), None) is not None


def _missing_of_ipvs(item: LoadedRules, settings: NodeSettings) -> list[Part]:
    """What service rules, or the mode, say that there is, and was not given."""
    asks_sets = asks_servers = translates = False
    # Types are compared, not asked for instances: this looks at every rule of large texts.
    for rule in _service_rules(item.rules):
        for match in rule.matches:
            kind = type(match)
            if kind is IpvsMatch:
                asks_servers = True
            elif kind is SetMatch:
                asks_sets |= _is_of_proxy(match)
        if type(rule.target) is MapMark:
            asks_sets |= _is_of_proxy(rule.target)
        elif type(rule.target) is NatTarget:
            translates = True
    if asks_sets or (settings.mode == "ipvs" and not translates):
        asks_servers = True
    asked: dict[Part, bool] = {"virtual servers": asks_servers, "sets": asks_sets}
    return [part for part, is_asked in asked.items() if is_asked and part not in item.whole]


def _is_of_proxy(item: object) -> bool:
    """Whether a match or target names a set of a service proxy."""
    return isinstance(item, SetMatch | MapMark) and item.name.startswith(SERVICE_PREFIXES)
