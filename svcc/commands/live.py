"""The rules of this network namespace, of both iptables variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svcc.commands import options

if TYPE_CHECKING:
    from svcc.apply.iptables.tool import Variant
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Family
    from svcc.verify.confirm.findings import Finding
    from svcc.verify.prepare.loaded import LoadedRules

    Loaded = dict[Family, LoadedRules]


class Live:
    """What is loaded: ``rules`` to be judged, and ``beside``, what the other variant holds.

    Without ``variant``, that is judged which has a service proxy's chains; where both have or
    neither, what ``iptables`` is.

    Raises:
        InputError: iptables-save is missing or fails.
    """

    def __init__(self, variant: Variant | None, family: Family | None) -> None:
        from svcc.apply.iptables.tool import chosen
        from svcc.verify.other_variant import has_service_chains
        from svcc.verify.rule_files import from_kernel

        tools = chosen(variant)
        self.rules: Loaded = from_kernel(tools.variant, family)
        self.name = f"iptables-{tools.kind}"
        self.beside: Loaded = {}
        self.beside_name = ""
        other = tools.other_variant()
        if other is None:
            return
        self.beside_name = f"iptables-{other.kind}"
        self.beside = _of_other(other.kind, list(self.rules))
        ours, theirs = (
            any(has_service_chains(item.rules) for item in loaded.values())
            for loaded in (self.rules, self.beside)
        )
        if theirs and not ours and variant is None and len(self.beside) == len(self.rules):
            self.rules, self.beside = self.beside, self.rules
            self.name, self.beside_name = self.beside_name, self.name
            options.say(
                f"note: the service chains are among the rules of {self.name}, which are judged; "
                f"iptables is {self.beside_name}"
            )

    def findings(self, objects: Objects, node: NodeSettings) -> list[Finding]:
        """What stays open because of the other variant's rules: whether they touch packets to
        Services. It is said on standard error, too.
        """
        from svcc.verify.confirm.findings import Finding
        from svcc.verify.other_variant import has_service_chains, touching
        from svcc.verify.spec import codes
        from svcc.verify.spec.properties import REACHES

        found = []
        for family, item in self.beside.items():
            what = touching(objects, node, item.rules)
            if has_service_chains(item.rules):
                what = f"a service proxy's chains; {what}" if what else "a service proxy's chains"
            if what is None:
                continue
            reason = (
                f"{self.beside_name} holds rules that can touch these packets, too ({what}), and "
                f"both are in force; only {self.name} is judged"
            )
            options.say(
                f"warning: {family.label}: {reason}; remove what is not wanted, or judge it with "
                f"--iptables {self.beside_name.removeprefix('iptables-')}"
            )
            subject = f"rules of {self.beside_name}"
            code = codes.OUTSIDE_THE_MODEL
            found.append(Finding(REACHES, subject, family, "undecided", None, reason, code))
        return found


def _of_other(variant: Variant | None, families: list[Family]) -> Loaded:
    """The other variant's rules; none where they cannot be read."""
    from svcc.apply.iptables.tool import Iptables
    from svcc.grammar.errors import InputError
    from svcc.verify.rule_files import from_kernel

    found: dict[Family, LoadedRules] = {}
    for family in families:
        if not Iptables(variant).may_hold_rules(family):
            continue
        try:
            found |= from_kernel(variant, family)
        except InputError as error:
            for problem in error.problems:
                options.say(f"warning: {problem}")
    return found
