"""What changed, and nothing else: compiled, proved and loaded in nftables mode.

Everything else is known to be as it was: the tables are those of before but for elements that name
addresses and ports of the Services which changed, and chains that only such elements lead to
(:mod:`svcc.verify.partial.differences` looks at both states of the tables, and knows nothing of how
they were made). All Services that have any of these addresses and ports are proved again, against
all elements that packets to and from their addresses may match.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from svcc.agent.health import local_endpoints
from svcc.agent.index import Index, backends_of
from svcc.agent.sources.documents import Changes, Document, Key
from svcc.agent.state import LocalEndpoints
from svcc.api.errors import NotProvedError
from svcc.api.inputs import load
from svcc.apply import modes
from svcc.apply.iptables.tool import Iptables
from svcc.apply.nftables.read import Reading
from svcc.apply.outcome import Outcome
from svcc.compiler.bundle import NFTABLES
from svcc.compiler.lower.nftables.partial import patched
from svcc.compiler.model.objects import Objects
from svcc.compiler.resolve.forwarding import Forwarding
from svcc.compiler.resolve.resolver import resolve
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.errors import InputError
from svcc.grammar.nftables.program import Ruleset
from svcc.grammar.nftables.write import write
from svcc.verify.engine import verify
from svcc.verify.partial.differences import Elements, Subject, changed_elements, differences
from svcc.verify.prepare.loaded import EVERYTHING
from svcc.verify.proof.prover import Prover
from svcc.verify.rule_files import of_nftables

_SERVICE_NAME = "kubernetes.io/service-name"
_KINDS = frozenset({"Service", "EndpointSlice"})
"""What is followed by Service; whatever else changes has everything looked at."""
MOST_SERVICES = 500
"""Of which a proof of their own is less work than that of everything."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """What was loaded, and what it took to prove it (seconds; None: nothing was to be proved)."""

    outcome: Outcome
    proof_seconds: float | None


class Partial:
    """The state after everything was looked at, and brought up to date change by change.

    After an error, and after a None of :meth:`sync`, it is of no more use.
    """

    def __init__(
        self,
        documents: Mapping[Key, Document],
        objects: Objects,
        forwarding: Forwarding,
        reading: Reading,
        *,
        comments: bool,
        proves: bool,
    ) -> None:
        """The state that is loaded.

        Args:
            documents: the objects as they came.
            objects: the same, read.
            forwarding: what this node forwards of them.
            reading: what the tables hold.
            comments: whether rules say which Service they are for.
            proves: whether what changes is proved.
        """
        self.reading: Reading | None = reading
        self._documents = documents
        self._index = Index(objects, forwarding)
        self._comments = comments
        self._proves = proves
        self._prover = Prover()
        self._elements = Elements(reading.tables)
        self._slices: defaultdict[str, set[Key]] = defaultdict(set)
        for key, document in documents.items():
            if key.kind == "EndpointSlice":
                self._slices[_service_name(key, document)].add(key)
        self._is_for_all = not all(key.kind in _KINDS | {"Node"} for key in documents)
        here = local_endpoints(objects, forwarding.settings)
        self._health_checks = {f"{item.namespace}/{item.name}": item for item in here}

    @property
    def settings(self) -> NodeSettings:
        """The settings of this node."""
        return self._index.forwarding.settings

    @property
    def forwarding(self) -> Forwarding:
        """What this node forwards now."""
        return self._index.forwarding

    @property
    def health_checks(self) -> tuple[LocalEndpoints, ...]:
        """The health check node ports now."""
        return tuple(self._health_checks.values())

    def objects(self) -> Objects:
        """The objects now."""
        return self._index.objects()

    def sync(
        self, changes: Changes, tools: Iptables, wait: float | None, tell: Tell
    ) -> Part | None:
        """Have the tables be as the changed objects want them.

        Returns:
            None: everything has to be looked at; nothing was changed.

        Raises:
            NotProvedError, ApplyError: as :func:`svcc.api.apply`.
        """
        if self.reading is None or self._is_for_all or not self._elements.are_told:
            return None
        names = self._names(changes)
        if names is None:
            return None
        found = self._load(changes, names, tell)
        if found is None:
            return None
        objects, forwarding = found
        before = self.reading.tables
        tables = self._tables(names, objects, forwarding)
        changed = changed_elements(before, tables)
        about = differences(before, tables, changed)
        if about is None or self._meets_others(names, about):
            return None
        concerned = names | self._index.named(about)
        if len(concerned) > MOST_SERVICES:
            return None
        about |= self._index.subject(concerned)
        part_before = self._elements.part(about)
        self._elements.follow(tables, changed)
        part_now = self._elements.part(about)
        seconds = self._prove(concerned, part_now) if self._proves else None
        outcome = modes.apply_part(
            self.reading,
            tables,
            part_before,
            part_now,
            tools,
            wait=wait,
            tell=lambda text: tell(f"note: {text}"),
        )
        if outcome is None:
            return None
        self._keep(changes, names, objects, outcome)
        return Part(outcome, seconds)

    # -- steps -------------------------------------------------------------------------

    def _names(self, changes: Changes) -> set[str] | None:
        """The Services that changed, or whose slices did."""
        names: set[str] = set()
        for key in changes.changed:
            if key.kind not in _KINDS:
                return None
            if key.kind == "Service":
                names.add(f"{key.namespace}/{key.name}")
                continue
            for documents in (self._documents, changes.documents):
                if key in documents:
                    name = _service_name(key, documents[key])
                    names.add(name)
                    here = documents is changes.documents
                    (self._slices[name].add if here else self._slices[name].discard)(key)
        return names

    def _load(
        self, changes: Changes, names: set[str], tell: Tell
    ) -> tuple[Objects, Forwarding] | None:
        """The objects of some Services, and what this node forwards of them."""
        keys = [Key("Service", *name.split("/", 1)) for name in sorted(names)]
        keys += [key for name in sorted(names) for key in sorted(self._slices[name])]
        documents = [changes.documents[key] for key in keys if key in changes.documents]
        try:
            found = load(
                objects=[{"apiVersion": "v1", "kind": "List", "items": documents}],
                keep_going=True,
                first_claims=True,
                note=tell,
            )
        except InputError:
            return None
        clashes = self._index.clashes
        if found.not_judged or any(map(clashes, found.services)):
            return None
        for name in names:
            service = self._index.service(name)
            if not self._index.is_served_right(name) or (service and clashes(service)):
                return None
        settings, whole = self.settings, self._index.forwarding
        nodes = self._index.part(set()).nodes
        part_of_node = Objects(services=found.services, slices=found.slices, nodes=nodes)
        forwarding = resolve(part_of_node, settings)
        if forwarding.unallocated != whole.unallocated:
            return None
        for text in forwarding.notes:
            tell(f"note: {text}")
        return part_of_node, forwarding

    def _tables(self, names: set[str], objects: Objects, forwarding: Forwarding) -> Ruleset:
        assert self.reading is not None
        old = self._index.ports(names)
        self._index.with_part(names, objects, forwarding)

        def is_used(family: Family, address: int) -> bool:
            return self._index.has_backend(family, address, names)

        return patched(
            self.reading.tables,
            self._index.forwarding,
            old,
            forwarding.service_ports,
            is_used,
            comments=self._comments,
        )

    def _meets_others(self, names: set[str], about: Subject) -> bool:
        """Whether an address is an endpoint's and a Service's at once, which others may be
        treated by (:func:`svcc.compiler.resolve.resolver.resolve`).
        """
        addresses = about.addresses | {*backends_of(self._index.ports(names))}
        return self._index.is_backend_and_frontend(addresses)

    def _prove(self, names: set[str], tables: Ruleset) -> float:
        begin = time.monotonic()
        loaded = of_nftables(write(tables), NFTABLES, whole=EVERYTHING)
        report = verify(self._index.part(names), self.settings, loaded, prover=self._prover)
        if report.verdict != "proved":
            raise NotProvedError(report)
        return time.monotonic() - begin

    def _keep(self, changes: Changes, names: set[str], objects: Objects, outcome: Outcome) -> None:
        self.reading = outcome.reading
        self._documents = changes.documents
        for name in names:
            self._health_checks.pop(name, None)
        for item in local_endpoints(objects, self.settings):
            self._health_checks[f"{item.namespace}/{item.name}"] = item


def _service_name(key: Key, document: Document) -> str:
    labels = (document.get("metadata") or {}).get("labels") or {}
    return f"{key.namespace}/{labels.get(_SERVICE_NAME, '')}"
