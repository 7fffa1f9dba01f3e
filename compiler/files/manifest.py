"""What a folder says of itself that svcc has written: its ``bundle.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from svcc.compiler.bundle import MANIFEST
from svcc.compiler.load.fields import is_name
from svcc.compiler.settings.node import Mode
from svcc.grammar.address import Network, parse_network
from svcc.grammar.errors import InputError, Position, Problem

ENDINGS = (".rules", ".batch", ".nft", ".conf")
"""Of files with rules; a folder may hold others that are nobody's business."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One node's folder, or with ``nodes`` that of several, each in a subfolder of its name.

    ``files`` are the sums of files by name (SHA-256, hexadecimal), ``nodes`` those of the nodes'
    manifests. ``timeouts`` are seconds as in :class:`svcc.grammar.ipvs.state.Ipvs`.
    """

    path: Path
    """Of the manifest itself."""
    files: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, str] | None = None
    node: str = ""
    """"" where it was compiled for no node that there is."""
    mode: Mode = "iptables"
    route_localnet: bool = False
    strict_arp: bool = False
    timeouts: tuple[int, int, int] = (0, 0, 0)
    exclude: tuple[Network, ...] = ()

    @property
    def folder(self) -> Path:
        """Where it stands."""
        return self.path.parent


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder, None if there is none.

    Raises:
        InputError: it cannot be read, or is not svcc's.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise _wrong(path, f"cannot read: {reason}") from None
    try:
        found = json.loads(text)
        return _manifest(path, found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        message = "this is not what svcc compile writes; compile into the folder again"
        raise _wrong(path, message) from None


def _manifest(path: Path, found: dict[str, object]) -> Manifest:
    """A manifest from its JSON; ValueError, KeyError, TypeError or AttributeError if it is none."""
    str_of(found["svcc"])
    if "nodes" in found:
        nodes = {
            name: str_of(_object(told)["sha256"]) for name, told in _object(found["nodes"]).items()
        }
        if not all(is_name(name, "subdomain") for name in nodes):
            raise ValueError
        return Manifest(path, nodes=nodes)
    files = {
        _file_name(name): str_of(_object(told)["sha256"])
        for name, told in _object(found["files"]).items()
    }
    sysctls = _object(found.get("sysctls", {}))
    timeouts = _object(found.get("timeouts", {}))
    mode = next((known for known in get_args(Mode) if known == found["mode"]), None)
    if mode is None:
        raise ValueError
    return Manifest(
        path,
        files,
        node=str_of(found["node"]) if found.get("known_node", True) else "",
        mode=mode,
        route_localnet=found["route_localnet"] is True,
        strict_arp="net.ipv4.conf.all.arp_ignore" in sysctls,
        timeouts=(
            _seconds(timeouts.get("tcp", 0)),
            _seconds(timeouts.get("tcpfin", 0)),
            _seconds(timeouts.get("udp", 0)),
        ),
        exclude=tuple(parse_network(str_of(each)) for each in _list(found.get("exclude", []))),
    )


def str_of(value: object) -> str:
    """A value that must be a text.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError
    return value


def _file_name(value: object) -> str:
    name = str_of(value)
    if name != Path(name).name or name.startswith(".") or name == MANIFEST:
        raise ValueError
    return name


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _seconds(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def differences(manifest: Manifest) -> Iterator[Problem]:
    """What of a folder is not as it was written."""
    listed = manifest.files
    if manifest.nodes is not None:
        listed = {f"{name}/{MANIFEST}": wanted for name, wanted in manifest.nodes.items()}
    for name, wanted in sorted(listed.items()):
        path = manifest.folder / name
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            message = f"missing, though {manifest.path} lists it; compile into the folder again"
            yield Problem(Position(str(path)), message)
            continue
        except OSError as error:
            yield Problem(Position(str(path)), f"cannot read: {error.strerror}")
            continue
        if hashlib.sha256(data).hexdigest() != wanted:
            message = (
                f"changed since svcc compile wrote it ({manifest.path} has another sha256); "
                "compile into the folder again, or name the files themselves to have them judged"
            )
            yield Problem(Position(str(path)), message)
    for path in _holding_rules(manifest):
        if path.relative_to(manifest.folder).as_posix() not in listed:
            message = f"added, for {manifest.path} does not list it; take it out of the folder"
            yield Problem(Position(str(path)), message)


def _holding_rules(manifest: Manifest) -> list[Path]:
    """The files in a folder that hold rules, or with several nodes their manifests."""
    found = [path for path in manifest.folder.iterdir() if path.suffix in ENDINGS]
    if manifest.nodes is not None:
        found += manifest.folder.glob(f"*/{MANIFEST}")
    return sorted(found)


def _wrong(path: Path, message: str) -> InputError:
    return InputError([Problem(Position(str(path)), message)])
