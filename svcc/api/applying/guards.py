"""What speaks against an apply: it would take everything away, is for another node, or somebody
else serves here already.

Only what can be told for sure is said. A network namespace without any address but loopback's may
be anybody's, and rules of a kube-proxy that ended do no harm.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from svcc.apply.system.beside import kube_proxy_at_work, svcc_at_work

if TYPE_CHECKING:
    from svcc.apply.loaded import Loaded
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Address

_MOST_NAMED = 3
_ENDPOINT_KINDS = ("EndpointSlice", "Endpoints")


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of this network namespace: its addresses, those of Services aside, and of
    the host its name.
    """

    addresses: tuple[Address, ...]
    host_name: str

    @classmethod
    def this(cls, addresses: Iterable[Address]) -> Machine:
        """This one."""
        return cls(tuple(addresses), socket.gethostname().lower())


def dangers(
    objects: Objects, settings: NodeSettings, machine: Machine | None, loaded: Loaded
) -> Iterator[str]:
    """Reasons not to apply, each in words.

    Args:
        objects: what is wanted.
        settings: of the node that it is for, as given and not completed from the machine.
        machine: where it would be loaded; None if that cannot be told.
        loaded: what is there, and what would become of it.
    """
    yield from _nothing_given(objects, loaded)
    if machine is not None:
        yield from _another_node(objects, settings, machine)
    if who := kube_proxy_at_work(loaded.foreign_chains):
        yield f"{who} is at work here, and both would serve the same Services; stop it first"
    if who := svcc_at_work():
        yield (
            f"{who} is at work here with a lock of its own (another /run/svcc), so that neither "
            "waits for the other; share the folder, or wait until it has ended"
        )


def _nothing_given(objects: Objects, loaded: Loaded) -> Iterator[str]:
    from svcc.compiler.model.eligibility import is_forwarded

    services = [item for item in objects.services if is_forwarded(item) and item.ports]
    if loaded.loses_everything:
        what = "no Service with frontends is among the objects"
        if services:
            what = "no frontend is left of the Services among the objects"
        yield (
            f"{what}, and all that svcc has loaded here would go; svcc cleanup does that, if it "
            "is wanted"
        )
    passed_over = any(item.kind in _ENDPOINT_KINDS for item in objects.passed_over)
    if services and loaded.serves and not objects.slices and not passed_over:
        yield (
            f"there is no EndpointSlice among the objects, nor an Endpoints, so that every Service "
            f"({_named(item.key for item in services)}) would be refused from now on; "
            "`kubectl get services,endpointslices,nodes -A -o yaml` prints all"
        )


def _another_node(objects: Objects, settings: NodeSettings, machine: Machine) -> Iterator[str]:
    named = next((n for n in objects.nodes if n.name == settings.node_name), None)
    known = named.addresses if named is not None else ()
    given = () if settings.addresses == known else settings.addresses
    here = set(machine.addresses)
    absent = [address for address in given if address not in here]
    if absent:
        yield f"no interface has {_named(map(str, absent))}, which --node-ip says is the node's"
    if here & {*given, *known}:
        return
    others = [node for node in objects.nodes if node is not named and here & {*node.addresses}]
    if others:
        its = _named(str(a) for a in others[0].addresses if a in here)
        yield (
            f"this is not node {settings.node_name}: it has {its}, an address of node "
            f"{others[0].name}; give --node {others[0].name}"
        )
    elif known and not given and here:
        yield (
            f"this is not node {settings.node_name}: no interface has an address of it "
            f"({_named(map(str, known))}); give --node with the name of this machine's Node"
        )
    elif here and machine.host_name != settings.node_name and _is_node(machine.host_name, objects):
        yield (
            f"this is not node {settings.node_name}: the host's name is {machine.host_name}, which "
            f"is a node among the objects; give --node {machine.host_name}"
        )


def _is_node(name: str, objects: Objects) -> bool:
    """Whether a Node is called so, or an endpoint says that it is on such a node."""
    of_endpoints = (e.node_name for item in objects.slices for e in item.endpoints)
    return name in (*(node.name for node in objects.nodes), *of_endpoints)


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _MOST_NAMED
    return ", ".join(listed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
