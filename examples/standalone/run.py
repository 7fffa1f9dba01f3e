"""The example from end to end: ``sudo examples/standalone/run.py [--mode nftables]``.

Each command is printed, run by bash in the shell of hosts.sh, and what it prints is shown. Exit
code 1 where something is not as it should be.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
RACKS = {"rack-1": "192.168.50.11", "rack-2": "192.168.50.12", "rack-3": "192.168.50.13"}
NAME_SERVERS = ("rack-1", "rack-2")
NAMES = {"web:80": "web", "api:80": "api", "admin:9000": "admin", "db:5984": "db"}
ZONES = "--target dns --dns-reverse-zone 10.96.0.0/16 --dns-reverse-zone 192.168.50.0/24 -o zones"


class MismatchError(Exception):
    """Something is not as it should be."""


def do(command: str) -> str:
    """Run a command as it is printed; what it printed."""
    print(f"$ {command}", flush=True)
    # The output goes through a pipe, which servers in the background must not keep open.
    process = subprocess.Popen(
        ["bash", "-c", f"set -eo pipefail; {command}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    if process.wait():
        raise MismatchError(f"exit code {process.returncode}: {command}")
    return "".join(lines)


def say(text: str) -> None:
    """A heading."""
    print(f"\n# {text}", flush=True)


def backends(app: str) -> list[str]:
    """Who runs an application, by the files of the hosts that there are."""
    return sorted(
        host["name"]
        for path in Path("hosts").glob("*.yaml")
        for document in yaml.safe_load_all(path.read_text())
        if document["kind"] == "HostList"
        for host in document["hosts"]
        if host["labels"]["app"] == app
    )


def given(service: str, what: str) -> str:
    """A number that svcc allocate gave to a Service."""
    for line in Path("svcc.lock").read_text().splitlines():
        if line.startswith(f"given {service} {what} "):
            return line.split()[-1]
    raise MismatchError(f"svcc.lock has no {what} of {service}")


def inside(host: str) -> str:
    """The beginning of a command that is run on a host; "" is the outside."""
    return f"ip netns exec {host} " if host else ""


def ask(host: str, expected: dict[str, list[str]]) -> None:
    """Ask each of some frontends; all backends must answer, and nobody else."""
    output = do(f"{inside(host)}python3 client.py {' '.join(expected)}")
    for line, (target, names) in zip(output.splitlines(), expected.items(), strict=True):
        if line.split()[-len(names) - 1 :][1:] != names or not line.startswith(f"{target} "):
            raise MismatchError(f"{target} must be answered by {' '.join(names)}")


def node_ports(hosts: Sequence[str]) -> dict[str, list[str]]:
    """The node ports of hosts and the balancer address, with who must answer."""
    admin, web = given("shop/admin", "node-port"), given("shop/web", "node-port")
    asked = {f"{RACKS[host]}:{admin}": backends("admin") for host in hosts}
    asked[f"{RACKS[hosts[0]]}:{web}"] = backends("web")
    asked[f"{given('shop/web', 'load-balancer-ip')}:80"] = backends("web")
    return asked


def ask_everything(hosts: Sequence[str]) -> None:
    """From each host by names, from outside by addresses."""
    for host in hosts:
        ask(host, {target: backends(app) for target, app in NAMES.items()} | {"payments:80": ["pay"]})
    ask("", node_ports(hosts))
    balancer = given("shop/web", "load-balancer-ip")
    for host in hosts[1:]:
        do(f"ip route replace 203.0.113.0/24 via {RACKS[host]} src 198.51.100.20")
        ask("", {f"{balancer}:80": backends("web")})
    do(f"ip route replace 203.0.113.0/24 via {RACKS[hosts[0]]} src 198.51.100.20")


class Watch:
    """A client that asks everything round after round."""

    def __init__(self, host: str, targets: Sequence[str]) -> None:
        command = f"{inside(host)}python3 client.py --watch {' '.join(targets)}"
        print(f"$ {command} &", flush=True)
        self.host = host or "outside"
        self.process = subprocess.Popen(shlex.split(command), stdout=subprocess.PIPE, text=True)

    def rounds(self) -> None:
        """Wait until everything has been asked from first to last since now."""
        assert self.process.stdout is not None
        # What is in the pipe was written before; the second line from now on is of a whole round.
        os.set_blocking(self.process.stdout.fileno(), False)
        while line := self.process.stdout.readline():
            self._answered(line)
        os.set_blocking(self.process.stdout.fileno(), True)
        for _ in range(2):
            self._answered(self.process.stdout.readline())

    def _answered(self, line: str) -> None:
        if line != "all answered\n":
            raise MismatchError(f"{self.host}: {line.strip() or 'the client ended'}")


def serials() -> set[str]:
    """What the name servers say, a line of each, without showing it."""
    command = ["python3", "client.py", "--serial", *(RACKS[host] for host in NAME_SERVERS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MismatchError(done.stdout.strip())
    return set(done.stdout.splitlines())


def run() -> None:
    """All of it, in the shell of hosts.sh."""
    say("Do the manifests fit together?")
    do("svcc verify -f manifests --simulate | tail -n 1")
    say("Addresses and ports, as the lock file has them.")
    do("svcc allocate -f manifests --lock svcc.lock")
    do("git --no-pager diff --no-index --stat $STANDALONE/svcc.lock svcc.lock")
    say("Rules and names, proved together for each host.")
    do(f"svcc compile $objects {ZONES}")
    do("svcc verify $objects --all-nodes --dns-zone zones | tail -n 1")
    say("Rules into each host's kernel, and what the hosts run.")
    for host in RACKS:
        do(f"{inside(host)}svcc apply $objects --node {host}")
        do(f"{inside(host)}python3 server.py hosts/{host}.yaml")
    for host in NAME_SERVERS:
        do(f"{inside(host)}nsd -c nsd.conf -a {RACKS[host]} -P /run/nsd-{host}.pid")
    do("python3 server.py pay 198.51.100.20 80")
    do("python3 client.py --serial " + " ".join(RACKS[host] for host in NAME_SERVERS))
    say("Names from the hosts, node ports and the balancer address from outside.")
    ask_everything(list(RACKS))
    say("rack-3 is to go. Everything is asked all the time.")
    left = [host for host in RACKS if host != "rack-3"]
    watches = [Watch(host, [*NAMES, "payments:80"]) for host in left]
    watches.append(Watch("", list(node_ports(left))))
    for watch in watches:
        watch.rounds()
    do("rm hosts/rack-3.yaml")
    do("svcc verify $objects --all-nodes | tail -n 1")
    do(f"svcc compile $objects {ZONES}")
    before = serials()
    do("kill -HUP $(cat /run/nsd-rack-1.pid) $(cat /run/nsd-rack-2.pid)")
    while serials() & before:
        pass
    do("python3 client.py --serial " + " ".join(RACKS[host] for host in NAME_SERVERS))
    for host in left:
        do(f"{inside(host)}svcc apply $objects --node {host}")
    for watch in watches:
        watch.rounds()
    do("ip netns pids rack-3 | xargs kill; ip netns delete rack-3")
    for watch in watches:
        watch.rounds()
        watch.process.terminate()
    print("nothing failed on rack-1, on rack-2 and outside")
    ask_everything(left)
    do("svcc verify $objects --all-nodes --dns-zone zones | tail -n 1")
    do("svcc allocate -f manifests --lock svcc.lock --check | tail -n 0")
    do("cmp $STANDALONE/svcc.lock svcc.lock")


def main() -> int:
    """Into the shell of hosts.sh, and there all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("iptables", "nftables"), default="iptables")
    arguments = parser.parse_args()
    if "STANDALONE" not in os.environ:
        if os.geteuid():
            print("run.py: error: needs root for network namespaces; run it with sudo")
            return 2
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "SVCC_MODE": arguments.mode,
        }
        command = [str(HERE / "hosts.sh"), sys.executable, str(HERE / "run.py")]
        return subprocess.run(command, env=environment, check=False).returncode
    try:
        run()
    except MismatchError as error:
        print(f"run.py: not as it should be: {error}", flush=True)
        return 1
    print("standalone: all as it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
