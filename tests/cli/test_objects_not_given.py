"""What the objects do not say is neither proved nor refuted; what was judged is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.clusters.dumps import DUMPS
from tests.support.command import Done, svcc

NODE = ("--node", "node-a", "--node-ip", "192.168.7.10", "--node-ip", "fd00:7::10")
PODS = ("--cluster-cidr", "10.244.0.0/16,fd00:244::/56")
WEB = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80, targetPort: 8080}]}
---
"""
BOTH = WEB.replace("10.96.0.10,", "10.96.0.10, clusterIPs: [10.96.0.10, 'fd00:96::10'],")


def endpoints(annotation: str = "", subsets: str = "") -> str:
    subsets = subsets or "subsets: [{addresses: [{ip: 10.244.1.5}], ports: [{port: 8080}]}]"
    return f"""\
apiVersion: v1
kind: Endpoints
metadata: {{name: web, namespace: shop, annotations: {{{annotation}}}}}
{subsets}
---
"""


def slices(family: str = "IPv4", addresses: str = "10.244.1.5") -> str:
    listed = f"{{addresses: ['{addresses}']}}" if addresses else ""
    return f"""\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  {{name: web-{family.lower()}, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}
addressType: {family}
ports: [{{port: 8080}}]
endpoints: [{listed}]
---
"""


def verify(folder: Path, text: str, *more: object) -> Done:
    objects = folder / "objects.yaml"
    objects.write_text(text)
    return svcc("verify", "-f", objects, *NODE, *PODS, *more)


def rules_for(folder: Path, text: str) -> tuple[str, ...]:
    """Rules that somebody made of these objects."""
    objects = folder / "other.yaml"
    objects.write_text(text)
    given = ("-f", objects, *NODE, *PODS, "-o", folder / "rules")
    assert svcc("compile", *given).code == 0
    return "--rules", str(folder / "rules")


# -- endpoints -------------------------------------------------------------------------


def test_services_and_not_one_slice(tmp_path: Path) -> None:
    done = verify(tmp_path, WEB)
    assert done.code == 0
    assert "warning: EndpointSlices were not given" in done.err
    assert "`kubectl get services,endpointslices,nodes -A -o yaml`" in done.err
    strict = verify(tmp_path, WEB, "--strict")
    assert strict.code == 3
    assert "SVC033: EndpointSlices were not given" in strict.out


@pytest.mark.parametrize(
    "given", [slices(addresses=""), endpoints(subsets="subsets: []")], ids=["slice", "Endpoints"]
)
def test_empty_slices_say_that_there_is_no_endpoint(given: str, tmp_path: Path) -> None:
    assert verify(tmp_path, WEB + given).code == 0


def test_explain_says_the_same_of_what_has_no_slices(tmp_path: Path) -> None:
    objects = tmp_path / "objects.yaml"
    objects.write_text(WEB)
    given = ("-f", objects, *NODE, *PODS, "shop/web")
    assert svcc("explain", *given).code == 0
    rules = rules_for(tmp_path, WEB + slices())
    done = svcc("explain", *given, *rules)
    assert done.code == 3
    assert "undecided: SVC033" in done.out


def test_rules_that_serve_what_has_no_slices(tmp_path: Path) -> None:
    rules = rules_for(tmp_path, WEB + slices())
    done = verify(tmp_path, WEB, *rules)
    assert done.code == 3
    assert "SVC033" in done.out
    assert "violated" not in done.out


def test_rules_that_refuse_what_has_no_slices_confirm_it(tmp_path: Path) -> None:
    rules = rules_for(tmp_path, WEB + slices(addresses=""))
    done = verify(tmp_path, WEB, *rules)
    assert done.code == 0
    assert "warning: EndpointSlices were not given" in done.err


TRUNCATED = "endpoints.kubernetes.io/over-capacity: truncated"


def test_truncated_endpoints(tmp_path: Path) -> None:
    text = WEB + endpoints(TRUNCATED)
    done = verify(tmp_path, text)
    assert done.code == 3
    assert "SVC034: Endpoints of shop/web have not all endpoints" in done.out
    assert "`kubectl get endpointslices" in done.out
    more = WEB + slices().replace("]}]", "]}, {addresses: ['10.244.1.6']}]")
    other = verify(tmp_path, text, *rules_for(tmp_path, more))
    assert other.code == 3
    assert "violated" not in other.out


def test_slices_beside_truncated_endpoints(tmp_path: Path) -> None:
    assert verify(tmp_path, WEB + endpoints(TRUNCATED) + slices()).code == 0


def test_annotation_of_another_value(tmp_path: Path) -> None:
    text = WEB + endpoints("endpoints.kubernetes.io/over-capacity: warning")
    assert verify(tmp_path, text).code == 0


@pytest.mark.parametrize("given", [slices(), endpoints()], ids=["slice", "Endpoints"])
def test_a_service_of_two_families_with_slices_of_one(given: str, tmp_path: Path) -> None:
    done = verify(tmp_path, BOTH + given)
    assert done.code == 0
    assert "warning: IPv6 endpoints of shop/web were not given" in done.err
    strict = verify(tmp_path, BOTH + given, "--strict")
    assert strict.code == 3
    assert "SVC035: IPv6 endpoints of shop/web were not given" in strict.out
    found = verify(tmp_path, BOTH + given, "--strict", "-o", "json")
    assert {verdict for verdict, _ in found.verdicts("10.96.0.10:80").values()} == {"proved"}
    assert {verdict for verdict, _ in found.verdicts("[fd00:96::10]").values()} == {"undecided"}


