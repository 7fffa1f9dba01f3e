"""Each mistake in manifests: the smallest that has it, and the nearest that has not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

import svcc.api
from svcc.api import Objects
from svcc.commands import exit_codes
from svcc.verify.manifests.every import mistakes
from svcc.verify.spec.codes import CODES
from tests.support.command import run

Document = dict[str, Any]

PORTS = [{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53}]


WITHOUT_APP = {"key": "app", "operator": "DoesNotExist"}


def service(name: str = "web", **spec: Any) -> Document:
    usual = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {**usual, **spec}}


def workload(kind: str = "Deployment", name: str = "web", **given: Any) -> Document:
    """``given``: labels, containers, pod (fields of the Pod's spec), namespace, spec."""
    labels = given.get("labels", {"app": "web"})
    containers = given.get("containers", [{"name": "c", "ports": PORTS}])
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": containers, **given.get("pod", {})},
    }
    spec: Document = {"selector": {"matchLabels": labels}, "template": template}
    if kind == "Job":
        del spec["selector"]
    if kind == "CronJob":
        spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}}
    meta = {"name": name, "namespace": given.get("namespace", "shop")}
    version = "batch/v1" if kind in ("Job", "CronJob") else "apps/v1"
    spec |= given.get("spec", {})
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}


def loaded(*documents: Document) -> Objects:
    return svcc.api.load(text=yaml.safe_dump_all(documents), simulate=True)


def told(*documents: Document) -> list[tuple[str, str, str]]:
    return [(m.code, m.severity, m.sentence()) for m in mistakes(loaded(*documents))]


def one(*documents: Document) -> tuple[str, str, str]:
    (found,) = told(*documents)
    return found


def test_what_is_right() -> None:
    assert told(service(), workload()) == []
    assert told(service(), workload("StatefulSet", spec={"serviceName": "web"})) != []
    for kind in ("ReplicaSet", "DaemonSet", "Job", "CronJob"):
        assert told(service(), workload(kind)) == []
    controller = workload()
    controller |= {"apiVersion": "v1", "kind": "ReplicationController"}
    controller["spec"]["selector"] = {"app": "web"}
    assert told(service(), controller) == []


