"""What svcc has left here that nobody wants: told, and removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from svcc.apply.commit import Done, commit
from svcc.apply.diff import difference
from svcc.apply.held import Held
from svcc.apply.iptables.read import TABLES, Tables, TableState, served_by_nat
from svcc.apply.iptables.tool import Iptables
from svcc.apply.ipvs.servers import Servers
from svcc.apply.ipvs.steps import ReleaseServed
from svcc.apply.loaded import Loaded, what_is_loaded
from svcc.apply.moments import Moment, moments_to_nftables
from svcc.apply.outcome import Outcome
from svcc.apply.reading import FAMILIES, localnet_to_set, locked, look_beside, own_rules_of
from svcc.apply.steps import ReleaseFlows, Step, make_steps
from svcc.apply.system.errors import ApplyError, UnreadableTableError
from svcc.apply.system.lock import Tell
from svcc.grammar.address import Family, Network
from svcc.grammar.nftables.program import Ruleset


@dataclass(frozen=True, slots=True)
class LeftOver:
    """One reading of what iptables and ipvs mode serve here, where none of it is wanted.

    ``rules`` are those of each variant of iptables.
    """

    rules: tuple[dict[Family, Tables], ...]
    servers: Servers | None

    def loaded(self) -> Loaded:
        """What is served, and what would become of it."""
        ipvs = self.servers.before.ipvs if self.servers is not None else None
        found = Loaded()
        for before in self.rules:
            found = found.with_other_modes(what_is_loaded(before, (before, {}), (ipvs, None)))
        return found

    def moments(self, nftables: tuple[Ruleset, Ruleset]) -> Iterator[Moment]:
        """What the node is like after each command, where nftables mode takes over.

        Args:
            nftables: svcc's tables before and after the transaction that loads them.

        Raises:
            ValueError: both variants of iptables have rules; they are not looked at together.
        """
        held = [before for before in self.rules if before]
        if len(held) > 1:
            raise ValueError("both variants of iptables hold rules of svcc")
        steps: list[Step] = []
        for number, before in enumerate(self.rules, start=1):
            servers = self.servers if number == len(self.rules) else None
            steps += _steps(before, servers, None, behind_tables=True)
        live = None if self.servers is None else self.servers.before.ipvs
        return moments_to_nftables(steps, held[0] if held else {}, live, nftables)

    def held(self) -> Held:
        """What of it serves."""
        ipvs = () if self.servers is None else (self.servers.before.ipvs,)
        return Held(rules=self.rules, ipvs=ipvs)

    def difference(self) -> str:
        """What :func:`cleanup` would remove, like a unified diff; empty if nothing."""
        nothing = {table: TableState() for table in TABLES}
        *others, last = self.rules
        parts = [(before, None) for before in others] + [(last, self.servers)]
        return "".join(
            difference(before, dict.fromkeys(before, nothing), (None, None), servers)
            for before, servers in parts
        )


def left_over(tools: Iptables, exclude: tuple[Network, ...] = ()) -> LeftOver:
    """What iptables and ipvs mode have left here, by both variants.

    Args:
        tools: whose iptables is looked at first.
        exclude: addresses whose virtual servers are somebody else's.

    Raises:
        ApplyError: the virtual servers cannot be read.
    """
    rules = tuple(own_rules_of(variant)[0] for variant in both_variants(tools))
    return LeftOver(rules, look_beside(tools, None, exclude, 0, rules))


def cleanup(
    *,
    exclude: tuple[Network, ...] = (),
    drain: float = 0,
    tools: Iptables | None = None,
    wait: float | None = None,
    dry_run: bool = False,
    tell: Tell | None = None,
    keep_localnet: bool = False,
    behind_tables: bool = False,
) -> Outcome:
    """Remove all that is svcc's, in both families and both variants, and nothing else.

    svcc's nftables tables are not among it (:mod:`svcc.apply.modes`).

    Args:
        exclude: addresses whose virtual servers are never touched.
        drain: as in :func:`apply`.
        tools: whose iptables is looked at first; those on PATH by default.
        wait: as in :func:`apply`.
        dry_run: only plan, and take no lock.
        tell: as in :func:`apply`.
        keep_localnet: leave ``route_localnet`` on, nftables mode needs it.
        behind_tables: svcc's nftables tables serve by now, so UDP flows stay as they are, and
            iptables need not be there at all.

    Raises:
        ApplyError: failed; the message says whether the node is as it was before.
    """
    tools = tools or Iptables()
    with locked(tools, wait, tell, only_read=dry_run):
        variants = both_variants(tools)
        looks = [
            _look_for_own(variant, must_read=not behind_tables and variant is tools)
            for variant in variants
        ]
        beside = look_beside(tools, None, exclude, drain, (before for before, _ in looks))
        outcome = Outcome((), dry_run=dry_run)
        for variant, (before, notes) in zip(variants, looks, strict=True):
            # Sets can go when no rule of either variant refers to them.
            servers = beside if variant is variants[-1] else None
            switch = None if keep_localnet else localnet_to_set(before, wanted=False)
            steps = tuple(_steps(before, servers, switch, behind_tables=behind_tables))
            try:
                done = Done()
                if not dry_run:
                    done = commit(variant, steps, before, _nothing(before), wait, servers)
            except ApplyError as error:
                if not outcome.changed:
                    raise
                message = f"the rules of one variant were removed, those of the other not: {error}"
                raise ApplyError(message, restored=False) from error
            outcome = Outcome(
                outcome.steps + steps,
                (*outcome.warnings, *done.warnings),
                outcome.notes + notes,
                outcome.released + done.released,
                dry_run,
                before=outcome.before + Held(rules=(before,)),
            )
        if beside is not None:
            outcome = replace(outcome, before=outcome.before + Held(ipvs=(beside.before.ipvs,)))
        return outcome


def _nothing(before: Mapping[Family, Tables]) -> dict[Family, Tables]:
    return {family: {table: TableState() for table in TABLES} for family in before}


def _steps(
    before: Mapping[Family, Tables],
    servers: Servers | None,
    switch: bool | None,
    *,
    behind_tables: bool,
) -> Iterator[Step]:
    server_steps = None
    if servers is not None:
        server_steps = servers.steps(served_by_nat(before), frozenset())
    for step in make_steps(before, _nothing(before), switch, server_steps):
        if not (behind_tables and isinstance(step, ReleaseFlows | ReleaseServed)):
            yield step


def both_variants(tools: Iptables) -> list[Iptables]:
    """The tools, and those of the other variant if they are installed."""
    other = tools.other_variant()
    return [tools, other] if other else [tools]


def _look_for_own(
    tools: Iptables, *, must_read: bool
) -> tuple[dict[Family, Tables], tuple[str, ...]]:
    """What svcc has loaded with one variant, and notes about what could not be read."""
    before, unusable = own_rules_of(tools)
    reasons = [f"{family.label}: {error}" for family, error in unusable.items()]
    hidden = any(isinstance(error, UnreadableTableError) for error in unusable.values())
    if hidden or (must_read and len(unusable) == len(FAMILIES)):
        raise ApplyError(f"the rules cannot be read: {'; '.join(reasons)}; nothing was changed")
    return before, tuple(f"not looked at, {reason}" for reason in reasons)
