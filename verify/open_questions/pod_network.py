"""Rules that tell pods from others, where svcc was not told how.

kube-proxy masquerades packets to a cluster IP that do not come from the pod network, and sends
those that do come from there on by rules of their own under Local policies (``clusterCIDR``,
``detectLocalMode``; pkg/proxy/iptables/proxier.go).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, Network, prefix_mask
from svcc.grammar.iptables.program import AddressMatch, Goto, Jump, Rule, SetMark
from svcc.grammar.iptables.ruleset import Chain, RuleSet
from svcc.verify.confirm.findings import Finding
from svcc.verify.model.ownership import is_service_chain
from svcc.verify.open_questions.question import OpenQuestion
from svcc.verify.simulator.packet import Packet
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import expect, pod_atom
from svcc.verify.spec.properties import FAIR, MASQUERADES, REACHES, REFUSES

_ON_ACCOUNT_OF_PODS = frozenset({REACHES, FAIR, MASQUERADES, REFUSES})


@dataclass(frozen=True, slots=True)
class Pods:
    """Who is a pod, by rules: a network, or an interface as ``-i`` takes it."""

    network: Network | None = None
    interface: str = ""

    def sent(self, packet: Packet) -> bool:
        """Whether a packet counts as a pod's."""
        if self.network is not None:
            return packet.source & self.network.mask == self.network.value
        name = self.interface
        if name.endswith("+"):
            return packet.in_interface.startswith(name[:-1])
        return packet.in_interface == name

    def settings(self, objects: Objects, node: str) -> str:
        """The flags that say the same."""
        if self.network is None:
            if self.interface.endswith("+"):
                return (
                    "--detect-local-mode InterfaceNamePrefix "
                    f"--pod-interface-name-prefix {self.interface[:-1]}"
                )
            return f"--detect-local-mode BridgeInterface --pod-bridge-interface {self.interface}"
        own = [network for item in objects.nodes if item.name == node for network in item.pod_cidrs]
        if self.network in own:
            return "--detect-local-mode NodeCIDR"
        return f"--cluster-cidr {self.network}"


def about_pods(objects: Objects, settings: NodeSettings, rules: RuleSet) -> Iterator[OpenQuestion]:
    """That nobody said who is a pod, where the rules are found wrong by that alone."""
    family = rules.family
    if pod_atom(settings, family) is not None:
        return
    used = _used(objects, rules, settings.masquerade_mark)
    if not used:
        return
    proposal = used[0].settings(objects, settings.node_name)
    kinds: dict[str, str] = {}
    local = {s.key for s in objects.services if s.external_traffic_policy == "Local"}

    def kind_of(finding: Finding) -> str:
        if not kinds:
            expected = expect(objects, settings, family).frontends
            kinds.update((str(item.frontend), item.frontend.kind) for item in expected)
        return kinds.get(finding.frontend, "")

    def concerns(finding: Finding) -> bool:
        example = finding.counterexample
        if example is None or finding.property not in _ON_ACCOUNT_OF_PODS:
            return False
        if finding.code == codes.MASQUERADED and kind_of(finding) == "cluster IP":
            return not any(pods.sent(example.packet) for pods in used)
        return (
            finding.service() in local
            and kind_of(finding) != "cluster IP"
            and any(pods.sent(example.packet) for pods in used)
        )

    yield OpenQuestion(
        code=codes.NO_POD_NETWORK,
        family=family,
        subject="pods",
        says="are not known: no cluster CIDR was given",
        reason=f"the rules treat {used[0].network or f'interface {used[0].interface}'} as the "
        f"pods'; if that is right, give {proposal} (clusterCIDR or detectLocalMode in --config)",
        concerns=concerns,
        only_if_needed=True,
    )


def _used(objects: Objects, rules: RuleSet, mark: int) -> list[Pods]:
    """Networks and interfaces that service rules except from the mark, the most used first; if
    there are none, those whose packets they send elsewhere than others'.
    """
    counts: dict[bool, Counter[Pods]] = {True: Counter(), False: Counter()}
    clients = {network for service in objects.services for network in service.source_ranges}
    for pods, excepted in _told_apart(rules, mark):
        if pods.network not in clients:
            counts[excepted][pods] += 1
    return [pods for pods, _ in (counts[True] or counts[False]).most_common()]


def _told_apart(rules: RuleSet, mark: int) -> Iterator[tuple[Pods, bool]]:
    """Whom rules tell from others, and whether to except them from the mark."""
    for table in rules.at("nat"):
        yield from _told_apart_in(table, rules, mark)


def _told_apart_in(table: str, rules: RuleSet, mark: int) -> Iterator[tuple[Pods, bool]]:
    chains = rules.tables[table]
    marking = {name for name, chain in chains.items() if _marks(chain, mark)}
    for name, chain in chains.items():
        if not is_service_chain(table, name):
            continue
        for rule in chain.rules:
            target = rule.target
            goes_to = target.chain if isinstance(target, Jump | Goto) else ""
            if goes_to in marking or _sets(rule, mark):
                yield from ((pods, True) for pods in _told_by(rule, rules.family, negated=True))
            elif goes_to:
                yield from ((pods, False) for pods in _told_by(rule, rules.family, negated=False))


def _sets(rule: Rule, mark: int) -> bool:
    target = rule.target
    return isinstance(target, SetMark) and bool(target.value & mark)


def _marks(chain: Chain, mark: int) -> bool:
    """Whether a chain does nothing but set the mark."""
    return any(_sets(rule, mark) and not rule.matches for rule in chain.rules)


def _told_by(rule: Rule, family: Family, *, negated: bool) -> Iterator[Pods]:
    source, interface = rule.source, rule.in_interface
    if source is not None and source.negated is negated:
        network = _network(source, family)
        if network is not None:
            yield Pods(network)
    if interface is not None and interface.negated is negated and interface.name != "lo":
        yield Pods(interface=interface.name)


def _network(source: AddressMatch, family: Family) -> Network | None:
    """The network, if it is one that pods can have: no host, no loopback, no holes."""
    length = source.mask.bit_count()
    if source.mask != prefix_mask(family, length) or not 0 < length < family.bits:
        return None
    loopback = 127 if family is Family.IPV4 else 0
    if source.address >> (family.bits - 8) == loopback:
        return None
    return Network(family, source.address, length)
