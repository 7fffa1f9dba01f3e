"""A node's folder read back, so that what was compiled elsewhere can be loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from svcc.compiler.bundle import ADDRESSES, FILE_NAMES, IPSET, IPVSADM, MANIFEST, NFTABLES
from svcc.compiler.files.manifest import Manifest, differences, read_manifest
from svcc.grammar.address import Family
from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.iptables.names import BUILT_IN_CHAINS
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.program import ChainCommand, Goto, Jump, Program
from svcc.grammar.ipvs import addresses, ipset, ipvsadm
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.nftables.parse import parse as parse_nftables
from svcc.grammar.nftables.program import Ruleset

PREFIX, NAME = "SVCC-", "svcc"
"""Of all chains of iptables that svcc writes; of all its nftables tables."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a folder holds; ``ipvs`` None: not in ipvs mode. In nftables mode there are no
    ``programs`` but ``tables``.
    """

    manifest: Manifest
    programs: dict[Family, Program]
    ipvs: Ipvs | None
    tables: Ruleset | None = None


def read_bundle(directory: str) -> Bundle:
    """A folder that :func:`svcc.compiler.files.write.write_bundle` has written.

    Raises:
        InputError: it is none, something in it is not as it was written, or it holds rules that
            svcc does not write.
    """
    folder = Path(directory)
    manifest = read_manifest(folder)
    if manifest is None:
        message = f"no bundle: there is no {MANIFEST}; name a folder that svcc compile -o wrote"
        raise InputError([Problem(Position(directory), message)])
    if manifest.nodes is not None:
        message = "the rules of several nodes; name the folder of one, such as "
        message += str(folder / next(iter(sorted(manifest.nodes)), "NODE"))
        raise InputError([Problem(Position(directory), message)])
    problems = list(differences(manifest))
    if problems:
        raise InputError(problems)
    if manifest.mode == "userspace":
        message = "a configuration of nginx, and no rules of the kernel: nginx -s reload uses it"
        raise InputError([Problem(Position(directory), message)])
    if manifest.mode == "nftables":
        return Bundle(manifest, {}, None, _tables(folder / NFTABLES))
    programs = {
        family: parse(_text(folder / name), family=family, source=str(folder / name))
        for family, name in FILE_NAMES.items()
    }
    problems = [problem for program in programs.values() for problem in _not_ours(program)]
    if problems:
        raise InputError(problems)
    return Bundle(manifest, programs, _ipvs(manifest) if manifest.mode == "ipvs" else None)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError([Problem(Position(str(path)), f"cannot read: {reason}")]) from None


def _tables(path: Path) -> Ruleset:
    """The tables of nftables mode.

    Raises:
        InputError: nft would not take them, or one is not svcc's.
    """
    found = parse_nftables(_text(path), source=str(path))
    others = [table for table in found.tables.values() if table.name != NAME]
    if others:
        message = f"the table {others[0].family} {others[0].name} is not svcc's; compile anew"
        raise InputError([Problem(Position(str(path)), message)])
    return found


def _ipvs(manifest: Manifest) -> Ipvs:
    def text_of(name: str) -> tuple[str, str]:
        return _text(manifest.folder / name), str(manifest.folder / name)

    servers, sets, own = text_of(IPVSADM), text_of(IPSET), text_of(ADDRESSES)
    return Ipvs(
        ipvsadm.parse(servers[0], source=servers[1]),
        ipset.parse(sets[0], source=sets[1]),
        {family: tuple(of) for family, of in addresses.parse(own[0], source=own[1]).items()},
        manifest.timeouts,
        manifest.strict_arp,
    )


def _not_ours(program: Program) -> Iterator[Problem]:
    """Lines that would change what is not svcc's."""
    for table in program.tables.values():
        base = BUILT_IN_CHAINS.get(table.name, ())
        for chain in table.chains.values():
            if not chain.name.startswith(PREFIX):
                yield _no_line_of_ours(program, chain.line)
        for command in table.commands:
            match command:
                case ChainCommand():
                    ours = False
                case _ if command.command != "-A":
                    ours = False
                case _ if command.chain in base:
                    target = command.target
                    ours = isinstance(target, Jump | Goto) and target.chain.startswith(PREFIX)
                case _:
                    ours = command.chain.startswith(PREFIX)
            if not ours:
                yield _no_line_of_ours(program, command.line)


def _no_line_of_ours(program: Program, line: int) -> Problem:
    message = "svcc writes no such line, and applies only its own rules; compile anew"
    return Problem(Position(program.source, line, 1), message)
