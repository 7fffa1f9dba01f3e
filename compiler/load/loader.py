"""Loading objects from files, folders and standard input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from svcc.compiler.allocate.claims import Needs, lock_clashes, missing
from svcc.compiler.allocate.lock import Lock
from svcc.compiler.allocate.needs import filled, needs
from svcc.compiler.api_names.fields import unknown_fields
from svcc.compiler.api_names.kinds import LISTS, READ, WORKLOADS, may_be_object, slip
from svcc.compiler.api_names.nearest import did_you_mean
from svcc.compiler.consistency.contradictions import Contradiction, Slices
from svcc.compiler.consistency.frontend_conflicts import CLASH, Conflict, conflicts
from svcc.compiler.consistency.hosts import hosts_that_do_not_fit
from svcc.compiler.consistency.node_ports import without_node_ports
from svcc.compiler.consistency.passed_over import passed_over
from svcc.compiler.load import endpoints, pods, validate, workloads
from svcc.compiler.load.document import Complaint, Place, Source, few_of_each, problems_of
from svcc.compiler.load.fields import Fields, Report
from svcc.compiler.load.inputs import STANDARD_INPUT, Input, read_inputs, source_of
from svcc.compiler.load.not_objects import in_another_format, template
from svcc.compiler.load.text import MAX_DEPTH, Path, TextError, shorten
from svcc.compiler.model.objects import (
    DEFAULT_NAMESPACE,
    Objects,
    Origin,
    PassedOver,
    PassedOverReason,
    Service,
)
from svcc.compiler.select.endpoints import missing_slices
from svcc.grammar.errors import InputError, Position, Problem

MAX_PROBLEMS = 200
MAX_KIND = 63
OWN_ANNOTATIONS = "svcc/"


def load(
    paths: Sequence[str],
    *,
    recursive: bool = False,
    exclude: Sequence[str] = (),
    stdin: BinaryIO | None = None,
    sources: Iterable[Source] = (),
    keep_going: bool = False,
    first_claims: bool = False,
    notes: bool = False,
    simulate: bool = False,
    lock: Lock | None = None,
    documents: bool = False,
) -> Objects:
    """Load all objects.

    Args:
        paths: files, folders (their *.yaml, *.yml and *.json, sorted) or ``-``.
        recursive: look into subfolders too, and pass over files that hold no object.
        exclude: patterns (fnmatch) of files and folders to leave out of folders.
        stdin: what ``-`` reads, ``sys.stdin`` by default.
        sources: inputs besides, each of a name of its own.
        keep_going: leave Services that are wrong by themselves or claim one frontend out, and
            load the others; ``Objects.not_judged`` and ``problems`` tell which and why.
        first_claims: a frontend is that of the first Service which claims it, and only the others
            are wrong.
        notes: tell which files were passed over, too.
        simulate: read what makes Pods, and Pods without a status; make no slices yet, which
            :func:`svcc.compiler.simulate.simulation.simulate` does.
        lock: numbers of the Services that have none themselves.
        documents: keep the objects as they were given, too.

    Raises:
        InputError: everything that is wrong with the input, and the warnings about it.
    """
    loader = _Loader(
        keep_going=keep_going,
        first_claims=first_claims,
        notes=notes,
        simulate=simulate,
        lock=lock,
        documents=documents,
    )
    for item in read_inputs(paths, recursive, exclude, stdin, loader.problems):
        loader.read(item)
    for source in sources:
        loader.add(source, is_file=False)
    return loader.finish()


class _Loader:
    def __init__(
        self,
        *,
        keep_going: bool,
        first_claims: bool,
        notes: bool,
        simulate: bool,
        lock: Lock | None,
        documents: bool,
    ) -> None:
        self.problems: list[Problem] = []
        self._keep_going = keep_going
        self._first_claims = first_claims
        self._notes = notes
        self._simulate = simulate
        self._lock = lock
        self._keep_documents = documents
        self._objects = Objects()
        self._complaints: list[Complaint] = []
        self._seen: dict[tuple[str, str, str], Origin] = {}
        self._sources: dict[str, Source] = {}
        self._not_in_a_file: set[str] = set()
        self._is_empty = True
        self._wrong: dict[tuple[str, str], PassedOverReason] = {}
        """Services that are wrong, by namespace and name."""
        self._is_fatal = False
        """Whether something is wrong of which nobody knows which Service it concerns."""
        self._passed_over: list[PassedOver] = []
        self._others: dict[str, PassedOver] = {}

    def read(self, item: Input) -> None:
        """Load one input."""
        try:
            source = source_of(item.name, item.data)
        except InputError as error:
            self.problems.extend(error.problems)
        else:
            is_file = item.name != STANDARD_INPUT
            self.add(source, found_below=item.found_below, is_file=is_file)

    def add(self, source: Source, *, found_below: bool = False, is_file: bool) -> None:
        """Load one input whose text is known; ``found_below`` as in an Input."""
        name = source.name
        if name in self._sources:
            message = "this input is given twice; leave one out"
            self.problems.append(Problem(Position(name), message))
            return
        self._sources[name] = source
        if not is_file:
            self._not_in_a_file.add(name)
        before = len(self._complaints)
        try:
            if (wrong := in_another_format(source.text)) is not None:
                raise wrong
            documents = source.documents()
        except TextError as error:
            self._text_error(source, template(source.text) or error)
            return
        if found_below and not any(map(may_be_object, documents)):
            if self._notes and any(value is not None for value in documents):
                self._note(source, "holds no Kubernetes object; passed over")
            return
        for number, value in enumerate(documents):
            if value is not None:
                self._is_empty = False
                self._value(value, (), 0, Report(source, number, self._complaints))
        if any(c.severity == "error" and "{{" in c.message for c in self._complaints[before:]):
            wrong = template(source.text)
            if wrong is not None:
                del self._complaints[before:]
                self._text_error(source, wrong)

    def _text_error(self, source: Source, error: TextError) -> None:
        self.problems.append(
            Problem(Position(source.name, error.line, error.column), error.message)
        )

    def _note(self, source: Source, message: str) -> None:
        self._complaints.append(Complaint(Place(source), message, severity="note"))

    def finish(self) -> Objects:
        """The objects, if nothing was wrong."""
        objects = self._objects
        if self._is_empty and not self.problems and self._sources:
            # Most likely the command before the pipe failed; no rules would come of it.
            message = "no object in this input; an empty List (items: []) says there is none"
            self.problems.append(Problem(Position(next(iter(self._sources))), message))
        if self._lock is not None:
            self._fill(self._lock)
        for found in conflicts(objects):
            if found.owner.name and found.claimant.name:
                self._conflict(found)
        if not (self._simulate or self.problems or self._is_fatal):
            objects.slices += list(missing_slices(objects, self._wrong))
        slices = Slices(objects, self._wrong)
        if not self.problems and not self._is_fatal:
            # What could not be read may be what the others seem to lack.
            self._complaints += map(self._contradiction, slices.contradictions())
            unfit = hosts_that_do_not_fit(objects, self._wrong)
            self._complaints += map(self._contradiction, unfit)
            if self._lock is None and not (self._simulate or self._keep_documents):
                unallocated = without_node_ports(objects, self._wrong)
                self._complaints += map(self._contradiction, unallocated)
        problems = self.problems + self._positioned()
        if any(problem.severity == "error" for problem in problems):
            self._leave_out()
            if self.problems or self._is_fatal or not self._keep_going or not objects.services:
                raise InputError(list(dict.fromkeys(problems)))
        objects.passed_over = (
            *self._passed_over,
            *passed_over(objects, self._wrong, slices.of_no_service),
            *self._others.values(),
        )
        objects.problems = tuple(sorted(dict.fromkeys(problems)))
        if objects.pods or self._simulate or self._keep_documents:
            # What is found of Pods is told by line; of these texts nobody can read it again.
            objects.sources = {name: self._sources[name] for name in self._not_in_a_file}
        return objects

    def _fill(self, lock: Lock) -> None:
        """Give Services what the lock has for them."""
        objects = self._objects
        asked: Needs = []
        for service in objects.services:
            try:
                found = needs(service, lock.ranges)
            except ValueError as error:
                self._wrong_service(service, str(error))
                continue
            asked.append((service, found))
            lacking = () if self._simulate else missing(found, lock.given)
            if lacking:
                what = ", ".join(str(slot).partition(" ")[2] for slot in lacking)
                run = f"svcc allocate --lock {lock.source} with all objects"
                message = (
                    f"Service {service.key} has no {what} and none in {lock.source}; run {run}"
                )
                self._wrong_service(service, message)
        clashing = set()
        for remark in lock_clashes(asked, lock):
            for service in remark.services:
                clashing.add(service.key)
                self._wrong_service(service, remark.message, "clash")
        whole = {
            service.key: filled(service, lock.ranges, lock.given)
            for service, _ in asked
            if service.key not in clashing
        }
        objects.services = [whole.get(service.key, service) for service in objects.services]

    def _wrong_service(
        self, service: Service, message: str, reason: PassedOverReason = "invalid"
    ) -> None:
        self._wrong.setdefault((service.namespace, service.name), reason)
        self._complaints.append(Complaint(self._place(service.origin), message))

    def _positioned(self) -> list[Problem]:
        complaints = list(dict.fromkeys(self._complaints))
        errors = [c for c in complaints if c.severity == "error"]
        others = few_of_each(c for c in complaints if c.severity != "error")
        problems = problems_of([*errors[:MAX_PROBLEMS], *others[:MAX_PROBLEMS]])
        more = len(errors) - MAX_PROBLEMS
        if more > 0:
            name = errors[MAX_PROBLEMS].place.source.name
            message = f"{more} more problems, not listed; mend the first {MAX_PROBLEMS}"
            problems.append(Problem(Position(name), message))
        return problems

    def _leave_out(self) -> None:
        """Take the Services that are wrong, and their slices, out of what is judged."""
        objects = self._objects
        for service in objects.services:
            if (service.namespace, service.name) in self._wrong:
                objects.not_judged.append(service)
        objects.services = [s for s in objects.services if (s.namespace, s.name) not in self._wrong]
        objects.slices = [
            item for item in objects.slices if (item.namespace, item.service) not in self._wrong
        ]

    def _conflict(self, found: Conflict) -> None:
        owner, claimant = found.owner, found.claimant
        for service in (claimant,) if self._first_claims else (owner, claimant):
            self._wrong.setdefault((service.namespace, service.name), "clash")
        self._complaints.append(
            Complaint(
                self._place(claimant.origin),
                f"Services {owner.key} and {claimant.key} both claim {found.frontend}; "
                f"{owner.key} stands at ",
                self._place(owner.origin),
                "; change one of them",
                code=CLASH,
            )
        )

    def _contradiction(self, found: Contradiction) -> Complaint:
        place = replace(self._place(found.origin), path=(*found.origin.path, *found.path))
        return Complaint(place, found.message, severity="warning", alike=found.alike)

    def _place(self, origin: Origin) -> Place:
        return Place(self._sources[origin.file], origin.document, origin.path)

    def _value(self, value: Any, path: Path, depth: int, report: Report) -> None:
        before = report.errors
        self._object_or_list(value, path, depth, report)
        if report.errors > before:
            self._is_fatal = True

    def _object_or_list(self, value: Any, path: Path, depth: int, report: Report) -> None:
        if not isinstance(value, dict):
            report.wrong(path, "this is no Kubernetes object; it needs apiVersion and kind")
            return
        kind, version = value.get("kind"), value.get("apiVersion")
        if not isinstance(kind, str) or not isinstance(version, str) or not kind or not version:
            missing = "kind" if not isinstance(kind, str) or not kind else "apiVersion"
            report.wrong(path, f"{missing} is missing; every object needs apiVersion and kind")
            return
        if not (len(kind) <= MAX_KIND and kind.isascii() and kind.isalnum()):
            report.wrong((*path, "kind"), f"kind: {shorten(kind)} is no kind of object")
            return
        if kind in LISTS:
            self._list(value, path, depth, report)
            return
        origin = Origin(report.source.name, report.document, path)
        if self._makes_pods(kind, version, value):
            if self._simulate:
                self._object(kind, version, value, origin, report)
            else:
                self._other_kind(kind, version, origin)
        elif (kind, version) in READ:
            self._object(kind, version, value, origin, report)
        elif (wrong := slip(kind, version[:MAX_KIND])) is not None:
            field, message = wrong
            report.wrong((*path, field), f"{field}: {message}")
        elif kind == "Status" and version == "v1" and value.get("status") == "Failure":
            said = shorten(str(value.get("message", "")))
            report.wrong(path, f"this is no object, but an answer of the API server: {said}")
        else:
            self._other_kind(kind, version, origin)

    def _makes_pods(self, kind: str, version: str, value: dict[str, Any]) -> bool:
        if kind == "Pod" and version == "v1":
            return not pods.is_in_a_cluster(value)
        return (kind, version) in WORKLOADS

    def _other_kind(self, kind: str, version: str, origin: Origin) -> None:
        counts = self._objects.skipped_kinds
        counts[kind] = counts.get(kind, 0) + 1
        before = self._others.get(kind)
        self._others[kind] = (
            replace(before, count=before.count + 1)
            if before
            else PassedOver(kind, "", "other-kind", origin, api_version=version)
        )

    def _list(self, value: dict[str, Any], path: Path, depth: int, report: Report) -> None:
        items = value.get("items")
        if items is None:
            return
        if not isinstance(items, list) or depth > MAX_DEPTH:
            report.wrong((*path, "items"), "items: this must be a list of objects")
            return
        for index, item in enumerate(items):
            if value["kind"] != "List" and isinstance(item, dict) and "kind" not in item:
                # The API leaves kind and apiVersion out in typed lists.
                item = {
                    "kind": value["kind"].removesuffix("List"),
                    "apiVersion": value["apiVersion"],
                    **item,
                }
            self._value(item, (*path, "items", index), depth + 1, report)

    def _object(
        self, kind: str, version: str, value: dict[str, Any], origin: Origin, report: Report
    ) -> None:
        """Read an object. What is wrong with one of a Service's is noted as that Service's."""
        before = report.errors
        fields = Fields(value, origin.path, report)
        objects = self._objects
        if self._keep_documents:
            objects.documents[origin] = value
        is_first = self._first(kind, fields, origin, report)
        of_service = None
        if not is_first:
            pass
        elif kind == "Service":
            objects.services.append(validate.service(fields, origin))
        elif kind == "Node":
            objects.nodes.append(validate.node(fields, origin))
        elif kind == "Endpoints":
            objects.slices.extend(endpoints.endpoints(fields, origin))
        elif self._makes_pods(kind, version, value):
            objects.workloads.append(workloads.workload(kind, fields, origin))
        elif kind == "Pod":
            objects.pods.append(pods.pod(fields, origin))
        elif kind == "HostList":
            self._hosts(fields, origin, report)
        else:
            found = endpoints.endpoint_slice(fields, origin)
            if isinstance(found, PassedOver):
                self._passed_over.append(found)
            else:
                objects.slices.append(found)
        if is_first:
            for unknown in unknown_fields(kind, version, value):
                fields.unknown(unknown.path, kind, unknown.meant, unknown.elsewhere)
            meta = value.get("metadata")
            if isinstance(meta, dict) and "annotations" in meta:
                _tell_unknown_annotations(kind, fields)
        if report.errors > before:
            of_service = validate.service_of(kind, value)
            if of_service is not None:
                reason: PassedOverReason = "invalid" if kind == "Service" else "invalid-endpoints"
                self._wrong.setdefault(of_service, reason)
                report.errors = before

    def _hosts(self, fields: Fields, origin: Origin, report: Report) -> None:
        for host in pods.hosts(fields, origin):
            before = self._seen.setdefault(("host", host.namespace, host.name), host.origin)
            if before is not host.origin:
                self._again("host", host.key, host.origin, before, report)
            self._objects.pods.append(host)

    def _first(self, kind: str, fields: Fields, origin: Origin, report: Report) -> bool:
        """Note an object's name; False if the same object was there before."""
        meta = fields.raw("metadata")
        if not isinstance(meta, dict):
            return True
        namespace, name = meta.get("namespace"), meta.get("name")
        if not isinstance(name, str):
            return True
        if kind == "HostList":
            return True
        if kind == "Node":
            namespace = ""
        elif not isinstance(namespace, str) or not namespace:
            namespace = DEFAULT_NAMESPACE
        key = (kind, namespace, name)
        before = self._seen.setdefault(key, origin)
        if before is origin:
            return True
        shown = name if kind == "Node" else f"{namespace}/{name}"
        self._again(kind, shown, origin, before, report)
        return False

    def _again(self, kind: str, shown: str, origin: Origin, before: Origin, report: Report) -> None:
        report.wrong(
            origin.path,
            f"{kind} {shorten(shown)} stands here for the second time, first at ",
            self._place(before),
            "; leave one out",
        )


def _tell_unknown_annotations(kind: str, fields: Fields) -> None:
    annotations = fields.object("metadata").object("annotations")
    known = validate.ANNOTATIONS if kind == "Service" else ()
    for name in annotations.names():
        if name.startswith(OWN_ANNOTATIONS) and name not in known:
            message = f"svcc knows no such annotation of {kind}{did_you_mean(name, known)}"
            annotations.warn(name, message, at_name=True)
