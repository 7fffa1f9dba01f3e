"""Variables of a pod, as a file: ``svcc compile --target env``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svcc.api.inputs import Note

if TYPE_CHECKING:
    from svcc.compiler.model.objects import Objects


def environment_file(objects: Objects, namespace: str, *, note: Note | None = None) -> str:
    """What the kubelet gives to pods of a namespace, as systemd's ``EnvironmentFile`` and
    ``docker run --env-file`` read it (systemd.exec(5)).

    Args:
        objects: from :func:`svcc.api.load`.
        namespace: the pods'.
        note: is told which Services have no cluster IP yet.
    """
    from svcc.compiler.show.environment import environment

    for service in objects.services:
        has_none = not service.cluster_ips and not service.headless
        if note and has_none and service.type != "ExternalName" and service.namespace == namespace:
            note(f"note: {service.key} has no cluster IP and no variables; svcc allocate gives one")
    found = environment(objects.services, namespace)
    return "".join(f"{name}={value}\n" for name, value in found.items())
