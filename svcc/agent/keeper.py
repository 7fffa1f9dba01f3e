"""Rules that follow the objects: made, proved and loaded, or left as they were."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from svcc.agent.health import is_eligible, local_endpoints, node_port_addresses
from svcc.agent.partial import Partial
from svcc.agent.sources.documents import Changes, Key, in_order
from svcc.agent.state import LocalEndpoints, Stage
from svcc.api.compilation import compiled_for
from svcc.api.errors import NotProvedError, needs_rules
from svcc.api.inputs import load
from svcc.api.loading import chosen_tools, for_this_node, guard_of, load_wanted, prove_wanted
from svcc.api.own_rules import wanted_of
from svcc.apply.iptables.tool import Iptables, Variant
from svcc.apply.modes import is_as_loaded
from svcc.apply.outcome import Outcome
from svcc.apply.reverting.confirmation import demand_none
from svcc.apply.system.conntrack_limits import ConntrackLimits, set_limits
from svcc.apply.system.errors import ApplyError
from svcc.compiler.settings.agent import Conntrack
from svcc.grammar.errors import InputError

if TYPE_CHECKING:
    from svcc.api.own_rules import Wanted
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Address

Tell = Callable[[str], None]
SettingsOf = Callable[["Objects", Tell], "NodeSettings"]
"""The settings of this node, whose own Node may be among the objects; is given whom to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How rules are kept; ``prove``, ``force``, ``comments``, ``iptables`` and ``fallback`` as of
    :func:`svcc.api.apply`. ``wait`` are seconds, for another svcc and for the xtables lock.
    """

    prove: bool = True
    force: bool = False
    comments: bool = True
    iptables: Variant | None = None
    fallback: bool = False
    wait: float | None = 30.0
    conntrack: Conntrack = field(default_factory=Conntrack)
    """Limits and timeouts that the node is to have."""


class SyncError(Exception):
    """The rules were left as they were; the message is for the operator."""

    def __init__(self, stage: Stage, message: str, codes: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.stage = stage
        self.codes = codes or {}
        """How many findings there are of each code, if a proof failed."""


@dataclass(frozen=True, slots=True)
class Synced:
    """The rules are as wanted. ``said`` tells the steps, empty if there was nothing to do."""

    said: str
    eligible: bool
    health_checks: tuple[LocalEndpoints, ...]
    node_port_addresses: tuple[Address, ...] | None
    service_ports: int
    is_full: bool
    """Whether everything was looked at, and not what changed alone."""
    drifted: bool
    """Whether somebody else had changed what svcc had loaded."""
    proof_seconds: float | None
    """What the proof took; None: nothing was to be proved."""
    codes: Mapping[str, int] = field(default_factory=dict)
    """How many findings of each code last."""
    again: float | None = None
    """Seconds after which it is time to look again, if that is sooner than usual."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What came of the objects when they were last looked at."""

    objects: Objects
    wanted: Wanted
    eligible: bool
    health_checks: tuple[LocalEndpoints, ...]


