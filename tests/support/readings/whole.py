"""All rules at once: the whole rule set as one formula over one packet, with no slicing.

The oracle for slices, schemas and numbering: every rule of every chain is written down with all
its conditions, literal addresses and ports; a region is a constraint on the packet. It is small
and slow, shares only the terms of single conditions with the verifier
(:mod:`svcc.verify.smt.terms`) and answers one question: can a packet of the region see
something that it must not?
"""

from __future__ import annotations

from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.model.actions import Dnat, Goto, Jump, MapMark
from svcc.verify.model.conditions import Condition, InInterface, InSet, Recent
from svcc.verify.model.rules import IndexedRules, Record, index_rules
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.slicing.schema import Hook, Schema, SchemaCase, SchemaItem
from svcc.verify.slicing.schema_conditions import (
    InlinedGoto,
    InlinedJump,
    NumberedDnat,
    NumberedRecent,
    SchemaCondition,
)
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.packet_variables import PORT
from svcc.verify.smt.solver import Solver
from svcc.verify.smt.term import (
    BOOL,
    FALSE,
    TRUE,
    Term,
    bits,
    boolean,
    conjunction,
    disjunction,
    equal,
    has_value,
    implies,
    in_network,
    negate,
)
from svcc.verify.spec.outcomes import Case, Outcome, Serve, Untouched
from svcc.verify.spec.packet_conditions import (
    Atom,
    DestinationIn,
    FromNode,
    FromPod,
    PortIn,
    ProtocolIn,
    SourceIn,
)

