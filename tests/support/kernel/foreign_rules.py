"""Tables as the tools print them, and rules of other people in them."""

from __future__ import annotations

import re

from svcc.apply.iptables.tool import Variant
from tests.support.kernel.namespace import Namespace

FOREIGN_NAT = r"""*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
"""
FOREIGN_FILTER = r"""*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:empty-one - [0:0]
-A INPUT -m string --string "GET /\"x\" -j SVCC-SERVICES" --algo bm --to 65535 -j DROP
-A INPUT -m comment --comment "it's \"ours\": -j SVCC-REFUSE" -j ACCEPT
-A INPUT -m limit --limit 3/min -j LOG --log-prefix "SVCC-REFUSE "
-A INPUT -p tcp -m tcp --dport 22 -m recent --set --name ssh --mask 255.255.255.255 --rsource
-A FORWARD -j DOCKER-USER
-A FORWARD -m time --timestart 08:00:00 --timestop 18:00:00 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""


def saved(node: Namespace, variant: Variant) -> list[str]:
    """All that the tools print of both families, comments and counters apart."""
    lines = []
    for tool in ("iptables", "ip6tables"):
        for table in ("nat", "filter"):
            lines += node.run(f"{tool}-{variant}-save", "-t", table).splitlines()
    lines = [re.sub(r" \[\d+:\d+\]$", "", line) for line in lines if not line.startswith("#")]
    # Built-in chains come into being with the first rule in nft.
    return [line for line in lines if not re.match(r":[A-Z]+ ACCEPT$|\*|COMMIT", line)]


def own(lines: list[str]) -> list[str]:
    """Those that are svcc's."""
    return [line for line in lines if re.match(r"(:|-A )SVCC-|.* -[jg] SVCC-\S+$", line)]


def load_foreign(node: Namespace, variant: Variant) -> None:
    """Rules of other people, in the tables that svcc uses."""
    for text in (FOREIGN_NAT, FOREIGN_FILTER):
        node.run(f"iptables-{variant}-restore", "--noflush", text=text)
