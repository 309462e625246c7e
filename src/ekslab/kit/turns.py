"""Turns: how much of a burst is begun in one turn of the event loop.

A thousand tasks that become ready together would all run before the loop looks at its sockets
again: half a second of silence for everybody else. Whoever takes a turn begins at once while the
share of this turn of the loop lasts, and otherwise waits, in order, for one of the next.
"""

import asyncio
from collections import deque


class Turns:
    """Lets `most` begin in one turn of the loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._renewing = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Go on when it is one's turn."""
        if self._left > 0 and not self._waiting:
            self._left -= 1
            self._renew_later()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._renew_later()
        await turn

    def _renew_later(self) -> None:
        if not self._renewing:
            self._renewing = True
            asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        """A new turn of the loop: the next in line go on in it."""
        self._renewing = False
        self._left = self._most
        while self._waiting and self._left > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                self._left -= 1
                turn.set_result(None)
        if self._waiting or self._left < self._most:
            self._renew_later()
