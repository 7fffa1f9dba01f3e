"""Options that several commands share, named as kube-proxy, kubectl and iptables name them."""

from __future__ import annotations

import argparse


def add_input(parser: argparse.ArgumentParser, *, required: bool = True, lock: bool = True) -> None:
    """The objects."""
    group = parser.add_argument_group("objects")
    group.add_argument(
        "-f",
        "--filename",
        action="append",
        required=required,
        metavar="PATH",
        help="file, folder (*.yaml, *.yml, *.json) or - for standard input; repeatable",
    )
    group.add_argument("-R", "--recursive", action="store_true", help="look into subfolders too")
    group.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave files or folders of this name or path out of folders; repeatable",
    )
    if lock:
        group.add_argument(
            "--lock",
            metavar="FILE",
            help="the lock file of svcc allocate: what Services have no numbers for themselves",
        )


def add_output(parser: argparse.ArgumentParser) -> None:
    """-o, as kubectl has it."""
    parser.add_argument(
        "-o",
        "--output",
        choices=("wide", "json", "yaml", "name"),
        default="",
        help="another form than the table",
    )


def add_simulate(parser: argparse.ArgumentParser) -> None:
    """--simulate."""
    parser.add_argument(
        "--simulate",
        action="store_true",
        help="the objects are manifests that no cluster has seen: put in what a cluster would add "
        "(pods of Deployments and their like, numbered by --pod-cidr; cluster IPs, node ports), "
        "judge that, and tell what does not fit together",
    )


def add_node(parser: argparse.ArgumentParser, *, all_nodes: bool = False) -> None:
    """The node and its settings."""
    group = parser.add_argument_group(
        "node", "A flag wins over the variable SVCC_NAME, which wins over --config."
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        help="a KubeProxyConfiguration, or kube-proxy's ConfigMap; - for standard input",
    )
    which = group.add_mutually_exclusive_group()
    which.add_argument(
        "--node",
        "--hostname-override",
        dest="hostname_override",
        metavar="NAME",
        help="the node's name (default: this host's)",
    )
    if all_nodes:
        which.add_argument("--all-nodes", action="store_true", help="every Node among the objects")
    group.add_argument(
        "--mode",
        "--proxy-mode",
        dest="proxy_mode",
        metavar="MODE",
        help="iptables, ipvs, nftables or userspace (default: iptables)",
    )
    group.add_argument(
        "--node-ip", action="append", metavar="IP", help="address of the node; repeatable"
    )
    group.add_argument(
        "--pod-cidr",
        action="append",
        metavar="CIDR",
        help="pod network of the node (with --simulate: of all pods); repeatable",
    )
    group.add_argument("--zone", metavar="ZONE", help="zone of the node")
    group.add_argument(
        "--cluster-cidr", metavar="CIDR[,CIDR]", help="pod network of the cluster, per family"
    )
    group.add_argument(
        "--service-cluster-ip-range",
        metavar="CIDR[,CIDR]",
        help="where cluster IPs are taken from, per family",
    )
    group.add_argument(
        "--detect-local-mode",
        metavar="MODE",
        help="ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix",
    )
    group.add_argument("--pod-bridge-interface", metavar="NAME", help="for BridgeInterface")
    group.add_argument(
        "--pod-interface-name-prefix", metavar="PREFIX", help="for InterfaceNamePrefix"
    )
    group.add_argument(
        "--nodeport-addresses",
        metavar="CIDR[,CIDR]",
        help="local addresses that node ports answer on, or primary",
    )
    for name, text in (
        ("--masquerade-all", "masquerade everything sent to a cluster IP"),
        ("--iptables-localhost-nodeports", "node ports on loopback (default: true)"),
        ("--conntrack-tcp-be-liberal", "do not drop packets of no known connection"),
    ):
        group.add_argument(name, nargs="?", const="true", metavar="true|false", help=text)
    group.add_argument(
        "--iptables-masquerade-bit", type=int, metavar="BIT", help="0 to 31 (default: 14)"
    )
    group.add_argument(
        "--feature-gates",
        metavar="NAME=true|false[,…]",
        help="AllowServiceExternalIPs=false: no externalIPs; others say nothing to svcc",
    )
    group.add_argument(
        "--ipvs-scheduler",
        metavar="NAME",
        help="rr (default), wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq or mh",
    )
    group.add_argument(
        "--ipvs-strict-arp",
        nargs="?",
        const="true",
        metavar="true|false",
        help="answer ARP for an address on its own interface only",
    )
    group.add_argument(
        "--ipvs-exclude-cidrs",
        metavar="CIDR[,CIDR]",
        help="leave virtual servers with these addresses to others",
    )
    for name, what in (("tcp", "a TCP"), ("tcpfin", "a closed TCP"), ("udp", "a UDP")):
        group.add_argument(
            f"--ipvs-{name}-timeout",
            metavar="DURATION",
            help=f"after which {what} connection is forgotten (default: the kernel's)",
        )


