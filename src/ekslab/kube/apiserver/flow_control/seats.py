"""Seats, and the queues of those who wait for one.

Upstream: `apiserver/pkg/util/flowcontrol` (`apf_controller.go` shares the seats out,
`fairqueuing/queueset` queues). A level's nominal seats are its part of all, by shares. Of these it
lends a percentage while it needs them not; upstream moves the borders every ten seconds, here the
lent seats of all levels are one pool, and whoever is first borrows:

    total 600: workload-low 245 seats, lends 220   ->  25 always its own, 220 in the pool
               leader-election 24 seats, lends 0   ->  24 always its own, more from the pool

Who finds no seat is put into the shortest of a hand of queues that its flow is dealt (shuffle
sharding: two flows seldom share a whole hand), and queues of a level are served in turn, so that a
flow that floods its hand delays few others. A full queue, or a wait of 15 s, ends in a 429.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from ekslab.kit.clock import Clock
from ekslab.kube.api.errors import ApiError
from ekslab.kube.apiserver.flow_control.schemas import FlowSchema

TOTAL: Final = 600
"""Upstream's `--max-requests-inflight` and `--max-mutating-requests-inflight`, 400 and 200."""
WAIT_S_MOST: Final = 15.0
"""A quarter of the 60 s a request may take."""
_RETRY_AFTER_S: Final = "1"


class Shed(ApiError):  # noqa: N818 - what upstream's filter does to it
    """429 in plain text, as upstream's filter answers what it refuses."""

    def __init__(self) -> None:
        super().__init__(
            429,
            "TooManyRequests",
            "Too many requests, please try again later.",
            headers={"Retry-After": _RETRY_AFTER_S},
        )


class _Waiter:
    """One request in a queue; its turn comes (True) or never (False)."""

    __slots__ = ("schema", "turn")

    def __init__(self, schema: FlowSchema) -> None:
        self.schema = schema
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class Level:
    """One priority level: how many seats it has, who sits and who waits."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = ""
        self.is_exempt = False
        self.nominal = self.least = self.most = 0
        self.executing = self.waiting = 0
        self.queues = self.hand = self.length = 0
        """0 queues: what finds no seat is refused."""
        self._queued: dict[int, deque[_Waiter]] = {}
        self._turns: deque[int] = deque()

    def configure(self, spec: Mapping[str, Any], uid: str, *, seats_per_share: float) -> None:
        """Follow a PriorityLevelConfiguration; who waits goes on waiting."""
        self.uid = uid
        self.is_exempt = spec.get("type") == "Exempt"
        said = spec.get("exempt" if self.is_exempt else "limited") or {}
        shares = said.get("nominalConcurrencyShares", 0 if self.is_exempt else 30)
        self.nominal = _rounded_up(shares * seats_per_share)
        self.least = self.nominal - round(self.nominal * said.get("lendablePercent", 0) / 100)
        borrows = said.get("borrowingLimitPercent")
        self.most = TOTAL if borrows is None else self.nominal + round(self.nominal * borrows / 100)
        queuing = (said.get("limitResponse") or {}).get("queuing") or {}
        self.queues = max(0, queuing.get("queues", 0))
        self.hand = max(1, queuing.get("handSize", 0))
        self.length = queuing.get("queueLengthLimit", 0)

    def join(self, schema: FlowSchema, flow: str) -> tuple[int, _Waiter] | None:
        """Wait in the shortest queue of the flow's hand; None if it is full."""
        queued = self._queued
        number = min(
            deal(f"{schema.name}/{flow}", self.queues, self.hand),
            key=lambda each: len(queued.get(each, ())),
        )
        queue = queued.setdefault(number, deque())
        if len(queue) >= self.length:
            return None
        if not queue:
            self._turns.append(number)
        waiter = _Waiter(schema)
        queue.append(waiter)
        self.waiting += 1
        schema.waiting += 1
        return number, waiter

    def leave(self, number: int, waiter: _Waiter) -> None:
        """Wait no more."""
        queue = self._queued[number]
        queue.remove(waiter)
        self._gone(number, waiter)
        if not queue:
            self._turns.remove(number)

    def next(self) -> _Waiter:
        """The first of the queue whose turn it is."""
        number = self._turns.popleft()
        queue = self._queued[number]
        waiter = queue.popleft()
        self._gone(number, waiter)
        if queue:
            self._turns.append(number)
        return waiter

    def _gone(self, number: int, waiter: _Waiter) -> None:
        self.waiting -= 1
        waiter.schema.waiting -= 1
        if not self._queued[number]:
            del self._queued[number]