_WIRE = (
    (("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("nat", "PREROUTING")),
    (("mangle", "INPUT"), ("filter", "INPUT"), ("nat", "INPUT")),
    (("mangle", "FORWARD"), ("filter", "FORWARD"), ("mangle", "POSTROUTING"),
     ("nat", "POSTROUTING")),
)  # fmt: skip
_NODE = (
    (("raw", "OUTPUT"), ("mangle", "OUTPUT"), ("nat", "OUTPUT")),
    (("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("mangle", "INPUT"), ("filter", "INPUT")),
    (("filter", "OUTPUT"), ("mangle", "POSTROUTING"), ("nat", "POSTROUTING")),
)


class Whole:
    """One rule set, asked about regions."""

    def __init__(self, rules: RuleSet, regions: Regions) -> None:
        self._indexed = index_rules(rules)
        self._regions = regions

    def violated(self, region: Region) -> bool:
        """Whether some packet of the region can see what no case allows.

        Shares are not looked at.
        """
        encoding = _Literal(self._schema(region), self._regions)
        encoding.run()
        inside, wrong = self._inside(region, encoding), self._wrong(region, encoding)
        script = encoding.script.requiring([*inside, disjunction(wrong)])
        outcome = Solver(script).check()
        assert outcome != "unknown"
        return outcome == "sat"

    # -- the rules ---------------------------------------------------------------------

    def _schema(self, region: Region) -> Schema:
        before, inward, onward = (
            tuple(hook for hook in map(self._hook, names) if hook is not None)
            for names in (_NODE if region.from_node else _WIRE)
        )
        regions = self._regions
        return Schema(
            family=regions.family,
            from_node=region.from_node,
            rewriting=before,
            inward=inward,
            onward=onward,
            cases=tuple(SchemaCase((), ()) for _ in region.cases),
            fixed_destination=False,
            fixed_port=False,
            protocol=None,
            local=None,
            mark=regions.mark,
            node_networks=regions.node_networks,
        )

    def _hook(self, place: tuple[str, str]) -> Hook | None:
        table, chain = place
        found = self._indexed.tables.get(table, {}).get(chain)
        if found is None:
            return None
        return Hook(table, chain, self._items(table, chain), found.policy == "DROP")

    def _items(self, table: str, chain: str) -> tuple[SchemaItem, ...]:
        records = self._indexed.tables[table][chain].records
        return tuple(self._item(table, record) for record in records)

    def _item(self, table: str, record: Record) -> SchemaItem:
        conditions = tuple(self._condition(condition) for condition in record.conditions)
        action = record.action
        match action:
            case Jump(chain):
                return SchemaItem(conditions, InlinedJump(), self._items(table, chain))
            case Goto(chain):
                return SchemaItem(conditions, InlinedGoto(), self._items(table, chain))
            case Dnat(address, port):
                return SchemaItem(conditions, NumberedDnat(address, port), ())
            case MapMark():
                raise AssertionError("sets are not written down here")
            case _:
                return SchemaItem(conditions, action, ())

    def _condition(self, condition: Condition) -> SchemaCondition:
        assert not isinstance(condition, InSet)
        if not isinstance(condition, Recent):
            return condition
        number = _list_number(self._indexed, condition.name)
        return NumberedRecent(condition.operation, number, condition.seconds, condition.negated)

    # -- the region --------------------------------------------------------------------

    def _inside(self, region: Region, encoding: Encoding) -> list[Term]:
        packet = encoding.packet
        terms = []
        frontend = region.frontend
        if frontend is not None:
            terms.append(_goes_to(encoding, frontend.protocol, frontend.port))
            if frontend.address is not None:
                terms.append(has_value(packet.dst, frontend.address))
            else:
                terms += [packet.local, *self._not_declared(encoding)]
        else:
            terms += self._not_declared(encoding)
            for protocol, port in sorted(self._regions.node_ports):
                at = _goes_to(encoding, protocol, port)
                terms.append(negate(conjunction([packet.local, at])))
        for address in self._regions.cluster_ips:
            assert address is not None
            at = has_value(packet.dst, address)
            terms.append(implies(at, negate(packet.local)))
        if region.box.local is not None:
            terms.append(negate(packet.local, not region.box.local))
        return terms

    def _not_declared(self, encoding: Encoding) -> list[Term]:
        return [
            negate(
                conjunction(
                    [
                        has_value(encoding.packet.dst, address),
                        _goes_to(encoding, protocol, port),
                    ]
                )
            )
            for address, protocol, port in sorted(self._regions.addresses)
        ]

    # -- what must be ------------------------------------------------------------------

    def _wrong(self, region: Region, encoding: Encoding) -> list[Term]:
        wrong = []
        for case in region.cases:
            allowed = [self._meets(outcome, encoding) for outcome in case.allowed]
            wrong.append(conjunction([_holds(case, encoding), negate(disjunction(allowed))]))
        return wrong

    def _meets(self, outcome: Outcome, encoding: Encoding) -> Term:
        packet = encoding.packet
        if isinstance(outcome, Serve):
            right = []
            for backend in outcome.backends:
                hairpin = has_value(packet.src, backend.address)
                must = TRUE if outcome.masquerade else hairpin
                must = conjunction([encoding.sent_out, must])
                same_port = has_value(packet.dport, backend.port)
                right += [
                    conjunction(
                        [
                            fires,
                            equal(encoding.masqueraded, must),
                            same_port if port is None else TRUE,
                        ]
                    )
                    for fires, host, port in encoding.dnat
                    if host == backend.address and port in (None, backend.port)
                ]
            return conjunction([encoding.passed, disjunction(right)])
        if isinstance(outcome, Untouched):
            mark = encoding.schema.mark
            return conjunction(
                [
                    encoding.passed,
                    negate(encoding.sent_elsewhere),
                    negate(encoding.masqueraded),
                    *(
                        equal(encoding.mark_bit(bit), encoding.first_mark_bit(bit))
                        for bit in range(32)
                        if mark >> bit & 1
                    ),
                ]
            )
        refused = type(outcome).__name__ == "Refuse"
        return encoding.is_rejected if refused else encoding.is_dropped


class _Literal(Encoding):
    """An encoding whose hosts and ports are the literal addresses and ports themselves."""

    def __init__(self, schema: Schema, regions: Regions) -> None:
        super().__init__(schema)
        self._regions = regions

    def host(self, number: int) -> Term:
        return self.address(number)

    def port(self, number: int) -> Term:
        return bits(number, PORT.width)

    def _local_flag(self, host: int) -> Term:
        if self._regions.always_local(host, self._regions.full_mask):
            return TRUE
        if self._regions.never_local(host):
            return FALSE
        return self._declare(f"at_home_{host}", BOOL)


def _goes_to(encoding: Encoding, protocol: int, port: int) -> Term:
    packet = encoding.packet
    return conjunction(
        [
            has_value(packet.proto, protocol),
            has_value(packet.dport, port),
        ]
    )


def _list_number(rules: IndexedRules, name: str) -> int:
    names = sorted(
        {
            condition.name
            for chains in rules.tables.values()
            for chain in chains.values()
            for record in chain.records
            for condition in record.conditions
            if isinstance(condition, Recent)
        }
    )
    return names.index(name)


def _holds(case: Case, encoding: Encoding) -> Term:
    return conjunction([_atom(atom, encoding) for atom in case.condition])


def _atom(atom: Atom, encoding: Encoding) -> Term:
    packet = encoding.packet
    if isinstance(atom, FromNode):
        return negate(boolean(encoding.schema.from_node), atom.negated)
    if isinstance(atom, FromPod):
        return encoding.condition((InInterface(atom.interface, atom.negated),))
    if isinstance(atom, ProtocolIn):
        parts = [has_value(packet.proto, number) for number in atom.numbers]
        return negate(disjunction(parts), atom.negated)
    if isinstance(atom, PortIn):
        parts = [has_value(packet.dport, number) for number in atom.numbers]
        return negate(disjunction(parts), atom.negated)
    assert isinstance(atom, SourceIn | DestinationIn)
    variable = packet.src if isinstance(atom, SourceIn) else packet.dst
    parts = [in_network(variable, n.value, n.mask) for n in atom.networks]
    return negate(disjunction(parts), atom.negated)
