"""The port through which the store makes its writes durable, and the journal that keeps nothing.

The store calls it synchronously, at the end of a tick: a committing thread beside a busy loop
waits for the interpreter lock longer than for the disk (DESIGN.md section 5).
"""

import sys
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Protocol

from ekslab.kube.store.port import Key, StoreEvent


class Standing(Enum):
    """What an entry of the journal still is to the store."""

    CURRENT = "what its key holds"
    PAST = "part of the history"
    GONE = "nothing anybody can ask for"


Standings = Callable[[Key, int], Standing]
"""Tells the standing of what a key held, or of its deletion, at a revision."""


class Journal(Protocol):
    """Where events go so that they survive."""

    @property
    def ceiling(self) -> int:
        """No revision above this may be published: the next life of the store starts behind it,
        so that a revision that was seen and lost never comes back with another meaning.
        """

    def commit(self, events: Sequence[StoreEvent], *, compacted: int, standings: Standings) -> None:
        """Make `events` durable, all or none, raising the ceiling where needed. History is kept
        behind `compacted` only; entries whose standing is `GONE` may be dropped.

        Raises:
            StoreError: nothing of it happened.
        """

    def size_bytes(self) -> int:
        """What the journal occupies on disk."""

    def close(self, *, revision: int) -> None:
        """Note the clean end at this revision and release the files.

        Raises:
            StoreError: the note could not be written; the files are released all the same.
        """


class NoJournal:
    """Keeps nothing: a store whose life ends with the process."""

    ceiling: Final = sys.maxsize

    def commit(self, events: Sequence[StoreEvent], *, compacted: int, standings: Standings) -> None:
        """Nothing to do."""

    def size_bytes(self) -> int:
        """Nothing."""
        return 0

    def close(self, *, revision: int) -> None:
        """Nothing to do."""
