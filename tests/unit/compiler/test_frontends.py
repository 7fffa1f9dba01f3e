"""What dump ir says of frontends is what packets must see, by the verifier's own reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from svcc.api.inputs import load
from svcc.api.settings import load_configuration, node_settings
from svcc.compiler.resolve.frontends import HAIRPIN, Treatment, frontends_of
from svcc.compiler.resolve.resolver import resolve
from svcc.grammar.address import LOOPBACK, Address, Family
from svcc.verify.spec.expectation import FrontendExpectation, expect
from svcc.verify.spec.outcomes import Discard, Refuse, Serve
from svcc.verify.spec.packet_conditions import DestinationIn
from tests.support.clusters.cases import case_names, read_case

Seen = set[tuple[str, frozenset[tuple[int, int]], bool]]
"""(what is done, to which backends, whether with a new source)."""


def said(treatments: tuple[Treatment, ...]) -> Seen:
    found: Seen = set()
    for each in treatments:
        backends = frozenset((b.address, b.port) for b in each.backends)
        rewritten = {True, False} if each.masqueraded.startswith("all but") else {True}
        for new_source in {False} if each.masqueraded in ("", HAIRPIN) else rewritten:
            found.add((each.action, backends, new_source))
    return found


def on_loopback(atom: DestinationIn) -> bool:
    return not atom.negated and all(n.overlaps(LOOPBACK[n.family]) for n in atom.networks)


def wanted(item: FrontendExpectation) -> Seen:
    found: Seen = set()
    for case in item.cases:
        first = case.allowed[0]
        loopback = any(isinstance(a, DestinationIn) and on_loopback(a) for a in case.condition)
        if loopback and isinstance(first, Discard):
            # That loopback is for the node alone is said of the frontend as a whole.
            continue
        match first:
            case Serve(backends, masquerade, _):
                ends = frozenset((b.address, b.port) for b in backends)
                found.add(("serve", ends, bool(masquerade)))
            case Refuse():
                found.add(("refuse", frozenset(), False))
            case Discard():
                found.add(("drop", frozenset(), False))
            case _:
                pass
    return found


@pytest.mark.parametrize("name", case_names())
def test_frontends_are_what_is_wanted(name: str, tmp_path: Path) -> None:
    objects_file, config = read_case(name).write(tmp_path)
    objects = load(objects_file)
    settings = node_settings(objects, load_configuration(config))
    shown = {
        (port.family, port.label, port.protocol, f.kind, f.address, f.port): said(f.treatments)
        for port in resolve(objects, settings).service_ports
        for f in frontends_of(port, settings)
    }
    for family in Family:
        for item in expect(objects, settings, family).frontends:
            f = item.frontend
            key = (family, f.service, f.protocol, f.kind, f.address, f.port)
            if key not in shown:
                # No address of the node answers it, or none but the node could reach it.
                where = None if f.address is None else Address(family, f.address)
                assert LOOPBACK[family].holds(where) if where else not wanted(item)
                continue
            assert shown.pop(key) == wanted(item), f
    assert not shown
