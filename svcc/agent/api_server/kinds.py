"""Kinds of objects that are followed: where they are, and which of them."""

from __future__ import annotations

from dataclasses import dataclass

from svcc.compiler.model.eligibility import HEADLESS_LABEL, PROXY_NAME_LABEL


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource of the API, or what selectors leave of it. ``part`` is our name for it."""

    part: str
    kind: str
    group: str
    version: str
    labels: str = ""
    fields: str = ""

    @property
    def resource(self) -> str:
        """Its name in URLs and in roles."""
        return f"{self.kind.lower()}s"

    @property
    def api_version(self) -> str:
        """As objects have it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def path(self) -> str:
        """From the server's root on, in all namespaces."""
        root = f"/apis/{self.group}" if self.group else "/api"
        return f"{root}/{self.version}/{self.resource}"

    @property
    def rule(self) -> str:
        """What a ClusterRole must allow."""
        return (
            f'apiGroups: ["{self.group}"], resources: ["{self.resource}"], verbs: ["list", "watch"]'
        )


def kinds_of(node: str) -> tuple[Kind, ...]:
    """What an agent follows on a node.

    Left out are what kube-proxy 1.36 leaves out by the same selectors: Services of other proxies
    and slices of headless Services, none of which any rule is made or judged by.
    """
    return (
        Kind("services", "Service", "", "v1", labels=f"!{PROXY_NAME_LABEL}"),
        Kind(
            "endpointslices",
            "EndpointSlice",
            "discovery.k8s.io",
            "v1",
            labels=f"!{HEADLESS_LABEL}",
        ),
        Kind("node", "Node", "", "v1", fields=f"metadata.name={node}"),
    )
