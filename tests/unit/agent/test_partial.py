"""What changed is looked at alone, and leads where looking at everything would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest

import svcc.api
from svcc.agent.partial import Part, Partial
from svcc.agent.sources.documents import Changes
from svcc.api import NodeSettings, NotProvedError, Objects
from svcc.apply import modes
from svcc.apply.iptables.tool import Iptables
from svcc.apply.nftables.read import Reading
from svcc.apply.outcome import Outcome
from svcc.compiler.model.objects import EndpointSlice, Origin, Service
from svcc.compiler.pipeline import Compiled, compile_objects
from svcc.grammar.nftables.parse import parse
from svcc.grammar.nftables.program import Element, Goto, Number, Ruleset
from svcc.grammar.nftables.write import write
from svcc.verify.partial.differences import Elements, Subject, changed_elements, differences
from svcc.verify.prepare.loaded import EVERYTHING
from svcc.verify.rule_files import of_nftables
from tests.support.clusters.changing_documents import ChangingDocuments
from tests.support.damage.random_edits import edited_nftables
from tests.support.effort import LONG
from tests.support.proofs import verify


def settings_of(objects: Objects) -> NodeSettings:
    return svcc.api.node_settings(
        objects, node="node-a", node_ip=["192.168.7.10", "fd00:7::10"], mode="nftables",
        cluster_cidr="10.244.0.0/16,fd00:244::/64",
    )  # fmt: skip


def load(changes: Changes) -> Objects:
    documents = [document for _, document in sorted(changes.documents.items())]
    return svcc.api.load(objects=[{"apiVersion": "v1", "kind": "List", "items": documents}])


def fresh(changes: Changes) -> tuple[Objects, Compiled]:
    objects = load(changes)
    return objects, compile_objects(objects, settings_of(objects))


def partial_of(changes: Changes) -> Partial:
    objects, compiled = fresh(changes)
    assert compiled.tables is not None
    reading = Reading(compiled.tables, 1)
    return Partial(
        changes.documents, objects, compiled.forwarding, reading, comments=True, proves=True
    )


def unplaced(objects: Iterable[Service | EndpointSlice]) -> list[str]:
    """The objects, wherever they stood."""
    return sorted(repr(replace(item, origin=Origin("x"))) for item in objects)


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Ruleset, Ruleset]]:
    """What is given to the kernel: the parts before and after."""
    found: list[tuple[Ruleset, Ruleset]] = []

    def apply_part(
        reading: Reading, wanted: Ruleset, before: Ruleset, after: Ruleset, *_: Any, **__: Any
    ) -> Outcome:
        found.append((before, after))
        return Outcome((), reading=Reading(wanted, reading.generation + 1))

    monkeypatch.setattr(modes, "apply_part", apply_part)
    return found


def sync(partial: Partial, changes: Changes) -> Part | None:
    return partial.sync(changes, Iptables(), None, lambda _: None)


@pytest.mark.parametrize("seed", range(100 if LONG else 5))
def test_each_change_leads_where_everything_does(seed: int) -> None:
    cluster = ChangingDocuments(Random(seed), 8)
    partial = partial_of(cluster.documents.take())
    done = 0
    for _ in range(100 if LONG else 25):
        cluster.step()
        changes = cluster.documents.take()
        _, compiled = fresh(changes)
        assert compiled.tables is not None
        if not changes.changed or sync(partial, changes) is None:
            partial = partial_of(changes)
            continue
        done += 1
        assert partial.reading is not None
        assert partial.reading.tables == compiled.tables
        assert partial.forwarding.service_ports == compiled.forwarding.service_ports
        now, wanted = partial.objects(), load(changes)
        for of, others in ((now.services, wanted.services), (now.slices, wanted.slices)):
            assert unplaced(of) == unplaced(others)
    assert done > 3


def test_a_change_is_a_few_elements(sent: list[tuple[Ruleset, Ruleset]]) -> None:
    random = Random(3)
    cluster = ChangingDocuments(random, 60)
    partial = partial_of(cluster.documents.take())
    cluster.change_endpoints(7)
    changes = cluster.documents.take()
    assert changes.changed
    assert sync(partial, changes) is not None
    assert partial.reading is not None
    ((_, after),) = sent
    count = sum(len(s.elements) for t in after.tables.values() for s in t.sets.values())
    whole = partial.reading.tables
    everything = sum(len(s.elements) for t in whole.tables.values() for s in t.sets.values())
    assert 0 < count < everything / 4


@pytest.mark.parametrize("kind", ["Node", "Endpoints", "Pod"])
def test_other_kinds_have_everything_looked_at(kind: str) -> None:
    cluster = ChangingDocuments(Random(1), 4)
    partial = partial_of(cluster.documents.take())
    cluster.documents.put(
        "cluster", {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": "y"}}
    )
    assert sync(partial, cluster.documents.take()) is None


def test_a_frontend_of_two_services_has_everything_looked_at() -> None:
    cluster = ChangingDocuments(Random(1), 4)
    partial = partial_of(cluster.documents.take())
    one, other = cluster._there[0][0], cluster._there[1][0]
    taken = {
        **other,
        "spec": {**other["spec"], "externalIPs": [one["spec"]["clusterIP"]], "ports": [
            {**one["spec"]["ports"][0], "nodePort": 32000}]},
    }  # fmt: skip
    cluster.documents.put("cluster", taken)
    assert sync(partial, cluster.documents.take()) is None


DAMAGE = ("element", "backend", "chain", "other")


def damaged(tables: Ruleset, kind: str, random: Random) -> Ruleset:
    """The tables with something wrong."""
    made = parse(write(tables), source="x")
    table = made.tables["ip", "svcc"]
    services = table.sets["services"].elements
    served = [key for key, element in services.items() if element.data != Goto("refuse")]
    if kind == "element":
        del services[random.choice(served)]
    elif kind == "backend":
        maps = [s for name, s in table.sets.items() if name.startswith("backends-")]
        elements = random.choice(maps).elements
        key = random.choice(list(elements))
        elements[key] = Element(key, next(iter(elements.values())).data)
        data = elements[key].data
        assert data is not None
        part = getattr(data, "parts")[0]  # noqa: B009
        elements[key] = Element(key, type(data)((part, Number(9999))))  # type: ignore[call-arg,arg-type]
    elif kind == "chain":
        services[random.choice(served)].data = Goto("refuse")
    else:
        chain = table.chains["to-services"]
        del chain.rules[0]
    return made


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("seed", range(4))
def test_what_is_compiled_wrong_is_not_loaded(
    kind: str, seed: int, monkeypatch: pytest.MonkeyPatch, sent: list[tuple[Ruleset, Ruleset]]
) -> None:
    """Whichever Service it hits: what changed of another one is noticed, too."""
    random = Random(seed)
    cluster = ChangingDocuments(random, 8)
    partial = partial_of(cluster.documents.take())
    original = partial._tables

    def tables(*given: Any) -> Ruleset:
        return damaged(original(*given), kind, random)

    monkeypatch.setattr(partial, "_tables", tables)
    number = next(n for n, made in cluster._there.items() if len(made) > 1)
    cluster.change_endpoints(number)
    changes = cluster.documents.take()
    with suppress(NotProvedError):
        assert sync(partial, changes) is None
    assert not sent


def changes_of(random: Random, text: str) -> Iterator[Ruleset]:
    for _ in range(400 if LONG else 25):
        try:
            yield parse(edited_nftables(random, text), source="x")
        except svcc.api.InputError:
            continue


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20 if LONG else 2))
def test_a_part_is_judged_as_the_whole(seed: int) -> None:
    """Tables with any change: where the whole is wrong, so is the part that differs."""
    random = Random(seed)
    cluster = ChangingDocuments(random, 5)
    changes = cluster.documents.take()
    objects, compiled = fresh(changes)
    assert compiled.tables is not None
    right, settings = compiled.tables, compiled.settings
    index = partial_of(changes)._index
    seen = {"all": 0, "proved": 0, "violated": 0}
    for wrong in changes_of(random, write(right)):
        changed = changed_elements(right, wrong)
        about = differences(right, wrong, changed)
        if about is None:
            seen["all"] += 1
            continue
        names = index.named(about)
        whole = verify(objects, settings, of_nftables(write(wrong), "x", whole=EVERYTHING))
        subject = about | index.subject(names)
        elements = Elements(right)
        elements.follow(wrong, changed)
        text = write(elements.part(subject))
        part = verify(index.part(names), settings, of_nftables(text, "x", whole=EVERYTHING))
        seen[part.verdict] = seen.get(part.verdict, 0) + 1
        assert (part.verdict == "proved") <= (whole.verdict == "proved"), (about, part.findings)
    assert seen["violated"] > 2, seen


def test_what_elements_name() -> None:
    text = """\
