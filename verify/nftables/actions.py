"""What statements do, as targets of iptables.

Source: nft(8), "STATEMENTS"; net/netfilter/nft_nat.c, nft_masq.c, nft_redir.c, nft_reject.c.
"""

from __future__ import annotations

from svcc.grammar.address import Address, Family
from svcc.grammar.iptables.program import (
    Masquerade,
    NatTarget,
    Option,
    OtherTarget,
    SetMark,
    Target,
)
from svcc.grammar.nftables.program import (
    Concatenation,
    Expression,
    Field,
    Nat,
    Number,
    Operation,
    Range,
    SetField,
)
from svcc.verify.nftables.fields import FULL_MARK, OutsideError, number_range

_MARK = ("meta mark", "mark")
_OF_NO_MATTER = (
    "meta nftrace", "meta priority", "ip dscp", "ip6 dscp", "ip6 flowlabel", "tcp option",
    "ct event", "ct label", "meta secmark", "ct secmark",
)  # fmt: skip
"""What a rule may set without any match of the model looking at it."""


def outside(text: str) -> OtherTarget:
    """A target that is not in the model, by the statement's text."""
    return OtherTarget("nft", (Option(text),))


def of_other_version(statement: Nat, family: Family) -> bool:
    """Whether a translation is for packets of the other IP version (table inet)."""
    if statement.family is not None:
        return statement.family != ("ip" if family is Family.IPV4 else "ip6")
    address = statement.address
    if isinstance(address, Concatenation) and address.parts:
        address = address.parts[0]
    if isinstance(address, Range) and isinstance(address.first, Address):
        address = address.first
    return isinstance(address, Address) and address.family is not family


def translation(statement: Nat, data: Expression | None) -> Target:
    """The target of a translation; ``data`` is what a map gave, in place of its address.

    Raises:
        OutsideError: it is not in the model.
    """
    if not set(statement.flags) <= {"random", "fully-random", "persistent"}:
        raise OutsideError
    random = "random" in statement.flags
    fully = "fully-random" in statement.flags
    address = statement.address if data is None else data
    port = statement.port
    if isinstance(address, Concatenation):
        if len(address.parts) != 2 or port is not None:
            raise OutsideError
        address, port = address.parts
    first_port, last_port = (None, None) if port is None else number_range(port, 1)
    if statement.kind == "masquerade":
        if address is not None:
            raise OutsideError
        return Masquerade(first_port, last_port, random, fully)
    if statement.kind == "redirect":
        if address is not None:
            raise OutsideError
        return NatTarget(
            name="REDIRECT",
            first_port=first_port,
            last_port=last_port,
            random=random,
            random_fully=fully,
        )
    first, last = _addresses(address)
    return NatTarget(
        name="DNAT" if statement.kind == "dnat" else "SNAT",
        first_address=first,
        last_address=last,
        first_port=first_port,
        last_port=last_port,
        random=random,
        random_fully=fully,
        persistent="persistent" in statement.flags,
    )


def _addresses(address: Expression | None) -> tuple[int | None, int | None]:
    match address:
        case None:
            return None, None
        case Address(_, value):
            return value, None
        case Range(Address(_, first), Address(_, last)):
            return first, last
        case _:
            raise OutsideError


def setting(statement: SetField, value: Expression) -> Target | None:
    """The target of ``FIELD set VALUE``; None: it does nothing that matters.

    Raises:
        OutsideError: it is not in the model.
    """
    name = statement.field.name
    if name in _MARK:
        if value == Field("ct mark"):
            return OtherTarget("CONNMARK", (Option("--restore-mark"),))
        kept, changed = _bits(value, _MARK)
        return SetMark(changed, ~kept & FULL_MARK)
    if name == "ct mark":
        if isinstance(value, Field) and value.name in _MARK:
            return OtherTarget("CONNMARK", (Option("--save-mark"),))
        kept, changed = _bits(value, ("ct mark",))
        mask = ~kept & FULL_MARK
        return OtherTarget("CONNMARK", (Option("--set-xmark", (f"{changed:#x}/{mask:#x}",)),))
    if name.startswith(_OF_NO_MATTER):
        return None
    raise OutsideError


def _bits(value: Expression, own: tuple[str, ...]) -> tuple[int, int]:
    """A value as what is kept of the field and what is then turned: (field & kept) ^ turned."""
    match value:
        case Number(number):
            return 0, number & FULL_MARK
        case Field(name) if name in own:
            return FULL_MARK, 0
        case Operation(operator, left, Number(number)):
            kept, turned = _bits(left, own)
            if operator == "&":
                return kept & number, turned & number
            if operator == "|":
                return kept & ~number, turned & ~number | number
            if operator == "^":
                return kept, turned ^ number
    raise OutsideError
