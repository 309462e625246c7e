"""The state that is ours and not moto's: EKS objects, sessions, tokens of idempotent calls.

A record is a JSON object under a kind and a key. Records are read in place and must not be changed:
`put` takes a new object. What changed since the last commit is remembered for the journal.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Record = Mapping[str, Any]


class Records:
    """Kind -> key -> record, in memory, with the changes since the last commit."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, Record]] = {}
        self._dirty: dict[tuple[str, str], None] = {}

    def get(self, kind: str, key: str) -> Record | None:
        """One record, or None."""
        return self._tables.get(kind, {}).get(key)

    def put(self, kind: str, key: str, record: Record) -> None:
        """Set a record."""
        self._tables.setdefault(kind, {})[key] = record
        self._dirty[kind, key] = None

    def delete(self, kind: str, key: str) -> None:
        """Remove a record; one that is not there is no error."""
        if self._tables.get(kind, {}).pop(key, None) is not None:
            self._dirty[kind, key] = None

    def kinds(self) -> list[str]:
        """The kinds there are records of."""
        return sorted(self._tables)

    def under(self, kind: str, prefix: str = "") -> Iterator[tuple[str, Record]]:
        """The records whose key begins with `prefix`, in order of their keys."""
        table = self._tables.get(kind, {})
        for key in sorted(table):
            if key.startswith(prefix):
                yield key, table[key]

    def peek_changes(self) -> dict[tuple[str, str], Record | None]:
        """What changed since changes were last taken; None for what is gone."""
        return {(kind, key): self.get(kind, key) for kind, key in self._dirty}

    def take_changes(self) -> dict[tuple[str, str], Record | None]:
        """What changed since the last time, for good: it is kept elsewhere now."""
        changes = self.peek_changes()
        self._dirty.clear()
        return changes

    def restore(self, kind: str, key: str, record: Record) -> None:
        """Put a record that is on the disk already."""
        self._tables.setdefault(kind, {})[key] = record
