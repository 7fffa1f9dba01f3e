"""A picture of Services: names, frontends, who is treated how, backends, and what verify found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, assert_never

from svcc.api.errors import bad_input, needs_rules
from svcc.compiler.model.passed_over_reasons import REASONS
from svcc.compiler.settings.names import CLUSTER_DOMAIN
from svcc.grammar.address import Family
from svcc.verify.picture.build import picture_of_node
from svcc.verify.picture.picture import Picture
from svcc.verify.questions.cluster import Cluster
from svcc.verify.questions.targets import QuestionError, ServiceName, read_target
from svcc.verify.spec.expectation import Frontend, expect

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.api.rules import Rules
    from svcc.api.verification import Progress
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings

PictureFormat = Literal["mermaid", "dot", "html", "json"]
_Wanted = Callable[[Frontend], bool]


def graph(
    objects: Objects,
    nodes: Sequence[NodeSettings],
    what: str = "",
    rules: Rules | Mapping[str, Rules] | None = None,
    *,
    namespace: str = "",
    family: Family | None = None,
    judge: bool = True,
    cluster_domain: str = CLUSTER_DOMAIN,
    note: Note | None = None,
    progress: Progress | None = None,
) -> Picture:
    """What is drawn of Services, on each of some nodes.

    Args:
        objects: what is drawn.
        nodes: from :func:`svcc.api.node_settings` or :func:`svcc.api.all_node_settings`.
        what: a Service (``shop/web``, ``web``, ``web.shop.svc.cluster.local``, ``shop/web:http``),
            an address of one (``10.96.0.12:80``) or a node port, as
            :func:`svcc.api.explanation.ask` takes it; "": all.
        rules: those to judge, of the one node or by node; None: what svcc compiles.
        namespace: where a bare name is looked up; without ``what`` only its Services are drawn.
        family: draw no other.
        judge: have :func:`svcc.api.verify_nodes` judge the rules, and draw what it finds.
        cluster_domain: below which Services have their names.
        note: is told what a person should know.
        progress: is told how many of how many parts are judged.

    Raises:
        InputError: nothing has this name, it has no frontends, the settings are of userspace mode,
            or as ``verify_nodes``.
    """
    from svcc.api.verification import verify_nodes

    for settings in nodes:
        needs_rules(
            settings,
            "is not drawn: whose source backends see is what rules do; svcc verify judges it",
        )
    wanted = [_wanted(objects, settings, what, namespace, family) for settings in nodes]
    reports = (
        verify_nodes(
            objects,
            nodes,
            rules,
            family=family,
            cluster_domain=cluster_domain,
            note=note,
            progress=progress,
        )
        if judge
        else [None] * len(nodes)
    )
    pictured = tuple(
        picture_of_node(
            objects,
            settings,
            report=report,
            wanted=each,
            families=tuple(Family) if family is None else (family,),
            cluster_domain=cluster_domain,
        )
        for settings, report, each in zip(nodes, reports, wanted, strict=True)
    )
    left_out = () if what else tuple(_left_out(objects, namespace))
    return Picture(pictured, left_out)


def picture_text(picture: Picture, output: PictureFormat) -> str:
    """A picture as a Mermaid flowchart, a graph in DOT, one HTML page, or JSON."""
    if output == "json":
        import json

        from svcc.verify.drawing.document import document

        return json.dumps(document(picture), indent=2) + "\n"
    if output == "html":
        from svcc.verify.drawing.html import html

        return html(picture, _title(picture))
    from svcc.verify.drawing.dot import dot
    from svcc.verify.drawing.mermaid import mermaid
    from svcc.verify.picture.graph import graph_of

    graphs = (graph_of(service, node.node) for node in picture.nodes for service in node.services)
    match output:
        case "mermaid":
            return mermaid(graphs)
        case "dot":
            return dot(graphs)
        case _:
            assert_never(output)


def _title(picture: Picture) -> str:
    services = {service.key for node in picture.nodes for service in node.services}
    where = (
        f"node {picture.nodes[0].node}"
        if len(picture.nodes) == 1
        else f"{len(picture.nodes)} nodes"
    )
    what = next(iter(services)) if len(services) == 1 else f"{len(services)} Services"
    return f"{what} on {where}"


def _left_out(objects: Objects, namespace: str) -> list[tuple[str, str]]:
    return sorted(
        (item.name, REASONS[item.reason])
        for item in objects.passed_over
        if item.kind == "Service" and item.name.startswith(f"{namespace}/" if namespace else "")
    )


def _wanted(
    objects: Objects, settings: NodeSettings, what: str, namespace: str, family: Family | None
) -> _Wanted:
    """Which frontends of one node are drawn.

    Raises:
        InputError: none has the name.
    """
    if not what:
        if not namespace:
            return lambda _: True
        prefix = f"{namespace}/"
        if not any(s.namespace == namespace for s in (*objects.services, *objects.not_judged)):
            raise bad_input("-n", f"there is no Service in the namespace {namespace}")
        return lambda frontend: frontend.service.startswith(prefix)
    families = tuple(Family) if family is None else (family,)
    every = [
        item.frontend for each in families for item in expect(objects, settings, each).frontends
    ]
    try:
        target = read_target(what)
        if isinstance(target, ServiceName) and namespace and not target.namespace:
            target = ServiceName(target.name, namespace, target.port, target.protocol)
        meaning = Cluster(objects, settings, every).meaning(target, of_packets=False)
    except QuestionError as error:
        raise bad_input("graph", str(error)) from None
    if not meaning.frontends:
        said = "; ".join(meaning.said) or meaning.why or meaning.nothing
        raise bad_input("graph", f"there is nothing to draw: {said}")
    return meaning.frontends.__contains__
