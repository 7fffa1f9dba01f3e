"""The numbers of a schema, put back in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from svcc.verify.slicing.numbering import Numbering
from svcc.verify.slicing.schema import Schema
from svcc.verify.smt.term import (
    Term,
    has_value,
)


def literals(
    schema: Schema, numbering: Numbering, declared: Mapping[str, Term], prefix: str = ""
) -> Iterator[Term]:
    """What the names of numbered addresses and ports stand for, as far as they are declared.

    ``prefix`` is what all of them begin with.
    """
    for value, number in numbering.hosts.items():
        host = declared.get(f"{prefix}H{number}")
        if host is not None:
            yield has_value(host, value)
        flag = declared.get(f"{prefix}backend_local{number}")
        if flag is not None and any(
            value & mask == address for address, mask in schema.node_networks
        ):
            yield flag
    for value, number in numbering.ports.items():
        port = declared.get(f"{prefix}P{number}")
        if port is not None:
            yield has_value(port, value)
