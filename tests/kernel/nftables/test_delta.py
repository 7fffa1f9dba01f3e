"""What a transaction makes of the tables that were there is what a fresh load makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from svcc.apply.nftables.delta import delta
from svcc.compiler.lower.nftables.lowering import lower
from svcc.compiler.resolve.resolver import resolve
from svcc.grammar.nftables.program import Ruleset
from svcc.grammar.nftables.write import write
from tests.support.clusters.cases import case_names, case_objects
from tests.support.kernel.namespace import Namespace, missing, namespace

pytestmark = pytest.mark.kernel

PAIRS = list(pairwise([*case_names(), case_names()[0]]))


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Namespace, Namespace]]:
    if reason := missing():
        pytest.skip(reason)
    with namespace() as one, namespace() as other:
        yield one, other


def tables_of(name: str) -> Ruleset:
    return lower(resolve(*case_objects(name, "nftables")))


def load(node: Namespace, script: str) -> None:
    node.run("nft", "-f", "-", text=script)


def listed(node: Namespace) -> list[str]:
    """The rule set without the order of elements, sets and chains, which the kernel chooses."""
    text = node.run("nft", "-s", "list", "ruleset")
    text = re.sub(r",\n\s+", ", ", text)
    blocks = []
    for block in re.split(r"\n(?=\t(?:set|map|chain) |table )", text):
        found = re.search(r"elements = \{ (.*) \}", block)
        elements = sorted(re.split(", (?=[0-9a-f]|tcp|udp|sctp)", found.group(1))) if found else []
        blocks.append(re.sub(r"elements = .*", "", block).strip(" \n\t}") + "\n".join(elements))
    return sorted(blocks)


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=[f"{a}-to-{b}" for a, b in PAIRS])
def test_a_transaction_and_a_fresh_load(
    before: str, after: str, nodes: tuple[Namespace, Namespace]
) -> None:
    changed, fresh = nodes
    old, new = tables_of(before), tables_of(after)
    load(changed, "flush ruleset\n" + write(old))
    load(changed, delta(old, new).script)
    load(fresh, "flush ruleset\n" + write(new))
    assert listed(changed) == listed(fresh)


@pytest.mark.parametrize("name", case_names())
def test_nothing_changes_nothing(name: str) -> None:
    assert delta(tables_of(name), tables_of(name)).lines == []