class Keeper:
    """Keeps the rules of this node as the objects want them."""

    def __init__(self, settings_of: SettingsOf, keeping: Keeping, tell: Tell) -> None:
        """Keep what is loaded until the first sync.

        Args:
            settings_of: is asked with each new state of the objects.
            keeping: how.
            tell: is told what a person should know, a line each, the same line once until it is
                over.
        """
        self._settings_of = settings_of
        self._keeping = keeping
        self._tell = tell
        self._known: _Known | None = None
        self._partial: Partial | None = None
        self._told: set[str] = set()

    def forget(self) -> None:
        """Settings may be otherwise: look at everything anew."""
        self._known = None
        self._partial = None

    def sync(self, changes: Changes) -> Synced:
        """Make the rules be as the objects want them.

        Raises:
            SyncError: they are as they were.
        """
        said: set[str] = set()

        def tell(text: str) -> None:
            said.add(text)
            if text not in self._told:
                self._tell(text)

        try:
            return self._sync(changes, tell)
        except InputError as error:
            raise SyncError("input", "; ".join(map(str, error.problems[:5]))) from error
        except NotProvedError as error:
            codes = Counter(f.code for f in error.report.findings if f.verdict != "proved")
            raise SyncError("proof", str(error), codes) from error
        except ApplyError as error:
            raise SyncError("apply", str(error)) from error
        finally:
            self._told = said

    def _sync(self, changes: Changes, tell: Tell) -> Synced:
        found = self._sync_part(changes, tell)
        if found is not None:
            return found
        known, seconds = None if changes.changed else self._known, None
        if known is not None and self._partial is not None:
            known = replace(known, objects=self._partial.objects())
        self._partial = None
        if known is None:
            known, seconds = self._look(changes, tell)
        wanted = known.wanted
        tools = self._tools(wanted.settings)
        guard = guard_of(known.objects, wanted.settings, tools, tell, stops=not self._keeping.force)
        outcome = load_wanted(
            known.objects,
            wanted,
            tools,
            guard,
            proved=self._keeping.prove,
            wait=self._keeping.wait,
            note=tell,
        )
        drifted = seconds is None and self._known is not None and outcome.changed
        if self._known is None:
            self._limit_connections(wanted.settings, tell)
        self._known = known
        self._follow_from(changes, known, outcome)
        return self._synced(
            outcome, known, is_full=True, drifted=drifted, seconds=seconds, tell=tell
        )

    def _sync_part(self, changes: Changes, tell: Tell) -> Synced | None:
        """The same by what changed alone; None where everything has to be looked at."""
        partial, known = self._partial, self._known
        if partial is None or known is None or partial.reading is None:
            return None
        if not changes.changed:
            if not is_as_loaded(partial.reading):
                return None
            nothing = Outcome((), reading=partial.reading)
            return self._synced(nothing, known, is_full=False, tell=tell)
        demand_none()
        found = partial.sync(changes, self._tools(partial.settings), self._keeping.wait, tell)
        if found is None:
            self._known = None
            return None
        compiled = known.wanted.compiled
        assert compiled is not None
        tables = None if partial.reading is None else partial.reading.tables
        compiled = replace(compiled, forwarding=partial.forwarding, tables=tables)
        known = replace(
            known,
            wanted=replace(known.wanted, compiled=compiled, tables=tables),
            health_checks=partial.health_checks,
        )
        # Without its tables at hand the state is of no use.
        self._known = None if tables is None else known
        return self._synced(
            found.outcome, known, is_full=False, seconds=found.proof_seconds, tell=tell
        )

    def _limit_connections(self, settings: NodeSettings, tell: Tell) -> None:
        asked = self._keeping.conntrack
        limits = ConntrackLimits(
            max_per_core=asked.max_per_core,
            least=asked.min,
            tcp_established=asked.tcp_established_timeout,
            tcp_close_wait=asked.tcp_close_wait_timeout,
            udp=asked.udp_timeout,
            udp_stream=asked.udp_stream_timeout,
            be_liberal=settings.tcp_be_liberal,
        )
        for text in set_limits(limits, os.cpu_count() or 1):
            tell(text)

    def _follow_from(self, changes: Changes, known: _Known, outcome: Outcome) -> None:
        compiled = known.wanted.compiled
        if outcome.reading is not None and compiled is not None:
            self._partial = Partial(
                changes.documents,
                known.objects,
                compiled.forwarding,
                outcome.reading,
                comments=self._keeping.comments,
                proves=self._keeping.prove,
            )

    def _synced(
        self,
        outcome: Outcome,
        known: _Known,
        *,
        is_full: bool,
        tell: Tell,
        drifted: bool = False,
        seconds: float | None = None,
    ) -> Synced:
        for text in outcome.warnings:
            tell(f"warning: {text}")
        compiled = known.wanted.compiled
        return Synced(
            outcome.summary() if outcome.changed else "",
            known.eligible,
            known.health_checks,
            node_port_addresses(known.wanted.settings),
            0 if compiled is None else len(compiled.forwarding.service_ports),
            is_full=is_full,
            drifted=drifted,
            proof_seconds=seconds,
        )

    def _look(self, changes: Changes, tell: Tell) -> tuple[_Known, float | None]:
        """Make rules of the objects, and prove them; what that took."""
        documents = in_order(changes.documents)
        objects = load(
            objects=[{"apiVersion": "v1", "kind": "List", "items": documents}],
            keep_going=True,
            first_claims=True,
            note=tell,
        )
        settings = self._settings_of(objects, tell)
        needs_rules(settings, "svcc run loads rules of the kernel alone; have nginx take its file")
        settings = for_this_node(settings, self._tools(settings), self._keeping.fallback, tell)
        compiled = compiled_for(objects, settings, comments=self._keeping.comments, note=tell)
        wanted = replace(wanted_of(compiled), settings=settings)
        seconds = None
        if self._keeping.prove:
            begin = time.monotonic()
            prove_wanted(objects, wanted)
            seconds = time.monotonic() - begin
        node = changes.documents.get(Key("Node", "", settings.node_name))
        checks = tuple(local_endpoints(objects, settings))
        return _Known(objects, wanted, is_eligible(node), checks), seconds

    def _tools(self, settings: NodeSettings) -> Iptables:
        if settings.mode == "nftables":
            return Iptables(self._keeping.iptables)
        return chosen_tools(self._keeping.iptables)
