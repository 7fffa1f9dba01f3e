"""Compiled nodes written into folders."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from svcc import __version__
from svcc.compiler.bundle import MANIFEST, render
from svcc.compiler.files.manifest import Manifest, read_manifest
from svcc.compiler.pipeline import Compiled


def write_bundle(compiled: Compiled, directory: str) -> list[Path]:
    """Write one node's files into a folder, made if need be; each appears whole or not at all.

    What an earlier run has written there and this one has not goes; other files stay.

    Raises:
        InputError: there is a ``bundle.json`` that is not svcc's.
        OSError: the folder cannot be written.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    before = _written(folder)
    files = {folder / name: text for name, text in render(compiled).items()}
    for path, text in files.items():
        _write_whole(path, text)
    _remove(before - set(files), folder)
    return list(files)


def write_bundles(compiled: Iterable[Compiled], directory: str) -> list[Path]:
    """Write the files of several nodes, each into a subfolder of its name; else as
    :func:`write_bundle`. Nothing is written unless all of them can be compiled.

    Raises:
        InputError: there is a ``bundle.json`` that is not svcc's.
        OSError: the folder cannot be written.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    before = _written(folder)
    staged = folder / f".svcc.{os.getpid()}"
    files: list[Path] = []
    nodes: dict[str, dict[str, str]] = {}
    try:
        for each in compiled:
            node = each.settings.node_name
            (staged / node).mkdir(parents=True)
            before |= _written(folder / node)
            for name, text in render(each).items():
                (staged / node / name).write_text(text, encoding="utf-8")
                files.append(folder / node / name)
                if name == MANIFEST:
                    nodes[node] = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
        for path in files:
            path.parent.mkdir(exist_ok=True)
            (staged / path.relative_to(folder)).replace(path)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    manifest = {"svcc": __version__, "nodes": nodes}
    files.append(folder / MANIFEST)
    _write_whole(files[-1], json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    _remove(before - set(files), folder)
    return files


def _write_whole(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _written(folder: Path) -> set[Path]:
    """What an earlier run has written into a folder, by its own word."""
    manifest = read_manifest(folder)
    if manifest is None:
        return set()
    found = {manifest.path}
    for node in manifest.nodes or ():
        inner = read_manifest(folder / node)
        found |= _files(inner) if inner is not None else set()
    return found | _files(manifest)


def _files(manifest: Manifest) -> set[Path]:
    return {manifest.path, *(manifest.folder / name for name in manifest.files)}


def _remove(files: Iterable[Path], folder: Path) -> None:
    """Remove files, and the subfolders that they leave empty."""
    left = set()
    for path in files:
        if path.is_file() or path.is_symlink():
            path.unlink()
            left.add(path.parent)
    for path in left - {folder}:
        if not any(path.iterdir()):
            path.rmdir()
