"""Rules to judge: from files, from texts, or those of this network namespace."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from svcc.api.beside import Beside
from svcc.api.inputs import named_texts

if TYPE_CHECKING:
    from svcc.grammar.address import Family
    from svcc.grammar.errors import Problem
    from svcc.verify.prepare.loaded import LoadedRules
    from svcc.verify.userspace.model import ProxyModel


_BEGINNING = 65536
"""Bytes of a file that tell what it is."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of one node by family, as they were read.

    ``name`` is the variant of iptables that they are live rules of, empty if they are not live.
    ``beside`` is what else is in force, which packets must get through as well.
    ``in_files``: whether their sources are files that people can open. ``node`` is whose they are
    by the bundle that they are from, empty if nobody says. ``problems`` tell what of a bundle is
    not as svcc compile wrote it; what is there all the same is what is judged.
    """

    loaded: Mapping[Family, LoadedRules]
    in_files: bool = False
    name: str = ""
    beside: Beside = field(default_factory=Beside)
    node: str = ""
    problems: tuple[Problem, ...] = ()
    proxy: ProxyModel | None = None
    """A configuration of nginx in place of rules of the kernel."""

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that there are rules of."""
        return tuple(sorted(self.loaded))

    def of(self, family: Family | None) -> dict[Family, LoadedRules]:
        """Those of one family; of all for None."""
        return {f: item for f, item in self.loaded.items() if family in (None, f)}

    def must_be_of(self, node: str) -> None:
        """Refuse to take one node's rules for another's.

        Raises:
            InputError: they are another node's.
        """
        must_be_of(self.node, node)


def must_be_of(whose: str, node: str, *, of_files: bool = True) -> None:
    """Refuse to take one node's rules for another's; ``whose`` may be empty: nobody says.

    Raises:
        InputError: they are another node's.
    """
    from svcc.api.errors import bad_input

    if whose in ("", node):
        return
    hint = f", or the files themselves to have them judged for {node}" if of_files else ""
    raise bad_input(
        "--rules",
        f"these are the rules of node {whose}, not of {node}; name the node with --node {whose}"
        f"{hint}",
    )


def read_rules(
    *paths: str | os.PathLike[str],
    text: str | Mapping[str, str] = "",
    family: Family | None = None,
) -> Rules:
    """The rules of files, bundle folders or texts; each tells by content or name what it holds.

    Args:
        paths: what ``iptables-save``, ``iptables-restore``, ``ipvsadm -Sn`` and ``ipset save``
            print or read, or folders that ``svcc compile -o`` wrote for one node.
            For userspace mode a main configuration of nginx, and the addresses of its device.
        text: such a text, or several by the names that messages call them.
        family: of a text that does not tell.

    Raises:
        InputError: something cannot be read, two are of one family, or a folder has the rules of
            several nodes.
    """
    from svcc.api.errors import bad_input
    from svcc.verify.rule_files import from_files, from_texts

    texts = dict(named_texts(text))
    if texts and paths:
        raise bad_input("rules", "give paths or texts, not both")
    if texts:
        return Rules(from_texts(texts, family))
    names = [os.fspath(path) for path in paths]
    nodes, problems = _of_bundles([name for name in names if os.path.isdir(name)])
    if len(nodes) > 1:
        raise bad_input("--rules", f"these are rules of several nodes: {', '.join(sorted(nodes))}")
    if (proxy := _proxy_files(names)) is not None:
        return Rules(
            {}, True, node="".join(nodes), problems=tuple(problems), proxy=_read_proxy(proxy)
        )
    return Rules(
        from_files(names, family), in_files=True, node="".join(nodes), problems=tuple(problems)
    )


def read_node_rules(
    rules: str | os.PathLike[str] | Mapping[str, Sequence[str | os.PathLike[str]]],
    *,
    family: Family | None = None,
) -> dict[str, Rules]:
    """The rules of several nodes, by the nodes' names.

    Args:
        rules: the folder that ``svcc compile --all-nodes -o`` wrote, or for each node what
            :func:`read_rules` takes.
        family: of a text that does not tell.

    Raises:
        InputError: as there, or a bundle is another node's.
    """
    from svcc.api.errors import InputError, bad_input

    problems: list[Problem] = []
    if not isinstance(rules, Mapping):
        nodes = node_folders(rules)
        if nodes is None:
            raise bad_input(os.fspath(rules), "no folder of several nodes' rules")
        rules, problems = nodes
    found: dict[str, Rules] = {}
    wrong: list[Problem] = []
    for node, paths in rules.items():
        try:
            item = read_rules(*paths, family=family)
            item.must_be_of(node)
        except InputError as error:
            wrong += error.problems
            continue
        found[node] = replace(item, node=node, problems=(*problems, *item.problems))
        problems = []
    if wrong:
        raise InputError([*problems, *wrong])
    return found


