"""What the codes of userspace mode mean: number, title, meaning, causes, remedy."""

from __future__ import annotations

OF_USERSPACE_MODE: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "SVC080", "a proxy in user space does not keep the source",
        "In userspace mode a connection ends at the node, and another one begins there. Backends "
        "of cluster IPs see an address of the node where they must see the client's. A note; with "
        "--strict the verdict is undecided.",
        "The mode: it cannot hold there.",
        "Where backends need the client's address, use another mode.",
    ),
    (
        "SVC081", "a Local policy without the source",
        "In userspace mode a Service with `externalTrafficPolicy: Local` reaches this node's "
        "endpoints only, but they see an address of the node, not the client's. A note; with "
        "--strict the verdict is undecided.",
        "The mode: it cannot hold there.",
        "Use another mode, or the policy Cluster if only the source mattered.",
    ),
    (
        "SVC082", "refused or closed instead of dropped",
        "In userspace mode nothing is dropped without a word. Where nobody listens the kernel "
        "refuses; a client outside loadBalancerSourceRanges is accepted and closed at once, and "
        "no backend hears of it. Datagrams of such a client are dropped. A note; with --strict the "
        "verdict is undecided.",
        "The mode: it cannot hold there.",
        "Drop by a firewall in front of the node, or use another mode.",
    ),
    (
        "SVC083", "affinity without an end",
        "In userspace mode the backend of a client follows from its address (`hash $remote_addr`). "
        "It stays beyond `timeoutSeconds`, and most clients get another one when a backend comes "
        "or goes. A note; with --strict the verdict is undecided.",
        "The mode: it cannot hold there.",
        "Use another mode where clients must stay while backends change.",
    ),
    (
        "SVC084", "the node's own sockets answer on virtual IPs",
        "In userspace mode virtual IPs are addresses of the node, and no rule guards them: a "
        "process that listens on all addresses, as sshd, is reached by them. A note; with --strict "
        "the verdict is undecided.",
        "The mode: it cannot hold there.",
        "Have such processes listen on the addresses that they are meant for.",
    ),
    (
        "SVC085", "a frontend that a proxy in user space cannot serve",
        "In userspace mode a frontend must be served and cannot be: it is SCTP, its address is "
        "another host's, or a backend on this node listens there itself.",
        "The mode: it cannot hold there. `svcc compile` says the same.",
        "Use another mode on this node, or change the Service.",
    ),
    (
        "SVC086", "a backend is left out after a failed connection",
        "With `max_fails` other than 0, nginx sends nothing to a backend for `fail_timeout` after "
        "so many connections to it have failed, whoever made them, though it is ready.",
        "`max_fails` is not written: its default is 1.",
        "Write `max_fails=0` for each server; readiness is told by the EndpointSlices.",
    ),
    (
        "SVC087", "datagrams of one flow reach several backends",
        "nginx has several workers, and the socket for UDP is shared by them: each has sessions of "
        "its own, so that datagrams of one client's port may be sent to several backends.",
        "`listen … udp` without `reuseport`, and `worker_processes` other than 1.",
        "Write `reuseport`, or `worker_processes 1`.",
    ),
    (
        "SVC088", "addresses of the node were not given",
        "A configuration of nginx does not say which addresses the node has. It is judged as if "
        "all that it listens on, and all virtual IPs, were on a device. A note.",
        "Only the configuration was given.",
        "Give the text of `ip address show` for their device, or `addresses.batch`, as well.",
    ),
)  # fmt: skip
