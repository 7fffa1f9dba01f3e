"""Virtual servers and their real servers: what ipvsadm prints and reads (ipvsadm(8)).

Source: ipvsadm 1.31, ipvsadm.c (parse_options, print_service_entry with FMT_RULE); the
kernel's net/netfilter/ipvs/ip_vs_ctl.c.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from svcc.grammar.address import Family, format_address, parse_address
from svcc.grammar.lines import WordError, read_lines, read_word
from svcc.grammar.numbers import decimal, decimal_port

_GRAMMAR = Path(__file__).with_name("ipvsadm.lark")

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh", "fo", "ovf",
              "twos")  # fmt: skip
SCHEDULER_FLAGS = ("sh-fallback", "sh-port", "mh-fallback", "mh-port",
                   "flag-1", "flag-2", "flag-3")  # fmt: skip
MAX_WEIGHT = 65535
DEFAULT_PERSISTENCE = 300
"""Seconds, where ``-p`` has no value."""
MAX_PERSISTENCE = 31 * 24 * 3600
DEFAULT_SCHEDULER = "wlc"
FORWARDING_METHODS = {"masquerading": "-m", "gatewaying": "-g", "ipip": "-i"}
PROTOCOL_OPTIONS = {6: "-t", 17: "-u", 132: "--sctp-service"}


class VirtualKey(NamedTuple):
    """What a packet is looked up by: address, protocol and port, or a firewall mark.

    ``protocol`` 0: ``address`` is the mark and ``port`` 0. ``port`` 0 otherwise: any port.
    """

    family: Family
    protocol: int
    address: int
    port: int

    def __str__(self) -> str:
        if not self.protocol:
            return f"{self.address}"
        return endpoint(self.family, self.address, self.port)


class RealKey(NamedTuple):
    """Where a real server listens; ``port`` 0: on the port that the client asked for."""

    address: int
    port: int


@dataclass(frozen=True, slots=True)
class RealServer:
    """A real server. Thresholds are connections, 0 for none; ``ipvsadm -S`` does not print them."""

    weight: int = 1
    method: str = "masquerading"
    upper_threshold: int = 0
    lower_threshold: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduling:
    """How a virtual server chooses.

    ``persistence``: seconds that a client keeps its real server, None without. ``netmask``
    (a prefix length): which clients count as one, None for a client each.
    """

    scheduler: str = DEFAULT_SCHEDULER
    persistence: int | None = None
    netmask: int | None = None
    flags: tuple[str, ...] = ()
    one_packet: bool = False
    persistence_engine: str = ""


@dataclass(slots=True)
class VirtualServer:
    """A virtual server; ``line`` is where it was read, 0 if it was not, ``lines`` where its real
    servers were.
    """

    scheduling: Scheduling = Scheduling()
    servers: dict[RealKey, RealServer] = field(default_factory=dict)
    line: int = field(default=0, compare=False)
    lines: dict[RealKey, int] = field(default_factory=dict, compare=False)


VirtualServers = dict[VirtualKey, VirtualServer]


def endpoint(family: Family, address: int, port: int) -> str:
    """``ADDRESS:PORT``, IPv6 in brackets."""
    text = format_address(family, address)
    return f"[{text}]:{port}" if family is Family.IPV6 else f"{text}:{port}"


# -- writing -------------------------------------------------------------------------------


def write(servers: VirtualServers) -> str:
    """What ``ipvsadm -R`` loads, spelled as ``ipvsadm -Sn`` prints it, sorted by key."""
    lines: list[str] = []
    for key in sorted(servers):
        server = servers[key]
        lines.append(f"-A {service_words(key, server.scheduling)}")
        lines += [f"-a {server_words(key, real, server.servers[real])}" for real in server.servers]
    return "".join(f"{line}\n" for line in lines)


@lru_cache(maxsize=1 << 12)
def key_words(key: VirtualKey) -> str:
    """``-t ADDRESS:PORT``, ``-f MARK``, …"""
    if key.protocol:
        return f"{PROTOCOL_OPTIONS[key.protocol]} {key}"
    return f"-f {key.address} -6" if key.family is Family.IPV6 else f"-f {key.address}"


def service_words(key: VirtualKey, scheduling: Scheduling) -> str:
    """A virtual server as ``-A`` and ``-E`` take it."""
    words = [key_words(key), "-s", scheduling.scheduler]
    if scheduling.persistence is not None:
        words += ["-p", str(scheduling.persistence)]
        if scheduling.netmask is not None:
            words += ["-M", netmask_text(key.family, scheduling.netmask)]
    if scheduling.persistence_engine:
        words += ["--pe", scheduling.persistence_engine]
    if scheduling.one_packet:
        words.append("-o")
    if scheduling.flags:
        words += ["-b", ",".join(scheduling.flags)]
    return " ".join(words)


def server_words(key: VirtualKey, real: RealKey, server: RealServer) -> str:
    """A real server as ``-a`` and ``-e`` take it."""
    words = [real_words(key, real), FORWARDING_METHODS[server.method], "-w", str(server.weight)]
    if server.upper_threshold:
        words += ["-x", str(server.upper_threshold)]
    if server.lower_threshold:
        words += ["-y", str(server.lower_threshold)]
    return " ".join(words)


def real_words(key: VirtualKey, real: RealKey) -> str:
    """The two keys, as ``-d`` takes them."""
    return f"{key_words(key)} -r {endpoint(key.family, real.address, real.port)}"


def netmask_text(family: Family, length: int) -> str:
    """A persistence mask: a prefix length of IPv6."""
    if family is Family.IPV6:
        return str(length)
    return format_address(family, (1 << 32) - (1 << (32 - length)))


# -- reading -------------------------------------------------------------------------------

_ALIASES = {
    "--add-service": "-A", "--edit-service": "-E", "--add-server": "-a", "--edit-server": "-e",
    "--tcp-service": "-t", "--udp-service": "-u", "--fwmark-service": "-f", "--ipv6": "-6",
    "--scheduler": "-s", "--persistent": "-p", "--netmask": "-M", "--sched-flags": "-b",
    "--ops": "-o", "--real-server": "-r", "--gatewaying": "-g", "--ipip": "-i",
    "--masquerading": "-m", "--weight": "-w", "--u-threshold": "-x", "--l-threshold": "-y",
}  # fmt: skip
_WITH_VALUE = frozenset({"-t", "-u", "--sctp-service", "-f", "-s", "-M", "-b", "--pe", "-r", "-w",
                         "-x", "-y"})  # fmt: skip
_WITHOUT_VALUE = frozenset({"-6", "-o", "-g", "-i", "-m"})
_SERVICE_OPTIONS = frozenset({"-s", "-p", "-M", "-b", "-o", "--pe"})
_SERVER_OPTIONS = frozenset({"-r", "-g", "-i", "-m", "-w", "-x", "-y"})
_SERVICE_KINDS = {"-t": 6, "-u": 17, "--sctp-service": 132, "-f": 0}
_METHODS = {"-m": "masquerading", "-g": "gatewaying", "-i": "ipip"}

_Options = dict[str, tuple[int, str]]
"""Option to the place and text of its value."""


def parse(text: str, *, source: str) -> VirtualServers:
    """Read ``ipvsadm -Sn`` output or ``ipvsadm -R`` input.

    Raises:
        InputError: lines that ipvsadm would not take, with line and column.
    """
    servers: VirtualServers = {}

    def build(words: list[str], line: int) -> None:
        command = _ALIASES.get(words[0], words[0])
        options = _options(words)
        key = _key(options)
        if command in ("-A", "-E"):
            _refuse(options, _SERVER_OPTIONS, words, "a virtual server")
            if (key in servers) != (command == "-E"):
                what = "exists already" if command == "-A" else "does not exist"
                raise WordError(2, f"the virtual server {key} {what}")
            known = servers[key] if command == "-E" else VirtualServer()
            scheduling = _scheduling(options, key.family)
            servers[key] = VirtualServer(scheduling, known.servers, line, known.lines)
            return
        _refuse(options, _SERVICE_OPTIONS, words, "a real server")
        if key not in servers:
            raise WordError(2, f"no virtual server {key} before this line; add it with -A")
        if "-r" not in options:
            raise WordError(len(words), "-r is missing: which real server?")
        index, text_of_real = options["-r"]
        real = _real(text_of_real, key, index)
        if (real in servers[key].servers) != (command == "-e"):
            what = "exists already" if command == "-a" else "does not exist"
            raise WordError(index, f"the real server {text_of_real} {what}")
        servers[key].servers[real] = _real_server(options)
        servers[key].lines[real] = line

    read_lines(text, grammar=_GRAMMAR, source=source, shape=_shape, build=build)
    return servers


def _shape(words: list[str]) -> Hashable:
    return tuple(word if word[0] == "-" else "" for word in words)


def _options(words: list[str]) -> _Options:
    found: _Options = {}
    index = 1
    while index < len(words):
        name = _ALIASES.get(words[index], words[index])
        has_value = index + 1 < len(words) and words[index + 1][0] != "-"
        if name in found:
            raise WordError(index, f"{words[index]} is given twice")
        if name == "-p" and not has_value:
            found[name] = (index, str(DEFAULT_PERSISTENCE))
        elif name in _WITH_VALUE or name == "-p":
            if not has_value:
                raise WordError(index, f"{words[index]} needs a value")
            found[name] = (index + 1, words[index + 1])
            index += 1
        elif name in _WITHOUT_VALUE:
            if has_value:
                raise WordError(index + 1, f"{words[index]} takes no value")
            found[name] = (index, "")
        else:
            raise WordError(index, f"ipvsadm has no option {words[index]!r} that svcc knows")
        index += 1
    return found


def _refuse(options: _Options, others: frozenset[str], words: list[str], what: str) -> None:
    for name in options:
        if name in others:
            index = next(i for i, w in enumerate(words) if _ALIASES.get(w, w) == name)
            raise WordError(index, f"{words[index]} does not go with {what}")


def _key(options: _Options) -> VirtualKey:
    kinds = [name for name in _SERVICE_KINDS if name in options]
    if len(kinds) != 1:
        raise WordError(1, "exactly one of -t, -u, --sctp-service and -f is needed")
    kind = kinds[0]
    index, text = options[kind]
    if kind == "-f":
        mark = read_word(index, decimal, text, 1, 0xFFFFFFFF)
        return VirtualKey(Family.IPV6 if "-6" in options else Family.IPV4, 0, mark, 0)
    if "-6" in options:
        raise WordError(options["-6"][0], "-6 goes with -f only")
    return _endpoint_key(_SERVICE_KINDS[kind], text, index)


@lru_cache(maxsize=1 << 14)
def _endpoint_key(protocol: int, text: str, index: int) -> VirtualKey:
    family, address, port = _endpoint(text, index)
    return VirtualKey(family, protocol, address, port)


_ENDPOINT = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::([0-9]+))?")


@lru_cache(maxsize=1 << 14)
def _endpoint(text: str, index: int) -> tuple[Family, int, int]:
    found = _ENDPOINT.fullmatch(text)
    if found is None:
        raise WordError(index, f"{text!r} is not ADDRESS[:PORT] (IPv6 in brackets)")
    address = read_word(index, parse_address, found[1] or found[2])
    if (found[1] is not None) != (address.family is Family.IPV6):
        raise WordError(index, f"{text!r}: brackets are for IPv6 addresses")
    port = read_word(index, decimal_port, found[3] or "0")
    return address.family, address.value, port


def _real(text: str, key: VirtualKey, index: int) -> RealKey:
    family, address, port = _endpoint(text, index)
    if family is not key.family:
        raise WordError(index, f"{text!r} is of another family than its virtual server")
    # ipvsadm(8): without a port, the virtual server's.
    return RealKey(address, port if _ends_with_port(text) else key.port)


def _ends_with_port(text: str) -> bool:
    return text.rpartition("]")[2].count(":") == 1


def _scheduling(options: _Options, family: Family) -> Scheduling:
    result = Scheduling()
    if "-s" in options:
        index, name = options["-s"]
        if name not in SCHEDULERS:
            raise WordError(index, f"{name!r} is not a scheduler ({', '.join(SCHEDULERS)})")
        result = replace(result, scheduler=name)
    if "-p" in options:
        index, text = options["-p"]
        result = replace(result, persistence=read_word(index, decimal, text, 1, MAX_PERSISTENCE))
    if "-M" in options:
        index, text = options["-M"]
        if "-p" not in options:
            raise WordError(index, "-M goes with -p only")
        length = _prefix_length(text, index, family)
        result = replace(result, netmask=None if length == family.bits else length)
    if "-b" in options:
        index, text = options["-b"]
        flags = tuple(text.split(","))
        for flag in flags:
            if flag not in SCHEDULER_FLAGS:
                raise WordError(index, f"{flag!r} is not a scheduler flag")
        result = replace(result, flags=flags)
    if "--pe" in options:
        result = replace(result, persistence_engine=options["--pe"][1])
    return replace(result, one_packet="-o" in options)


def _prefix_length(text: str, index: int, family: Family) -> int:
    if family is Family.IPV6:
        return read_word(index, decimal, text, 1, 128)
    inverted = read_word(index, parse_address, text).value ^ 0xFFFFFFFF
    if inverted & (inverted + 1):
        raise WordError(index, f"{text!r} is not a netmask")
    return 32 - inverted.bit_length()


def _real_server(options: _Options) -> RealServer:
    methods = [name for name in _METHODS if name in options]
    if len(methods) > 1:
        raise WordError(options[methods[1]][0], "more than one of -g, -i and -m")
    method = _METHODS[methods[0]] if methods else "gatewaying"
    limits = {"-w": MAX_WEIGHT, "-x": 0xFFFFFFFF, "-y": 0xFFFFFFFF}
    given = {
        name: read_word(options[name][0], decimal, options[name][1], 0, top)
        for name, top in limits.items()
        if name in options
    }
    return _server(given.get("-w", 1), method, given.get("-x", 0), given.get("-y", 0))


@lru_cache(maxsize=1 << 10)
def _server(weight: int, method: str, upper: int, lower: int) -> RealServer:
    return RealServer(weight, method, upper, lower)
