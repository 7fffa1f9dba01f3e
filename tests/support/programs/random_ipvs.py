"""IPVS in tests: loading a compiled bundle by hand, and taking everything away again."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from svcc.compiler.bundle import ADDRESSES, IPSET, IPVSADM, ipvs_scripts, script
from svcc.compiler.pipeline import Compiled
from svcc.grammar.address import Family
from svcc.grammar.ipvs.state import DEVICE, required_sysctls
from tests.support.kernel.testbed import Testbed, Variant, write_sysctl

_HEADINGS = 3
"""Lines of /proc/net/ip_vs above the first virtual server."""


def missing() -> str | None:
    """Why there is no IPVS here, None if there is."""
    if shutil.which("ipvsadm") is None:
        return "needs ipvsadm"
    try:
        with open("/proc/net/ip_vs"):
            return None
    except OSError:
        return "needs a kernel with IPVS; python -m tests.kernel.uml.boot runs these tests in one"


def load(testbed: Testbed, variant: Variant, compiled: Compiled) -> None:
    """Load the files of a bundle with the tools themselves, as docs/ipvs.md says."""
    ipvs = compiled.ipvs
    assert ipvs is not None
    with testbed.node.entered():
        for name, value in required_sysctls(ipvs).items():
            write_sysctl(name.replace(".", "/"), value)
    files = ipvs_scripts(compiled, ipvs)
    testbed.node.run("ipset", "restore", text=files[IPSET])
    for family in Family:
        testbed.restore(variant, int(family), script(compiled, family), "--noflush")
    testbed.node.run("ipvsadm", "-R", text=files[IPVSADM])
    testbed.node.run("ip", "-batch", "-", text=files[ADDRESSES])
    testbed.route_localnet(compiled.route_localnet)


def unload(testbed: Testbed) -> None:
    """Take virtual servers, sets and the device away; the rules must be gone already."""
    with testbed.node.entered():
        servers = Path("/proc/net/ip_vs").read_text().splitlines()[_HEADINGS:]
        devices = {name for _, name in socket.if_nameindex()}
    if servers:
        testbed.node.run("ipvsadm", "-C")
    if DEVICE in devices:
        testbed.node.ip(f"link del {DEVICE}")
    testbed.node.run("ipset", "destroy")
