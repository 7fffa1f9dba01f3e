"""A proxy's configuration judged by the objects, for one node."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, format_address
from svcc.grammar.errors import Position, Problem
from svcc.verify.confirm.causes import Cause
from svcc.verify.confirm.findings import Finding
from svcc.verify.report.report import Report
from svcc.verify.simulator.packet import PROTOCOL_NAME, endpoint_text
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import Expectation, expect
from svcc.verify.spec.properties import CAPTURES, GIVEN
from svcc.verify.userspace.judge import FrontendJudge
from svcc.verify.userspace.limits import Limit, accepting, limits
from svcc.verify.userspace.model import Listener, ProxyModel
from svcc.verify.userspace.places import Places

_MAX_NAMED = 5


def verify_proxy(
    objects: Objects,
    settings: NodeSettings,
    model: ProxyModel,
    families: Sequence[Family],
    *,
    strict: bool = False,
) -> Report:
    """Judge what a configuration does on the node of ``settings``.

    Args:
        families: those to judge.
        strict: what cannot hold in userspace mode makes the verdict undecided.
    """
    began = time.monotonic()
    report = Report(settings.node_name, rules=model.directives)
    problems: list[Problem] = []
    for family in families:
        expectation = expect(objects, settings, family)
        report.sources[family] = model.source
        places = Places(model, expectation)
        accepted = accepting(expectation)
        report.findings += FrontendJudge(model, accepted, places).findings()
        report.findings += _everything_else(model, accepted, places)
        for limit in limits(expectation):
            problems.append(_problem(limit))
            if strict:
                report.findings.append(_finding(limit, family))
        if model.addresses is None and places.virtual:
            message = "no text of addresses was given: all virtual IPs are taken to be on a device"
            where = Position(model.source)
            problems.append(Problem(where, message, "note", codes.ADDRESSES_NOT_GIVEN))
    report.problems = tuple(dict.fromkeys(problems))
    report.seconds = time.monotonic() - began
    return report


def _problem(limit: Limit) -> Problem:
    return Problem(
        Position("--mode userspace"), f"{limit.says} ({_some(limit.services)})", "note", limit.code
    )


def _finding(limit: Limit, family: Family) -> Finding:
    about = f"userspace mode ({_some(limit.services)})"
    return Finding(
        GIVEN, about, family, "undecided", code=limit.code, says=f"cannot do this: {limit.says}"
    )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _everything_else(
    model: ProxyModel, expectation: Expectation, places: Places
) -> Iterator[Finding]:
    """Listeners of no frontend, and addresses of nobody."""
    family, wrong = expectation.family, False
    if model.unknown:
        directive = model.unknown[0]
        yield Finding(
            CAPTURES, "everything else", family, "undecided", code=codes.OUTSIDE_THE_MODEL,
            says="depends on a directive of nginx that is not known",
            reason=f"{directive.file}:{directive.line}: {directive}",
        )  # fmt: skip
        return
    frontends = [item.frontend for item in expectation.frontends] + [*expectation.not_judged]
    named = {(f.address, f.protocol, f.port) for f in frontends if f.address is not None}
    node_ports = {(f.protocol, f.port) for f in frontends if f.address is None}
    for listener in model.listeners.values():
        if listener.family is family:
            for address in _captured(listener, named, node_ports, places, model):
                wrong = True
                yield _surplus(listener, address)
    for address in sorted(places.surplus):
        wrong = True
        yield _surplus_address(model, family, address, places)
    for address in sorted(places.virtual & places.other_hosts.keys() - places.surplus):
        wrong = True
        yield _cut_off(model, family, address, places)
    if not wrong:
        yield Finding(CAPTURES, "everything else", family, "proved")


def _captured(
    listener: Listener,
    named: set[tuple[int, int, int]],
    node_ports: set[tuple[int, int]],
    places: Places,
    model: ProxyModel,
) -> Iterator[int | None]:
    """The addresses at which a listener answers for no frontend; None: at any."""
    at = (listener.protocol, listener.port)
    if listener.address is not None:
        is_node_port = at in node_ports and listener.address not in places.virtual
        if (listener.address, *at) not in named and not is_node_port:
            yield listener.address
        return
    if at not in node_ports:
        yield None
        return
    for address in sorted(places.virtual):
        is_other = (listener.family, address, *at) in model.listeners
        if (address, *at) not in named and not is_other:
            yield address
            return


def _surplus(listener: Listener, address: int | None) -> Finding:
    directive, protocol = listener.directive, PROTOCOL_NAME[listener.protocol].upper()
    where = f"every address, port {listener.port}"
    if address is not None:
        where = endpoint_text(listener.family, address, listener.port)
    return Finding(
        CAPTURES, "everything else", listener.family, "violated", code=codes.CAPTURED,
        says=f"has a listener: {where}/{protocol} is no frontend",
        cause=Cause(directive.file, directive.line, "", "", str(directive), remedy="leave it out"),
    )  # fmt: skip


def _surplus_address(model: ProxyModel, family: Family, address: int, places: Places) -> Finding:
    if address in places.other_hosts:
        return _cut_off(model, family, address, places)
    text = format_address(family, address)
    return Finding(
        CAPTURES, "everything else", family, "violated", code=codes.SURPLUS_ADDRESS,
        says=f"is not left alone: the device has {text}, which no Service has",
        cause=_address_cause(model, family, address),
    )  # fmt: skip


def _cut_off(model: ProxyModel, family: Family, address: int, places: Places) -> Finding:
    text = format_address(family, address)
    return Finding(
        CAPTURES, "everything else", family, "violated", code=codes.CUTS_OFF,
        says=f"is not left alone: {text} is the address of {places.other_hosts[address]}, which "
        "this node can no longer reach",
        cause=_address_cause(model, family, address),
    )  # fmt: skip


def _address_cause(model: ProxyModel, family: Family, address: int) -> Cause:
    line = (model.addresses or {}).get(family, {}).get(address, 0)
    return Cause(
        model.addresses_file or model.source, line, "", "", format_address(family, address)
    )
