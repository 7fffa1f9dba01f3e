"""Cutting a region out of the rules: its slices, and the schema that they make."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from svcc.grammar.iptables.program import Comment, Rule
from svcc.grammar.iptables.ruleset import place_of
from svcc.grammar.ipvs.ipvsadm import VirtualKey, VirtualServer
from svcc.verify.model.actions import Continue, Dnat, Reject, SetMark, UnknownTarget
from svcc.verify.model.conditions import Destination, DestinationPort, Mark, Protocol
from svcc.verify.model.drop_marks import refused_marks
from svcc.verify.model.rules import Record
from svcc.verify.model.virtual_servers import arriving_marks
from svcc.verify.netfilter.ip_vs import (
    FULL_MARK,
    outside_the_model,
    translated_port,
    usable,
)
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.distinctions import Distinctions
from svcc.verify.slicing.foreign import without_foreign
from svcc.verify.slicing.items import Balance, Item, ItemCondition, with_bodies
from svcc.verify.slicing.numbering import Numbering
from svcc.verify.slicing.outside_the_model import rules_outside_the_model
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.slicing.schema import Hook, Schema, SchemaCase, hook, schema_of
from svcc.verify.slicing.slicer import Slicer
from svcc.verify.spec.outcomes import Case

BaseChain = tuple[str, str]
"""Table, or the place of several, and name."""
Translation = tuple[int, int | None]
"""Address and port (None: it stays) that packets are sent to."""

_BEFORE_WIRE = (("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("nat", "PREROUTING"))
_BEFORE_NODE = (("raw", "OUTPUT"), ("mangle", "OUTPUT"), ("nat", "OUTPUT"))
_INWARD = (("mangle", "INPUT"), ("filter", "INPUT"), ("security", "INPUT"), ("nat", "INPUT"))
_LOOPED = (
    *(("raw", "PREROUTING"), ("mangle", "PREROUTING")),
    # nf_nat_core.c, nf_nat_inet_fn: POSTROUTING has settled the source before nat INPUT.
    *(("mangle", "INPUT"), ("filter", "INPUT"), ("security", "INPUT")),
)
_RESENT_WIRE = (("mangle", "OUTPUT"), ("filter", "OUTPUT"), ("security", "OUTPUT"))
_RESENT_NODE = (("mangle", "OUTPUT"),)
_POSTROUTING = (("mangle", "POSTROUTING"), ("nat", "POSTROUTING"))
_FORWARD = (("mangle", "FORWARD"), ("filter", "FORWARD"), ("security", "FORWARD"))
_ONWARD_NODE = (("filter", "OUTPUT"), ("security", "OUTPUT"), *_POSTROUTING)
_ALL = (*_BEFORE_WIRE, *_BEFORE_NODE, *_INWARD, *_RESENT_WIRE, *_FORWARD, *_POSTROUTING)


@dataclass(slots=True)
class ChainSlice:
    """What one base chain does to some boxes; ``shared``: as schemas of all of a kind have it."""

    table: str
    chain: str
    items: tuple[Item, ...]
    drops: bool
    shared: Hook | None = None

    def hook(self, numbering: Numbering) -> Hook:
        """The slice with its numbers taken out."""
        if self.shared is not None:
            return self.shared
        return hook(self.table, self.chain, numbering.items(self.items), self.drops)


@dataclass(frozen=True, slots=True)
class Cut:
    """A region's schema, the numbers that were taken out of it, and its slices, which are named
    as the schema names them.
    """

    schema: Schema
    numbering: Numbering
    rewriting: Sequence[ChainSlice]
    inward: Sequence[ChainSlice]
    onward: Sequence[ChainSlice]
    balanced: tuple[Item, ...]
    resent: Sequence[ChainSlice]
    boxes: tuple[Box, ...]
    """Where its packets may be addressed to behind nat and IPVS."""

    @property
    def slices(self) -> tuple[tuple[Item, ...], ...]:
        """The items of every slice."""
        touched = (*self.rewriting, *self.inward, *self.onward, *self.resent)
        return (*(found.items for found in touched), self.balanced)

    def outside_the_model(self) -> tuple[Rule, ...]:
        """The rules with a match or target that the model does not know."""
        return rules_outside_the_model(item for items in self.slices for item in items)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the covered base chains see of some boxes: ``number`` is the same for the same.

    ``places`` are the numbers of address and port of each box.
    """

    number: int
    places: list[tuple[int, int]]
    numbering: Numbering


