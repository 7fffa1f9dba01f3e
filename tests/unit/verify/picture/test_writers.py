"""Mermaid and DOT: read by a grammar and by Graphviz, whatever stands in the text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import lark
import pytest

import svcc.api
from svcc.api.inside.graph import graph, picture_text
from svcc.verify.drawing.dot import dot
from svcc.verify.drawing.mermaid import mermaid
from svcc.verify.picture.graph import MAX_BACKENDS, Edge, Graph, Vertex, graph_of
from svcc.verify.picture.picture import Picture
from tests.paths import DATA
from tests.unit.verify.picture.test_build import damaged, shop

GOLDEN = DATA / "graph"
NASTY = (
    'a"b',
    "<script>alert(1)</script>",
    "x]] --> y",
    "end",
    "back\\slash\\N",
    "&lt;",
    "#35;",
    "`**bold**`",
    "%% comment",
    "two\nlines",
    "€ ☃",
)

# As https://mermaid.js.org/syntax/flowchart.html has it, of what flowcharts here have.
MERMAID = lark.Lark(
    r"""
    start: "flowchart LR" _NL (group | class_def)*
    group: "subgraph" NAME "[" TEXT "]" _NL "direction LR" _NL statement* "end" _NL
    statement: (vertex | edge) _NL
    vertex: NAME ("([" TEXT "])" | "[[" TEXT "]]" | "[" TEXT "]" | "{{" TEXT "}}") (":::" NAME)?
    edge: NAME ARROW ("|" TEXT "|")? NAME
    class_def: "classDef" NAME STYLE _NL
    ARROW: "-->" | "-.->" | "==>"
    NAME: /(?!end\b|subgraph\b|direction\b|classDef\b)[a-z][a-z0-9]*/
    TEXT: /"([^"`<>&#\n]|<br\/>|#\d+;)*"/
    STYLE: /[a-z-]+:[^\n]+/
    _NL: /\n+/
    %ignore " "
    """,
    parser="lalr",
)


@cache
def pictures() -> dict[str, Picture]:
    objects, settings = shop()
    return {"shop": graph(objects, [settings]), "damaged": damaged()}


@pytest.mark.parametrize("name", ["shop", "damaged"])
@pytest.mark.parametrize(("output", "ending"), [("mermaid", "mmd"), ("dot", "dot")])
def test_pictures_are_as_written_down(
    name: str, output: str, ending: str, request: pytest.FixtureRequest
) -> None:
    assert output in ("mermaid", "dot")
    text = picture_text(pictures()[name], "mermaid" if output == "mermaid" else "dot")
    path = GOLDEN / f"{name}.{ending}"
    if request.config.getoption("--regenerate-golden"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs"


def nasty() -> Graph:
    vertices = tuple(
        Vertex(f"v{number}", "step", (text, text), "violated") for number, text in enumerate(NASTY)
    )
    edges = tuple(Edge("v0", f"v{n}", "way", text) for n, text in enumerate(NASTY))
    return Graph(NASTY[1], vertices, edges)


@pytest.mark.parametrize("name", ["shop", "damaged"])
def test_mermaid_is_a_flowchart(name: str) -> None:
    MERMAID.parse((GOLDEN / f"{name}.mmd").read_text())


def test_mermaid_takes_no_text_for_syntax() -> None:
    text = mermaid([nasty()])
    MERMAID.parse(text)
    (title,) = re.findall(r"subgraph g0\[(.*)\]", text)
    assert title == '"#60;script#62;alert(1)#60;/script#62;"'


def test_the_grammar_refuses_what_is_no_flowchart() -> None:
    for wrong in ('v["a"b"]', "v[a]", 'v["<b>"]', 'v["#"]', "v --> ", 'end["x"]'):
        with pytest.raises(lark.exceptions.LarkError):
            MERMAID.parse(
                f'flowchart LR\n  subgraph g["t"]\n    direction LR\n    {wrong}\n  end\n'
            )


def graphviz(text: str) -> list[dict[str, object]]:
    """The vertices as Graphviz has read them."""
    if shutil.which("dot") is None:
        pytest.skip("dot is missing (make packages)")
    done = subprocess.run(
        ["dot", "-Tjson0"], input=text, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    found: list[dict[str, object]] = json.loads(done.stdout)["objects"]
    return found


@pytest.mark.parametrize("name", ["shop", "damaged"])
def test_dot_is_read_by_graphviz(name: str) -> None:
    text = (GOLDEN / f"{name}.dot").read_text()
    found = [item for item in graphviz(text) if "nodes" not in item]
    graphs = [graph_of(s, n.node) for n in pictures()[name].nodes for s in n.services]
    assert len(found) == sum(len(each.vertices) for each in graphs)


def test_dot_takes_no_text_for_syntax() -> None:
    found = [item["label"] for item in graphviz(dot([nasty()])) if "nodes" not in item]
    plain = [text.replace("\n", "\ufffd").replace("\\", "\\\\") for text in NASTY]
    assert found == [f"{text}\\n{text}".replace("&", "&amp;") for text in plain]


@pytest.mark.parametrize("name", ["shop", "damaged"])
def test_graphs_hang_together(name: str) -> None:
    for node in pictures()[name].nodes:
        for service in node.services:
            drawn = graph_of(service, node.node)
            names = [vertex.name for vertex in drawn.vertices]
            assert len(names) == len(set(names))
            assert {end for e in drawn.edges for end in (e.start, e.end)} <= set(names)
            reached = {edge.end for edge in drawn.edges}
            assert {v.name for v in drawn.vertices if v.name not in reached and v.used} == {"name"}


def test_very_many_endpoints_are_drawn_as_some_and_a_rest(tmp_path: Path) -> None:
    number = MAX_BACKENDS + 10
    endpoints = "".join(
        f'- {{addresses: ["10.244.1.{last}"], nodeName: node-a}}\n' for last in range(1, number + 1)
    )
    text = f"""
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{clusterIP: 10.96.0.10, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
metadata: {{name: web-1, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}
ports: [{{port: 8080, protocol: TCP}}]
endpoints:
{endpoints}"""
    path = tmp_path / "objects.yaml"
    path.write_text(text)
    objects = svcc.api.load(str(path))
    node = svcc.api.node_settings(objects, node="node-a", cluster_cidr="10.244.0.0/16")
    (service,) = graph(objects, [node], judge=False).nodes[0].services
    drawn = graph_of(service, "node-a")
    kinds = [vertex.kind for vertex in drawn.vertices]
    assert kinds.count("backend") == MAX_BACKENDS
    assert [v.lines for v in drawn.vertices if v.kind == "rest"] == [("10 more endpoints",)]
    labels = [edge.label for edge in drawn.edges if edge.end == "b0rest"]
    assert labels == ["10 × 1/42"] * 2


def test_json_has_all_of_it() -> None:
    found = json.loads(picture_text(damaged(), "json"))
    (node,) = found["nodes"]
    (service,) = node["services"]
    (port,) = service["ports"]
    (frontend,) = port["frontends"]
    assert (found["version"], node["verdict"], service["verdict"]) == (1, "violated", "violated")
    assert frontend["treatments"][1]["senders"] == ["node", "outside"]
    assert set(frontend["treatments"][1]["shares"].values()) == {"1/3"}
    assert frontend["findings"][0]["way"][-1]["chain"] == "KUBE-POSTROUTING"
