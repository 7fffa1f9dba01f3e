"""Graphs as Mermaid flowcharts.

Source: https://mermaid.js.org/syntax/flowchart.html. Text is in quotes, and what is no letter,
digit or plain mark is written as an entity code there, so that no text is read as syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import assert_never

from svcc.verify.picture.graph import Edge, EdgeKind, Graph, Vertex, VertexKind

_PLAIN = re.compile(r"[^A-Za-z0-9 .,:/_()=+!…×-]")
_CLASSES = (
    "classDef violated stroke:#c62828,stroke-width:3px",
    "classDef undecided stroke:#b26a00,stroke-width:3px,stroke-dasharray:6 3",
    "classDef unused stroke-dasharray:3 3",
)


def mermaid(graphs: Iterable[Graph]) -> str:
    """A flowchart with a subgraph for each graph."""
    lines = ["flowchart LR"]
    for number, graph in enumerate(graphs):
        prefix = f"g{number}"
        lines.append(f"  subgraph {prefix}[{_quoted((graph.title,))}]")
        lines.append("    direction LR")
        lines += [f"    {line}" for line in _lines(graph, prefix)]
        lines.append("  end")
    lines += [f"  {line}" for line in _CLASSES]
    return "\n".join(lines) + "\n"


def _lines(graph: Graph, prefix: str) -> Iterator[str]:
    for vertex in graph.vertices:
        yield f"{prefix}{vertex.name}{_shape(vertex)}{_class(vertex)}"
    for edge in graph.edges:
        yield f"{prefix}{edge.start} {_arrow(edge)} {prefix}{edge.end}"


def _shape(vertex: Vertex) -> str:
    opens, closes = _brackets(vertex.kind)
    return f"{opens}{_quoted(vertex.lines)}{closes}"


def _brackets(kind: VertexKind) -> tuple[str, str]:
    match kind:
        case "service" | "packet":
            return "([", "])"
        case "frontend" | "step" | "backend" | "outcome":
            return "[", "]"
        case "treatment":
            return "{{", "}}"
        case "rest":
            return "[[", "]]"
        case _:
            assert_never(kind)


def _class(vertex: Vertex) -> str:
    if not vertex.used:
        return ":::unused"
    return f":::{vertex.verdict}" if vertex.verdict in ("violated", "undecided") else ""


def _arrow(edge: Edge) -> str:
    label = f"|{_quoted((edge.label,))}|" if edge.label else ""
    return f"{_line(edge.kind)}{label}"


def _line(kind: EdgeKind) -> str:
    match kind:
        case "answers" | "senders" | "share":
            return "-->"
        case "has":
            return "-.->"
        case "way":
            return "==>"
        case _:
            assert_never(kind)


def _quoted(lines: Iterable[str]) -> str:
    return '"' + "<br/>".join(_PLAIN.sub(_code, line) for line in lines) + '"'


def _code(found: re.Match[str]) -> str:
    return f"#{ord(found[0])};"
