#!/usr/bin/env python3
"""The example from end to end: ``sudo examples/standalone/run.py [--mode nftables]``.

Each command is printed, run by bash in the shell of hosts.sh, and what it prints is shown. Exit
code 1 where something is not as it should be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

HERE = Path(__file__).resolve().parent
RACKS = {"rack-1": "192.168.50.11", "rack-2": "192.168.50.12", "rack-3": "192.168.50.13"}
TOOLS = ("unshare", "ip", "sysctl", "iptables", "conntrack", "nft", "nsd")
NAME_SERVERS = ("rack-1", "rack-2")
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


def running(app: str) -> dict[str, str]:
    """Who runs an application, and at which address, by the files of the hosts that there are."""
    # Only here: the python of sudo, which has not to know it, goes no further than hosts.sh.
    import yaml

    return {
        host["name"]: host["ip"]
        for path in sorted(Path("hosts").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
        if document["kind"] == "HostList"
        for host in document["hosts"]
        if host["labels"]["app"] == app
    }


def given(service: str, what: str) -> str:
    """A number that svcc allocate gave to a Service."""
    for line in Path("svcc.lock").read_text().splitlines():
        if line.startswith(f"given {service} {what} "):
            return line.split()[-1]
    raise MismatchError(f"svcc.lock has no {what} of {service}")


def inside(host: str) -> str:
    """The beginning of a command that is run on a host; "" is the outside."""
    return f"ip netns exec {host} " if host else ""


def names() -> dict[str, tuple[str, str]]:
    """What hosts ask for: the addresses that must come of it, and who must answer there."""
    return {
        **{
            target: (given(f"shop/{app}", "cluster-ip ipv4"), " ".join(running(app)))
            for target, app in (("web:80", "web"), ("api:80", "api"), ("admin:9000", "admin"))
        },
        "db:5984": (" ".join(running("db").values()), " ".join(running("db"))),
        "payments:80": ("pay.example.com. -> 198.51.100.20", "pay"),
    }


def addresses(hosts: Sequence[str]) -> dict[str, tuple[str, str]]:
    """What the outside asks for: node ports of hosts, and the balancer address."""
    admin, web = given("shop/admin", "node-port"), given("shop/web", "node-port")
    balancer = given("shop/web", "load-balancer-ip")
    return {
        **{f"{RACKS[h]}:{admin}": (RACKS[h], " ".join(running("admin"))) for h in hosts},
        f"{RACKS[hosts[0]]}:{web}": (RACKS[hosts[0]], " ".join(running("web"))),
        f"{balancer}:80": (balancer, " ".join(running("web"))),
    }


def ask(host: str, expected: dict[str, tuple[str, str]]) -> None:
    """Ask for each; all who must answer do, and nobody else."""
    told = do(f"{inside(host)}python3 client.py {' '.join(expected)}").splitlines()
    wanted = [f"{what} {at} answered by {who}" for what, (at, who) in expected.items()]
    for line, want in zip_longest((" ".join(line.split()) for line in told), wanted):
        if line != want:
            raise MismatchError(f"it should be: {want}")


def ask_everything(hosts: Sequence[str]) -> None:
    """From each host by names, from outside by addresses."""
    for host in hosts:
        ask(host, names())
    asked = addresses(hosts)
    ask("", asked)
    balancer = list(asked)[-1]
    for host in [*hosts[1:], hosts[0]]:
        do(f"ip route replace 203.0.113.0/24 via {RACKS[host]} src 198.51.100.20")
        if host != hosts[0]:
            ask("", {balancer: asked[balancer]})


class Watch:
    """A client that asks everything round after round, in the background."""

    def __init__(self, host: str, targets: Sequence[str]) -> None:
        self.host = host or "outside"
        self.log = Path(f"/run/{self.host}.log")
        command = f"{inside(host)}python3 client.py --watch {' '.join(targets)} >{self.log}"
        print(f"$ {command} &", flush=True)
        self.process = subprocess.Popen(["bash", "-c", f"exec {command}"])

    def rounds(self) -> None:
        """Wait until everything has been asked, from first to last, since now."""
        before = self._rounds()
        # The round that is under way began before.
        while self._rounds() < before + 2:
            if self.process.poll() is not None:
                raise MismatchError(f"{self.host}: {self.log.read_text().splitlines()[-1]}")
            time.sleep(0.01)

    def _rounds(self) -> int:
        return self.log.read_text().count("all answered\n") if self.log.exists() else 0


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
    do("cmp svcc.lock $STANDALONE/svcc.lock")
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
    watches = [Watch(host, list(names())) for host in left]
    watches.append(Watch("", list(addresses(left))))
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
        watch.process.wait()
    do("tail -qn 1 /run/rack-1.log /run/rack-2.log /run/outside.log")
    ask_everything(left)
    say("What is loaded now, and the names, proved once more.")
    for host in left:
        do(f"{inside(host)}svcc verify $objects --node {host} --live --dns-zone zones | tail -n 1")


def main() -> int:
    """Into the shell of hosts.sh, and there all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("iptables", "nftables"), default="iptables")
    arguments = parser.parse_args()
    if "STANDALONE" not in os.environ:
        if os.geteuid():
            print("run.py: error: needs root for network namespaces; run it with sudo")
            return 2
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        absent = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
        if absent:
            print(f"run.py: error: needs {', '.join(absent)}; install them")
            return 2
        folder = Path(sys.executable).parent
        if (folder / "svcc").exists():
            path = f"{folder}:{path}"
        environment = {**os.environ, "PATH": path, "SVCC_MODE": arguments.mode}
        # In the place of this process, so that who ends it ends everything.
        script = str(HERE / "hosts.sh")
        os.execve(script, [script, "python3", "run.py"], environment)
    try:
        run()
    except KeyboardInterrupt:
        return 130
    except MismatchError as error:
        print(f"run.py: not as it should be: {error}", flush=True)
        return 1
    print("standalone: all as it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
