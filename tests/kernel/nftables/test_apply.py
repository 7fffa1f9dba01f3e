"""Apply in nftables mode on a real kernel: what changes, what does not, and what survives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from svcc.api import load, node_settings
from svcc.api.applying.order import check
from svcc.apply import engine, modes, removal
from svcc.apply.iptables.tool import Iptables, Variant
from svcc.apply.moments import Judge, Moment
from svcc.apply.nftables import read
from svcc.apply.nftables.steps import Transact
from svcc.apply.outcome import Outcome
from svcc.apply.system import sysctl
from svcc.apply.system.errors import ApplyError
from svcc.apply.system.tools import Result, run_tool
from svcc.compiler.pipeline import Compiled, compile_objects
from svcc.grammar.address import Family, parse_address
from tests.support.kernel.foreign_rules import load_foreign, saved
from tests.support.kernel.namespace import Namespace, missing, namespace
from tests.support.kernel.wire import Wire

pytestmark = pytest.mark.kernel

VIP = {Family.IPV4: "10.96.0.10", Family.IPV6: "fd00:96::a"}


@pytest.fixture
def node() -> Iterator[Namespace]:
    """The test runs inside this namespace."""
    if reason := missing():
        pytest.skip(reason)
    with namespace() as made, made.entered():
        yield made
        read.forget()


@pytest.fixture(params=list(Family), ids=lambda family: str(family.label))
def wire(request: pytest.FixtureRequest, node: Namespace) -> Iterator[Wire]:
    """The node under test with a client beside it, once for each family."""
    with ExitStack() as stack:
        yield Wire(request.param, node, stack)


def compiled(
    *backends: str,
    family: Family = Family.IPV4,
    mode: str = "nftables",
    node_port: int = 0,
    affinity: bool = False,
) -> Compiled:
    """One UDP Service with these backends, on port 53."""
    addresses = ", ".join(f"{{addresses: ['{address}']}}" for address in backends)
    more = f", nodePort: {node_port}" if node_port else ""
    text = f"""\
