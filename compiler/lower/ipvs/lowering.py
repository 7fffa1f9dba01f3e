"""Lowering to IPVS: the iptables rules beside the virtual servers.

Their number does not depend on the Services, but for what IPVS cannot do: node ports on
loopback, and pods and node processes at frontends under Local policy with affinity. Those
are served by nat rules ahead of it. ``docs/ipvs.md`` has the layout and the reasons.
"""

from __future__ import annotations

from dataclasses import replace

from svcc.compiler.lower.ipvs import virtual
from svcc.compiler.lower.ipvs.virtual import Virtual, lower_virtual, node_port_set, set_name
from svcc.compiler.lower.shared.chains import Branches, Chains
from svcc.compiler.lower.shared.depth import shallow_enough
from svcc.compiler.lower.shared.dispatch import Entry, dispatch_addresses, dispatch_ports
from svcc.compiler.lower.shared.filter_rules import (
    INPUT,
    OUTPUT,
    REFUSE,
    REFUSE_NODE_PORTS,
    REJECT,
    base_jumps,
    forward_rules,
    health_checks,
    loopback_guard,
)
from svcc.compiler.lower.shared.hairpin import POSTROUTING, SENT_TO_ITSELF, masquerade
from svcc.compiler.lower.shared.matches import FROM_NODE, NEW, TRANSLATED, protocol_match
from svcc.compiler.lower.shared.selection import jump_selected, jump_selected_loopback
from svcc.compiler.lower.shared.service import ServiceChains, address_entry, node_port_entry
from svcc.compiler.resolve.forwarding import Forwarding
from svcc.grammar.address import Family, format_address
from svcc.grammar.iptables.program import (
    AddressMatch,
    ConntrackMatch,
    Goto,
    InterfaceMatch,
    IpvsMatch,
    Jump,
    MapMark,
    MarkMatch,
    NatTarget,
    Program,
    Rule,
    SetMark,
    SetMatch,
    Target,
    Verdict,
)
from svcc.grammar.ipvs.state import Ipvs

_TO = ("dst", "dst")
_SENT_ON = IpvsMatch()
_ACCEPT, _DROP, _RETURN = Verdict("ACCEPT"), Verdict("DROP"), Verdict("RETURN")
_ICMP = {Family.IPV4: 1, Family.IPV6: 58}


def lower(
    forwarding: Forwarding, *, comments: bool = True
) -> tuple[dict[Family, Program], Ipvs, tuple[str, ...]]:
    """The rule programs of both families, everything else that ipvs mode loads, and notes.

    Raises:
        TooDeepError: as in iptables mode, for what is served by nat rules.
    """
    settings = forwarding.settings.ipvs
    ipvs = Ipvs(
        timeouts=(settings.tcp_timeout, settings.tcp_fin_timeout, settings.udp_timeout),
        strict_arp=settings.strict_arp,
    )
    programs = {}
    notes: list[str] = []
    for family in Family:
        lowered = lower_virtual(forwarding, family, ipvs)
        programs[family] = _program(forwarding, lowered, comments)
        if forwarding.settings.loopback_node_ports(family):
            notes += _not_on_loopback(forwarding, lowered)
        notes += _astray(lowered)
        notes += _other_hosts(forwarding, lowered)
    return programs, ipvs, tuple(notes)


def _not_on_loopback(forwarding: Forwarding, lowered: Virtual) -> list[str]:
    """What to say of node ports that cannot answer on loopback."""
    return [
        f"Service {port.label}: node port {port.node_port} is not served on loopback in ipvs "
        f"mode, since a backend of it is a frontend of this node itself (docs/ipvs.md)"
        for port in forwarding.of(lowered.family)
        if port.node_port and port.usable and lowered.translated_again(port)
    ]


def _astray(lowered: Virtual) -> list[str]:
    """What to say of Services that cannot be served right; the verifier refuses them, too."""
    return [
        f"Service {port.label}: ipvs mode cannot serve ClientIP affinity under Local policy to "
        "pods and the node where a backend is a frontend of this node itself (docs/ipvs.md); "
        "use iptables mode"
        for port in lowered.by_rules
        if lowered.translated_again(port)
    ]


def _other_hosts(forwarding: Forwarding, lowered: Virtual) -> list[str]:
    """What to say of addresses that are another host's."""
    family = lowered.family
    return [
        f"Service {port.label}: {format_address(family, address)} is the address of "
        f"{forwarding.other_hosts[family, address]}; nat rules serve it, since on the dummy device "
        "it would cut that host off (docs/ipvs.md)"
        for port, address in lowered.addresses_by_rules
    ]


