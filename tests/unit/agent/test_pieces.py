"""The agent's parts, each by itself: pace, findings that last, state, logs, objects of sources."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from svcc.agent.flags import AgentFlags, settle_seconds
from svcc.agent.health import is_eligible, local_endpoints
from svcc.agent.lasting import Lasting
from svcc.agent.log import Log
from svcc.agent.notify import ServiceManager
from svcc.agent.pace import FIRST_RETRY, LAST_RETRY, Pace
from svcc.agent.sources.documents import Document, Documents, Key, in_order, slim
from svcc.api import Family, Finding, InputError, load, load_configuration, node_settings
from svcc.compiler.settings.agent import AgentSettings, BindAddress, Periods, bind_address


class TestPace:
    def pace(self) -> Pace:
        return Pace(Periods(1.0, 30.0), jitter=lambda: 1.0)

    def test_at_once_at_first(self) -> None:
        assert self.pace().due(changed=False) == 0.0

    def test_not_sooner_than_the_least_period(self) -> None:
        pace = self.pace()
        pace.synced(100.0)
        assert (pace.due(changed=True), pace.due(changed=False)) == (101.0, 130.0)

    def test_sooner_where_that_is_wanted(self) -> None:
        pace = self.pace()
        pace.synced(100.0, again=4.0)
        assert pace.due(changed=False) == 104.0
        pace.synced(110.0, again=400.0)
        assert pace.due(changed=False) == 140.0

    def test_later_and_later_after_faults(self) -> None:
        pace = self.pace()
        delays = []
        for _ in range(12):
            pace.failed(100.0)
            delays.append(pace.due(changed=False) - 100.0)
        assert delays[:4] == [FIRST_RETRY * n for n in (1, 2, 4, 8)]
        assert delays == sorted(delays)
        assert delays[-1] == LAST_RETRY
        assert pace.due(changed=True) == 101.0
        pace.synced(200.0)
        pace.failed(300.0)
        assert pace.due(changed=False) == 301.0

    def test_nodes_do_not_try_together(self) -> None:
        early, late = (Pace(Periods(), jitter=lambda j=j: j) for j in (0.0, 1.0))  # type: ignore[misc]
        for pace in (early, late):
            pace.failed(0.0)
        assert 0 < early.due(changed=False) < late.due(changed=False)


def finding(frontend: str, verdict: str = "violated", code: str = "SVC001") -> Finding:
    return Finding("reaches-exactly", frontend, Family.IPV4, verdict, code=code)  # type: ignore[arg-type]


class TestLasting:
    def test_told_once_when_it_has_lasted_and_once_when_it_is_over(self) -> None:
        lasting = Lasting(10.0)
        news = lasting.look([finding("a"), finding("b", "proved")], 0.0)
        assert (news.lasting, news.over, news.again) == ([], [], 10.0)
        news = lasting.look([finding("a"), finding("c")], 6.0)
        assert (news.lasting, news.again) == ([], 10.0)
        news = lasting.look([finding("a"), finding("c")], 10.0)
        assert ([f.frontend for f in news.lasting], news.again) == (["a"], 16.0)
        news = lasting.look([finding("a"), finding("c")], 16.0)
        assert ([f.frontend for f in news.lasting], news.again) == (["c"], None)
        assert {f.frontend for f in lasting.told} == {"a", "c"}
        news = lasting.look([finding("c")], 17.0)
        assert [f.frontend for f in news.over] == ["a"]
        assert lasting.look([finding("c")], 18.0).over == []

    def test_what_comes_and_goes_meanwhile_is_not_told(self) -> None:
        lasting = Lasting(10.0)
        for now in (0.0, 9.0, 18.0, 27.0):
            assert not lasting.look([finding("a")], now).lasting
            assert not lasting.look([], now + 5).over

    def test_another_verdict_is_another_finding(self) -> None:
        lasting = Lasting(0.0)
        lasting.look([finding("a", "undecided", "SVC020")], 0.0)
        news = lasting.look([finding("a")], 1.0)
        assert (len(news.lasting), len(news.over)) == (1, 1)


def service(name: str, **meta: object) -> Document:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, **meta}, "spec": {}}


class TestDocuments:
    def test_nothing_is_there_before_every_part_was_listed(self) -> None:
        documents = Documents(("a", "b"))
        documents.replace("a", [service("x")])
        assert documents.missing == ("b",)
        with pytest.raises(ValueError, match="b was not listed"):
            documents.put("b", service("y"))
        documents.replace("b", [])
        assert not documents.missing

    def test_changes_are_told_once(self) -> None:
        documents = Documents(("a",))
        documents.replace("a", [service("x"), service("y")])
        assert {key.name for key in documents.take().changed} == {"x", "y"}
        documents.replace("a", [service("x"), service("z")])
        documents.put("a", service("x"))
        assert {key.name for key in documents.take().changed} == {"y", "z"}
        documents.remove("a", Key("Service", "default", "none"))
        assert not documents.wait(0)
        documents.put("a", service("x", labels={"a": "b"}))
        assert documents.wait(0)
        assert {key.name for key in documents.take().changed} == {"x"}

    def test_what_nobody_reads_is_no_change(self) -> None:
        documents = Documents(("a",))
        documents.replace("a", [service("x", managedFields=[{}], annotations={"other": "1"})])
        documents.take()
        documents.put("a", service("x", managedFields=[{}, {}], resourceVersion="7"))
        assert not documents.take().changed

    def test_a_node_is_its_addresses(self) -> None:
        node = {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "n", "annotations": {"a": "b"}},
            "spec": {"podCIDRs": ["10.0.0.0/24"]},
            "status": {"addresses": [{"type": "InternalIP", "address": "1.2.3.4"}], "images": [1]},
        }  # fmt: skip
        later = {**node, "status": {**node["status"], "conditions": [1]}}  # type: ignore[dict-item]
        assert slim(node) == slim(later)
        assert load(objects=[slim(node)]).nodes[0].addresses

    def test_svcc_s_own_annotations_are_kept(self) -> None:
        kept = slim(service("x", annotations={"svcc/ipvs-scheduler": "wrr", "b": "c"}))
        assert kept["metadata"]["annotations"] == {"svcc/ipvs-scheduler": "wrr"}

    def test_who_waits_is_woken(self) -> None:
        documents = Documents(("a",))
        woken = threading.Event()

        def wait() -> None:
            documents.wait(None)
            woken.set()

        thread = threading.Thread(target=wait)
        thread.start()
        documents.wake()
        thread.join()
        assert woken.is_set()

    def test_the_oldest_claims_first(self) -> None:
        found = in_order(
            {
                Key("Service", "a", "new"): service(
                    "new", creationTimestamp="2026-02-01T00:00:00Z"
                ),
                Key("Service", "b", "old"): service(
                    "old", creationTimestamp="2026-01-01T00:00:00Z"
                ),
            }
        )
        assert [item["metadata"]["name"] for item in found] == ["old", "new"]


def test_logs_are_lines_for_people_or_programs() -> None:
    lines: list[str] = []
    Log(lines.append).tell("warning: so and so")
    assert lines[0].endswith("Z warning: so and so")
    Log(lines.append, "json").line("info", "loaded", steps=["a"])
    found = json.loads(lines[1])
    assert (found["level"], found["msg"], found["steps"]) == ("info", "loaded", ["a"])
    Log(lines.append, "json").tell("note: x")
    assert json.loads(lines[2])["level"] == "info"


@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    address = f"@svcc-test-{tmp_path}"[:100] if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + address[1:] if abstract else address)
        manager = ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"})
        assert manager.watchdog == 3.0
        manager.tell("READY=1", "STATUS=x")
        assert heard.recv(100) == b"READY=1\nSTATUS=x"
    manager.tell("READY=1")
    assert ServiceManager({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}).watchdog is None


class TestSettings:
    TEXT = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
healthzBindAddress: 10.0.0.1:9000
metricsBindAddress: ""
bindAddressHardFail: true
clientConnection: {kubeconfig: /etc/k, qps: 7.5, burst: 20}
nftables: {syncPeriod: 1m30s, minSyncPeriod: 500ms}
iptables: {syncPeriod: 0s, minSyncPeriod: 0s}
conntrack: {maxPerCore: 100, min: 7, tcpEstablishedTimeout: 2h0m0s, udpTimeout: 3s}
"""

    def test_a_configuration_is_obeyed(self) -> None:
        agent = load_configuration(text=self.TEXT).agent
        assert agent.healthz == BindAddress("10.0.0.1", 9000)
        assert agent.metrics == BindAddress("127.0.0.1", 10249)
        assert agent.bind_address_hard_fail
        assert (agent.client.kubeconfig, agent.client.qps, agent.client.burst) == (
            "/etc/k",
            7.5,
            20,
        )
        assert agent.periods_of("nftables") == Periods(0.5, 90.0)
        assert agent.periods_of("iptables") == Periods(1.0, 30.0)
        assert agent.conntrack.max_per_core == 100
        assert agent.conntrack.tcp_established_timeout == 7200.0
        assert agent.conntrack.udp_timeout == 3.0
        assert agent.conntrack.udp_stream_timeout is None

    def test_flags_win(self) -> None:
        agent = load_configuration(text=self.TEXT).agent
        found = AgentFlags(healthz_bind_address="none", metrics_bind_address="[::1]:7").over(agent)
        assert (found.healthz, found.metrics) == (None, BindAddress("::1", 7))
        assert AgentFlags(sync_period="5m").over(agent).periods_of("nftables").maximum == 300.0
        assert AgentFlags().over(AgentSettings()).healthz == BindAddress("0.0.0.0", 10256)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("healthzBindAddress", "here"),
            ("metricsBindAddress", "1.2.3.4:99999"),
            ("iptables", "{syncPeriod: soon}"),
            ("conntrack", "{min: -1}"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_place(self, field: str, value: str) -> None:
        head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
        with pytest.raises(InputError) as raised:
            load_configuration(text=f"{head}{field}: {value}\n")
        (problem,) = raised.value.problems
        assert problem.position.line == 3

    def test_a_flag_that_is_wrong_is_named(self) -> None:
        with pytest.raises(InputError, match="--sync-period"):
            AgentFlags(sync_period="soon").over(AgentSettings())
        with pytest.raises(InputError, match="--settle"):
            settle_seconds("soon")

    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("1.2.3.4", "1.2.3.4", 5), ("1.2.3.4:6", "1.2.3.4", 6), (":6", "0.0.0.0", 6),
            ("::1", "::1", 5), ("[::1]", "::1", 5), ("[::]:6", "::", 6),
        ],
    )  # fmt: skip
    def test_addresses_to_listen_on(self, text: str, host: str, port: int) -> None:
        assert bind_address(text, 5) == BindAddress(host, port)