@dataclass(slots=True, kw_only=True)
class _Ways:
    """Where packets of a region are sent: the same for both directions of most frontends."""

    box: Box
    wanted: tuple[Case, ...]
    translations: list[Translation]
    numbering: Numbering
    boxes: list[Box]
    kind: _Kind | None
    own: _Kind | None
    cases: tuple[SchemaCase, ...] | None = None


class Cutter:
    """Cuts regions out of one rule set, for packets of connections in a ``state``."""

    def __init__(self, regions: Regions, state: str = "NEW") -> None:
        self._regions = regions
        self._state = state
        self._full_mask = regions.full_mask
        self._virtual = regions.rules.virtual
        self._shares = regions.visits is None
        self._foreign_marks = arriving_marks(self._virtual) if self._virtual else ()
        self._foreign_marks += refused_marks(regions.rules)
        self._of_virtual_ip = regions.slicer(node_ports=False, virtual_ips=False, state=state)
        self._of_address = regions.slicer(excluded=False, state=state)
        self._of_node_port = regions.slicer(node_ports=False, state=state)
        self._of_rest = regions.slicer(state=state)
        self._distinctions = Distinctions(regions.rules.tables, self._base_chains())
        self._classes: dict[object, int] = {}
        self._known: dict[tuple[tuple[BaseChain, ...], int], list[ChainSlice | None]] = {}
        self._last: _Ways | None = None
        self._there: dict[tuple[BaseChain, ...], tuple[BaseChain, ...]] = {}

    @property
    def shared_chains(self) -> Container[tuple[str, str]]:
        """Chains (table, name) whose slices regions share: they are not numbered for each."""
        return self._distinctions.chains

    def _base_chains(self) -> list[BaseChain]:
        """All that packets pass, as chains of tables."""
        tables = self._regions.rules.tables
        return [
            (table, chain)
            for place, chain in dict.fromkeys(_ALL)
            for table in tables
            if place_of(table) == place
        ]

    def cut(self, region: Region) -> Cut:
        """The region as the solver sees it.

        Raises:
            SliceTooLargeError: the rules touch the region in too many ways.
        """
        frontend, box = region.frontend, region.box
        slicer = self._slicer_of(region)

        def slices(
            names: tuple[BaseChain, ...], boxes: Callable[[], list[Box]], kind: _Kind | None
        ) -> list[ChainSlice]:
            return self._slices(region, slicer, names, boxes, kind)

        names = _BEFORE_NODE if region.from_node else _BEFORE_WIRE
        own = self._own_kind(region)
        rewriting = slices(names, lambda: [box], own)
        translations = [pair for found in rewriting for pair in _translations(found.items)]
        ways = self._ways(region, translations, own)
        boxes, numbering, kind = ways.boxes, ways.numbering, ways.kind
        balanced = self._balanced(region, boxes, rewriting, slicer)
        sent_on = self._placed(_sent_to(box, _translations(balanced), self._full_mask))
        if balanced:
            kind = None
            for target in sent_on:
                numbering.host(target.address)
        if ways.cases is None:
            # Behind the real servers: their order in the rules counts, too.
            ways.cases = numbering.cases(region.cases)
        if region.from_node:
            onward = slices(_ONWARD_NODE, lambda: [*boxes, *sent_on], kind)
            inward = slices(_LOOPED, lambda: _inside([*boxes, *sent_on]), kind)
            resent = slices(_RESENT_NODE, lambda: sent_on, None)
        else:
            onward = slices(_FORWARD, lambda: _outside(boxes), kind)
            onward += slices(_POSTROUTING, lambda: _outside([*boxes, *sent_on]), kind)
            inward = slices(_INWARD, lambda: _inside(boxes), kind)
            resent = slices(_RESENT_WIRE, lambda: sent_on, None)
        schema = schema_of(
            family=self._regions.family,
            from_node=region.from_node,
            rewriting=_hooks(rewriting, numbering),
            inward=_hooks(inward, numbering),
            onward=_hooks(onward, numbering),
            cases=ways.cases,
            fixed_destination=region.virtual_ip is not None or _is_fixed(region),
            fixed_port=frontend is not None,
            protocol=box.protocol,
            local=box.local,
            mark=self._regions.mark,
            node_networks=self._regions.node_networks,
            facts=numbering.facts(),
            balanced=numbering.items(balanced),
            resent=_hooks(resent, numbering),
            local_hosts=tuple(
                number
                for address, number in numbering.hosts.items()
                if self._regions.always_local(address, self._full_mask)
            )
            if balanced or self._regions.virtual_ips
            else (),
            foreign_marks=self._foreign_marks,
            state=self._state,
        )
        return Cut(
            schema,
            numbering,
            rewriting,
            inward,
            onward,
            balanced,
            resent,
            (*boxes, *sent_on),
        )

    def _slicer_of(self, region: Region) -> Slicer:
        if region.virtual_ip is not None:
            return self._of_virtual_ip
        if region.frontend is None:
            return self._of_rest
        return self._of_node_port if region.frontend.address is None else self._of_address

    def _ways(self, region: Region, translations: list[Translation], own: _Kind | None) -> _Ways:
        """Where packets are sent, and the numbers: the region's own, then those of backends.

        Backends are numbered in the order of the rules: that of the objects varies freely.
        """
        last, box, frontend = self._last, region.box, region.frontend
        if (
            last is not None
            and last.box is box
            and last.wanted is region.cases
            and last.translations == translations
        ):
            return last
        numbering = Numbering(full_mask=self._full_mask)
        if frontend is not None:
            numbering.default_port = frontend.port
            numbering.port(frontend.port)
            if frontend.address is not None:
                numbering.host(frontend.address)
        if region.virtual_ip is not None:
            numbering.host(region.virtual_ip.value)
        for address, port in translations:
            numbering.host(address)
            if port is not None:
                numbering.port(port)
        boxes = self._placed([box, *_sent_to(box, translations, self._full_mask)])
        kind = None
        if self._shares and _is_fixed(region):
            places = [(numbering.host(b.address), numbering.port(b.first_port)) for b in boxes]
            kind = self._kind(box, boxes, places, numbering)
        self._last = _Ways(
            box=box,
            wanted=region.cases,
            translations=translations,
            numbering=numbering,
            boxes=boxes,
            kind=kind,
            own=own,
        )
        return self._last

    def _own_kind(self, region: Region) -> _Kind | None:
        """The kind of the region's packets as they come."""
        box = region.box
        if not self._shares or not _is_fixed(region):
            return None
        if self._last is not None and self._last.box is box:
            return self._last.own
        numbering = Numbering(
            full_mask=self._full_mask, hosts={box.address: 0}, ports={box.first_port: 0}
        )
        return self._kind(box, [box], [(0, 0)], numbering)

    def _kind(
        self, box: Box, boxes: list[Box], places: list[tuple[int, int]], numbering: Numbering
    ) -> _Kind:
        normal = self._of_address.normal
        of = self._distinctions.of
        seen = [(of(b), normal(b).local) for b in boxes]
        key = (tuple(places), tuple(seen), of(box))
        return _Kind(self._classes.setdefault(key, len(self._classes)), places, numbering)

    def _slices(
        self,
        region: Region,
        slicer: Slicer,
        names: tuple[BaseChain, ...],
        boxes: Callable[[], list[Box]],
        kind: _Kind | None,
    ) -> list[ChainSlice]:
        """What base chains do to packets of some boxes, where they do anything.

        With a ``kind``, what another region of that kind left behind is taken.
        """
        names = self._present(names)
        covered = self._distinctions.covered if kind is not None else frozenset[BaseChain]()
        known: list[ChainSlice | None] = []
        if kind is not None:
            if (names, kind.number) in self._known:
                known = self._known[names, kind.number]
            else:
                known = [
                    self._slice(region, slicer, place, boxes(), kind) if place in covered else None
                    for place in names
                ]
                self._known[names, kind.number] = known
        found = []
        for index, place in enumerate(names):
            if place in covered:
                one = known[index]
            else:
                one = self._slice(region, slicer, place, boxes(), None)
            if one is not None:
                found.append(one)
        return found

    def _present(self, names: tuple[BaseChain, ...]) -> tuple[BaseChain, ...]:
        """The base chains that there are, and that packets in this state pass."""
        if names not in self._there:
            tables = self._regions.rules.tables
            self._there[names] = tuple(
                (table, chain)
                for place, chain in names
                # nat looks at the first packet of a connection alone.
                if self._state == "NEW" or place != "nat"
                for table in tables
                if place_of(table) == place and chain in tables[table]
            )
        return self._there[names]

    def _slice(
        self, region: Region, slicer: Slicer, place: BaseChain, boxes: list[Box], kind: _Kind | None
    ) -> ChainSlice | None:
        items, policy = slicer.hook(*place, boxes, region.box)
        drops = policy == "DROP"
        if region.of_nobody and not self._regions.everybodys:
            items, drops = without_foreign(items), False
        if not items and not drops:
            return None
        shared = None
        if kind is not None:
            shared = hook(*place, kind.numbering.shared_items(items, kind.places), drops)
        return ChainSlice(*place, items, drops, shared)

    def _placed(self, boxes: list[Box]) -> list[Box]:
        """The boxes without repetition; what is known to be local is marked so."""
        always_local = self._regions.always_local
        return [
            b._replace(local=True) if b.mask and always_local(b.address, b.mask) else b
            for b in dict.fromkeys(boxes)
        ]

    def _balanced(
        self, region: Region, boxes: list[Box], rewriting: list[ChainSlice], slicer: Slicer
    ) -> tuple[Item, ...]:
        """The virtual servers that packets of the boxes may meet.

        Those by a mark: only values that rules give the packet as a whole count, and no
        packet arrives with one (a stated assumption).
        """
        if self._virtual is None or self._state != "NEW":
            return ()
        reach = [box for box in boxes if region.from_node or box.local is not False]
        if not reach:
            return ()
        index = self._virtual
        family = self._regions.family
        found = [
            virtual_item(VirtualKey(family, 0, mark, 0), index.by_mark[mark], None)
            for mark in sorted(_marks(rewriting))
            if mark in index.by_mark
        ]
        met: set[VirtualKey] = set()
        for box in reach:
            port = box.first_port if box.first_port == box.last_port else None
            for key, server in index.meeting(
                box.address, box.mask, self._full_mask, box.protocol, port
            ):
                place = Box(
                    key.address, self._full_mask, key.protocol, key.port, key.port or 65535, True
                )
                other = box.mask != self._full_mask or port is None
                if key not in met and not (other and slicer.leaves_out(place)):
                    met.add(key)
                    found.append(virtual_item(key, server, None if len(reach) > 1 else box))
        return tuple(found)


