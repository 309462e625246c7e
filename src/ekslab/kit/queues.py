"""A queue with a bound and a stated behaviour at it."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class QueueOverflowError(Exception):
    """The queue is full: whoever reads it has been too slow, or what bounds it is broken."""


class BoundedQueue(Generic[T]):
    """First in, first out, for any number of readers. Putting never waits: a full queue raises."""

    def __init__(self, *, limit: int) -> None:
        self._queue: asyncio.Queue[T] = asyncio.Queue(maxsize=limit)

    def __len__(self) -> int:
        return self._queue.qsize()

    def put_nowait(self, item: T) -> None:
        """Add an item.

        Raises:
            QueueOverflowError: `limit` items wait already.
        """
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull as error:
            raise QueueOverflowError from error

    async def get(self) -> T:
        """Wait for an item and take it."""
        return await self._queue.get()
