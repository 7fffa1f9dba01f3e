"""Addresses of the node: which there are, and what else wants to listen there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from svcc.grammar.address import LOOPBACK, Address, format_address
from svcc.grammar.numbers import TRANSPORTS
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import Expectation, Frontend
from svcc.verify.spec.outcomes import Outcome, Serve, Untouched
from svcc.verify.spec.properties import REACHES, REFUSES
from svcc.verify.userspace.evaluate import Refused, Result
from svcc.verify.userspace.model import ProxyModel
from svcc.verify.userspace.outcomes import Wrong


class Places:
    """Addresses of one family. ``own`` are the node's whatever Services there are, ``virtual`` all
    others that its device has for the proxy.
    """

    def __init__(self, model: ProxyModel, expectation: Expectation) -> None:
        family = expectation.family
        self._family = family
        self._model = model
        self.own = frozenset(a.value for a in expectation.settings.addresses if a.family is family)
        self.other_hosts = dict(expectation.other_hosts)
        self.declared = frozenset(
            item.frontend.address
            for item in expectation.frontends
            if item.frontend.address is not None
        )
        judged_or_not = {*self.declared, *(f.address for f in expectation.not_judged if f.address)}
        if model.addresses is None:
            listened = {k[1] for k in model.listeners if k[0] is family and k[1] is not None}
            found = (judged_or_not | listened) - self.other_hosts.keys() | (
                listened & self.other_hosts.keys()
            )
        else:
            found = set(model.addresses.get(family, {}))
        self.virtual = frozenset(a for a in found - self.own if not self._on_loopback(a))
        self.surplus = frozenset() if model.addresses is None else self.virtual - judged_or_not
        self._named: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        self._backends: set[tuple[int, int, int]] = set()
        for frontend in (*(i.frontend for i in expectation.frontends), *expectation.not_judged):
            if frontend.address is not None:
                self._named[frontend.protocol, frontend.port].add(frontend.address)
        for item in expectation.frontends:
            frontend = item.frontend
            for case in item.cases:
                for outcome in case.allowed:
                    if isinstance(outcome, Serve):
                        self._backends |= {
                            (b.address, frontend.protocol, b.port)
                            for b in outcome.backends
                            if b.address in self.own or b.address in judged_or_not
                        }

    def _on_loopback(self, value: int) -> bool:
        return LOOPBACK[self._family].holds(Address(self._family, value))

    def is_local(self, value: int) -> bool:
        """Whether the kernel takes packets to it for its own."""
        return value in self.own or value in self.virtual or self._on_loopback(value)

    def named(self, frontend: Frontend) -> set[int]:
        """Addresses at which another frontend has the protocol and port of a node port."""
        return self._named[frontend.protocol, frontend.port]

    def hindrance(
        self, frontend: Frontend, to: int, wanted: Sequence[Outcome], result: Result
    ) -> Wrong | None:
        """Why a frontend cannot be there, whatever the configuration says; None if it can."""
        listens = not isinstance(result, Refused)
        serves = isinstance(wanted[0], Serve)
        name = REACHES if serves else REFUSES
        text = format_address(self._family, to)
        if Untouched() in wanted and not listens:
            return None
        if frontend.protocol == TRANSPORTS["sctp"] and serves:
            return Wrong(name, codes.NOT_PROXIED, "cannot be served: nginx does not proxy SCTP")
        if (to, frontend.protocol, frontend.port) in self._backends:
            return Wrong(
                name, codes.NOT_PROXIED,
                f"cannot be served or refused: a backend on this node listens on {text} itself",
            )  # fmt: skip
        if to in self.other_hosts and not self.is_local(to):
            return Wrong(
                name, codes.NOT_PROXIED,
                f"cannot be served: {text} is the address of {self.other_hosts[to]}",
            )  # fmt: skip
        if not self.is_local(to):
            return Wrong(
                name, codes.NEVER_REACHED if serves else codes.NOT_REFUSED,
                f"is not on this node: no device has {text}",
                missing=f"the address {text}",
            )  # fmt: skip
        return None
