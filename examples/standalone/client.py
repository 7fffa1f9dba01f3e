"""Who answers: ``client.py [--watch] NAME:PORT…``; and ``client.py --serial SERVER…``.

Names are looked up at the name server of /etc/resolv.conf. Each NAME:PORT (or ADDRESS:PORT) is
asked 60 times, each time at one of its addresses, and a line says who answered. Exit code 1 if
anything else happened. With ``--watch`` they are asked round after round until SIGTERM, and there
is a line for each round; what fails ends it. ``--serial`` prints which version of the zone
cluster.local each name server has.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver

TIMES = 60
# Nothing here takes long: who waits that long waits in vain.
SECONDS = 60.0


def query(server: str, name: dns.name.Name, type_: str) -> dns.message.Message:
    """One packet to a name server, and its answer; OSError if it is turned away."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        # Connected, so that the answer of who turns a packet away is heard.
        wire.connect((server, 53))
        wire.setblocking(False)
        question = dns.message.make_query(name, type_)
        return dns.query.udp(question, server, timeout=SECONDS, sock=wire)


def candidates(name: str) -> Iterator[dns.name.Name]:
    """A name as resolv.conf completes it, then as it stands."""
    if not name.endswith("."):
        for suffix in dns.resolver.Resolver().search:
            yield dns.name.from_text(name, suffix)
    yield dns.name.from_text(name)


def look_up(name: str) -> tuple[list[str], list[str]]:
    """The addresses of a name, and the aliases on the way to them."""
    server = str(dns.resolver.Resolver().nameservers[0])
    for candidate in candidates(name):
        reply = query(server, candidate, "A")
        if reply.rcode() == dns.rcode.NXDOMAIN:
            continue
        records = [record for rrset in reply.answer for record in rrset]
        aliases = [r.target.to_text() for r in records if r.rdtype == dns.rdatatype.CNAME]
        addresses = sorted(r.address for r in records if r.rdtype == dns.rdatatype.A)
        if aliases and not addresses:
            addresses, further = look_up(aliases[-1])
            aliases += further
        return addresses, aliases
    raise OSError(f"there is no name {name}")


def ask(address: str, port: int) -> str:
    """Who answers there, on a connection of its own."""
    connection = HTTPConnection(address, port, timeout=SECONDS)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode().strip()
    finally:
        connection.close()


def addresses_of(target: str) -> tuple[list[str], list[str], int]:
    """Addresses, aliases and port of ``NAME:PORT`` or ``ADDRESS:PORT``."""
    name, port = target.rsplit(":", 1)
    if name.replace(".", "").isdigit():
        return [name], [], int(port)
    addresses, aliases = look_up(name)
    if not addresses:
        raise OSError(f"{name} has no address")
    return addresses, aliases, int(port)


def show(target: str) -> str:
    """A line on who answers."""
    addresses, aliases, port = addresses_of(target)
    seen = {ask(addresses[number % len(addresses)], port) for number in range(TIMES)}
    at = " -> ".join([*aliases, " ".join(addresses)])
    return f"{target:20} {at:42} answered by {' '.join(sorted(seen))}"


def watch(targets: list[str]) -> None:
    """Ask round after round."""
    while True:
        for target in targets:
            addresses, _, port = addresses_of(target)
            ask(random.choice(addresses), port)
        print("all answered", flush=True)
        time.sleep(0.03)


def main(arguments: list[str]) -> int:
    """The command."""
    try:
        match arguments:
            case ["--serial", *servers]:
                for server in servers:
                    (rrset,) = query(server, dns.name.from_text("cluster.local"), "SOA").answer
                    print(f"{server} has cluster.local {rrset[0].serial}")
            case ["--watch", *targets]:
                watch(targets)
            case _:
                for target in arguments:
                    print(show(target), flush=True)
    except (OSError, dns.exception.DNSException) as error:
        print(f"failed: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