class TestHealth:
    @pytest.mark.parametrize(
        ("node", "eligible"),
        [
            (None, True),
            ({"metadata": {}, "spec": {}}, True),
            ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, False),
            ({"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}}, False),
            ({"spec": {"taints": [{"key": "other"}]}}, True),
        ],
    )
    def test_who_takes_part(self, node: Document | None, eligible: bool) -> None:
        assert is_eligible(node) is eligible

    def test_ready_endpoints_here_are_counted(self) -> None:
        text = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.10
  externalTrafficPolicy: Local
  healthCheckNodePort: 31000
  ports: [{name: a, port: 80, nodePort: 30080}, {name: b, port: 81, nodePort: 30081}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: a, port: 8080}, {name: b, port: 8081}]
endpoints:
- {addresses: [10.244.1.5], nodeName: node-a}
- {addresses: [10.244.1.6], nodeName: node-a, conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.244.2.7], nodeName: node-b}
"""  # noqa: E501
        objects = load(text=text)
        settings = node_settings(objects, node="node-a", cluster_cidr="10.244.0.0/16")
        (found,) = local_endpoints(objects, settings)
        assert (found.name, found.port, found.count) == ("web", 31000, 1)
        (found,) = local_endpoints(objects, replace(settings, known_node=False))
        assert found.count == 0
