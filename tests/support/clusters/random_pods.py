"""Generated Services, Pods and Nodes, as documents; few labels, so that selectors overlap."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]

NAMESPACES = ("shop", "staff")
NODES = ("node-a", "node-b", "node-c")
_LABELS = st.fixed_dictionaries(
    {"app": st.sampled_from(("web", "api"))},
    optional={"tier": st.sampled_from(("front", "back")), "track": st.just("canary")},
)
_PROTOCOLS = st.sampled_from(("TCP", "UDP"))
_NAMED = ("http", "dns", "metrics")


def _container_ports() -> st.SearchStrategy[list[Document]]:
    port = st.fixed_dictionaries(
        {"containerPort": st.sampled_from((80, 81, 8080, 9090))},
        optional={"name": st.sampled_from(_NAMED), "protocol": _PROTOCOLS},
    )
    return st.lists(port, max_size=3)


@st.composite
def pods(draw: st.DrawFn, number: int) -> Document:
    """A Pod as a cluster prints it; its addresses are its own."""
    spec: Document = {"containers": [{"name": "c", "ports": draw(_container_ports())}]}
    if draw(st.booleans()):
        init: Document = {"name": "i", "ports": draw(_container_ports())}
        if draw(st.booleans()):
            init["restartPolicy"] = "Always"
        spec["initContainers"] = [init]
    node = draw(st.sampled_from((*NODES, None)))
    if node is not None:
        spec["nodeName"] = node
    if draw(st.booleans()):
        spec |= {"hostname": f"h{number}", "subdomain": draw(st.sampled_from(("s0", "s1", "s2")))}
    ready = draw(st.sampled_from(("True", "True", "False", "Unknown", None)))
    gates = [{"type": "example.com/gate", "status": draw(st.sampled_from(("True", "False")))}]
    addresses = [{"ip": f"10.244.1.{number}"}, {"ip": f"fd00:244::{number:x}"}]
    draw(st.randoms(use_true_random=False)).shuffle(addresses)
    addresses = addresses[: draw(st.sampled_from((0, 1, 2, 2)))]
    status: Document = {
        "phase": draw(st.sampled_from(("Running",) * 5 + ("Pending", "Succeeded", "Failed"))),
        "conditions": gates + ([{"type": "Ready", "status": ready}] if ready else []),
        "podIPs": addresses,
    }
    if addresses:
        status["podIP"] = addresses[0]["ip"]
    meta: Document = {
        "name": f"p{number}",
        "namespace": draw(st.sampled_from(NAMESPACES)),
        "labels": draw(_LABELS),
    }
    if draw(st.integers(0, 4)) == 0:
        meta["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}


@st.composite
def services(draw: st.DrawFn, number: int) -> Document:
    """A Service that selects: of one family or two, headless or not."""
    families = draw(st.sampled_from((["IPv4"], ["IPv6"], ["IPv4", "IPv6"], ["IPv6", "IPv4"])))
    own = {"IPv4": f"10.96.0.{number + 1}", "IPv6": f"fd00:96::{number + 1:x}"}
    cluster_ips = ["None"] if draw(st.integers(0, 3)) == 0 else [own[f] for f in families]
    named = draw(st.sets(st.sampled_from(_NAMED), min_size=1, max_size=3))
    ports = []
    for place, name in enumerate(sorted(named)):
        port: Document = {"name": name, "port": 80 + place, "protocol": draw(_PROTOCOLS)}
        target = draw(st.sampled_from((None, 8080, *_NAMED)))
        if target is not None:
            port["targetPort"] = target
        ports.append(port)
    spec: Document = {
        "clusterIP": cluster_ips[0],
        "clusterIPs": cluster_ips,
        "ipFamilies": families,
        "ipFamilyPolicy": "RequireDualStack" if len(families) > 1 else "SingleStack",
        "selector": draw(_LABELS),
        "ports": ports,
    }
    if draw(st.booleans()):
        spec["publishNotReadyAddresses"] = draw(st.booleans())
    distribution = draw(
        st.sampled_from((None, None, "PreferClose", "PreferSameZone", "PreferSameNode"))
    )
    if distribution is not None:
        spec["trafficDistribution"] = distribution
    namespace = draw(st.sampled_from(NAMESPACES))
    meta = {"name": f"s{number}", "namespace": namespace, "labels": {"team": "x"}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


@st.composite
def clusters(draw: st.DrawFn) -> list[Document]:
    """Services, Pods and Nodes; not every Node has a zone."""
    nodes = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {} if zone is None else {"topology.kubernetes.io/zone": zone},
            },
        }
        for name, zone in zip(NODES, ("zone-1", "zone-2", None), strict=True)
    ]
    of_pods = [draw(pods(number)) for number in range(1, draw(st.integers(1, 8)) + 1)]
    of_services = [draw(services(number)) for number in range(draw(st.integers(1, 4)))]
    return [*of_services, *of_pods, *nodes]