table ip svcc {
	map m {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 10.96.0.1 . tcp . 80 : goto a, 10.96.0.2 . tcp . 80 : goto a }
	}
	map n {
		type inet_proto . inet_service : verdict
		elements = { tcp . 30080 : goto b }
	}
	chain a {
		drop
	}
	chain b {
		drop
	}
	chain base {
		type nat hook prerouting priority -100; policy accept;
		ip daddr . meta l4proto . th dport vmap @m
		meta l4proto . th dport vmap @n
	}
}
"""
    old = parse(text, source="x")

    def about(changed: str) -> Subject | None:
        new = parse(changed, source="x")
        return differences(old, new, changed_elements(old, new))

    found = about(text.replace("10.96.0.2 . tcp . 80 : goto a", "10.96.0.2 . tcp . 81 : goto a"))
    assert found is not None
    assert [str(a) for a in found.addresses] == ["10.96.0.2"]
    found = about(text.replace("chain a {\n\t\tdrop", "chain a {\n\t\taccept"))
    assert found is not None
    assert sorted(str(a) for a in found.addresses) == ["10.96.0.1", "10.96.0.2"]
    found = about(text.replace("chain b {\n\t\tdrop", "chain b {\n\t\taccept"))
    assert found == Subject(ports=frozenset({30080}))
    assert about(text.replace("priority -100", "priority -99")) is None
    assert about(text) == Subject()
    assert about(text.replace("\t\tmeta l4proto . th dport vmap @n\n", "")) is None
    assert about(text.replace("\t\tip daddr . meta", "\t\tjump a\n\t\tip daddr . meta")) is None
    assert about(text + "table ip6 svcc {\n}\n") is None


def test_elements_that_are_looked_up_by_something_else_tell_nothing() -> None:
    text = """\
table ip svcc {
	map n {
		type inet_proto . inet_service : verdict
		elements = { tcp . 30080 : drop }
	}
	chain base {
		type nat hook prerouting priority -100; policy accept;
		meta l4proto . th sport vmap @n
	}
}
"""
    old = parse(text, source="x")
    new = parse(text.replace("30080", "30081"), source="x")
    assert differences(old, new, changed_elements(old, new)) is None
    assert not Elements(old).are_told
    # Once looked at, a chain that stays is not looked at again.
    new.tables["ip", "svcc"].chains = old.tables["ip", "svcc"].chains
    assert differences(old, new, changed_elements(old, new)) == Subject(
        ports=frozenset({30080, 30081})
    )
