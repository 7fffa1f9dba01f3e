"""What ipvs mode does to the kernel: one dataclass for each kind of command, and its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from svcc.grammar.address import Family, format_address
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.grammar.ipvs.ipset import Entry, Part, Set
from svcc.grammar.ipvs.ipvsadm import RealKey, RealServer, Scheduling, VirtualKey
from svcc.grammar.ipvs.state import DEVICE

Tool = Literal["ipvsadm", "ipset", "ip", "sysctl", "timeouts", "wait"]
"""Who runs a command: a tool that reads lines, or svcc itself."""


@dataclass(frozen=True, slots=True)
class SetSysctl:
    """Give a kernel setting a value; ``name`` is its path below /proc/sys."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class SetTimeouts:
    """Seconds for TCP, TCP after FIN, UDP; 0 leaves one as it is."""

    seconds: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class AddServer:
    """A virtual server without real servers."""

    key: VirtualKey
    scheduling: Scheduling


@dataclass(frozen=True, slots=True)
class EditServer:
    """Another way to choose; the real servers stay."""

    key: VirtualKey
    scheduling: Scheduling


@dataclass(frozen=True, slots=True)
class RemoveServer:
    """A virtual server and all of its real servers."""

    key: VirtualKey


@dataclass(frozen=True, slots=True)
class AddReal:
    """A real server of a virtual server."""

    key: VirtualKey
    real: RealKey
    server: RealServer


@dataclass(frozen=True, slots=True)
class EditReal:
    """Another weight, method or threshold."""

    key: VirtualKey
    real: RealKey
    server: RealServer


@dataclass(frozen=True, slots=True)
class RemoveReal:
    """Connections to it are cut: their next packet is dropped (expire_nodest_conn)."""

    key: VirtualKey
    real: RealKey


@dataclass(frozen=True, slots=True)
class WaitForConnections:
    """Wait until no real server has an active connection, or the time to drain is over."""

    reals: tuple[tuple[VirtualKey, RealKey], ...]


@dataclass(frozen=True, slots=True)
class CreateSet:
    """An empty set."""

    name: str
    kind: str
    family: Family | None
    max_entries: int
    maps_marks: bool


@dataclass(frozen=True, slots=True)
class DestroySet:
    """A set and its entries; the kernel refuses while a rule refers to it."""

    name: str


@dataclass(frozen=True, slots=True)
class SwapSets:
    """Exchange two sets of one type under their names, at once."""

    first: str
    second: str


@dataclass(frozen=True, slots=True)
class AddEntry:
    """One entry; there is none with the same parts."""

    name: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class RemoveEntry:
    """One entry that is there."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class CreateDevice:
    """The dummy device; it is down and has no addresses."""


@dataclass(frozen=True, slots=True)
class RaiseDevice:
    """The dummy device goes up: only then are its IPv6 addresses the node's."""


@dataclass(frozen=True, slots=True)
class RemoveDevice:
    """The dummy device and all of its addresses."""


@dataclass(frozen=True, slots=True)
class AddAddress:
    """A single address of the dummy device."""

    family: Family
    address: int


@dataclass(frozen=True, slots=True)
class RemoveAddress:
    """An address of the dummy device."""

    family: Family
    address: int
    prefix_length: int


CommandOfOurs = SetSysctl | SetTimeouts | WaitForConnections
"""What svcc does itself, or has a tool do by its arguments."""
CommandOfIpset = CreateSet | DestroySet | SwapSets | AddEntry | RemoveEntry
CommandOfIp = CreateDevice | RaiseDevice | RemoveDevice | AddAddress | RemoveAddress
CommandOfIpvsadm = AddServer | EditServer | RemoveServer | AddReal | EditReal | RemoveReal
Command = CommandOfOurs | CommandOfIpset | CommandOfIp | CommandOfIpvsadm


def line_of(command: Command) -> tuple[Tool, str]:
    """Who runs a command, and the line that tells it to.

    For tools that read lines that is ``ipvsadm -R``, ``ipset restore`` and ``ip -batch -``.
    """
    match command:
        case SetSysctl(name, value):
            return "sysctl", f"{name.replace('/', '.')}={value}"
        case SetTimeouts(seconds):
            return "timeouts", " ".join(map(str, seconds))
        case WaitForConnections(reals):
            return "wait", f"# until {len(reals)} real servers have no active connection"
        case CreateSet() | DestroySet() | SwapSets() | AddEntry() | RemoveEntry():
            return "ipset", _ipset_line(command)
        case CreateDevice() | RaiseDevice() | RemoveDevice() | AddAddress() | RemoveAddress():
            return "ip", _ip_line(command)
        case AddServer() | EditServer() | RemoveServer() | AddReal() | EditReal() | RemoveReal():
            return "ipvsadm", _ipvsadm_line(command)
        case _:
            assert_never(command)


def _ipset_line(command: CommandOfIpset) -> str:
    match command:
        case CreateSet(name, kind, family, size, maps_marks):
            definition = ipset.definition(
                Set(
                    name=name,
                    kind=kind,
                    family=family,
                    entries={},
                    max_entries=size,
                    maps_marks=maps_marks,
                )
            )
            return f"create {name} {definition}"
        case DestroySet(name):
            return f"destroy {name}"
        case SwapSets(first, second):
            return f"swap {first} {second}"
        case AddEntry(name, entry):
            return f"add {name} {ipset.entry_words(entry)}"
        case RemoveEntry(name, parts):
            return f"del {name} {ipset.key_words(parts)}"
        case _:
            assert_never(command)


def _ip_line(command: CommandOfIp) -> str:
    match command:
        case CreateDevice():
            return f"link add {DEVICE} type dummy"
        case RaiseDevice():
            return f"link set {DEVICE} up"
        case RemoveDevice():
            return f"link delete {DEVICE}"
        case AddAddress(family, address):
            # Without duplicate address detection it can be used at once.
            extra = " nodad" if family is Family.IPV6 else ""
            text = format_address(family, address)
            return f"address add {text}/{family.bits} dev {DEVICE}{extra}"
        case RemoveAddress(family, address, length):
            return f"address delete {format_address(family, address)}/{length} dev {DEVICE}"
        case _:
            assert_never(command)


def _ipvsadm_line(command: CommandOfIpvsadm) -> str:
    match command:
        case AddServer(key, scheduling):
            return f"-A {ipvsadm.service_words(key, scheduling)}"
        case EditServer(key, scheduling):
            return f"-E {ipvsadm.service_words(key, scheduling)}"
        case RemoveServer(key):
            return f"-D {ipvsadm.key_words(key)}"
        case AddReal(key, real, server):
            return f"-a {ipvsadm.server_words(key, real, server)}"
        case EditReal(key, real, server):
            return f"-e {ipvsadm.server_words(key, real, server)}"
        case RemoveReal(key, real):
            return f"-d {ipvsadm.real_words(key, real)}"
        case _:
            assert_never(command)
