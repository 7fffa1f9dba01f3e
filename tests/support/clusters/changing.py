"""Clusters whose Services change, one by one."""

from __future__ import annotations

from random import Random

from svcc.compiler.model.objects import Objects
from tests.support.clusters.random_objects import Makers


class ChangingCluster:
    """Services by number, each of which may change, come and go."""

    def __init__(self, random: Random, services: int) -> None:
        self._random = random
        self._makers = Makers(random)
        self._parts: dict[int, Objects] = {}
        for number in range(services):
            self.change(number)

    def change(self, number: int) -> None:
        """Have a Service as it is made now, with its slices."""
        service, families = self._makers.service(number)
        slices = list(self._makers.slices(service, families))
        self._parts[number] = Objects(services=[service], slices=slices)

    def remove(self, number: int) -> None:
        """Have a Service go."""
        self._parts.pop(number, None)

    def objects(self) -> Objects:
        """All that there is."""
        parts = list(self._parts.values())
        return Objects(
            services=[service for part in parts for service in part.services],
            slices=[item for part in parts for item in part.slices],
        )

    def key(self, number: int) -> str | None:
        """The name of a Service, None if it is not there."""
        part = self._parts.get(number)
        return None if part is None else part.services[0].key
