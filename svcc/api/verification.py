"""Rules judged by objects, on one node or several."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from svcc.api.compilation import compiled_for
from svcc.api.errors import bad_input
from svcc.api.inputs import once
from svcc.api.live import missing_proxy, open_questions
from svcc.api.own_rules import own_proxy, read_back
from svcc.compiler.settings.names import CLUSTER_DOMAIN
from svcc.grammar.address import Family
from svcc.grammar.errors import Position, Problem
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.policy import Placed, PlacedRange
from svcc.verify.engine import verify as verify_rules
from svcc.verify.manifests.every import findings_of, mistakes
from svcc.verify.names.judge import is_reverse, name_findings
from svcc.verify.names.served import served_findings
from svcc.verify.names.specification import Specification
from svcc.verify.open_questions.every import open_questions as every_question
from svcc.verify.open_questions.question import OpenQuestion, left_open
from svcc.verify.policy.claims import check
from svcc.verify.policy.ranges import check_ranges, range_findings
from svcc.verify.prepare.loaded import EVERYTHING, LoadedRules
from svcc.verify.proof.prover import Prover
from svcc.verify.selected_pods import selection_findings
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import Expectation, expect
from svcc.verify.spec.node_kinds import NodeKinds

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.api.rules import Rules
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.dns.zone import Zone
    from svcc.verify.confirm.findings import Finding
    from svcc.verify.report.report import Report

_WORTH_A_WARNING = frozenset({codes.NO_ENDPOINTS_GIVEN, codes.FAMILY_NOT_GIVEN})

Progress = Callable[[int, int], None]
"""Is told how many of how many parts are done."""


def verify(
    objects: Objects,
    settings: NodeSettings,
    rules: Rules | None = None,
    *,
    family: Family | None = None,
    policies: Sequence[Placed | PlacedRange] = (),
    policies_only: bool = False,
    paranoid: bool = False,
    strict: bool = False,
    zones: Sequence[Zone] = (),
    cluster_domain: str = CLUSTER_DOMAIN,
    note: Note | None = None,
    progress: Progress | None = None,
) -> Report:
    """Prove that rules do on a node what the objects ask, or show a packet that goes wrong.

    Args:
        objects: what the rules are judged by.
        settings: the node's.
        rules: those to judge; None: what svcc compiles for the node.
        family: judge no other.
        policies: statements to prove as well.
        policies_only: judge them alone, not what Kubernetes asks.
        paranoid: have the solver look again at what ordinary code established; this takes some
            fifty times as long.
        strict: what was passed over makes the verdict undecided, unless it has no frontend by
            its kind.
        zones: zones to judge too, from :func:`svcc.api.standalone.names.read_zones`: that of the
            cluster domain, reverse zones, or all.
        cluster_domain: below which Services have their names.
        note: is told what a person should know.
        progress: is told how many of how many parts are done.

    Raises:
        InputError: there are frontends of a family that no rules are given of, a statement
            speaks of nothing, or compiling fails.
    """
    (report,) = verify_nodes(
        objects,
        [settings],
        rules,
        family=family,
        policies=policies,
        policies_only=policies_only,
        paranoid=paranoid,
        strict=strict,
        zones=zones,
        cluster_domain=cluster_domain,
        note=note,
        progress=progress,
    )
    return report


def verify_nodes(
    objects: Objects,
    nodes: Sequence[NodeSettings],
    rules: Rules | Mapping[str, Rules] | None = None,
    *,
    family: Family | None = None,
    policies: Sequence[Placed | PlacedRange] = (),
    policies_only: bool = False,
    paranoid: bool = False,
    strict: bool = False,
    zones: Sequence[Zone] = (),
    cluster_domain: str = CLUSTER_DOMAIN,
    note: Note | None = None,
    progress: Progress | None = None,
) -> list[Report]:
    """As :func:`verify`, a report for each node; nodes that nothing tells apart share a proof.

    Args:
        nodes: from :func:`svcc.api.all_node_settings`.
        rules: for each node, by its name, its own; None: what svcc compiles for each.

    Raises:
        InputError: as there, rules of a node are missing, or rules of one node are given for
            several.
    """
    if policies_only and not policies:
        raise bad_input("--policy-only", "there are no statements; name their file with --policy")
    if policies_only and zones:
        raise bad_input("--policy-only", "zones are not judged then; take --dns-zone away")
    statements = [item for item in policies if isinstance(item, Placed)]
    ranges = [item for item in policies if isinstance(item, PlacedRange)]
    check(statements, objects, nodes)
    check_ranges(ranges, objects)
    note = once(note)
    by_node = _by_node(nodes, rules)
    if by_node is not None or any(settings.mode == "userspace" for settings in nodes):
        _check_mode(nodes, by_node, beside={"--policy": policies, "--paranoid": paranoid})
    judge = _Judge(objects, by_node, family, statements, policies_only, paranoid, strict, note)
    reports = list(judge.reports(nodes, progress))
    about_objects = list(range_findings(ranges, objects, family))
    problems = objects.problems
    if not policies_only:
        found, told = _about_objects(objects, strict=strict)
        about_objects += found
        problems += told
        if note is not None:
            for problem in told:
                note(str(problem))
    specification = Specification(objects, cluster_domain) if zones else None
    if specification is not None:
        about_objects += name_findings(specification, zones, strict=strict)
    about_objects = _with_places(about_objects, objects)
    expectations: dict[Family, Expectation] = {}
    for report, settings in zip(reports, nodes, strict=True):
        of_node = by_node[settings.node_name] if by_node is not None else None
        if of_node is not None and of_node.proxy is None:
            report.findings += open_questions(of_node, objects, settings, note)
        if of_node is not None:
            report.in_files = of_node.in_files
        questions = list(judge.questions(settings, report, strict))
        report.findings = left_open(report.findings, questions)
        if specification is not None:
            for served in set(report.sources) - set(expectations):
                # What names answer, cluster IPs, are the same on every node.
                expectations[served] = expect(objects, settings, served)
            of_families = [expectations[served] for served in report.sources]
            report.findings += _served(specification, zones, of_families, report)
        if report is reports[0]:
            # They are the same whatever the node, and whatever is not known of its rules.
            report.findings = [*about_objects, *report.findings]
        report.passed_over, report.problems = objects.passed_over, problems + report.problems
        if of_node is not None:
            report.problems += of_node.problems
        _warn(questions, report, note)
    return reports


def _served(
    specification: Specification,
    zones: Sequence[Zone],
    expectations: Sequence[Expectation],
    report: Report,
) -> list[Finding]:
    """Whether what names answer is served on a node."""
    return [
        finding
        for zone in zones
        if not is_reverse(zone)
        for finding in served_findings(specification, zone, expectations, report.findings)
    ]


def _about_objects(objects: Objects, *, strict: bool) -> tuple[list[Finding], tuple[Problem, ...]]:
    """What is judged of the objects themselves, and what is told of them, with its places."""
    from svcc.api.manifests import Manifests

    wrong = list(mistakes(objects)) if objects.is_simulated else []
    found = selection_findings(objects)
    if objects.is_simulated:
        found = [*findings_of(objects, wrong, strict=strict), *found]
    manifests = Manifests(objects)
    manifests.look_up(mistake.place for mistake in wrong)
    problems = tuple(
        Problem(
            manifests.position(mistake.place) or Position(mistake.place.file),
            mistake.sentence(),
            mistake.severity,
            mistake.code,
        )
        for mistake in wrong
        if mistake.severity != "error"
    )
    return found, tuple(sorted(dict.fromkeys(problems)))


def _with_places(findings: list[Finding], objects: Objects) -> list[Finding]:
    """The findings, with file, line and column as the reason where they have a place."""
    from svcc.api.manifests import Manifests

    manifests = Manifests(objects)
    manifests.look_up(finding.place for finding in findings if finding.place is not None)
    return [
        replace(finding, reason=str(position))
        if finding.place is not None and (position := manifests.position(finding.place))
        else finding
        for finding in findings
    ]


def _by_node(
    nodes: Sequence[NodeSettings], rules: Rules | Mapping[str, Rules] | None
) -> Mapping[str, Rules] | None:
    """Each node's rules; None for what svcc compiles.

    Raises:
        InputError: a node has none, or one node's are given for several.
    """
    if rules is None:
        return None
    if isinstance(rules, Mapping):
        names = [settings.node_name for settings in nodes]
        if missing := [name for name in names if name not in rules]:
            raise bad_input(
                "--rules",
                f"there are no rules of {_some(missing)}; give them with --rules NODE=PATH, or "
                "name the node to judge with --node",
            )
        if unknown := sorted(set(rules) - set(names)):
            raise bad_input("--rules", f"no Node {_some(unknown)} is judged, but has rules")
    elif len(nodes) > 1:
        raise bad_input(
            "--live" if rules.name else "--rules",
            f"these are the rules of one node, and {len(nodes)} are to be judged: each node has "
            "rules of its own; give them with --rules NODE=PATH (repeatable), or name the one "
            "node with --node",
        )
    found = rules if isinstance(rules, Mapping) else {s.node_name: rules for s in nodes}
    for name, item in found.items():
        item.must_be_of(name)
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _warn(questions: Iterable[OpenQuestion], report: Report, note: Note | None) -> None:
    """Tell of questions that no finding depends on."""
    asked = {(finding.code, finding.family) for finding in report.findings}
    for question in questions:
        is_told = (question.code, question.family) in asked
        if note is not None and not is_told and question.code in _WORTH_A_WARNING:
            note(f"warning: {question.subject} {question.says}; {question.reason}")


class _Judge:
    def __init__(
        self,
        objects: Objects,
        rules: Mapping[str, Rules] | None,
        family: Family | None,
        policies: Sequence[Placed],
        policies_only: bool,
        paranoid: bool,
        strict: bool,
        note: Note | None,
    ) -> None:
        self._objects = objects
        self._rules = rules
        self._family = family
        self._policies = policies
        self._policies_only = policies_only
        self._paranoid = paranoid
        self._strict = strict
        self._note = note
        self._prover = Prover()

    def reports(self, nodes: Sequence[NodeSettings], progress: Progress | None) -> Iterator[Report]:
        """One report for each node."""
        several = len(nodes) > 1
        shared = several and self._rules is None and not self._policies and not self._paranoid
        kinds = NodeKinds(self._objects) if shared else None
        proved: dict[Hashable, Report] = {}
        for number, settings in enumerate(nodes):
            kind = kinds.of(settings) if kinds is not None else settings.node_name
            if kind in proved:
                yield proved[kind].for_node(settings.node_name)
                continue
            if several and progress is not None:
                progress(number, len(nodes))
            report = self._report(settings, None if several else progress)
            if report.verdict == "proved":
                proved[kind] = report
            yield report

    def questions(
        self, settings: NodeSettings, report: Report, strict: bool
    ) -> Iterator[OpenQuestion]:
        """What was not given or not looked at for one node's report."""
        own_rules = self._rules is None or settings.mode == "userspace"
        if self._rules is not None and not own_rules:
            loaded = self._rules[settings.node_name].of(self._family)
        else:
            loaded = {
                family: LoadedRules(RuleSet(family), source, EVERYTHING)
                for family, source in report.sources.items()
            }
        found = every_question(self._objects, settings, loaded, own_rules=own_rules, strict=strict)
        for question in found:
            if not (self._policies_only and question.code == codes.NOTHING_JUDGED):
                yield question

    def _report(self, settings: NodeSettings, progress: Progress | None) -> Report:
        if settings.mode == "userspace":
            rules = None if self._rules is None else self._rules[settings.node_name]
            return _proxy_report(
                self._objects, settings, rules, self._family, strict=self._strict, note=self._note
            )
        return verify_rules(
            self._objects,
            settings,
            self._loaded(settings),
            prover=self._prover,
            policies=self._policies,
            policies_only=self._policies_only,
            paranoid=self._paranoid,
            progress=progress,
        )

    def _loaded(self, settings: NodeSettings) -> dict[Family, LoadedRules]:
        if self._rules is not None:
            rules = self._rules[settings.node_name]
            _check_families(self._objects, settings, rules, self._family)
            # What is no Service proxy's is not judged as such.
            return {
                family: item
                for family, item in rules.of(self._family).items()
                if not missing_proxy(rules, self._objects, settings, family)
            }
        own = read_back(compiled_for(self._objects, settings, note=self._note))
        return {f: item for f, item in own.items() if self._family in (None, f)}


