"""The frontends that a person names: a Service, a port of one, or an address with its port."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from svcc.api.errors import InputError, bad_input

if TYPE_CHECKING:
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Address, Family

EXAMPLE = "shop/web, shop/web:http or 10.96.0.10:80/tcp"


@dataclass(frozen=True, slots=True)
class FrontendName:
    """What was asked for: ``service`` (``namespace/name`` or ``namespace/name:port``), or an
    address and port; ``protocol`` None: any. ``on_node``: the address is one of the node's own.
    """

    text: str
    service: str = ""
    address: Address | None = None
    port: int = 0
    protocol: int | None = None
    on_node: bool = False

    def fits(
        self, family: Family, label: str, address: int | None, port: int, protocol: int
    ) -> bool:
        """Whether it names a frontend of a Service port called ``label``; ``address`` None: a
        node port, which the node's own addresses name.
        """
        if self.address is None:
            return self.service in (label, label.partition(":")[0])
        if (self.address.family, self.port) != (family, port):
            return False
        if self.protocol not in (None, protocol):
            return False
        return self.on_node if address is None else address == self.address.value


def read_frontend_name(text: str, settings: NodeSettings) -> FrontendName:
    """A frontend's or Service's name, as a person writes it.

    Raises:
        InputError: it is neither.
    """
    from svcc.grammar.address import LOOPBACK
    from svcc.verify.questions.targets import QuestionError, read_destination

    before, _, behind = text.partition("/")
    if behind and ":" not in before:
        return FrontendName(text, service=text)
    try:
        address, port, protocol = read_destination(text)
    except QuestionError as error:
        raise bad_input("SERVICE", f"{error}; name for example {EXAMPLE}") from None
    local = address in settings.addresses or LOOPBACK[address.family].holds(address)
    return FrontendName(text, "", address, port, protocol if behind else None, local)


def unknown_frontend(name: FrontendName, labels: Iterable[str]) -> InputError:
    """The error that nothing has this name; ``labels`` are what Service ports are called."""
    from svcc.compiler.api_names.nearest import did_you_mean

    known = sorted(set(labels))
    if name.address is not None:
        return bad_input("SERVICE", f"{name.text} is no frontend on this node")
    wants_port = ":" in name.service
    names = known if wants_port else sorted({label.partition(":")[0] for label in known})
    if not names:
        return bad_input("SERVICE", f"{name.text!r} is no Service: there are no frontends at all")
    hint = did_you_mean(name.service, names)
    if not hint:
        some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        hint = f"; there are {some}"
    return bad_input("SERVICE", f"{name.text!r} is no Service with frontends{hint}")