class Seats:
    """All levels of a server. Sync but for `wait`: nothing happens between looking and sitting."""

    def __init__(self, clock: Clock) -> None:
        self.levels: dict[str, Level] = {}
        self._clock = clock
        self._pool = self._borrowed = 0
        self._crowded: dict[Level, None] = {}

    def configure(self, specs: Mapping[str, tuple[Mapping[str, Any], str]]) -> None:
        """Share the seats out anew: specs and uids by level. A level that is no more keeps none,
        until those who sit there have gone.
        """
        limited = [(spec.get("limited") or {}) for spec, _ in specs.values()]
        shares = sum(said.get("nominalConcurrencyShares", 0) for said in limited)
        for name, (spec, uid) in specs.items():
            level = self.levels.setdefault(name, Level(name))
            level.configure(spec, uid, seats_per_share=TOTAL / max(1, shares))
        for name in [name for name in self.levels if name not in specs]:
            level = self.levels[name]
            level.nominal = level.least = 0
            if not level.executing and not level.waiting:
                del self.levels[name]
        self._pool = sum(level.nominal - level.least for level in self.levels.values())
        self._borrowed = sum(
            max(0, level.executing - level.least)
            for level in self.levels.values()
            if not level.is_exempt
        )
        self._admit()

    def take_nowait(self, level: Level, schema: FlowSchema) -> bool:
        """Sit down if there is a seat and nobody waits for it."""
        if level.waiting or not self._has_seat(level):
            return False
        self._sit(level, schema)
        return True

    async def take(self, level: Level, schema: FlowSchema, flow: str) -> None:
        """Sit down, or wait until it is one's turn.

        Raises:
            Shed: the level does not queue, the queue is full, or the wait was too long.
        """
        if self.take_nowait(level, schema):
            return
        if not level.queues:
            raise _shed(schema, "concurrency-limit")
        joined = level.join(schema, flow)
        if joined is None:
            raise _shed(schema, "queue-full")
        number, waiter = joined
        self._crowded[level] = None

        def give_up() -> None:
            level.leave(number, waiter)
            self._note(level)
            waiter.turn.set_result(False)

        timer = self._clock.call_later(WAIT_S_MOST, give_up)
        try:
            is_seated = await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.cancelled():
                level.leave(number, waiter)
                self._note(level)
            elif waiter.turn.result():
                self.release(level, schema)  # seated and cancelled in the same turn of the loop
            raise
        finally:
            timer.cancel()
        if not is_seated:
            raise _shed(schema, "time-out")

    def release(self, level: Level, schema: FlowSchema) -> None:
        """Stand up, and let the next one sit down."""
        if not level.is_exempt and level.executing > level.least:
            self._borrowed -= 1
        level.executing -= 1
        schema.executing -= 1
        if self._crowded:
            self._admit()

    def _has_seat(self, level: Level) -> bool:
        if level.is_exempt or level.executing < level.least:
            return True
        return level.executing < level.most and self._borrowed < self._pool

    def _sit(self, level: Level, schema: FlowSchema) -> None:
        if not level.is_exempt and level.executing >= level.least:
            self._borrowed += 1
        level.executing += 1
        schema.executing += 1
        schema.dispatched += 1

    def _admit(self) -> None:
        """Seat whoever waits and can; levels below their nominal seats come first."""
        while True:
            able = [level for level in self._crowded if self._has_seat(level)]
            if not able:
                return
            level = min(able, key=lambda each: each.executing >= each.nominal)
            # To the end of the line: levels that borrow take turns.
            del self._crowded[level]
            self._crowded[level] = None
            waiter = level.next()
            self._note(level)
            self._sit(level, waiter.schema)
            waiter.turn.set_result(True)

    def _note(self, level: Level) -> None:
        if not level.waiting:
            self._crowded.pop(level, None)


def deal(flow: str, queues: int, hand: int) -> list[int]:
    """The hand of queues of a flow: `hand` different ones of `queues`, by the flow's hash.

    As upstream's dealer: the hash is a number that picks one of those left, card by card. Of four
    queues and a hash of 29: 29 % 4 = 1 -> queue 1, left 0 2 3; 29 // 4 = 7, 7 % 3 = 1 -> queue 2.
    """
    number = int.from_bytes(hashlib.sha256(flow.encode()).digest()[:8], "little")
    return _dealt(number, queues, hand)


def _dealt(number: int, queues: int, hand: int) -> list[int]:
    taken: list[int] = []
    for left in range(queues, queues - min(hand, queues), -1):
        number, card = divmod(number, left)
        for earlier in sorted(taken):
            card += earlier <= card
        taken.append(card)
    return taken


def _shed(schema: FlowSchema, reason: str) -> Shed:
    schema.rejected[reason] = schema.rejected.get(reason, 0) + 1
    return Shed()


def _rounded_up(seats: float) -> int:
    return -int(-seats // 1)
