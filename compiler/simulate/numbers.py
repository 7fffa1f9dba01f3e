"""Addresses, handed out one after the other."""

from __future__ import annotations

from collections.abc import Iterable

from svcc.grammar.address import Address, Network
from svcc.grammar.errors import InputError, Position, Problem


class Addresses:
    """The addresses of a network, without its first and last, and without those taken.

    ``flag`` is the option that messages name.
    """

    def __init__(self, network: Network, taken: Iterable[Address], flag: str) -> None:
        self._network = network
        self._taken = {address.value for address in taken if network.holds(address)}
        self._flag = flag
        self._number = 0

    def next(self) -> Address:
        """An address that was not handed out before.

        Raises:
            InputError: there is none left.
        """
        size = 1 << (self._network.family.bits - self._network.prefix_length)
        while True:
            self._number += 1
            if self._number >= size - 1:
                message = f"{self._network} has no address left for all that manifests ask for"
                raise InputError([Problem(Position(self._flag), message)])
            value = self._network.value + self._number
            if value not in self._taken:
                return Address(self._network.family, value)
