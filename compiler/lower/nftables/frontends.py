"""Who sends to which frontend, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator

from svcc.compiler.lower.nftables.balance import Balance, Frontend, FrontendKind
from svcc.compiler.lower.nftables.table import TableWriter
from svcc.compiler.lower.nftables.terms import (
    FROM_NODE,
    NODE_PORT,
    Terms,
    interface,
    port,
    protocol,
    set_mark,
)
from svcc.compiler.resolve.forwarding import ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Network
from svcc.grammar.nftables.program import (
    AnyVerdict,
    Concatenation,
    Goto,
    Match,
    Reject,
    SetReference,
    Statement,
    Types,
    Verdict,
    VerdictMap,
)

SERVICES, NODE_PORTS, GUARDED, ALLOWED = "services", "node-ports", "guarded", "allowed-sources"
CLUSTER_IPS = "cluster-ips"
HAIRPINS = "hairpins"
REFUSE = "refuse"
_EVERYWHERE, _HERE = "everywhere", "here"
_DROP = Verdict("drop")


class Frontends:
    """Writes the elements of all frontends, and the chains that they lead to."""

    def __init__(self, table: TableWriter, terms: Terms, settings: NodeSettings) -> None:
        self._table = table
        self._terms = terms
        self._settings = settings
        self._balance = Balance(table, terms)
        address = terms.address_type
        self._addresses = FrontendKind(
            "", terms.frontend, Types((address, "inet_proto", "inet_service"))
        )
        self._node_ports = FrontendKind(
            "node-port-", NODE_PORT, Types(("inet_proto", "inet_service"))
        )
        self._mark: tuple[Statement, ...] = (set_mark(settings.masquerade_mark),)

    def add(self, service: ServicePort) -> None:
        """Add all frontends of a Service port."""
        cluster_ip = self._at(service, service.cluster_ip)
        self._put(SERVICES, cluster_ip, self._internal(service, cluster_ip), service, "cluster IP")
        types = Types((self._terms.address_type,))
        self._table.collection(CLUSTER_IPS, types).add(self._terms.address(service.cluster_ip))
        for address in service.external_addresses:
            found = self._at(service, address)
            self._put(SERVICES, found, self._external(service, found), service, "external IP")
        for address in service.balancer_addresses:
            found = self._at(service, address)
            verdict = self._guarded(service, found)
            self._put(SERVICES, found, verdict, service, "loadbalancer IP")
        if service.node_port:
            found = Frontend(
                self._node_ports, (protocol(service.protocol), port(service.node_port))
            )
            self._put(NODE_PORTS, found, self._external(service, found), service, "node port")
            if service.external_local:
                name = local_node_ports(service.protocol)
                types = Types(("inet_service",))
                self._table.collection(name, types).add(port(service.node_port))
        for backend in (*service.everywhere, *service.here):
            host = self._terms.address(backend.address)
            types = Types((self._terms.address_type,) * 2)
            self._table.collection(HAIRPINS, types).add(Concatenation((host, host)))

    # -- elements ----------------------------------------------------------------------

    def _at(self, service: ServicePort, address: int) -> Frontend:
        values = (
            self._terms.address(address), protocol(service.protocol), port(service.port),
        )  # fmt: skip
        return Frontend(self._addresses, values)

    def _put(
        self, name: str, frontend: Frontend, verdict: AnyVerdict, service: ServicePort, what: str
    ) -> None:
        comment = self._table.comment(f"{service.label} {what}")
        self._table.verdict(name, frontend.kind.types, frontend.key, verdict, comment)

    # -- verdicts ----------------------------------------------------------------------

    def _internal(self, service: ServicePort, frontend: Frontend) -> AnyVerdict:
        if not service.usable:
            return self._refuse()
        if not service.internal:
            return _DROP
        local = service.internal_local
        choice = self._balance.choose(frontend, service, service.internal, local=local)
        mark = tuple(self._mark_unless_pod())
        if not mark:
            return choice
        name = f"cluster-ip{'-local' if local else ''}"
        return self._behind(name, mark, frontend, service, choice, local=local)

    def _external(self, service: ServicePort, frontend: Frontend) -> AnyVerdict:
        if not service.usable:
            return self._refuse()
        everywhere = self._balance.choose(frontend, service, service.everywhere, local=False)
        prefix = frontend.kind.prefix
        if not service.external_local:
            name = f"{prefix}external"
            return self._behind(name, (self._mark,), frontend, service, everywhere, local=False)
        here: AnyVerdict = _DROP
        if service.here:
            here = self._balance.choose(frontend, service, service.here, local=True)
        to_everywhere = self._kept(frontend, everywhere, _EVERYWHERE)
        to_here = self._kept(frontend, here, _HERE)
        rules: list[tuple[Statement, ...]] = [(pod, to_everywhere) for pod in self._from_pods()]
        rules += [(FROM_NODE, *self._mark), (FROM_NODE, to_everywhere), (to_here,)]
        return Goto(self._table.chain(f"{prefix}external-local", *rules))

    def _guarded(self, service: ServicePort, frontend: Frontend) -> AnyVerdict:
        """Source ranges come first, for everybody."""
        verdict = self._external(service, frontend)
        if service.allowed_sources is None or not service.usable:
            return verdict
        table, terms = self._table, self._terms
        fields = Concatenation((*frontend.kind.fields.parts, terms.source))
        allowed = table.collection(ALLOWED, fields, flags=frozenset({"interval"}))
        for network in _disjoint(service.allowed_sources):
            allowed.add(Concatenation((*frontend.values, terms.network(network))))
        table.verdict(GUARDED, frontend.kind.types, frontend.key, verdict)
        let_in = (
            Match(fields, "==", SetReference(ALLOWED)),
            VerdictMap(frontend.kind.fields, SetReference(GUARDED)),
        )
        return Goto(table.chain(GUARDED, let_in, (_DROP,)))

    def _refuse(self) -> Goto:
        return Goto(self._table.chain(REFUSE, (Reject(),)))

    # -- chains ------------------------------------------------------------------------

    def _behind(
        self,
        name: str,
        rules: tuple[tuple[Statement, ...], ...],
        frontend: Frontend,
        service: ServicePort,
        choice: Goto,
        *,
        local: bool,
    ) -> Goto:
        """A chain of ``rules`` in front of the choice of a backend.

        What all Services with as many backends share is gone to; a chain that only one has is
        looked up once more, or there would be a chain for each in front of it.
        """
        if service.affinity_timeout is None:
            count = len(service.here if local else service.everywhere)
            return Goto(self._table.chain(f"{name}-{count}", *rules, (choice,)))
        kept = self._kept(frontend, choice, _HERE if local else _EVERYWHERE)
        return Goto(self._table.chain(name, *rules, (kept,)))

    def _kept(self, frontend: Frontend, verdict: AnyVerdict, name: str) -> VerdictMap:
        """The look-up that leads to a verdict of the frontend, which is kept in a map."""
        name = f"{frontend.kind.prefix}{name}"
        self._table.verdict(name, frontend.kind.types, frontend.key, verdict)
        return VerdictMap(frontend.kind.fields, SetReference(name))

    def _mark_unless_pod(self) -> Iterator[tuple[Statement, ...]]:
        """What marks packets to a cluster IP that do not come from a pod."""
        settings = self._settings
        network = settings.pods.networks.get(self._terms.family)
        if settings.masquerade_all:
            yield self._mark
        elif settings.pods.in_interface:
            yield (interface(settings.pods.in_interface, negated=True), *self._mark)
        elif network is not None:
            yield (Match(self._terms.source, "!=", self._terms.network(network)), *self._mark)

    def _from_pods(self) -> Iterator[Match]:
        pods = self._settings.pods
        network = pods.networks.get(self._terms.family)
        if pods.in_interface:
            yield interface(pods.in_interface)
        elif network is not None:
            yield Match(self._terms.source, "==", self._terms.network(network))


def local_node_ports(number: int) -> str:
    """The set of a protocol's node ports whose traffic is not all masqueraded anyway.

    One set for each protocol: nft does not concatenate ``ct original proto-dst``.
    """
    return f"local-{protocol(number).name}-node-ports"


def _disjoint(networks: tuple[Network, ...]) -> Iterator[Network]:
    """Networks without those inside others: an interval set takes no overlaps."""
    for network in sorted(set(networks), key=lambda n: (n.prefix_length, n.value)):
        if not any(other != network and other.overlaps(network) for other in networks
                   if other.prefix_length < network.prefix_length):  # fmt: skip
            yield network
