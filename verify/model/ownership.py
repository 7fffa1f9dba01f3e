"""Which rules count as the service proxy's own.

Only one property asks: a packet for no frontend must be left alone *by the service rules*,
while a host firewall may well drop it. Names are taken as evidence here and nowhere else.
"""

from __future__ import annotations

from svcc.grammar.iptables.ruleset import nft_table_of
from svcc.verify.model.actions import Dnat, Goto, Jump, SetMark
from svcc.verify.model.rules import IndexedRules

SERVICE_PREFIXES = ("KUBE-", "SVCC-")
OTHER_TOOLS = (
    "DOCKER", "cali-", "CILIUM", "OLD_CILIUM", "FLANNEL", "CNI-", "WEAVE", "ANTREA",
    "KUBE-ROUTER", "KUBE-POD-FW", "KUBE-NWPLCY", "KUBE-FIREWALL-KUBELET", "ufw", "f2b-",
    "LIBVIRT", "IN_", "FWD", "POST_", "PRE_", "OUTPUT_direct", "INPUT_", "FORWARD_",
    "PREROUTING_", "POSTROUTING_", "ISTIO", "NETAVARK", "TAILSCALE", "ts-",
)  # fmt: skip
SERVICE_TABLES = ("kube-proxy", "svcc")
"""Tables of nftables that a service proxy has for itself, in each family."""
KUBELET_CHAINS = frozenset(
    {"KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT", "KUBE-MARK-DROP"}
)
"""What the kubelet makes on every node, whatever mode the service proxy is in."""
TOOL_TABLES = (
    "docker-bridges", "calico", "flannel-", "netavark", "libvirt_network", "lxd", "incus",
    "kube-network-policies",
)  # fmt: skip
"""How names of such tables begin that tools with networks of their own have."""
_BASE = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})


def is_service_table(table: str) -> bool:
    """Whether a table of a rule set stands for a service proxy's own table of nftables."""
    return nft_table_of(table).partition(" ")[2] in SERVICE_TABLES


def is_proxy_chain(chain: str) -> bool:
    """Whether a chain of iptables is a service proxy's, and not the kubelet's or a tool's."""
    return (
        chain.startswith(SERVICE_PREFIXES)
        and not chain.startswith(OTHER_TOOLS)
        and chain not in KUBELET_CHAINS
    )


def is_tool_table(table: str) -> bool:
    """Whether a table of a rule set stands for another tool's own table of nftables."""
    return nft_table_of(table).partition(" ")[2].startswith(TOOL_TABLES)


def is_service_chain(table: str, chain: str) -> bool:
    """Whether a chain is a service proxy's, by its name or its table's."""
    return chain.startswith(SERVICE_PREFIXES) or is_service_table(table)


def mark_ownership(rules: IndexedRules) -> None:
    """Set ``service`` of every record: the one who has just indexed the rules may call it.

    In a rule set with chains of a service proxy, those and all chains that they lead to are
    its own, and so is what rewrites or marks in a chain of unknown purpose; a drop or refusal
    there is the host's. In a rule set without, every rule is.
    """
    known = any(
        is_service_chain(table, name) and not name.startswith(OTHER_TOOLS)
        for table, chains in rules.tables.items()
        for name in chains
    )
    if not known:
        return
    for table, chains in rules.tables.items():
        if is_service_table(table):
            continue
        own: set[str] = set()
        pending = [
            name
            for name in chains
            if name.startswith(SERVICE_PREFIXES) and not name.startswith(OTHER_TOOLS)
        ]
        while pending:
            name = pending.pop()
            if name in own or name not in chains:
                continue
            own.add(name)
            pending += [
                record.action.chain
                for record in chains[name].records
                if isinstance(record.action, Jump | Goto)
            ]
        for name, chain in chains.items():
            if name in own:
                continue
            other_tool = is_tool_table(table) or (
                name not in _BASE and name.startswith(OTHER_TOOLS)
            )
            for record in chain.records:
                rewrites = isinstance(record.action, Dnat | SetMark)
                record.service = rewrites and not other_tool