def node_folders(
    folder: str | os.PathLike[str],
) -> tuple[dict[str, list[str]], list[Problem]] | None:
    """The folders of nodes in the one that ``svcc compile --all-nodes -o`` wrote, and what is not
    as it was written; None if it is no such folder.

    Raises:
        InputError: its ``bundle.json`` cannot be read.
    """
    from pathlib import Path

    path = Path(folder)
    if not path.is_dir():
        return None
    from svcc.compiler.files.manifest import differences, read_manifest

    manifest = read_manifest(path)
    if manifest is None or manifest.nodes is None:
        return None
    there = {name: [str(path / name)] for name in sorted(manifest.nodes) if (path / name).is_dir()}
    return there, list(differences(manifest))


def _of_bundles(folders: Sequence[str]) -> tuple[set[str], list[Problem]]:
    """Whose rules folders hold, and what in them is not as svcc compile wrote it."""
    from pathlib import Path

    from svcc.api.errors import InputError
    from svcc.grammar.errors import Position, Problem

    nodes: set[str] = set()
    problems: list[Problem] = []
    if not folders:
        return nodes, problems
    from svcc.compiler.files.manifest import differences, read_manifest

    for folder in folders:
        manifest = read_manifest(Path(folder))
        if manifest is None:
            message = (
                "there is no bundle.json, so nobody can tell whether the rules are what svcc "
                "compile wrote; compile into the folder again, or name the files themselves"
            )
            problems.append(Problem(Position(folder), message))
            continue
        if manifest.nodes is not None:
            names = ", ".join(sorted(manifest.nodes)[:5])
            message = (
                f"the rules of several nodes ({names}); name one node's folder, or judge all with "
                "--all-nodes and no other --rules"
            )
            raise InputError([Problem(Position(folder), message)])
        nodes |= {manifest.node} - {""}
        problems += differences(manifest)
    return nodes, problems


def _proxy_files(paths: Sequence[str]) -> list[str] | None:
    """The files of a proxy's configuration and its addresses among files and folders; None where
    there is no such configuration.
    """
    from svcc.compiler.bundle import ADDRESSES, NGINX
    from svcc.grammar.nginx.read import is_nginx

    found: list[str] = []
    is_any = False
    for path in paths:
        if os.path.isdir(path):
            inside = [os.path.join(path, name) for name in (NGINX, ADDRESSES)]
            is_any = is_any or os.path.isfile(inside[0])
            found += (name for name in inside if os.path.isfile(name))
            continue
        found.append(path)
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                is_any = is_any or is_nginx(file.read(_BEGINNING))
        except OSError:
            continue
    return found if is_any else None


def _read_proxy(paths: Sequence[str]) -> ProxyModel:
    """The model of a configuration of nginx, with the addresses of files beside it.

    Raises:
        InputError: something cannot be read, or nginx would not start with it.
    """
    from pathlib import Path

    from svcc.api.errors import bad_input
    from svcc.grammar.ipvs.addresses import is_address_text, parse
    from svcc.grammar.nginx.read import is_nginx, read
    from svcc.grammar.nginx.state import DEVICE
    from svcc.verify.userspace.reading import model_of

    configurations: list[str] = []
    addresses: list[tuple[str, str]] = []
    for path in paths:
        try:
            text = Path(path).read_bytes().decode("utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise bad_input(path, f"cannot read: {reason}") from None
        first = next((line for line in text.splitlines() if line.strip() and line[0] != "#"), "")
        if is_address_text(first) or (not first and path.endswith(".batch")):
            addresses.append((path, text))
        elif is_nginx(text):
            configurations.append(path)
        else:
            raise bad_input(path, "neither a configuration of nginx nor addresses; leave it out")
    if len(configurations) != 1:
        raise bad_input("--rules", f"give one configuration of nginx, not {len(configurations)}")
    model = model_of(read(configurations[0]))
    if len(addresses) > 1:
        raise bad_input("--rules", "give the addresses of the device once")
    for path, text in addresses:
        model.addresses = parse(text, source=path, devices=(DEVICE, "lo"))
        model.addresses_file = path
    return model
