"""Pools of IPv4 addresses, for nodes and pods that have no VPC.

`AddressPool` gives out the addresses of one network, `NodeSlices` cuts a cluster network into one
/24 per node as kube-controller-manager's range allocator does (`--node-cidr-mask-size=24`). An
address that was given back rests for 30 s of lab time before somebody else gets it, so that a peer
that still remembers its last owner does not talk to a stranger; the VPC CNI does the same.
"""

from collections import deque
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Final

REST_S: Final = 30.0
NODE_PREFIX_LENGTH: Final = 24


class PoolExhaustedError(Exception):
    """No address (or slice) is free. The text says of which network."""


class AddressPool:
    """Addresses of one network, each with one owner at a time.

    The network's own address, its first (the gateway) and its broadcast address are never given.
    `now` is lab time.
    """

    def __init__(self, cidr: str, *, now: Callable[[], float], reserved: int = 2) -> None:
        network = IPv4Network(cidr)
        self.cidr = cidr
        self._now = now
        self._first = int(network.network_address) + reserved
        self._end = int(network.broadcast_address)  # exclusive
        self._next = self._first
        self._owners: dict[int, str] = {}
        self._by_owner: dict[str, int] = {}
        self._resting: deque[tuple[float, int]] = deque()
        self._rests: set[int] = set()

    def __len__(self) -> int:
        return len(self._owners)

    @property
    def capacity(self) -> int:
        """How many owners the pool has room for."""
        return max(0, self._end - self._first)

    def allocate(self, owner: str) -> str:
        """The owner's address; the same again if it has one.

        Raises:
            PoolExhaustedError: all are taken or resting.
        """
        known = self._by_owner.get(owner)
        if known is None:
            known = self._take()
            self._owners[known] = owner
            self._by_owner[owner] = known
        return str(IPv4Address(known))

    def claim(self, owner: str, address: str) -> bool:
        """Note that the owner has this address already (after a restart).

        False if it is somebody else's or not of this pool.
        """
        number = int(IPv4Address(address))
        if not self._first <= number < self._end:
            return False
        if self._owners.get(number, owner) != owner or self._by_owner.get(owner, number) != number:
            return False
        self._owners[number] = owner
        self._by_owner[owner] = number
        return True

    def release(self, owner: str) -> None:
        """Give the owner's address back; without one, nothing happens."""
        number = self._by_owner.pop(owner, None)
        if number is not None:
            del self._owners[number]
            self._resting.append((self._now() + REST_S, number))
            self._rests.add(number)

    def owner(self, address: str) -> str | None:
        """Who has the address."""
        return self._owners.get(int(IPv4Address(address)))

    def contains(self, address: str) -> bool:
        """Whether the address is of this pool's network and may be given out."""
        return self._first <= int(IPv4Address(address)) < self._end

    def _take(self) -> int:
        # Fresh addresses first, in order, as the CNI's host-local plugin; then the rested ones.
        while self._next < self._end:
            number = self._next
            self._next += 1
            if number not in self._owners and number not in self._rests:
                return number
        while self._resting and self._resting[0][0] <= self._now():
            _, number = self._resting.popleft()
            self._rests.discard(number)
            if number not in self._owners:
                return number
        raise PoolExhaustedError(f"no free address in {self.cidr}")


class NodeSlices:
    """A cluster network, cut into one slice per node."""

    def __init__(
        self,
        cidr: str,
        *,
        now: Callable[[], float],
        prefix_length: int = NODE_PREFIX_LENGTH,
    ) -> None:
        self.cidr = cidr
        self._network = IPv4Network(cidr)
        self._now = now
        self._prefix_length = prefix_length
        self._next = 0
        self._free: deque[IPv4Network] = deque()
        self._pools: dict[str, AddressPool] = {}
        self._taken: set[IPv4Network] = set()

    def pool(self, node: str, cidr: str = "") -> AddressPool:
        """The pool of a node, made when it is first asked for.

        `cidr` is the slice a node has already (`spec.podCIDR`, after a restart).

        Raises:
            PoolExhaustedError: every slice has a node.
            ValueError: `cidr` is another node's, or no slice of this network.
        """
        known = self._pools.get(node)
        if known is None:
            part = self._claimed(cidr) if cidr else self._take()
            self._taken.add(part)
            known = self._pools[node] = AddressPool(str(part), now=self._now)
        return known

    def release(self, node: str) -> None:
        """The node is gone: its slice can go to another."""
        pool = self._pools.pop(node, None)
        if pool is not None:
            part = IPv4Network(pool.cidr)
            self._taken.discard(part)
            self._free.append(part)

    def _claimed(self, cidr: str) -> IPv4Network:
        part = IPv4Network(cidr)
        if part.prefixlen != self._prefix_length or not part.subnet_of(self._network):
            raise ValueError(f"{cidr} is no /{self._prefix_length} of {self.cidr}")
        if part in self._taken:
            raise ValueError(f"{cidr} is another node's")
        return part

    def _take(self) -> IPv4Network:
        count = 1 << (self._prefix_length - self._network.prefixlen)
        size = 1 << (32 - self._prefix_length)
        while self._next < count:
            start = int(self._network.network_address) + self._next * size
            self._next += 1
            part = IPv4Network((start, self._prefix_length))
            if part not in self._taken:
                return part
        while self._free:
            part = self._free.popleft()
            if part not in self._taken:
                return part
        raise PoolExhaustedError(f"no free /{self._prefix_length} in {self.cidr}")