def _is_fixed(region: Region) -> bool:
    """Whether the region is one address and port."""
    return region.frontend is not None and region.frontend.address is not None


def _sent_to(box: Box, translations: Sequence[Translation], full_mask: int) -> list[Box]:
    """Where packets of a box are sent."""
    return [
        Box(address, full_mask, box.protocol, box.first_port, box.last_port)
        if port is None
        else Box(address, full_mask, box.protocol, port, port)
        for address, port in translations
    ]


def _inside(boxes: list[Box]) -> list[Box]:
    return [b._replace(local=True) for b in boxes if b.local is not False]


def _outside(boxes: list[Box]) -> list[Box]:
    return [b._replace(local=False) for b in boxes if b.local is not True]


def _hooks(slices: Sequence[ChainSlice], numbering: Numbering) -> tuple[Hook, ...]:
    return tuple([found.hook(numbering) for found in slices])


def _marks(slices: Sequence[ChainSlice]) -> set[int]:
    """The values that some rule gives the mark as a whole."""
    return {
        item.action.value
        for each in slices
        for item in with_bodies(each.items)
        if isinstance(item.action, SetMark) and item.action.mask == FULL_MARK
    }


def virtual_item(key: VirtualKey, server: VirtualServer, box: Box | None) -> Item:
    """A virtual server as a rule: a choice among its real servers, or a refusal.

    ``box``: all packets that get here; conditions that they all fulfil are left out.
    """
    record = Record(Rule(chain="IPVS", line=server.line), "ipvs", (), Continue())
    conditions: list[ItemCondition] = []
    if not key.protocol:
        conditions.append(Mark(key.address, FULL_MARK))
    else:
        full = (1 << key.family.bits) - 1
        if box is None or box.mask != full:
            conditions.append(Destination(key.address, full))
        if box is None or box.protocol is None:
            conditions.append(Protocol(key.protocol))
        if key.port and (box is None or box.first_port != box.last_port):
            conditions.append(DestinationPort(key.port, key.port))
    if (unknown := outside_the_model(key, server)) is not None:
        shown = Comment(f"{key}: {unknown}")
        rule = Rule(chain="IPVS", matches=(shown,), line=server.line)
        record = Record(rule, "ipvs", (), Continue())
        return Item(tuple(conditions), UnknownTarget(unknown), (), record)
    real = usable(server)
    if not real:
        return Item(tuple(conditions), Reject(), (), record)
    timeout = server.scheduling.persistence
    choices = tuple(
        (k.address, translated_port(key, server.scheduling, k), weight) for k, weight in real
    )
    return Item(tuple(conditions), Balance(choices, timeout), (), record)


def _translations(items: tuple[Item, ...]) -> list[Translation]:
    """Where the items send packets, in their order."""
    found: list[Translation] = []
    _add_translations(items, found)
    return found


def _add_translations(items: tuple[Item, ...], into: list[Translation]) -> None:
    for item in items:
        action = item.action
        if item.body:
            _add_translations(item.body, into)
        elif isinstance(action, Dnat):
            into.append((action.address, action.port))
        elif isinstance(action, Balance):
            into += [(address, port) for address, port, _ in action.choices]
