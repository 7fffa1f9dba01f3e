"""Which endpoints of a service port this node uses.

Source: kube-proxy pkg/proxy/topology.go (CategorizeEndpoints, topologyModeFromHints) and
pkg/proxy/endpointslicecache.go (duplicates).

The verifier selects endpoints by code of its own, svcc/verify/spec/endpoints.py: shared, a mistake
would be proved right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from svcc.compiler.model.objects import Endpoint, EndpointSlice, ServicePort
from svcc.compiler.resolve.forwarding import Backend
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family


class Selection(NamedTuple):
    """The backends of each policy, sorted; ``usable`` tells whether there is any at all."""

    everywhere: tuple[Backend, ...]
    here: tuple[Backend, ...]
    usable: bool


class _Candidate(NamedTuple):
    backend: Backend
    endpoint: Endpoint
    local: bool


def select(
    slices: Iterable[EndpointSlice], port: ServicePort, family: Family, settings: NodeSettings
) -> Selection:
    """The backends of ``port`` among a Service's slices (in the order of their names)."""
    candidates = _candidates(slices, port, family, settings)
    ready = [c for c in candidates if c.endpoint.ready]
    if ready:
        here = [c for c in ready if c.local]
        if not here:
            here = [c for c in candidates if c.local and _is_leaving(c.endpoint)]
        return Selection(_backends(_nearby(ready, settings)), _backends(here), True)
    leaving = [c for c in candidates if _is_leaving(c.endpoint)]
    return Selection(_backends(leaving), _backends([c for c in leaving if c.local]), bool(leaving))


def _candidates(
    slices: Iterable[EndpointSlice], port: ServicePort, family: Family, settings: NodeSettings
) -> list[_Candidate]:
    wanted = (port.name, port.protocol)
    node = settings.node_name if settings.known_node else None
    found: dict[Backend, _Candidate] = {}
    for item in slices:
        if item.family is not family:
            continue
        for slice_port in item.ports:
            if (slice_port.name, slice_port.protocol) != wanted or not slice_port.port:
                continue
            number = slice_port.port
            for endpoint in item.endpoints:
                local = node is not None and endpoint.node_name == node
                backend = Backend(endpoint.address.value, number)
                candidate = _Candidate(backend, endpoint, local)
                known = found.get(backend)
                if known is None or _counts_more(candidate, known):
                    found[backend] = candidate
    return list(found.values())


def _counts_more(later: _Candidate, first: _Candidate) -> bool:
    """Which of two endpoints of one address and port counts: a pod network may use an address
    again while the pod that had it is still terminating (kubernetes#135266). Of two that are alike
    the first, unless the later one is on this node.
    """

    def rank(candidate: _Candidate) -> tuple[bool, bool, bool]:
        endpoint = candidate.endpoint
        return not endpoint.terminating, endpoint.ready, candidate.local

    return rank(later) > rank(first)


def _is_leaving(endpoint: Endpoint) -> bool:
    return endpoint.terminating and endpoint.serving and not endpoint.ready


def _nearby(ready: Sequence[_Candidate], settings: NodeSettings) -> Sequence[_Candidate]:
    """The endpoints hinted for this node, else for its zone, else all."""
    if settings.known_node and all(c.endpoint.node_hints for c in ready):
        near = [c for c in ready if settings.node_name in c.endpoint.node_hints]
        if near:
            return near
    if settings.zone and all(c.endpoint.zone_hints for c in ready):
        near = [c for c in ready if settings.zone in c.endpoint.zone_hints]
        if near:
            return near
    return ready


def _backends(candidates: Iterable[_Candidate]) -> tuple[Backend, ...]:
    return tuple(sorted(candidate.backend for candidate in candidates))
