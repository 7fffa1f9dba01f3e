"""Graphs in DOT, the language of Graphviz.

Source: https://graphviz.org/doc/info/lang.html, escString in https://graphviz.org/docs/attr-types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from svcc.verify.picture.graph import Edge, EdgeKind, Graph, Vertex, VertexKind

_HEAD = (
    "digraph svcc {",
    "  rankdir=LR;",
    '  node [shape=box, fontname="sans-serif", fontsize=11];',
    '  edge [fontname="sans-serif", fontsize=10];',
)


def dot(graphs: Iterable[Graph]) -> str:
    """A directed graph with a cluster for each graph."""
    lines = list(_HEAD)
    for number, graph in enumerate(graphs):
        lines.append(f"  subgraph cluster{number} {{")
        lines.append(f"    label={_quoted((graph.title,))};")
        lines += [f"    {line};" for line in _lines(graph, f"g{number}")]
        lines.append("  }")
    lines.append("}")
    return "\n".join(lines) + "\n"


def _lines(graph: Graph, prefix: str) -> Iterator[str]:
    for vertex in graph.vertices:
        yield f"{prefix}{vertex.name} [{', '.join(_vertex(vertex))}]"
    for edge in graph.edges:
        attributes = ", ".join(_edge(edge))
        shown = f" [{attributes}]" if attributes else ""
        yield f"{prefix}{edge.start} -> {prefix}{edge.end}{shown}"


def _vertex(vertex: Vertex) -> Iterator[str]:
    yield f"label={_quoted(vertex.lines)}"
    if (shape := _shape(vertex.kind)) != "box":
        yield f"shape={shape}"
    styles = ["rounded"] if vertex.kind == "treatment" else []
    if vertex.verdict == "violated":
        yield "color=red3, penwidth=3"
    elif vertex.verdict == "undecided":
        yield "color=darkorange3, penwidth=3"
    if vertex.verdict == "undecided" or not vertex.used:
        styles.append("dashed")
    if styles:
        yield f'style="{",".join(styles)}"'


def _shape(kind: VertexKind) -> str:
    match kind:
        case "service":
            return "oval"
        case "packet":
            return "cds"
        case "frontend" | "treatment" | "backend":
            return "box"
        case "rest":
            return "box3d"
        case "step":
            return "note"
        case "outcome":
            return "octagon"
        case _:
            assert_never(kind)


def _edge(edge: Edge) -> Iterator[str]:
    if edge.label:
        yield f"label={_quoted((edge.label,))}"
    if (style := _style(edge.kind)) != "solid":
        yield f"style={style}"


def _style(kind: EdgeKind) -> str:
    match kind:
        case "answers" | "senders" | "share":
            return "solid"
        case "has":
            return "dashed"
        case "way":
            return "bold"
        case _:
            assert_never(kind)


def _quoted(lines: Iterable[str]) -> str:
    """A string with a line break behind each line; a backslash stands for itself."""
    return '"' + "\\n".join(map(_escaped, lines)) + '"'


def _escaped(text: str) -> str:
    plain = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return plain.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
