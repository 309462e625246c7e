"""A queue with a bound and a stated behaviour at it."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class QueueOverflowError(Exception):
    """The queue is full; its reader has been too slow."""


class BoundedQueue(Generic[T]):
    """First in, first out. Putting never waits: a full queue closes, and its reader is told.

    That is the behaviour a slow watcher gets: what is in the queue is dropped, and `get_many`
    raises `QueueOverflowError`.
    """

    def __init__(self, *, limit: int) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._wakeup: asyncio.Future[None] | None = None
        self._overflowed = False

    def put_nowait(self, item: T) -> bool:
        """Add an item; False if the queue was full and is closed now."""
        if self._overflowed:
            return False
        if len(self._items) >= self._limit:
            self._overflowed = True
            self._items.clear()
        else:
            self._items.append(item)
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)
        return not self._overflowed

    def __len__(self) -> int:
        return len(self._items)

    async def get_many(self, *, most: int) -> list[T]:
        """Wait for at least one item and take up to `most` of them.

        Raises:
            QueueOverflowError: the queue was full at some time; nothing more will come.
        """
        while not self._items:
            if self._overflowed:
                raise QueueOverflowError
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup
        items = self._items
        return [items.popleft() for _ in range(min(most, len(items)))]