def add_rules(parser: argparse.ArgumentParser) -> None:
    """The rules to look at."""
    group = parser.add_argument_group("rules", "Without any, what svcc compiles is taken.")
    group.add_argument(
        "--rules",
        action="append",
        default=[],
        metavar="[NODE=]PATH",
        help="iptables-save or iptables-restore text, or a folder that svcc compile -o wrote; "
        "NODE= says whose rules they are; repeatable",
    )
    group.add_argument("--live", action="store_true", help="the rules of this network namespace")


def add_names(
    parser: argparse.ArgumentParser, *, compiled: bool = False, zones: bool = True
) -> None:
    """How Services are named; for zones that are ``compiled`` what they say, too, for others
    which ``zones`` are judged.
    """
    group = parser.add_argument_group("names")
    if zones and not compiled:
        group.add_argument(
            "--dns-zone",
            action="append",
            default=[],
            metavar="[ZONE=]FILE",
            help="a zone file to hold against the objects, or a folder of *.zone files; ZONE= says "
            "which zone it is if the file does not; repeatable",
        )
    group.add_argument(
        "--cluster-domain",
        metavar="NAME",
        default="",
        help="the zone of Services (default: cluster.local)",
    )
    group.add_argument(
        "--kubelet-config",
        metavar="FILE",
        help="a KubeletConfiguration, whose clusterDomain is the default",
    )
    if compiled:
        group.add_argument(
            "--dns-ttl", type=int, default=5, metavar="SECONDS", help="of records (default: 5)"
        )
        group.add_argument(
            "--dns-reverse-zone",
            action="append",
            default=[],
            metavar="CIDR",
            help="a network that has a reverse zone of its own (default: in-addr.arpa and "
            "ip6.arpa have all addresses); repeatable",
        )


def add_folder(parser: argparse.ArgumentParser) -> None:
    """--rules of commands that load them."""
    parser.add_argument(
        "--rules",
        metavar="DIR",
        help="take the rules of a folder that svcc compile -o wrote, in place of compiling",
    )


def add_family(parser: argparse.ArgumentParser) -> None:
    """--family."""
    parser.add_argument("--family", choices=("ipv4", "ipv6"), help="judge this family only")


def add_no_comments(parser: argparse.ArgumentParser) -> None:
    """--no-comments."""
    parser.add_argument("--no-comments", action="store_true", help="leave comments out")


def add_fallback(parser: argparse.ArgumentParser) -> None:
    """--fallback."""
    parser.add_argument(
        "--fallback",
        action="store_true",
        help="use iptables mode where the kernel has no IPVS, in place of an error",
    )


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """-v."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="say what was passed over in the input"
    )


def add_kernel(parser: argparse.ArgumentParser) -> None:
    """Which iptables, and how long to wait for it."""
    parser.add_argument(
        "--iptables",
        choices=("legacy", "nft"),
        help="which iptables to use (default: what iptables on PATH is)",
    )


def add_wait(
    parser: argparse.ArgumentParser,
    what: str = "how long to wait for another svcc and for the lock of iptables "
    "(default: until they have ended)",
) -> None:
    """-w."""
    parser.add_argument(
        "-w",
        "--wait",
        type=float,
        default=None,
        metavar="SECONDS",
        help=what,
    )


def seconds(text: str) -> float:
    """A duration in the form of Go, such as 30s or 1m30s."""
    from svcc.api.loaded.confirming import duration

    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
