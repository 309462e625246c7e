"""Which addresses of a subnet are taken.

Rules of a VPC: the first four addresses and the last one of a subnet are AWS's own; every other
belongs to at most one interface. Addresses are given out in rising order, beginning behind the one
given last, so that a freed address is not reused at once.

    >>> addresses = SubnetAddresses("10.0.1.0/28")
    >>> addresses.free_count, addresses.allocate(2)
    (11, ['10.0.1.4', '10.0.1.5'])
"""

import ipaddress

_RESERVED_AT_START = 4
_RESERVED_AT_END = 1


class AddressesExhaustedError(Exception):
    """The subnet has fewer free addresses than asked for; nothing was taken."""


class AddressRefusedError(Exception):
    """A wished address cannot be given: `reason` is `outside`, `reserved` or `in use`."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.reason = reason


class SubnetAddresses:
    """The IPv4 addresses of one subnet that are in use."""

    __slots__ = ("_first", "_last", "_next", "_start", "_stop", "_used")

    def __init__(self, cidr: str) -> None:
        network = ipaddress.IPv4Network(cidr, strict=False)
        self._start = int(network.network_address)
        self._stop = int(network.broadcast_address)
        self._first = self._start + _RESERVED_AT_START
        self._last = self._stop - _RESERVED_AT_END
        self._next = self._first
        self._used: set[int] = set()

    @property
    def free_count(self) -> int:
        """How many addresses can still be given out."""
        return self._last - self._first + 1 - len(self._used)

    def allocate(self, count: int) -> list[str]:
        """Take `count` free addresses.

        Raises:
            AddressesExhaustedError: there are not as many; none was taken.
        """
        if count > self.free_count:
            raise AddressesExhaustedError
        taken: list[str] = []
        candidate = self._next
        while len(taken) < count:
            if candidate > self._last:
                candidate = self._first
            if candidate not in self._used:
                self._used.add(candidate)
                taken.append(str(ipaddress.IPv4Address(candidate)))
            candidate += 1
        self._next = candidate
        return taken

    def claim(self, address: str) -> None:
        """Take one particular address.

        Raises:
            AddressRefusedError: it is not in the subnet, reserved, or taken.
        """
        try:
            number = int(ipaddress.IPv4Address(address))
        except ValueError:
            raise AddressRefusedError(address, "outside") from None
        if not self._start <= number <= self._stop:
            raise AddressRefusedError(address, "outside")
        if not self._first <= number <= self._last:
            raise AddressRefusedError(address, "reserved")
        if number in self._used:
            raise AddressRefusedError(address, "in use")
        self._used.add(number)

    def release(self, address: str) -> None:
        """Give an address back; an address that is not taken is no error."""
        self._used.discard(int(ipaddress.IPv4Address(address)))

    def __contains__(self, address: str) -> bool:
        return int(ipaddress.IPv4Address(address)) in self._used
