"""What the account holds, as the change feed tells it: tables by kind, and who wants to know.

The bridge's controllers never poll AWS: they read here, and write through `AwsClient`.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ekslab.cloud.ports import Change, ChangeFeed
from ekslab.kit import logs
from ekslab.kit.clock import Clock

Listener = Callable[[str, Mapping[str, Any] | None, Mapping[str, Any] | None], None]
"""Called with id, old value and new value (None: absent)."""

_RETRY_S: Final = 0.5


class Mirror:
    """The account's objects in memory. Reading is synchronous; changes arrive in feed order."""

    def __init__(self, feed: ChangeFeed, *, clock: Clock) -> None:
        self._feed = feed
        self._clock = clock
        self._tables: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._position = 0
        self._fresh: dict[str, dict[str, Mapping[str, Any]]] | None = None
        self._synced = asyncio.Event()
        self._log = logs.get("mirror")

    def get(self, kind: str, ident: str) -> Mapping[str, Any] | None:
        """One object, or None."""
        return self._tables.get(kind, {}).get(ident)

    def all(self, kind: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """All objects of a kind, with their ids."""
        return list(self._tables.get(kind, {}).items())

    def on_change(self, kind: str, listener: Listener) -> None:
        """Call `listener` for every object of that kind now, and for every later change."""
        self._listeners.setdefault(kind, []).append(listener)
        for ident, value in self.all(kind):
            listener(ident, None, value)

    async def wait_synced(self) -> None:
        """Wait until the first snapshot is complete."""
        await self._synced.wait()

    async def run(self) -> None:
        """Follow the feed for ever; a broken connection resumes behind the last change seen."""
        while True:
            try:
                async for batch in self._feed.follow(after=self._position):
                    for change in batch:
                        self._apply(change)
            except (OSError, EOFError) as error:
                self._log.info("feed interrupted", error=str(error))
            await self._clock.sleep(_RETRY_S)

    def _apply(self, change: Change) -> None:
        self._position = max(self._position, change.position)
        if change.kind == "reset":
            self._fresh = {}
        elif change.kind == "synced":
            self._finish_snapshot()
        elif self._fresh is not None:
            if change.value is not None:
                self._fresh.setdefault(change.kind, {})[change.id] = change.value
        else:
            self._set(change.kind, change.id, change.value)

    def _finish_snapshot(self) -> None:
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            for kind, table in list(self._tables.items()):
                for ident in [i for i in table if i not in fresh.get(kind, {})]:
                    self._set(kind, ident, None)
            for kind, table in fresh.items():
                for ident, value in table.items():
                    self._set(kind, ident, value)
        self._synced.set()

    def _set(self, kind: str, ident: str, value: Mapping[str, Any] | None) -> None:
        table = self._tables.setdefault(kind, {})
        old = table.pop(ident, None) if value is None else table.get(ident)
        if value is not None:
            table[ident] = value
        if old == value:
            return
        for listener in self._listeners.get(kind, ()):
            listener(ident, old, value)
