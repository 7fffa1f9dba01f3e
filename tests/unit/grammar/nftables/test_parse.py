"""nftables text is read as what it loads, and written back as it was."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from svcc.grammar.nftables.parse import parse
from svcc.grammar.nftables.write import write
from tests.paths import DATA

DUMPS = sorted((DATA / "kube-proxy-1.36").glob("*/nft.txt*"))


def text_of(path: Path) -> str:
    """A file's text, unpacked."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes()).decode()
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DUMPS, ids=lambda path: path.parent.name)
def test_dumps_of_kube_proxy_are_written_back(path: Path) -> None:
    text = text_of(path)
    program = parse(text, source=str(path))
    written = write(program)
    # nft breaks lists of elements at a width; nothing else differs.
    assert written.split() == text.split()
    assert parse(written, source="written") == program
