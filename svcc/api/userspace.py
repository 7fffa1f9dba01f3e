"""Userspace mode: a configuration of nginx instead of rules of the kernel."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from svcc.api.compilation import compiled_for
from svcc.api.errors import bad_input

if TYPE_CHECKING:
    from svcc.api.inputs import Note
    from svcc.api.rules import Rules
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Family
    from svcc.verify.report.report import Report
    from svcc.verify.userspace.model import ProxyModel

_BEGINNING = 65536
"""Bytes of a file that tell what it is."""


def proxy_files(paths: Sequence[str]) -> list[str] | None:
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


def read_proxy(paths: Sequence[str]) -> ProxyModel:
    """The model of a configuration of nginx, with the addresses of files beside it.

    Raises:
        InputError: something cannot be read, or nginx would not start with it.
    """
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


def own_proxy(objects: Objects, settings: NodeSettings, note: Note | None) -> ProxyModel:
    """The model of what svcc compiles, read back.

    Raises:
        InputError: compiling fails.
    """
    from svcc.compiler.bundle import ADDRESSES, NGINX, proxy_scripts
    from svcc.grammar.ipvs.addresses import parse
    from svcc.grammar.nginx.read import read_text
    from svcc.verify.userspace.reading import model_of

    compiled = compiled_for(objects, settings, note=note)
    assert compiled.proxy is not None
    texts = proxy_scripts(compiled, compiled.proxy)
    model = model_of(read_text(texts[NGINX], NGINX))
    model.addresses, model.addresses_file = parse(texts[ADDRESSES], source=ADDRESSES), ADDRESSES
    return model


def check_mode(
    nodes: Sequence[NodeSettings],
    rules: Mapping[str, Rules] | None,
    beside: Mapping[str, object],
) -> None:
    """Refuse what does not go together with a proxy's configuration; ``beside`` has by their
    flags what else is asked for.

    Raises:
        InputError: the rules are of another mode than the node, or something is asked for that
            only rules of the kernel have.
    """
    for settings in nodes:
        given = None if rules is None else rules[settings.node_name]
        if settings.mode != "userspace":
            if given is not None and given.proxy is not None:
                raise bad_input("--rules", "a configuration of nginx; give --mode userspace too")
            continue
        if given is not None and given.proxy is None:
            raise bad_input(
                "--live" if given.name else "--rules",
                "in userspace mode a configuration of nginx is judged; name its file with --rules",
            )
        for flag, value in beside.items():
            if value:
                raise bad_input(
                    flag, "not in userspace mode, where there are no rules; leave it out"
                )


def proxy_report(
    objects: Objects,
    settings: NodeSettings,
    rules: Rules | None,
    family: Family | None,
    *,
    strict: bool,
    note: Note | None,
) -> Report:
    """What is proved of a node's proxy.

    Raises:
        InputError: compiling fails.
    """
    from svcc.grammar.address import Family as Families
    from svcc.verify.userspace.engine import verify_proxy

    if rules is None:
        model = own_proxy(objects, settings, note)
    else:
        # Of another mode: see check_mode.
        assert rules.proxy is not None
        model = rules.proxy
    families = [family] if family is not None else list(Families)
    report = verify_proxy(objects, settings, model, families, strict=strict)
    if note is not None and rules is not None:
        for problem in report.problems:
            note(str(problem))
    return report
