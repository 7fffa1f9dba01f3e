"""Names as hosts(5) has them."""

from __future__ import annotations

from svcc.grammar.dns.zone import AddressData, Zone


def hosts_text(zone: Zone) -> str:
    """Names of Services and of their endpoints, a line for each address of a name: first the
    whole name, then what is short for it. There are no aliases, ports or reverse names in it, and
    no names of Pods by their address.

    Args:
        zone: that of the cluster domain.
    """
    services = f".svc.{zone.origin}"
    found = sorted(
        (record.owner.split(".")[::-1], record.data.address)
        for record in zone.records
        if isinstance(record.data, AddressData) and record.owner.endswith(services)
    )
    lines = []
    for labels, address in found:
        name = ".".join(reversed(labels))
        short = name.removesuffix(f".{zone.origin}")
        lines.append(f"{address} {name} {short} {short.removesuffix('.svc')}\n")
    return "".join(lines)
