"""What userspace mode makes of the objects of ``tests/data/cases-userspace``.

``pytest tests/golden --regenerate-golden`` writes it anew.
"""

from __future__ import annotations

from random import Random

import pytest

from svcc.compiler.bundle import ADDRESSES, NGINX
from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.configuration import Overrides, load_configuration, node_settings
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import format_address
from svcc.grammar.nginx.directives import write
from svcc.grammar.nginx.state import Proxy
from tests.paths import DATA

FOLDER = DATA / "cases-userspace"
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def inputs(name: str) -> tuple[Objects, NodeSettings]:
    objects = load([str(FOLDER / name / "objects.yaml")])
    configuration = load_configuration(str(FOLDER / name / "config.yaml"))
    settings, _ = node_settings(
        objects, configuration, Overrides(), Overrides(), hostname="elsewhere"
    )
    return objects, settings


def proxy(objects: Objects, settings: NodeSettings, *, comments: bool = True) -> Proxy:
    found = compile_objects(objects, settings, comments=comments).proxy
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_files_are_as_written_down(name: str, request: pytest.FixtureRequest) -> None:
    made = proxy(*inputs(name))
    texts = {
        NGINX: write(made.configuration),
        ADDRESSES: "".join(
            f"address add {format_address(family, value)}\n"
            for family, of in made.addresses.items()
            for value in of
        ),
    }
    for file, text in texts.items():
        path = FOLDER / name / file
        if request.config.getoption("--regenerate-golden"):
            path.write_text(text)
        assert text == path.read_text(), f"{path} differs"


@pytest.mark.parametrize("name", NAMES)
def test_order_of_the_objects_does_not_matter(name: str) -> None:
    objects, settings = inputs(name)
    expected = proxy(objects, settings)
    random = Random(name)
    for _ in range(3):
        random.shuffle(objects.services)
        random.shuffle(objects.slices)
        assert proxy(objects, settings) == expected


@pytest.mark.parametrize("name", NAMES)
def test_without_comments(name: str) -> None:
    assert "#" in write(proxy(*inputs(name)).configuration)
    assert "#" not in write(proxy(*inputs(name), comments=False).configuration)