def _program(forwarding: Forwarding, lowered: Virtual, comments: bool) -> Program:
    def tables(branches: Branches) -> list[Chains]:
        return [
            _Table("mangle", forwarding, lowered, branches, comments).mangle(),
            _Table("nat", forwarding, lowered, branches, comments).nat(),
            _Table("filter", forwarding, lowered, branches, comments).filter(),
        ]

    return shallow_enough(lowered.family, tables)


class _Table:
    """Writes one table of one family."""

    def __init__(
        self,
        table: str,
        forwarding: Forwarding,
        lowered: Virtual,
        branches: Branches,
        comments: bool,
    ) -> None:
        self._family = lowered.family
        self._chains = Chains(table, self._family, branches, comments=comments)
        self._forwarding = forwarding
        self._settings = forwarding.settings
        self._lowered = lowered
        mark = self._settings.masquerade_mark
        self._mark = SetMark(mark, mark)
        self._tag = MarkMatch(virtual.mark_tag(self._settings), virtual.MARK_TAG_MASK)

    # -- conditions --------------------------------------------------------------------

    def _in(self, purpose: str, *flags: str, negated: bool = False) -> SetMatch:
        return SetMatch(set_name(self._family, purpose), flags or _TO, negated)

    def _if_to(self, chain: str, purpose: str, target: Target) -> None:
        """A rule for the frontends of a purpose, if there are any."""
        if self._lowered.has(purpose):
            self._chains.add(chain, target, matches=(self._in(purpose),))

    def _rule(self, chain: str, target: Target, *matches: SetMatch, pods: bool | None) -> None:
        """A rule for pods (True), everybody else (False), or both (None).

        Where pods cannot be told, nobody is one.
        """
        source = in_interface = None
        network = self._settings.pods.networks.get(self._family)
        if pods is not None:
            if self._settings.pods.in_interface:
                in_interface = InterfaceMatch(self._settings.pods.in_interface, not pods)
            elif network is not None:
                source = AddressMatch(network.value, network.mask, not pods)
            elif pods:
                return
        self._chains.append(
            Rule(
                chain=chain,
                source=source,
                in_interface=in_interface,
                matches=matches,
                target=target,
            )
        )

    def _node_ports(self, chain: str, below: str, *, loopback: bool = False) -> None:
        """Go to ``below`` with what is for an address that node ports answer on.

        Declared addresses win over node ports, and virtual IPs have none.
        """
        if below not in self._chains:
            return
        self._if_to(chain, virtual.FRONTENDS, _RETURN)
        self._if_virtual_ip(chain, _RETURN)
        jump_selected(self._chains, chain, below, self._settings, loopback=loopback)

    def _if_virtual_ip(self, chain: str, target: Target) -> None:
        if self._lowered.has(virtual.VIRTUAL_IPS):
            match = self._in(virtual.VIRTUAL_IPS, "dst")
            self._chains.add(chain, target, matches=(match,))

    def _if_to_port(self, chain: str, purpose: str, target: Target, *first: ConntrackMatch) -> None:
        """A rule for the node ports of a purpose, if there are any."""
        if self._lowered.has_node_ports(purpose):
            match = SetMatch(node_port_set(self._family, purpose), _TO)
            self._chains.add(chain, target, matches=(*first, match))

    # -- mangle: what must be decided before IPVS ----------------------------------------

    def mangle(self) -> Chains:
        chains = self._chains
        inward, outward, denied = "SVCC-PREROUTING", "SVCC-OUTPUT", "SVCC-DENY"
        outside, marked = "SVCC-OUTSIDE", "SVCC-FWMARK"
        self._deny(denied)
        self._outside(outside)
        self._firewall_marks(marked)
        if not any(chain in chains for chain in (denied, outside, marked)):
            return chains
        chains.base(Rule(chain="PREROUTING", target=Jump(inward)))
        chains.base(Rule(chain="OUTPUT", target=Jump(outward)))
        for chain in (inward, outward):
            # Sent on already: what the packet is addressed to now is a backend.
            chains.add(chain, _RETURN, matches=(TRANSLATED,))
            chains.add(chain, _RETURN, matches=(_SENT_ON,))
            if denied in chains:
                chains.add(chain, Jump(denied), matches=(NEW,))
        if marked in chains:
            self._rule(inward, Jump(marked), pods=True)
            chains.add(outward, Jump(marked))
        if outside in chains:
            self._rule(inward, Jump(outside), pods=False)
        return chains

    def _deny(self, chain: str) -> None:
        if self._lowered.has(virtual.GUARDED):
            matches = (
                self._in(virtual.GUARDED),
                self._in(virtual.ALLOWED, "dst", "dst", "src", negated=True),
            )
            self._chains.add(chain, _DROP, matches=matches)
        self._if_to(chain, virtual.DROPPED, _DROP)

    def _outside(self, chain: str) -> None:
        if self._lowered.has(virtual.NOT_FROM_OUTSIDE):
            matches = (NEW, self._in(virtual.NOT_FROM_OUTSIDE))
            self._chains.add(chain, _DROP, matches=matches)
        below = f"{chain}-NP"
        self._if_to_port(below, virtual.NOT_FROM_OUTSIDE, _DROP, NEW)
        self._node_ports(chain, below)

    def _firewall_marks(self, chain: str) -> None:
        if self._lowered.has(virtual.MARKS):
            self._chains.add(chain, MapMark(set_name(self._family, virtual.MARKS), _TO))
        below = f"{chain}-NP"
        if self._lowered.has_node_ports(virtual.MARKS):
            name = node_port_set(self._family, virtual.MARKS)
            self._chains.add(below, MapMark(name, _TO))
        self._node_ports(chain, below)

    # -- nat: masquerading, node ports, and what IPVS cannot serve -------------------------

    def nat(self) -> Chains:
        chains, services = self._chains, "SVCC-SERVICES"
        chains.declare(services)
        chains.base(Rule(chain="PREROUTING", target=Jump(services)))
        chains.base(Rule(chain="OUTPUT", target=Jump(services)))
        writer = ServiceChains(chains, self._settings)
        gates = dispatch_addresses(chains, services, self._by_rules(writer), stem="SVCC-T")
        self._marks(services)
        self._served_node_ports("SVCC-NODEPORTS", writer)
        self._node_ports(services, "SVCC-NODEPORTS")
        local_ports = self._loopback(writer)
        masquerade(chains, self._settings.masquerade_mark, gates, set(local_ports), self._sent_on)
        return chains

    def _by_rules(self, writer: ServiceChains) -> list[Entry]:
        entries = []
        for port in self._lowered.by_rules:
            for address in (*port.external_addresses, *port.balancer_addresses):
                if (port, address) in self._lowered.addresses_by_rules:
                    continue
                chain = writer.external(port, outside=False)
                entries.append(address_entry(port, address, chain, "external address"))
        for port, address in self._lowered.addresses_by_rules:
            entries.append(address_entry(port, address, writer.external(port), "external address"))
        return entries

    def _marks(self, services: str) -> None:
        chains, mark, settings = self._chains, "SVCC-MARK-MASQ", self._settings
        cluster_ips, local = "SVCC-CLUSTER-IP", "SVCC-EXTERNAL-LOCAL"
        if self._lowered.has(virtual.CLUSTER_IPS):
            if settings.masquerade_all:
                chains.add(cluster_ips, self._mark)
            elif settings.pods.in_interface or self._family in settings.pods.networks:
                self._rule(cluster_ips, self._mark, pods=False)
            elif self._lowered.has(virtual.VIRTUAL_IPS):
                # The node's processes send from the virtual IP itself, as from any local
                # address that they connect to; no backend could answer that.
                chains.add(
                    cluster_ips,
                    self._mark,
                    matches=(FROM_NODE, self._in(virtual.VIRTUAL_IPS, "src")),
                )
            if cluster_ips in chains:
                self._if_to(services, virtual.CLUSTER_IPS, Goto(cluster_ips))
        if self._has_any(virtual.EXTERNAL):
            chains.add(mark, self._mark)
            self._if_to(services, virtual.EXTERNAL, Goto(mark))
        if self._has_any(virtual.EXTERNAL_LOCAL):
            self._from_node(local)
            self._if_to(services, virtual.EXTERNAL_LOCAL, Goto(local))

    def _has_any(self, purpose: str) -> bool:
        return self._lowered.has(purpose) or self._lowered.has_node_ports(purpose)

    def _from_node(self, chain: str) -> None:
        """Mark what the node itself sends, but from a pod's address."""
        below = f"{chain}-N"
        self._rule(below, self._mark, pods=False)
        if self._has_any(virtual.MARKS):
            # IPVS looks for the mark as a whole, so the bit is set behind it.
            self._chains.add(chain, _RETURN, matches=(self._tag,))
        self._chains.add(chain, Jump(below), matches=(FROM_NODE,))

    def _served_node_ports(self, chain: str, writer: ServiceChains) -> None:
        chains, lowered = self._chains, self._lowered
        entries = [
            node_port_entry(port, writer.external(port)) for port in lowered.node_ports_by_rules
        ]
        entries += [
            node_port_entry(port, writer.external(port, outside=False))
            for port in lowered.by_rules
            if port.node_port and port not in lowered.node_ports_by_rules
        ]
        if entries:
            # A chain of its own, so that what it does not serve comes back here.
            dispatch_ports(chains, "SVCC-NP-BY-RULES", entries, stem="SVCC-NP")
            chains.add(chain, Jump("SVCC-NP-BY-RULES"))
        self._if_to_port(chain, virtual.EXTERNAL, Jump("SVCC-MARK-MASQ"))
        self._if_to_port(chain, virtual.EXTERNAL_LOCAL, Jump("SVCC-EXTERNAL-LOCAL"))
        if lowered.node_port_address is not None:
            to_server = NatTarget(name="DNAT", first_address=lowered.node_port_address)
            self._if_to_port(chain, virtual.SERVED, to_server)

    def _loopback(self, writer: ServiceChains) -> list[tuple[int, int]]:
        """Node ports on loopback: IPVS sends nothing on whose source is 127.0.0.0/8.

        Source: net/netfilter/ipvs/ip_vs_xmit.c, crosses_local_route_boundary.

        Returns:
            Protocol and number of the node ports that rules serve unmasqueraded for some.
        """
        chains, chain = self._chains, "SVCC-LOOPBACK"
        local = [
            (port.protocol, port.node_port)
            for port in (*self._lowered.by_rules, *self._lowered.node_ports_by_rules)
            if port.node_port
        ]
        if self._family is not Family.IPV4 or not self._forwarding.loopback_node_ports:
            return local
        ports = [
            port
            for port in self._forwarding.of(self._family)
            if port.node_port and port.usable and not self._lowered.translated_again(port)
        ]
        if not ports:
            return local
        entries = []
        local += [(p.protocol, p.node_port) for p in ports if p.external_local]
        for port in ports:
            only_node_port = replace(port, external_addresses=(), balancer_addresses=())
            entries.append(node_port_entry(port, writer.external(only_node_port, outside=False)))
        dispatch_ports(chains, chain, entries, stem="SVCC-LP")
        jump_selected_loopback(chains, chain, self._settings)
        return local

    def _sent_on(self) -> None:
        """Marks that can be told only when IPVS has chosen."""
        self._chains.add(POSTROUTING, self._mark, matches=(_SENT_ON, SENT_TO_ITSELF[self._family]))
        if self._has_any(virtual.MARKS):
            chain = f"{POSTROUTING}-N"
            self._rule(chain, self._mark, pods=False)
            self._chains.add(POSTROUTING, Jump(chain), matches=(_SENT_ON, self._tag, FROM_NODE))

    def _refuses_elsewhere(self) -> bool:
        """Whether an address that is not this node's has a frontend without endpoints."""
        return any(
            not port.usable and (self._family, address) in self._forwarding.other_hosts
            for port in self._forwarding.of(self._family)
            for address in (*port.external_addresses, *port.balancer_addresses)
        )

    # -- filter: refusals ------------------------------------------------------------------

    def filter(self) -> Chains:
        chains = self._chains
        base_jumps(chains)
        loopback_guard(chains, self._forwarding)
        if self._lowered.has(virtual.VIRTUAL_IPS):
            not_virtual = self._in(virtual.VIRTUAL_IPS, "dst", negated=True)
            health_checks(chains, self._forwarding, not_virtual)
        self._if_to(INPUT, virtual.HEALTH_CHECKS, _ACCEPT)
        chains.add(INPUT, Jump(REFUSE), matches=(NEW,))
        refused = self._refuses_elsewhere()
        forward_rules(chains, self._settings, refuse=REFUSE if refused else None)
        chains.add(OUTPUT, Jump(REFUSE), matches=(NEW,))
        chains.add(REFUSE, _RETURN, matches=(TRANSLATED,))
        chains.add(REFUSE, _RETURN, matches=(_SENT_ON,))
        reject = REJECT[self._family]
        self._if_to(REFUSE, virtual.REFUSED, reject)
        self._if_to(REFUSE, virtual.FRONTENDS, _RETURN)
        chains.append(
            Rule(chain=REFUSE, protocol=protocol_match(_ICMP[self._family]), target=_RETURN)
        )
        self._if_to(REFUSE, virtual.HEALTH_CHECKS, _RETURN)
        self._if_virtual_ip(REFUSE, reject)
        below = REFUSE_NODE_PORTS
        self._if_to_port(below, virtual.REFUSED, reject)
        if below in chains:
            jump_selected(
                chains,
                REFUSE,
                below,
                self._settings,
                loopback=self._settings.loopback_node_ports(self._family),
            )
        return chains
