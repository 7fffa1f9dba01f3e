"""What the statements of a policy mean on one node: which packets, of which frontends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, Network
from svcc.grammar.errors import InputError, Problem
from svcc.grammar.policy import (
    AddressTarget,
    AnyTarget,
    NodePortTarget,
    Placed,
    Sender,
    ServiceTarget,
    Statement,
)
from svcc.verify.spec.expectation import Expectation, Frontend, expect, pod_atom
from svcc.verify.spec.node_ports import loopback_network
from svcc.verify.spec.packet_conditions import (
    ANYONE,
    Atom,
    DestinationIn,
    FromPod,
    PacketCondition,
    SourceIn,
    negation,
)

KINDS = {
    "clusterip": "cluster IP",
    "externalip": "external IP",
    "loadbalancer": "loadbalancer IP",
    "nodeport": "node port",
}
_NEEDS_PODS = frozenset({"pod", "external"})

_Atom = SourceIn | FromPod
Alternatives = tuple[PacketCondition, ...]
"""One of them holds; without any, none ever does."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement for one frontend: packets that fulfil one of the alternatives."""

    placed: Placed
    from_wire: Alternatives
    from_node: Alternatives

    def of(self, *, from_node: bool) -> Alternatives:
        """The alternatives of one direction."""
        return self.from_node if from_node else self.from_wire


class Claims:
    """The statements for one family on one node, by frontend."""

    def __init__(self, policies: Sequence[Placed], expectation: Expectation) -> None:
        family, settings = expectation.family, expectation.settings
        self.placed = [item for item in policies if family in families(item.statement)]
        self._by_frontend: dict[Frontend, list[Claim]] = {}
        for item in self.placed:
            target = _MeantFrontends(item.statement, expectation)
            who: tuple[Alternatives, ...] = ()
            for each in expectation.frontends:
                where = target.where(each.frontend)
                if where is None:
                    continue
                who = who or tuple(
                    alternatives(item.statement, settings, family, from_node=from_node)
                    for from_node in (False, True)
                )
                wire, node = (tuple((*c, *where) for c in found) for found in who)
                self._by_frontend.setdefault(each.frontend, []).append(Claim(item, wire, node))

    def of(self, frontend: Frontend) -> list[Claim]:
        """The statements that speak of a frontend."""
        return self._by_frontend.get(frontend, [])


def check(policies: Sequence[Placed], objects: Objects, nodes: Sequence[NodeSettings]) -> None:
    """See that every statement speaks of something.

    Raises:
        InputError: a statement matches no frontend on any node (and is not written with
            ``if any``), its addresses are of no common family, or pods cannot be told.
    """
    problems = {}
    unmatched = {item for item in policies if not item.statement.if_any}
    for item in policies:
        if not families(item.statement):
            message = "its addresses are not all of one IP version: it speaks of no packet"
            problems[item] = message
    for node in nodes:
        for family in Family:
            telling = pod_atom(node, family) is not None
            left = [
                item
                for item in policies
                if family in families(item.statement)
                and item not in problems
                and (item in unmatched or (_needs_pods(item.statement) and not telling))
            ]
            if not left:
                continue
            expectation = expect(objects, node, family)
            for item in left:
                target = _MeantFrontends(item.statement, expectation)
                if all(target.where(e.frontend) is None for e in expectation.frontends):
                    continue
                unmatched.discard(item)
                if _needs_pods(item.statement) and not telling:
                    problems[item] = (
                        f"{family.label} packets of pods cannot be told on node {node.node_name}; "
                        "give --cluster-cidr or --detect-local-mode, or write a CIDR"
                    )
    for item in unmatched - problems.keys():
        problems[item] = (
            f"{item.statement.target} is no frontend of these Services; "
            "correct it, or write 'if any' behind it"
        )
    if problems:
        raise InputError([Problem(item.position, text) for item, text in problems.items()])


def families(statement: Statement) -> frozenset[Family]:
    """The families that a statement speaks of: those of all the addresses that it names."""
    found = set(Family)
    networks = [sender.network for sender in statement.senders]
    for group in ([n for n in networks if n is not None], statement.inside):
        if group:
            found &= {network.family for network in group}
    if isinstance(statement.target, AddressTarget):
        found &= {statement.target.address.family}
    return frozenset(found)