def _check_families(
    objects: Objects, settings: NodeSettings, rules: Rules, only: Family | None
) -> None:
    wanted: Iterable[Family] = [only] if only is not None else list(Family)
    for family in wanted:
        if family in rules.loaded:
            continue
        if only is not None or expect(objects, settings, family).frontends:
            command = "iptables-save" if family is Family.IPV4 else "ip6tables-save"
            raise bad_input(
                "--rules",
                f"no {family.label} rules were given, but there are {family.label} frontends; "
                f"add what {command} prints, or name the family to judge with --family",
            )


def _check_mode(
    nodes: Sequence[NodeSettings],
    rules: Mapping[str, Rules] | None,
    beside: Mapping[str, object],
) -> None:
    """Refuse what does not go together with a proxy's configuration; ``beside`` has by their
    flags what else is asked for.

    Raises:
        InputError: the rules are of another mode than the node, or something is asked for that
            only rules of the kernel have.
    """
    for settings in nodes:
        given = None if rules is None else rules[settings.node_name]
        if settings.mode != "userspace":
            if given is not None and given.proxy is not None:
                raise bad_input("--rules", "a configuration of nginx; give --mode userspace too")
            continue
        if given is not None and given.proxy is None:
            raise bad_input(
                "--live" if given.name else "--rules",
                "in userspace mode a configuration of nginx is judged; name its file with --rules",
            )
        for flag, value in beside.items():
            if value:
                raise bad_input(
                    flag, "not in userspace mode, where there are no rules; leave it out"
                )


def _proxy_report(
    objects: Objects,
    settings: NodeSettings,
    rules: Rules | None,
    family: Family | None,
    *,
    strict: bool,
    note: Note | None,
) -> Report:
    """What is proved of a node's proxy.

    Raises:
        InputError: compiling fails.
    """
    from svcc.verify.userspace.engine import verify_proxy

    if rules is None:
        model = own_proxy(objects, settings, note)
    else:
        # Of another mode: see _check_mode.
        assert rules.proxy is not None
        model = rules.proxy
    families = [family] if family is not None else list(Family)
    report = verify_proxy(objects, settings, model, families, strict=strict)
    if note is not None and rules is not None:
        for problem in report.problems:
            note(str(problem))
    return report
