"""Services and EndpointSlices as an API server has them, which change one by one."""

from __future__ import annotations

from random import Random
from typing import Any

from svcc.agent.sources.documents import Documents

PART = "cluster"
NODES = ("node-a", "node-b")


class ChangingDocuments:
    """Services by number; ``documents`` is told of each change, as a source tells it."""

    def __init__(self, random: Random, services: int) -> None:
        self.random = random
        self.documents = Documents((PART,))
        self.documents.replace(PART, [])
        self._there: dict[int, list[dict[str, Any]]] = {}
        self._numbers = iter(random.sample(range(1, 60000), 50000))
        self._node_ports = iter(random.sample(range(30000, 32768), 2700))
        for number in range(services):
            self.add(number)

    def step(self) -> None:
        """Something changes: an endpoint mostly, at times a Service."""
        random = self.random
        number = random.randrange(12)
        what = random.random()
        if number not in self._there or what < 0.15:
            self.add(number)
        elif what < 0.25:
            self.remove(number)
        elif what < 0.35:
            self.add(number, slices_only=True)
        else:
            self.change_endpoints(number)

    def add(self, number: int, *, slices_only: bool = False) -> None:
        """A Service comes, or becomes another."""
        before = self._there.get(number, [])
        service = before[0] if slices_only and before else self._service(number)
        made = [service, *self._slices(service)]
        names = {item["metadata"]["name"] for item in made}
        for item in before[1:]:
            if item["metadata"]["name"] not in names:
                self._remove(item)
        for item in made:
            self.documents.put(PART, item)
        self._there[number] = made

    def remove(self, number: int) -> None:
        """A Service goes, with its slices."""
        for item in self._there.pop(number, []):
            self._remove(item)

    def change_endpoints(self, number: int) -> None:
        """One slice is otherwise."""
        service, *slices = self._there[number]
        at = self.random.randrange(len(slices)) if slices else 0
        fresh = self._slices(service)
        if not slices or len(fresh) <= at:
            return
        now = {**fresh[at], "metadata": slices[at]["metadata"]}
        now["addressType"] = slices[at]["addressType"]
        now["endpoints"] = [self._endpoint(now["addressType"]) for _ in fresh[at]["endpoints"]]
        self._there[number][1 + at] = now
        self.documents.put(PART, now)

    def _remove(self, item: dict[str, Any]) -> None:
        from svcc.agent.sources.documents import key_of

        self.documents.remove(PART, key_of(item))

    def _address(self, kind: int, family: str) -> str:
        number = next(self._numbers)
        if family == "IPv4":
            return f"10.{kind}.{number >> 8}.{number & 255}"
        return f"fd00:{kind:x}::{number:x}"

    def _service(self, number: int) -> dict[str, Any]:
        random = self.random
        families = random.choice((["IPv4"], ["IPv4", "IPv6"], ["IPv6"]))
        kind = random.choice(("ClusterIP", "ClusterIP", "NodePort", "LoadBalancer"))
        addresses = [self._address(96, family) for family in families]
        ports: list[dict[str, Any]] = [
            {"name": f"p{i}", "port": 80 + i, "protocol": random.choice(("TCP", "UDP", "SCTP"))}
            for i in range(random.choice((1, 1, 2)))
        ]
        spec: dict[str, Any] = {
            "type": kind, "clusterIP": addresses[0], "clusterIPs": addresses,
            "ipFamilies": families, "ports": ports,
            "internalTrafficPolicy": random.choice(("Cluster", "Cluster", "Local")),
        }  # fmt: skip
        if random.random() < 0.3:
            spec["sessionAffinity"] = "ClientIP"
        if random.random() < 0.3:
            spec["externalIPs"] = [self._address(200, random.choice(families))]
        status: dict[str, Any] = {}
        if kind != "ClusterIP":
            spec["externalTrafficPolicy"] = random.choice(("Cluster", "Local"))
            for port in ports:
                port["nodePort"] = next(self._node_ports)
        if kind == "LoadBalancer":
            status = {"loadBalancer": {"ingress": [{"ip": self._address(201, families[0])}]}}
            if random.random() < 0.5:
                spec["loadBalancerSourceRanges"] = ["192.0.2.0/24", "2001:db8::/32"]
            if spec["externalTrafficPolicy"] == "Local":
                spec["healthCheckNodePort"] = next(self._node_ports)
        return {
            "apiVersion": "v1", "kind": "Service", "spec": spec, "status": status,
            "metadata": {"name": f"svc-{number}", "namespace": "shop"},
        }  # fmt: skip

    def _slices(self, service: dict[str, Any]) -> list[dict[str, Any]]:
        name = service["metadata"]["name"]
        found = []
        for family in service["spec"]["ipFamilies"]:
            for number in range(self.random.choice((0, 1, 1, 2))):
                found.append(
                    {
                        "apiVersion": "discovery.k8s.io/v1",
                        "kind": "EndpointSlice",
                        "addressType": family,
                        "metadata": {
                            "name": f"{name}-{family.lower()}-{number}",
                            "namespace": "shop",
                            "labels": {"kubernetes.io/service-name": name},
                        },
                        "ports": [
                            {"name": p["name"], "protocol": p["protocol"], "port": 8080}
                            for p in service["spec"]["ports"]
                        ],
                        "endpoints": [
                            self._endpoint(family) for _ in range(self.random.randint(0, 4))
                        ],
                    }
                )
        return found

    def _endpoint(self, family: str) -> dict[str, Any]:
        # Few addresses, so that Services share backends.
        number = self.random.randint(1, 40)
        address = f"10.244.1.{number}" if family == "IPv4" else f"fd00:244::{number:x}"
        ready = self.random.random() < 0.8
        return {
            "addresses": [address],
            "nodeName": self.random.choice(NODES),
            "conditions": {"ready": ready, "serving": True, "terminating": not ready},
        }