def alternatives(
    statement: Statement, settings: NodeSettings, family: Family, *, from_node: bool
) -> Alternatives:
    """The packets of one direction that a statement forbids or demands.

    ``only`` forbids those of all who are not listed.

    Raises:
        ValueError: it speaks of pods, and the settings do not tell them.
    """
    pod = pod_atom(settings, family)
    sources = _own(settings, family)
    who = []
    for sender in statement.senders:
        # What the node may send from an address that it is not known to have is forbidden or
        # demanded only by the words, or by a network that the address is not in.
        named = sender.negated == (statement.verb == "only")
        who.append(_sender(sender, family, pod, from_node, sources if named else None))
    if statement.verb != "only":
        found = dict.fromkeys(
            (atom,) if isinstance(atom, _Atom) else ANYONE for atom in who if atom
        )
        return (ANYONE,) if ANYONE in found else tuple(found)
    if True in who:
        return ()
    return (tuple(dict.fromkeys(negation(atom) for atom in who if isinstance(atom, _Atom))),)


def _sender(
    sender: Sender, family: Family, pod: Atom | None, from_node: bool, own: list[Network] | None
) -> Atom | bool:
    """The condition that a packet of one direction is the sender's.

    ``own``: of the node's packets, those with these sources; None: with any.
    """
    network = sender.network
    found: Atom | bool
    if network is not None:
        blocks = [network]
        if from_node and own is not None:
            blocks = [max(network, o, key=_length) for o in own if network.overlaps(o)]
        found = SourceIn(tuple(blocks)) if blocks and network.family is family else False
    elif sender.who == "anyone":
        found = True
    elif from_node or sender.who == "node":
        found = from_node and sender.who == "node"
    elif pod is None:
        raise ValueError("pods cannot be told")
    else:
        found = pod if sender.who == "pod" else negation(pod)
    if isinstance(found, bool):
        return found != sender.negated
    return negation(found) if sender.negated else found


def _own(settings: NodeSettings, family: Family) -> list[Network]:
    """The sources that the node is known to have."""
    addresses = [a for a in settings.addresses if a.family is family]
    return [loopback_network(family), *(Network(family, a.value, family.bits) for a in addresses)]


def _length(network: Network) -> int:
    return network.prefix_length


def _needs_pods(statement: Statement) -> bool:
    return any(sender.who in _NEEDS_PODS for sender in statement.senders)


class _MeantFrontends:
    """The frontends of a statement."""

    def __init__(self, statement: Statement, expectation: Expectation) -> None:
        self._statement = statement
        self._settings = expectation.settings
        self._family = expectation.family
        self._names: dict[str, bool] = {}
        target = statement.target
        if not isinstance(target, ServiceTarget):
            return
        name = re.compile(_glob(target.namespace) + "/" + _glob(target.name))
        # Node ports do not carry the Service's port; the cluster IP of each has it.
        ports = {
            (item.frontend.service, item.frontend.protocol): item.frontend.port
            for item in expectation.frontends
            if item.frontend.kind == "cluster IP"
        }
        for (service, protocol), port in ports.items():
            of, _, port_name = service.partition(":")
            matches = target.port in ("", port_name, str(port))
            self._names[f"{service} {protocol}"] = matches and bool(name.fullmatch(of))

    def where(self, frontend: Frontend) -> PacketCondition | None:
        """What a packet for the frontend must fulfil besides; None: it is not meant."""
        target = self._statement.target
        node_port = frontend.address is None
        beside: PacketCondition = ()
        if isinstance(target, ServiceTarget):
            if target.kind != "service" and KINDS[target.kind] != frontend.kind:
                return None
            if not self._names.get(f"{frontend.service} {frontend.protocol}"):
                return None
        elif isinstance(target, NodePortTarget):
            if not node_port or not _same_port(target, frontend):
                return None
        elif isinstance(target, AddressTarget):
            own = target.address in self._settings.addresses
            if not _same_port(target, frontend):
                return None
            if node_port and own:
                network = Network(self._family, target.address.value, self._family.bits)
                beside = (DestinationIn((network,)),)
            elif frontend.address != target.address.value:
                return None
        else:
            assert isinstance(target, AnyTarget)
        if node_port and self._statement.verb == "always":
            beside = (*beside, *self._answering())
        return beside

    def _answering(self) -> Iterator[Atom]:
        """Where node ports answer, loopback aside: what other addresses do with them is theirs."""
        yield DestinationIn((loopback_network(self._family),), negated=True)
        networks = self._settings.node_port_networks
        if networks is not None:
            yield DestinationIn(tuple(n for n in networks if n.family == self._family))
            yield DestinationIn(tuple(_own(self._settings, self._family)[1:]))


def _same_port(target: AddressTarget | NodePortTarget, frontend: Frontend) -> bool:
    same_port = target.port in (None, frontend.port)
    return same_port and target.protocol in (None, frontend.protocol)


def _glob(pattern: str) -> str:
    return ".*".join(re.escape(part) for part in pattern.split("*"))
