"""What is inside: how svcc forwards a frontend, and how it proves that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from svcc.api.compilation import compiled_for
from svcc.api.errors import bad_input, needs_rules
from svcc.api.inside.frontend_names import FrontendName, read_frontend_name, unknown_frontend
from svcc.api.own_rules import rules_or_own
from svcc.grammar.address import Address, Family
from svcc.verify.explain import EndlessError
from svcc.verify.inspection import Inspector
from svcc.verify.report.kept_rules import region_slice
from svcc.verify.report.smt_script import direction, script_text
from svcc.verify.slicing.slicer import SliceTooLargeError

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.api.rules import Rules
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.resolve.forwarding import ServicePort
    from svcc.compiler.resolve.frontends import Frontend
    from svcc.compiler.settings.node import NodeSettings
    from svcc.verify.report.kept_rules import RegionSlice
    from svcc.verify.slicing.regions import Region


@dataclass(frozen=True, slots=True)
class ForwardedPort:
    """One port of a Service as the node forwards it, and those of its frontends that were
    asked for. ``scheduler``: the IPVS scheduler; None where chance gives equal shares.
    """

    port: ServicePort
    frontends: tuple[Frontend, ...]
    scheduler: str | None


@dataclass(frozen=True, slots=True)
class SmtScript:
    """A question to Z3: a name for its file without the ending, and the whole script."""

    name: str
    text: str


def dump_ir(
    objects: Objects,
    settings: NodeSettings,
    what: str,
    *,
    family: Family | None = None,
    note: Note | None = None,
) -> list[ForwardedPort]:
    """What the compiler decided for a frontend, or all of a Service.

    Args:
        objects: from :func:`svcc.api.load`.
        settings: the node's.
        what: ``NAMESPACE/NAME``, ``NAMESPACE/NAME:PORT`` or ``ADDRESS:PORT[/PROTOCOL]``.
        family: show no other.
        note: is told what a person should know.

    Raises:
        InputError: nothing has this name, or compiling fails.
    """
    from svcc.compiler.resolve.frontends import frontends_of

    name = read_frontend_name(what, settings)
    ports = compiled_for(objects, settings, note=note).forwarding.service_ports
    found = []
    for port in ports:
        frontends = tuple(
            frontend
            for frontend in frontends_of(port, settings)
            if name.fits(port.family, port.label, frontend.address, frontend.port, port.protocol)
        )
        if frontends and family in (None, port.family):
            scheduler = port.scheduler or settings.ipvs.scheduler
            ipvs = scheduler if settings.mode == "ipvs" else None
            found.append(ForwardedPort(port, frontends, ipvs))
    if not found:
        raise unknown_frontend(name, (port.label for port in ports))
    return found


def dump_slices(
    objects: Objects,
    settings: NodeSettings,
    what: str,
    rules: Rules | None = None,
    *,
    family: Family | None = None,
    note: Note | None = None,
) -> list[RegionSlice]:
    """What the regions of a frontend, or all of a Service, keep of the rules.

    A region of which too much is left to be written out is told to ``note``.

    Args, Raises: as :func:`dump_ir`; ``rules`` None: those that svcc compiles for the node.
    """
    name = read_frontend_name(what, settings)
    found = []
    for inspector, region in _regions(objects, settings, name, rules, family, note):
        try:
            cut = inspector.cut(region)
        except SliceTooLargeError:
            if note is not None:
                note(f"note: too many rules touch {_packets(region)} to be written out")
            continue
        found.append(region_slice(region, cut, inspector.family, inspector.source))
    return found


def dump_smt(
    objects: Objects,
    settings: NodeSettings,
    what: str,
    rules: Rules | None = None,
    *,
    family: Family | None = None,
    note: Note | None = None,
) -> list[SmtScript]:
    """The questions that Z3 is asked about the regions of a frontend, or all of a Service.

    Args, Raises: as :func:`dump_ir`; ``rules`` None: those that svcc compiles for the node.
    """
    name = read_frontend_name(what, settings)
    found = []
    for inspector, region in _regions(objects, settings, name, rules, family, note):
        proof = inspector.proof(region)
        stem = _file_stem(region)
        for number, question in enumerate(proof.questions, 1):
            text = script_text(region, question, f"{number}/{len(proof.questions)}")
            found.append(SmtScript(f"{stem}-{number}", text))
        if not proof.questions and note is not None:
            reasons = {finding.reason for finding in proof.findings if finding.reason}
            why = "; ".join(sorted(reasons)) or "what would violate a property is plainly false"
            note(f"note: nothing was asked about {_packets(region)}: {why}")
    return found


def _packets(region: Region) -> str:
    return f"{region.name}, {direction(region)}"


def _file_stem(region: Region) -> str:
    frontend = region.frontend
    assert frontend is not None
    place = "node-port"
    if frontend.address is not None:
        place = str(Address(frontend.family, frontend.address)).replace(":", "_")
    protocol = str(frontend).partition("/")[2].partition(" ")[0].lower()
    side = "node" if region.from_node else "wire"
    label = frontend.family.label
    return f"{label}-{place}-{frontend.port}-{protocol}-from-{side}"


def _regions(
    objects: Objects,
    settings: NodeSettings,
    name: FrontendName,
    rules: Rules | None,
    only: Family | None,
    note: Note | None,
) -> Iterator[tuple[Inspector, Region]]:
    """The regions of the frontends that are named, in each family that there are rules of."""
    needs_rules(settings, "nginx has no rules to be cut; svcc dump ir shows what was decided")
    labels: set[str] = set()
    anything = False
    for family, item in rules_or_own(objects, settings, rules, only, note).items():
        try:
            inspector = Inspector(objects, settings, family, item)
        except EndlessError as endless:
            message = f"the walk through these rules does not end: {endless}"
            raise bad_input(endless.source, message) from None
        for region in inspector.regions():
            frontend = region.frontend
            if frontend is None:
                continue
            labels.add(frontend.service)
            place = (frontend.address, frontend.port, frontend.protocol)
            if name.fits(family, frontend.service, *place):
                anything = True
                yield inspector, region
    if not anything:
        raise unknown_frontend(name, labels)
