"""All open questions about one node's verification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.verify.open_questions.of_objects import (
    about_objects,
    judged_services,
    not_all_services,
    nothing_judged,
    strictly,
)
from svcc.verify.open_questions.of_rules import about_rules
from svcc.verify.open_questions.pod_network import about_pods
from svcc.verify.open_questions.question import OpenQuestion
from svcc.verify.prepare.loaded import LoadedRules


def open_questions(
    objects: Objects,
    settings: NodeSettings,
    loaded: Mapping[Family, LoadedRules],
    *,
    own_rules: bool,
    strict: bool,
) -> Iterator[OpenQuestion]:
    """What was not given or not looked at.

    Args:
        loaded: the rules that were judged, by family.
        own_rules: svcc made them of these objects.
        strict: ask after everything that was passed over.
    """
    families = sorted(loaded) or [Family.IPV4]
    judged = {family: judged_services(objects, family) for family in Family}
    for family, item in sorted(loaded.items()):
        services = judged[family]
        yield from about_rules(item, settings, has_frontends=bool(services))
        yield from about_objects(objects, services, family, strict=strict)
        if not own_rules:
            yield from about_pods(objects, settings, item.rules)
    yield from not_all_services(objects, families[0])
    if not any(judged.values()):
        yield from nothing_judged(objects, families[0], own_rules=own_rules)
    if strict:
        yield from strictly(objects.passed_over, families[0])
