"""Pods that wait for a node: ready to try, backing off, or unschedulable until something changes.

Upstream: kube-scheduler `backend/queue/scheduling_queue.go`. Ready pods are tried by priority,
then by age. After a failure a pod waits for an event that could help the plugins that rejected it
(`HELPS`); then it backs off 1 s, 2 s, ... 10 s since its last try. After 5 minutes it is tried
again whatever happened.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ekslab.kube.api.objects import Item

Key = tuple[str, str]

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MOST_S: Final = 10.0
UNSCHEDULABLE_MOST_S: Final = 300.0


class Change(Enum):
    """What happened in the cluster, as far as it can make a pod schedulable."""

    NODE_ADDED = "NodeAdd"
    NODE_RESOURCES = "NodeAllocatableChange"
    NODE_LABELS = "NodeLabelChange"
    NODE_TAINTS = "NodeTaintChange"
    POD_ADDED = "AssignedPodAdd"
    POD_REMOVED = "AssignedPodDelete"
    CLAIMS = "PvcChange"


_EVERY: Final = frozenset(Change)
HELPS: Final[Mapping[str, frozenset[Change]]] = {
    "NodeUnschedulable": frozenset({Change.NODE_ADDED, Change.NODE_TAINTS}),
    "TaintToleration": frozenset({Change.NODE_ADDED, Change.NODE_TAINTS}),
    "NodeAffinity": frozenset({Change.NODE_ADDED, Change.NODE_LABELS}),
    "NodePorts": frozenset({Change.NODE_ADDED, Change.POD_REMOVED}),
    "NodeResourcesFit": frozenset({Change.NODE_ADDED, Change.NODE_RESOURCES, Change.POD_REMOVED}),
    "PodTopologySpread": _EVERY - {Change.NODE_RESOURCES, Change.CLAIMS},
    "InterPodAffinity": _EVERY - {Change.NODE_RESOURCES, Change.CLAIMS},
    "VolumeBinding": frozenset({Change.CLAIMS, Change.NODE_ADDED}),
}
"""Which changes may help a pod that a plugin rejected (upstream: EventsToRegister)."""


class Place(Enum):
    """Where in the queue a pod is."""

    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    GATED = "gated"
    IN_FLIGHT = "in flight"


@dataclass(slots=True, eq=False)
class Waiting:
    """One pod in the queue."""

    item: Item
    priority: int
    since_s: float
    order: int
    attempts: int = 0
    tried_s: float = 0.0
    plugins: frozenset[str] = frozenset()
    nominated: str = ""
    place: Place = Place.ACTIVE

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.item.key


class SchedulingQueue:
    """The pods without a node. Every method is synchronous; `now_s` is lab time."""

    def __init__(self) -> None:
        self._pods: dict[Key, Waiting] = {}
        self._active: list[tuple[int, float, int, int, Waiting]] = []
        self._backoff: list[tuple[float, int, Waiting]] = []
        self._parked: dict[str, dict[Key, Waiting]] = {}
        self._order = 0
        self._pushes = 0  # makes heap entries differ before they reach `Waiting`

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, key: Key) -> Waiting | None:
        """The entry of a pod."""
        return self._pods.get(key)

    def put(self, item: Item, *, priority: int, gated: bool, now_s: float) -> Waiting:
        """Add a pod, or give a changed one another chance (a gate may be gone)."""
        known = self._pods.get(item.key)
        if known is not None and known.item.uid == item.uid:
            known.item, known.priority = item, priority
            if known.place is Place.GATED and not gated:
                self._activate(known)
            elif known.place is Place.UNSCHEDULABLE:
                self._leave_park(known)
                self._wake(known, now_s)
            return known
        if known is not None:
            self.remove(item.key)
        self._order += 1
        fresh = Waiting(item, priority, now_s, self._order)
        self._pods[item.key] = fresh
        if gated:
            fresh.place = Place.GATED
        else:
            self._activate(fresh)
        return fresh

    def refresh(self, item: Item) -> None:
        """Keep the newest revision of a pod whose change does not matter (its status)."""
        known = self._pods.get(item.key)
        if known is not None and known.item.uid == item.uid:
            known.item = item

    def remove(self, key: Key) -> None:
        """The pod is gone, or has a node."""
        known = self._pods.pop(key, None)
        if known is not None and known.place is Place.UNSCHEDULABLE:
            self._leave_park(known)

    def pop(self) -> Waiting | None:
        """The next pod to try, or None; it is in flight until `fail` or `remove`."""
        while self._active:
            waiting = heapq.heappop(self._active)[-1]
            if self._pods.get(waiting.key) is waiting and waiting.place is Place.ACTIVE:
                waiting.place = Place.IN_FLIGHT
                waiting.attempts += 1
                return waiting
        return None

    def fail(self, waiting: Waiting, plugins: Iterable[str], *, now_s: float) -> None:
        """A try failed because of these plugins; none named means an error: just back off."""
        if self._pods.get(waiting.key) is not waiting:
            return
        waiting.tried_s = now_s
        waiting.plugins = frozenset(plugins)
        if not waiting.plugins:
            self._wake(waiting, now_s)
            return
        waiting.place = Place.UNSCHEDULABLE
        for plugin in waiting.plugins:
            self._parked.setdefault(plugin, {})[waiting.key] = waiting

    def happened(self, changes: Iterable[Change], *, now_s: float) -> None:
        """Something changed: wake pods that it may help."""
        seen = frozenset(changes)
        for plugin, parked in list(self._parked.items()):
            if HELPS.get(plugin, _EVERY).isdisjoint(seen):
                continue
            for waiting in list(parked.values()):
                self._leave_park(waiting)
                self._wake(waiting, now_s)

    def flush(self, now_s: float) -> None:
        """Move what is due: back-offs that ended, pods unschedulable for too long."""
        while self._backoff and self._backoff[0][0] <= now_s:
            waiting = heapq.heappop(self._backoff)[-1]
            if self._pods.get(waiting.key) is waiting and waiting.place is Place.BACKOFF:
                self._activate(waiting)
        stale = [
            waiting
            for parked in self._parked.values()
            for waiting in parked.values()
            if now_s - waiting.tried_s >= UNSCHEDULABLE_MOST_S
        ]
        for waiting in dict.fromkeys(stale):
            self._leave_park(waiting)
            self._wake(waiting, now_s)

    def next_due_s(self) -> float | None:
        """When the first back-off ends."""
        return self._backoff[0][0] if self._backoff else None

    def _wake(self, waiting: Waiting, now_s: float) -> None:
        doublings = min(max(waiting.attempts - 1, 0), 8)
        due_s = waiting.tried_s + min(BACKOFF_FIRST_S * 2.0**doublings, BACKOFF_MOST_S)
        if due_s <= now_s:
            self._activate(waiting)
            return
        waiting.place = Place.BACKOFF
        self._pushes += 1
        heapq.heappush(self._backoff, (due_s, self._pushes, waiting))

    def _activate(self, waiting: Waiting) -> None:
        waiting.place = Place.ACTIVE
        self._pushes += 1
        entry = (-waiting.priority, waiting.since_s, waiting.order, self._pushes, waiting)
        heapq.heappush(self._active, entry)

    def _leave_park(self, waiting: Waiting) -> None:
        for plugin in waiting.plugins:
            parked = self._parked.get(plugin)
            if parked is not None:
                parked.pop(waiting.key, None)
                if not parked:
                    del self._parked[plugin]