apiVersion: v1
kind: Service
metadata: {{name: dns, namespace: shop}}
spec:
  type: {"NodePort" if node_port else "ClusterIP"}
  clusterIP: '{VIP[family]}'
  sessionAffinity: {"ClientIP" if affinity else "None"}
  ports: [{{port: 53, protocol: UDP{more}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: dns-1, namespace: shop, labels: {{kubernetes.io/service-name: dns}}}}
addressType: {"IPv6" if family is Family.IPV6 else "IPv4"}
ports: [{{port: 53, protocol: UDP}}]
endpoints: [{addresses}]
"""
    objects = load(text=text)
    settings = node_settings(objects, node="node-a", mode=mode, cluster_cidr="10.128.0.0/16")
    return compile_objects(objects, settings)


def apply(wanted: Compiled, *, tools: Iptables | None = None, dry_run: bool = False) -> Outcome:
    tools = tools or Iptables("legacy")
    if wanted.tables is None:
        done = engine.apply(
            wanted.programs, route_localnet=wanted.route_localnet, tools=tools, wait=None
        )
        keep = wanted.route_localnet
        return modes.together(
            done, modes.remove_tables(tools, keep_localnet=keep, behind_rules=True)
        )
    return modes.apply_tables(
        wanted.tables, route_localnet=wanted.route_localnet, tools=tools, dry_run=dry_run
    )


def scripts(outcome: Outcome) -> list[str]:
    return [step.text() for step in outcome.steps if isinstance(step, Transact)]


def rules(node: Namespace) -> str:
    return node.run("nft", "-s", "list", "ruleset")


A, B, C = "10.128.0.9", "10.128.0.16", "10.128.0.25"


def test_second_run_has_nothing_to_do(node: Namespace) -> None:
    first = apply(compiled(A, B, node_port=30053))
    assert first.changed
    before = rules(node)
    assert not apply(compiled(A, B, node_port=30053)).changed
    read.forget()
    assert not apply(compiled(A, B, node_port=30053)).changed
    assert rules(node) == before
    assert "10.128.0.16 . 53" in before


def test_a_dry_run_changes_nothing_and_shows_the_script(node: Namespace) -> None:
    outcome = apply(compiled(A), dry_run=True)
    assert "dnat ip to" in outcome.scripts()
    assert rules(node) == ""


def test_one_endpoint_more_is_a_few_elements(node: Namespace) -> None:
    many = [f"10.128.1.{number}" for number in range(20)]
    apply(compiled(*many))
    (script,) = scripts(apply(compiled(*many[:-1], "10.128.2.1")))
    assert len(script.splitlines()) <= 6
    assert "10.128.2.1" in rules(node)
    assert "10.128.1.19" not in rules(node)


def test_nothing_is_listed_that_is_remembered(node: Namespace) -> None:
    del node
    asked: list[Sequence[str]] = []

    def watching(command: Sequence[str], text: str | None, keep: tuple[int, ...]) -> Result:
        asked.append([command[0].rpartition("/")[2], *command[1:]])
        return run_tool(command, text, keep)

    apply(compiled(A, B))
    apply(compiled(A), tools=Iptables("legacy", run=watching))
    assert ["nft", "-f", "-"] in asked
    assert not [command for command in asked if command[:2] == ["nft", "list"]]


def test_what_somebody_else_changed_is_told_and_mended(node: Namespace) -> None:
    apply(compiled(A, B))
    before = rules(node)
    node.run("nft", "delete", "element", "ip", "svcc", "services", "{ 10.96.0.10 . udp . 53 }")
    node.run("nft", "insert", "rule", "ip", "svcc", "nat-prerouting", "accept")
    outcome = apply(compiled(A, B))
    assert any("somebody else has changed" in warning for warning in outcome.warnings)
    assert rules(node) == before


def test_a_rule_that_somebody_took_away_comes_back(node: Namespace) -> None:
    apply(compiled(A, B))
    before = rules(node)
    node.run("nft", "flush", "chain", "ip", "svcc", "balance-2")
    apply(compiled(A, B))
    assert rules(node) == before


def test_the_memory_is_no_more_believed_than_the_kernel(node: Namespace) -> None:
    apply(compiled(A, B))
    node.run("nft", "flush", "ruleset")
    assert apply(compiled(A, B)).changed
    assert "10.128.0.16 . 53" in rules(node)


@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_rules_of_others_survive(node: Namespace, variant: Variant) -> None:
    load_foreign(node, variant)
    node.run("nft", "-f", "-", text="table inet mine {\n\tchain c {\n\t\tdrop\n\t}\n}\n")
    before = saved(node, variant)
    for wanted in (compiled(A, B), compiled(A)):
        apply(wanted, tools=Iptables(variant))
        assert saved(node, variant) == before
    tools = Iptables(variant)
    modes.remove_tables(tools)
    removal.cleanup(tools=tools)
    assert saved(node, variant) == before
    assert re.findall(r"table (\S+) (?:svcc|mine)", rules(node)) == ["inet"]


def test_a_transaction_that_fails_changes_nothing(node: Namespace) -> None:
    apply(compiled(A, B))
    before = rules(node)

    def failing(command: Sequence[str], text: str | None, keep: tuple[int, ...]) -> Result:
        if text is not None and command[1:] == ["-f", "-"]:
            text += "add rule ip svcc nowhere accept\n"
        return run_tool(command, text, keep)

    with pytest.raises(ApplyError, match="as it was before") as failed:
        apply(compiled(A), tools=Iptables("legacy", run=failing))
    assert failed.value.restored
    assert rules(node) == before
    assert apply(compiled(A)).changed


def test_route_localnet_goes_on_and_off(node: Namespace) -> None:
    assert node
    apply(compiled(A, node_port=30053))
    assert sysctl.read(sysctl.ROUTE_LOCALNET)
    apply(compiled(A))
    assert not sysctl.read(sysctl.ROUTE_LOCALNET)
    apply(compiled(A, node_port=30053))
    modes.remove_tables(Iptables("legacy"))
    assert not sysctl.read(sysctl.ROUTE_LOCALNET)
    assert "svcc" not in rules(node)


def test_clients_are_remembered_through_an_apply(node: Namespace) -> None:
    apply(compiled(A, B, affinity=True))
    name = re.findall(r"set (clients-\w+)", rules(node))[0]
    node.run("nft", "add", "element", "ip", "svcc", name, "{ 192.0.2.7 }")
    apply(compiled(A, B, C, affinity=True))
    assert "192.0.2.7" in node.run("nft", "list", "set", "ip", "svcc", name)


@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_from_iptables_mode_and_back(wire: Wire, node: Namespace, variant: Variant) -> None:
    tools = Iptables(variant)
    backends = (wire.first,)
    in_iptables = compiled(*backends, family=wire.family, mode="iptables", node_port=30053)
    in_nftables = compiled(*backends, family=wire.family, node_port=30053)
    save = "ip6tables" if wire.family is Family.IPV6 else "iptables"
    for _ in range(2):
        apply(in_iptables, tools=tools)
        assert wire.served_by() == wire.first
        assert wire.fate(wire.vip) == "served"
        assert "table ip svcc" not in rules(node)
        outcome = apply(in_nftables, tools=tools)
        assert outcome.released == 0
        assert wire.served_by() == wire.first
        assert wire.fate(wire.vip) == "served"
        assert "SVCC" not in node.run(f"{save}-{variant}-save")
        assert "SVCC" not in rules(node)
        assert wire.family is Family.IPV6 or sysctl.read(sysctl.ROUTE_LOCALNET)


def test_the_order_between_modes_is_judged_before_the_first_command(node: Namespace) -> None:
    tools = Iptables("legacy")
    in_iptables, in_nftables = compiled(A, B, mode="iptables"), compiled(A, B)
    judged: list[list[Moment]] = []

    def right(moments: Iterable[Moment]) -> None:
        judged.append(list(moments))
        assert not check(judged[-1], (parse_address("192.168.7.10"),))

    def wrong(moments: Iterable[Moment]) -> str:
        return f"{len(list(moments))} moments are wrong"

    def to_nftables(judge: Judge) -> Outcome:
        assert in_nftables.tables is not None
        return modes.apply_tables(
            in_nftables.tables, route_localnet=False, tools=tools, judge=judge
        )

    def to_iptables(judge: Judge) -> Outcome:
        return engine.apply(
            in_iptables.programs,
            route_localnet=False,
            tools=tools,
            judge=judge,
            leaving=lambda: modes.own_tables(tools),
        )

    apply(in_iptables)
    for go in (to_nftables, to_iptables):
        before = rules(node), node.run("iptables-legacy", "-t", "nat", "-S")
        with pytest.raises(ApplyError, match="moments are wrong; nothing was changed"):
            go(wrong)
        assert (rules(node), node.run("iptables-legacy", "-t", "nat", "-S")) == before
        assert go(right).changed
    assert [[bool(m.nftables.tables) for m in (found[0], found[-1])] for found in judged] == [
        [False, True],
        [True, False],
    ]
    # One transaction within a mode is no matter of order.
    modes.remove_tables(tools)
    removal.cleanup(tools=tools)
    to_nftables(wrong)


def test_udp_clients_are_released(wire: Wire) -> None:
    apply(compiled(wire.first, family=wire.family))
    assert [wire.served_by(), wire.served_by()] == [wire.first, wire.first]
    outcome = apply(compiled(wire.second, family=wire.family))
    assert outcome.released == 1
    assert wire.served_by() == wire.second
    both = apply(compiled(wire.second, wire.first, family=wire.family))
    assert both.released == 0
    assert wire.served_by() == wire.second
    assert apply(compiled(family=wire.family)).released == 1
    assert wire.served_by() is None


def test_udp_clients_of_a_service_with_affinity_are_released(wire: Wire) -> None:
    apply(compiled(wire.first, family=wire.family, affinity=True))
    assert wire.served_by() == wire.first
    outcome = apply(compiled(wire.second, family=wire.family, affinity=True))
    assert outcome.released == 1
    assert wire.served_by() == wire.second