@pytest.mark.parametrize(
    ("selector", "others", "severity", "says"),
    [
        ({"app": "wbe"}, [], "error", "selects nothing; Deployment shop/web comes nearest, with "),
        ({"ap": "web"}, [], "error", "without the label ap; did you mean app?"),
        ({"tier": "front"}, [], "warning", "without the label tier"),
        ({"app": "web", "role": "leader"}, [], "note", "which its Pods may get while they run"),
        (
            {"app": "wbe"},
            [{"apiVersion": "example.com/v1", "kind": "Web", "metadata": {"name": "w"}}],
            "note",
            "perhaps Web makes its Pods",
        ),
        (
            {"app": "wbe"},
            [{"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "w"}}],
            "error",
            "comes nearest",
        ),
        (
            {"app": "wbe"},
            [workload(name="x", labels={"app": "wbe"}, namespace="other")],
            "error",
            "but in namespace other; a selector looks in its own, shop",
        ),
        (
            {"app": "wbe"},
            [workload(name="x", labels={"app": "wbe"}, namespace="default")],
            "warning",
            "but in namespace default",
        ),
    ],
)
def test_a_selector_that_selects_nothing(
    selector: dict[str, str], others: list[Document], severity: str, says: str
) -> None:
    code, found, sentence = one(service(selector=selector), workload(), *others)
    assert (code, found) == ("SVC050", severity)
    assert says in sentence


def test_a_namespace_without_workloads_is_only_noted() -> None:
    assert one(service())[:2] == ("SVC050", "note")
    assert told(service(selector=None)) == []
    hosts = {
        "apiVersion": "svcc.io/v1", "kind": "HostList",
        "hosts": [{"name": "a", "namespace": "shop", "ip": "192.0.2.1", "labels": {"app": "web"}}],
    }  # fmt: skip
    assert told(service(), hosts) == []


def test_a_selector_that_selects_several_applications() -> None:
    both = {"release": "demo"}
    web = workload(labels={**both, "app": "web"})
    database = workload("StatefulSet", "db", labels={**both, "app": "db"})
    found = one(service(selector=both), web, database)
    assert found[:2] == ("SVC051", "warning")
    assert "Deployment shop/web (app=web) and StatefulSet shop/db (app=db)" in found[2]
    assert told(service(selector={**both, "app": "web"}), web, database) == []
    canary = workload(name="canary", labels={**both, "app": "web", "track": "canary"})
    assert told(service(selector={"app": "web"}), web, canary) == []
    found = one(service(), workload(), workload("CronJob", "report"))
    assert found[:2] == ("SVC051", "note")
    assert "CronJob shop/report too" in found[2]
    without_port = workload("CronJob", "report", containers=[{"name": "c"}])
    assert told(service(), workload(), without_port) == []


@pytest.mark.parametrize(
    ("port", "code", "severity", "says"),
    [
        ({"targetPort": "htp"}, "SVC052", "error", "which no container of Deployment shop/web has"),
        ({"targetPort": 9}, "SVC053", "note", "which no container of Deployment shop/web declares"),
        ({}, "SVC053", "note", "has the target port 80"),
        ({"targetPort": "dns", "protocol": "UDP"}, "SVC054", "error", "is UDP, but port dns of"),
        ({"targetPort": 53, "protocol": "UDP"}, "SVC054", "warning", "is UDP, but port 53 of"),
    ],
)
def test_ports(port: Document, code: str, severity: str, says: str) -> None:
    found = one(service(ports=[{"port": 80, **port}]), workload())
    assert found[:2] == (code, severity)
    assert says in found[2]


def test_a_port_that_some_of_several_have_not_and_that_of_a_headless_service() -> None:
    canary = workload(
        name="canary", labels={"app": "web", "track": "canary"}, containers=[{"name": "c"}]
    )
    assert one(service(), workload(), canary)[:2] == ("SVC052", "warning")
    headless = service(clusterIP="None", ports=[{"port": 80, "targetPort": "htp"}])
    assert one(headless, workload())[:2] == ("SVC052", "warning")
    assert told(service(clusterIP="None", ports=[{"port": 99}]), workload()) == []
    sidecar = {"initContainers": [{"name": "s", "restartPolicy": "Always", "ports": PORTS}]}
    assert told(service(), workload(containers=[{"name": "c"}], pod=sidecar)) == []


def test_pods_that_never_become_ready() -> None:
    probe = {"readinessProbe": {"httpGet": {"path": "/", "port": "htp"}}}
    broken = workload(containers=[{"name": "c", "ports": PORTS, **probe}])
    code, severity, says = one(service(), broken)
    assert (code, severity) == ("SVC055", "error")
    assert "asks port 'htp', which the container has not; did you mean http?" in says
    assert told(service(publishNotReadyAddresses=True), broken) == []
    probe["readinessProbe"]["httpGet"]["port"] = "http"
    assert told(service(), workload(containers=[{"name": "c", "ports": PORTS, **probe}])) == []


def test_pods_that_no_node_may_run() -> None:
    labels = {"disk": "ssd"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a", "labels": labels}}
    fits = {"nodeSelector": {"disk": "ssd", "kubernetes.io/os": "linux"}}
    assert told(service(), workload(pod=fits), node) == []
    fits_not = {"nodeSelector": {"disk": "hdd"}}
    assert one(service(), workload(pod=fits_not), node)[:2] == ("SVC055", "error")
    assert told(service(), workload(pod=fits_not)) == [], "of simulated Nodes nobody knows"


def test_stateful_sets_and_their_service() -> None:
    stateful = workload("StatefulSet", spec={"serviceName": "web-hl"})
    headless = service("web-hl", clusterIP="None")
    assert told(headless, stateful) == []
    assert one(service("web-hl"), stateful)[1:] == (
        "warning",
        "StatefulSet shop/web: serviceName names Service shop/web-hl, which is not headless "
        "(clusterIP: None), so that the names of its Pods do not resolve",
    )
    assert one(stateful)[:2] == ("SVC056", "note")
    assert one(headless, workload("StatefulSet"))[:2] == ("SVC056", "warning")
    assert told(service(), workload("StatefulSet")) == []
    other = service("web-hl", clusterIP="None", selector={"app": "x"})
    assert "which does not select its Pods" in told(other, workload(name="x", labels={"app": "x"}),
                                                    stateful)[0][2]  # fmt: skip


def test_two_services_on_one_node_port() -> None:
    ports = [{"port": 80, "nodePort": 30080, "targetPort": "http"}]
    pair = [service(name, type="NodePort", ports=ports) for name in ("a", "b")]
    with pytest.raises(svcc.api.InputError) as raised:
        loaded(*pair, workload())
    (problem,) = raised.value.problems
    assert problem.code == "SVC057"
    assert "both claim node port 30080/TCP" in str(problem)
    assert str(problem).endswith("[SVC057]")


@pytest.mark.parametrize("field", ["externalTrafficPolicy", "internalTrafficPolicy"])
def test_a_local_policy_without_pods(field: str) -> None:
    local = service(type="NodePort", **{field: "Local"})
    found = one(local, workload(spec={"replicas": 0}))
    assert found[:2] == ("SVC058", "warning")
    assert f"{field} is Local, but Deployment shop/web has a Pod on no node" in found[2]
    assert told(local, workload(spec={"replicas": 1})) == []
    assert told(service(), workload(spec={"replicas": 0})) == []


def test_external_names() -> None:
    def named(**spec: Any) -> Document:
        return service(type="ExternalName", selector=None, **spec)

    assert told(named(externalName="db.example.com", ports=None)) == []
    assert one(named(externalName="192.0.2.1", ports=None))[:2] == ("SVC059", "warning")
    assert one(named(externalName="db.example.com"))[:2] == ("SVC059", "note")
    assert one(named(ports=None))[:2] == ("SVC059", "error")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (
            workload(spec={"selector": {"matchLabels": {"app": "x"}}}),
            "spec.selector.matchLabels: the Pods of the template are not app=x; it has app=web",
        ),
        (workload(spec={"selector": None}), "spec: selector is missing"),
        (workload(spec={"template": None}), "spec: template is missing"),
        (workload(spec={"replicas": -1}), "spec.replicas: -1 is out of range"),
        (workload(containers=None), "spec.template.spec: containers is missing"),
        (
            workload(
                spec={
                    "selector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}
                }
            ),
            "the labels of the template do not fulfil this of app",
        ),
    ],
)
def test_workloads_that_the_api_server_refuses(document: Document, says: str) -> None:
    with pytest.raises(svcc.api.InputError) as raised:
        loaded(document)
    assert says in str(raised.value)
    assert svcc.api.load(objects=[document, service()]).skipped_kinds, "read for --simulate only"


def test_a_slip_in_a_workload_is_told() -> None:
    objects = loaded(workload(pod={"hostNetwrok": True}))
    assert [p.message for p in objects.problems] == [
        "spec.template.spec.hostNetwrok: Deployment has no such field, so it is passed over; "
        "did you mean hostNetwork?"
    ]


def test_what_is_put_in() -> None:
    policies = {"externalTrafficPolicy": "Local", "ipFamilyPolicy": "PreferDualStack"}
    objects = loaded(
        service(type="LoadBalancer", **policies),
        workload(spec={"replicas": 3}),
        workload("DaemonSet", "agent", labels={"app": "agent"}, pod={"hostNetwork": True}),
        workload("StatefulSet", "db", labels={"app": "db"}, spec={"serviceName": "db"}),
    )  # fmt: skip
    (web,) = objects.services
    assert [address.family for address in web.cluster_ips] == [4, 6]
    assert web.ports[0].node_port in range(30000, 32768)
    assert web.health_check_node_port not in (0, web.ports[0].node_port)
    assert len(web.ingress) == 2
    by_name = {pod.name: pod for pod in objects.pods}
    assert [str(by_name[f"web-{n}"].addresses[0]) for n in range(3)] == [
        "10.244.0.1", "10.244.0.2", "10.244.0.3",
    ]  # fmt: skip
    assert [by_name[f"web-{n}"].node_name for n in range(3)] == ["node-1", "node-2", "node-1"]
    assert by_name["agent-1"].addresses == objects.nodes[1].addresses
    assert (by_name["db-0"].hostname, by_name["db-0"].subdomain) == ("db-0", "db")
    assert [len(item.endpoints) for item in objects.slices] == [3, 3]


def test_no_address_is_handed_out_twice() -> None:
    objects = svcc.api.load(
        objects=[
            service(clusterIP="10.96.0.2"),
            service("a"),
            service("b"),
            workload(spec={"replicas": 3}),
        ],
        simulate=["10.96.0.0/24"],
    )
    of_pods = [str(pod.addresses[0]) for pod in objects.pods]
    of_services = [str(item.cluster_ips[0]) for item in objects.services]
    assert of_pods == ["10.96.0.1", "10.96.0.3", "10.96.0.4"]
    assert of_services[0] == "10.96.0.2"
    assert len({*of_pods, *of_services}) == 6


def test_addresses_run_out() -> None:
    with pytest.raises(svcc.api.InputError, match="no address left"):
        svcc.api.load(objects=[workload(spec={"replicas": 7})], simulate=["10.0.0.0/29"])
    assert svcc.api.load(objects=[workload(spec={"replicas": 6})], simulate=["10.0.0.0/29"]).pods


def broken(tmp_path: Path) -> str:
    path = tmp_path / "web.yaml"
    ports = [{"port": 80, "targetPort": "htp"}, {"name": "x", "port": 81, "targetPort": 9}]
    ports[0]["name"] = "http"
    path.write_text(yaml.safe_dump_all([service(ports=ports), workload()]))
    return str(path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = broken(tmp_path)
    assert run(["verify", "-f", path, "--simulate", "--node", "node-2"]) == exit_codes.VIOLATED
    out, err = capsys.readouterr()
    assert (
        "violated: SVC052 fits-together: port http (shop/web) has the target port htp, which no "
        f"container of Deployment shop/web has; its ports are http, dns\n  {path}:10:17\n"
    ) in out
    assert f"{path}:13:17: note: Service shop/web: port x has the target port 9, " in err
    assert "on node node-2" in out


@pytest.mark.parametrize("form", ["json", "sarif", "junit", "github"])
def test_codes_in_every_format(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = broken(tmp_path)
    arguments = ["verify", "-f", path, "--simulate", "--family", "ipv4", "-o", form]
    assert run(arguments) == exit_codes.VIOLATED
    out = capsys.readouterr().out
    assert out.count("SVC052") >= 1
    if form == "json":
        found = json.loads(out)
        assert [finding["code"] for finding in found["findings"]] == ["SVC052"]
        (problem,) = found["problems"]
        assert (problem["code"], problem["line"], problem["column"]) == ("SVC053", 13, 17)
        assert [node["node"] for node in found["nodes"]] == ["node-1", "node-2"]
    if form == "sarif":
        places = {
            result["ruleId"]: result["locations"][0]["physicalLocation"]["region"]["startLine"]
            for result in json.loads(out)["runs"][0]["results"]
        }
        assert places == {"SVC052": 10, "SVC053": 13}
    if form == "junit":
        root = ElementTree.fromstring(out)
        assert {case.tag: case.get("type") for case in root.iterfind(".//testcase/*[@type]")} == {
            "failure": "SVC052",
            "skipped": "SVC053",
        }
    if form == "github":
        assert f"line=10,title=SVC052 {CODES['SVC052'].title}" in out
        assert "::notice file=" in out


def test_strict_makes_a_warning_count(tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    ports = [{"port": 53, "protocol": "UDP", "targetPort": 53}]
    path.write_text(yaml.safe_dump_all([service(ports=ports), workload()]))
    arguments = ["verify", "-f", str(path), "--simulate", "--family", "ipv4"]
    assert run(arguments) == exit_codes.OK
    assert run([*arguments, "--strict"]) == exit_codes.UNDECIDED


def test_not_with_the_rules_of_a_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", "-f", broken(tmp_path), "--simulate", "--live"]) == exit_codes.BAD_INPUT
    assert "--simulate: error: not with rules of a cluster" in capsys.readouterr().err
