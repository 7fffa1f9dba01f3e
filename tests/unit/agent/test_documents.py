"""What is kept of objects, and that nothing that counts is lost by it."""

from __future__ import annotations

import copy
import json
from typing import Any

from svcc.agent.sources.documents import slim
from tests.support.api_server.store import Object

SLICE: dict[str, Any] = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"kubernetes.io/service-name": "web"},
        "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "t", "other": "o"},
        "managedFields": [{"manager": "m"}],
        "ownerReferences": [{"kind": "Service"}],
    },
    "addressType": "IPv4",
    "endpoints": [
        {
            "addresses": ["10.244.1.2"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": "n1",
            "zone": "z",
            "hostname": "web-0",
            "hints": {"forZones": [{"name": "z"}]},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-0", "uid": "u"},
        }
    ],
    "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
}


def test_what_nobody_reads_is_not_kept() -> None:
    found = slim(SLICE)
    assert found["metadata"] == {
        "name": "web-1",
        "namespace": "shop",
        "uid": "u",
        "labels": {"kubernetes.io/service-name": "web"},
        "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "t"},
    }
    (endpoint,), (whole,) = found["endpoints"], SLICE["endpoints"]
    assert endpoint == {**whole, "targetRef": {"kind": "Pod", "name": "web-0"}}


def test_equal_values_are_there_once() -> None:
    one, other = copy.deepcopy(SLICE), json.loads(json.dumps(SLICE))
    (a,), (b,) = slim(one)["endpoints"], slim(other)["endpoints"]
    assert a["conditions"] is b["conditions"]
    assert a["zone"] is b["zone"]


def test_what_json_tells_apart_is_not_the_same() -> None:
    whole = copy.deepcopy(SLICE)
    whole["endpoints"][0]["conditions"] = {"ready": 1}
    first = copy.deepcopy(SLICE)
    first["endpoints"][0]["conditions"] = {"ready": True}
    slim(first)
    assert slim(whole)["endpoints"][0]["conditions"]["ready"] is not True


def test_what_is_no_endpoint_is_left_to_who_reads_it() -> None:
    wrong: Object = {**SLICE, "endpoints": [3, None, {"targetRef": 3, "conditions": []}]}
    assert slim(wrong)["endpoints"] == wrong["endpoints"]
    assert slim({**SLICE, "endpoints": None})["endpoints"] is None