@pytest.mark.parametrize("address", ["", "fd00:244::5"])
def test_a_service_of_two_families_with_slices_of_both(address: str, tmp_path: Path) -> None:
    assert verify(tmp_path, BOTH + slices() + slices("IPv6", address)).code == 0


def test_rules_for_the_family_without_slices(tmp_path: Path) -> None:
    whole = BOTH + slices() + slices("IPv6", "fd00:244::5")
    done = verify(tmp_path, BOTH + slices(), *rules_for(tmp_path, whole))
    assert done.code == 3
    assert "SVC035" in done.out
    assert "violated" not in done.out


# -- what was judged -------------------------------------------------------------------


def service(name: str, spec: str, labels: str = "") -> str:
    meta = f"{{name: {name}, namespace: shop, labels: {{{labels}}}}}"
    return f"apiVersion: v1\nkind: Service\nmetadata: {meta}\nspec: {{{spec}}}\n---\n"


PORTS = "ports: [{port: 80}]"
NOT_ALLOCATED = service("new", PORTS)
HEADLESS = service("db", f"clusterIP: None, {PORTS}")
EXTERNAL = service("ext", "type: ExternalName, externalName: db.example.org")
OTHERS = service(
    "mesh", f"clusterIP: 10.96.0.77, {PORTS}", "service.kubernetes.io/service-proxy-name: mesh"
)
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n---\n"
NOTHING = {
    "no cluster IP": NOT_ALLOCATED,
    "headless": HEADLESS,
    "ExternalName": EXTERNAL,
    "another proxy": OTHERS,
    "all of them": NOT_ALLOCATED + HEADLESS + EXTERNAL + OTHERS,
    "no Service": DEPLOYMENT,
}


@pytest.mark.parametrize("kind", NOTHING)
def test_nothing_judged_is_no_proof(kind: str, tmp_path: Path) -> None:
    done = verify(tmp_path, NOTHING[kind])
    assert done.code == 3
    assert "SVC037: no Service was judged" in done.out
    assert "\nproved" not in done.out


def test_an_empty_list_says_that_there_are_none(tmp_path: Path) -> None:
    assert verify(tmp_path, "apiVersion: v1\nkind: List\nitems: []\n").code == 0


@pytest.mark.parametrize("name", ["headless", "externalname"])
def test_rules_are_held_to_services_that_have_no_frontend_by_their_kind(name: str) -> None:
    folder = DUMPS / name
    rules = ("--rules", folder / "iptables-save.txt", "--rules", folder / "ip6tables-save.txt")
    done = svcc("verify", "-f", folder / "objects.yaml", *NODE, *PODS, *rules)
    assert done.code == 0
    assert "0 Services judged, 1 not judged: shop/" in done.out


SOME = WEB + slices() + HEADLESS + EXTERNAL


def test_judged_and_passed_over_are_told(tmp_path: Path) -> None:
    done = verify(tmp_path, SOME)
    assert done.code == 0
    assert "1 Service proved, 2 not judged: shop/db (headless), shop/ext (ExternalName)" in done.out
    found = verify(tmp_path, SOME + DEPLOYMENT, "-o", "json").json()
    assert found["judged"] == {"shop/web": "proved"}
    assert [(item["kind"], item["reason"], item.get("line")) for item in found["not_judged"]] == [
        ("Service", "headless", 14),
        ("Service", "external-name", 19),
        ("Deployment", "other-kind", 24),
    ]
    github = verify(tmp_path, SOME, "-o", "github").out
    assert "::notice file=" in github
    assert "1 Service not judged (headless): shop/db" in github
    results = json.loads(verify(tmp_path, SOME, "-o", "sarif").out)["runs"][0]["results"]
    assert [(r["ruleId"], r["level"]) for r in results] == [("SVC038", "note")] * 2
    junit = verify(tmp_path, SOME, "-o", "junit").out
    assert '<testcase classname="svcc.not-judged" name="Service shop/db"><skipped' in junit


def test_many_names_are_cut_short(tmp_path: Path) -> None:
    text = WEB + slices() + "".join(HEADLESS.replace("db", f"db{n}") for n in range(8))
    out = verify(tmp_path, text).out
    assert "8 not judged: shop/db0 (headless)" in out
    assert "shop/db4 (headless) and 3 more" in out


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (HEADLESS, 0),
        (EXTERNAL, 0),
        (DEPLOYMENT, 0),
        (NOT_ALLOCATED, 3),
        (OTHERS, 3),
        (slices().replace("web", "gone"), 3),
    ],
    ids=["headless", "ExternalName", "Deployment", "no cluster IP", "other proxy", "no Service"],
)
def test_strict(text: str, code: int, tmp_path: Path) -> None:
    given = WEB + slices() + text
    assert verify(tmp_path, given).code == 0
    done = verify(tmp_path, given, "--strict")
    assert done.code == code
    assert ("SVC038" in done.out) == (code == 3)


def test_a_clash_is_no_proof(tmp_path: Path) -> None:
    clash = WEB.replace("web", "copy")
    other = WEB.replace("web", "api").replace("10.96.0.10", "10.96.0.11")
    text = WEB + slices() + clash + other + slices().replace("web", "api")
    done = verify(tmp_path, text, "-o", "json")
    assert done.code == 2
    found = done.json()
    assert found["verdict"] == "undecided"
    assert found["judged"] == {"shop/api": "proved"}
    assert {(item["name"], item["reason"]) for item in found["not_judged"]} == {
        ("shop/web", "clash"),
        ("shop/copy", "clash"),
    }
    assert any(problem["severity"] == "error" for problem in found["problems"])
