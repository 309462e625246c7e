"""The change feed: what the account holds, then every change of it, in order.

After each changing call the objects it can have touched are compared with what was told before.
Positions begin at the start time in microseconds and rise by one, so that a position of an earlier
run is never one of this run: its holder gets a new snapshot.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from ekslab.cloud.observing import EC2_KINDS, EKS_KINDS, IAM_KINDS, Observer, Value
from ekslab.cloud.ports import Change

ALL_KINDS = (*IAM_KINDS, *EC2_KINDS, *EKS_KINDS)
_KEPT_MAX = 20_000
_BATCH_MAX = 500


def kinds_touched(service: str) -> Sequence[str]:
    """The kinds of objects that a changing call of a service can have changed."""
    if service == "iam":
        return IAM_KINDS
    if service in {"ec2", "autoscaling"}:
        return EC2_KINDS
    if service == "eks":
        return (*EC2_KINDS, *EKS_KINDS)
    if service == "cloudformation":
        return ALL_KINDS
    if service in {"elasticloadbalancing", "elasticfilesystem", "rds", "lambda"}:
        return EC2_KINDS
    return ()


class Feed:
    """Implements `cloud.ports.ChangeFeed`."""

    def __init__(self, observer: Observer, *, started_s: float) -> None:
        self._observer = observer
        self._position = int(started_s * 1_000_000)
        self._known: dict[str, dict[str, tuple[Any, Value]]] = {kind: {} for kind in ALL_KINDS}
        self._kept: deque[Change] = deque(maxlen=_KEPT_MAX)
        self._oldest = self._position
        self._waiters: set[asyncio.Future[None]] = set()

    def observe(self, kinds: Iterable[str]) -> None:
        """Compare objects of these kinds with what was told, and tell what is new."""
        before = self._position
        for kind in kinds:
            self._observe_kind(kind)
        if self._position != before:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def follow(self, *, after: int = 0) -> AsyncIterator[Sequence[Change]]:
        """Batches of changes behind `after`; see `ChangeFeed.follow`."""
        position = after
        if self._oldest <= after <= self._position:
            yield [Change(position, "synced", "", None)]
        else:
            position = self._position
            for batch in _batches(self._snapshot(position)):
                yield batch
        while True:
            if position < self._oldest:
                # The reader was slower than the history is long: begin again.
                position = self._position
                for batch in _batches(self._snapshot(position)):
                    yield batch
            batch = self._after(position)
            if batch:
                position = batch[-1].position
                yield batch
            else:
                await self._wait()

    def _observe_kind(self, kind: str) -> None:
        known = self._known[kind]
        unseen = set(known)
        for ident, signature, build in self._observer.entries(kind):
            unseen.discard(ident)
            before = known.get(ident)
            if before is None or before[0] != signature:
                self._tell(kind, ident, signature, build, before)
        for ident in sorted(unseen):
            del known[ident]
            self._append(kind, ident, None)

    def _tell(
        self,
        kind: str,
        ident: str,
        signature: Any,
        build: Callable[[], Value],
        before: tuple[Any, Value] | None,
    ) -> None:
        value = build()
        self._known[kind][ident] = (signature, value)
        if before is None or before[1] != value:
            self._append(kind, ident, value)

    def _append(self, kind: str, ident: str, value: Value | None) -> None:
        self._position += 1
        if len(self._kept) == _KEPT_MAX:
            self._oldest = self._kept[0].position
        self._kept.append(Change(self._position, kind, ident, value))

    def _snapshot(self, position: int) -> list[Change]:
        changes = [Change(position, "reset", "", None)]
        for kind in ALL_KINDS:
            changes += [
                Change(position, kind, ident, value)
                for ident, (_, value) in self._known[kind].items()
            ]
        changes.append(Change(position, "synced", "", None))
        return changes

    def _after(self, position: int) -> list[Change]:
        if position >= self._position:
            return []
        first = position + 1 - self._kept[0].position
        last = min(len(self._kept), first + _BATCH_MAX)
        return [self._kept[index] for index in range(max(0, first), last)]

    async def _wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)


def _batches(changes: Sequence[Change]) -> Iterable[Sequence[Change]]:
    for start in range(0, len(changes), _BATCH_MAX):
        yield changes[start : start + _BATCH_MAX]
