"""The configuration that svcc compiles for a small shop, and what verify says of others."""

from __future__ import annotations

from pathlib import Path

from tests.paths import DATA
from tests.support.command import Done, svcc

FOLDER = DATA / "cases-userspace" / "shop"
RIGHT = (FOLDER / "nginx.conf").read_text()
GIVEN = ("-f", FOLDER / "objects.yaml", "--config", FOLDER / "config.yaml")


def verify(folder: Path, text: str, *more: object, addresses: str | None = None) -> Done:
    """What ``svcc verify -o json`` says of a configuration, with the right addresses or others."""
    file, batch = folder / "nginx.conf", folder / "addresses.batch"
    file.write_text(text)
    batch.write_text((FOLDER / "addresses.batch").read_text() if addresses is None else addresses)
    return svcc("verify", *GIVEN, "--rules", file, "--rules", batch, "-o", "json", *more)


def changed(old: str, new: str, text: str = RIGHT) -> str:
    """The text with one thing in another's place, which must be there."""
    assert old in text, old
    return text.replace(old, new, 1)


def server(listen: str) -> str:
    """The right server that listens somewhere, as text."""
    start = RIGHT.index(f"        listen {listen}")
    begin = RIGHT.rindex("    server {", 0, start)
    return RIGHT[begin : RIGHT.index("    }\n", start) + len("    }\n")]
