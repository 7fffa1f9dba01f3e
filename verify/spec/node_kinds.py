"""Nodes that no rule and no object tells apart: one proof is good for all of them.

Only for rules that svcc compiles from the objects: what a node's rules and expectation depend on
are its settings, which endpoints of some Services are its own, and how its addresses lie to the
addresses and networks that the objects name. An address that nothing names can be replaced in a
proof by another of which the same is true.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import replace

from svcc.compiler.model.objects import EndpointSlice, Objects, Service
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address


class NodeKinds:
    """Tells which nodes are alike for the objects."""

    def __init__(self, objects: Objects) -> None:
        self._endpoints: defaultdict[str, list[int]] = defaultdict(list)
        """Node → the endpoints that are on it, or hinted for it, and matter for that."""
        self._zones = False
        self._named = {a for service in objects.services for a in _addresses(service)}
        self._networks = dict.fromkeys(
            network for service in objects.services for network in service.source_ranges
        )
        local = {
            (service.namespace, service.name)
            for service in objects.services
            if "Local" in (service.external_traffic_policy, service.internal_traffic_policy)
        }
        seen: set[tuple[str, str, Address]] = set()
        twice: set[tuple[str, str]] = set()
        for item in objects.slices:
            service = (item.namespace, item.service)
            for endpoint in item.endpoints:
                self._named.add(endpoint.address)
                key = (*service, endpoint.address)
                if key in seen:
                    # Of duplicates the one on this node counts.
                    twice.add(service)
                seen.add(key)
        number = 0
        for item in objects.slices:
            number = self._add(item, (item.namespace, item.service) in local | twice, number)

    def _add(self, item: EndpointSlice, place_matters: bool, number: int) -> int:
        for endpoint in item.endpoints:
            number += 2
            if place_matters and endpoint.node_name is not None:
                self._endpoints[endpoint.node_name].append(number)
            for name in endpoint.node_hints:
                self._endpoints[name].append(number + 1)
            self._zones |= bool(endpoint.zone_hints)
        return number

    def of(self, settings: NodeSettings) -> Hashable:
        """A value that alike nodes share."""
        networks = [
            *self._networks,
            *settings.pods.networks.values(),
            *(settings.node_port_networks or ()),
            *settings.ipvs.exclude_networks,
        ]
        own: list[Hashable] = []
        for address in settings.addresses:
            if address in self._named or settings.mode in ("ipvs", "userspace"):
                own.append(address)
            else:
                own.append((address.family, *(n.holds(address) for n in networks)))
        plain = replace(
            settings,
            node_name="",
            addresses=(),
            zone=settings.zone if self._zones else None,
            pods=replace(settings.pods, networks={}),
        )
        pods = tuple(sorted(settings.pods.networks.items()))
        known = settings.known_node
        endpoints = tuple(self._endpoints.get(settings.node_name, ())) if known else ()
        return (repr(plain), pods, tuple(own), endpoints)


def _addresses(service: Service) -> tuple[Address, ...]:
    return (*service.cluster_ips, *service.external_ips, *service.ingress)
