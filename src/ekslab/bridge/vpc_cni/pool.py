"""Which addresses a node holds, which it gives out, and when it wants more. Pure.

Rules and numbers of ipamd (amazon-vpc-cni-k8s v1.23, `pkg/ipamd`) with its defaults: one whole
interface of free addresses is kept warm (WARM_ENI_TARGET 1), an address rests 30 s after its pod
is gone (IP_COOLDOWN_PERIOD), and no more are fetched once the node holds max-pods of them.

A worked example, t3.small (3 interfaces of 4 addresses, 3 of them for pods): with 0 pods it holds
one interface with 3 addresses; the first pod leaves 2 free, fewer than 3, so a second interface
comes: 6 held. With 5 pods, 1 is free and the third interface is attached: 9 held, and that is all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

COOLDOWN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class AssignAddresses:
    """Put `count` more secondary addresses on an interface that the node has."""

    interface_id: str
    count: int


@dataclass(frozen=True, slots=True)
class AttachInterface:
    """Make and attach another interface with `count` secondary addresses."""

    device_index: int
    count: int


Growth = AssignAddresses | AttachInterface


@dataclass(slots=True)
class Pool:
    """The addresses of one node.

    `interfaces_most` and `per_interface` are the limits of the instance type (the first address
    of an interface is its own and not for pods).
    """

    interfaces_most: int
    per_interface: int
    max_pods: int
    _held: dict[str, list[str]] = field(default_factory=dict)
    _free: dict[str, None] = field(default_factory=dict)
    _assigned: dict[str, str] = field(default_factory=dict)
    _resting: dict[str, float] = field(default_factory=dict)

    def hold(self, interface_id: str, addresses: Iterable[str]) -> None:
        """The interface has these secondary addresses now."""
        held = self._held.setdefault(interface_id, [])
        taken = set(self._assigned.values())
        for address in addresses:
            if address not in held:
                held.append(address)
                if address not in taken:
                    self._free[address] = None

    def adopt(self, uid: str, address: str) -> None:
        """A pod that ran before this process did has this address."""
        self._assigned[uid] = address
        self._free.pop(address, None)

    def take(self, uid: str, now: float) -> str | None:
        """An address for a pod: the one it has, or the one free for longest; None if there is
        none.
        """
        if uid in self._assigned:
            return self._assigned[uid]
        self._wake(now)
        if not self._free:
            return None
        address = next(iter(self._free))
        del self._free[address]
        self._assigned[uid] = address
        return address

    def release(self, uid: str, now: float) -> None:
        """The pod is gone; its address rests before another gets it."""
        address = self._assigned.pop(uid, None)
        if address is not None:
            self._resting[address] = now + COOLDOWN_S

    def growth(self, now: float) -> Growth | None:
        """What to fetch next, or None. Called again after each fetch."""
        self._wake(now)
        total = sum(len(addresses) for addresses in self._held.values())
        usable = self.per_interface - 1
        if len(self._free) >= usable or total >= self.max_pods:
            return None
        for interface_id, addresses in self._held.items():
            if len(addresses) < usable:
                return AssignAddresses(interface_id, usable - len(addresses))
        if len(self._held) < self.interfaces_most:
            return AttachInterface(len(self._held), usable)
        return None

    def _wake(self, now: float) -> None:
        for address, until in list(self._resting.items()):
            if until > now:
                break  # they rest in the order in which they were released
            del self._resting[address]
            self._free[address] = None
