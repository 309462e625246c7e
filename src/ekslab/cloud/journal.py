"""Durability of the AWS plane: nothing is answered before it is on the disk.

The state is a checkpoint of moto, the calls that changed moto since, each with its seed and time,
and our own records. One handled request is one SQLite transaction (WAL, `synchronous=FULL`): the
calls it made and the records it changed stand together or not at all. Restart: load the checkpoint,
replay the calls (same seed and time, hence the same ids), read the records.

A new checkpoint is taken after `CALLS_BETWEEN_CHECKPOINTS` calls and at a clean stop, and at once
after a call that cannot be replayed.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ekslab.cloud.engine import checkpoint
from ekslab.cloud.ports import AwsRequest
from ekslab.cloud.records import Record

CALLS_BETWEEN_CHECKPOINTS = 256
_FORMAT = "1"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
"""


class JournalError(Exception):
    """The journal cannot be used; the text says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that changed moto, with all that its repetition needs."""

    service: str
    region: str
    seed: str
    now_s: float
    request: AwsRequest


class Journal:
    """The durable side of one account."""

    def __init__(self, path: Path) -> None:
        """Open or make the journal.

        Raises:
            JournalError: it cannot be opened, or another version of the software wrote it.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"cannot open the AWS state at {path}: {error}") from error
        self._check_version()
        self._calls_since_checkpoint = self._count_calls()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def checkpoint_due(self) -> bool:
        """Whether enough calls have gathered for a new checkpoint."""
        return self._calls_since_checkpoint >= CALLS_BETWEEN_CHECKPOINTS

    def commit(self, calls: list[Call], records: Mapping[tuple[str, str], Record | None]) -> None:
        """Make one request's effects durable.

        Raises:
            JournalError: the disk did not take them; nothing of them is there.
        """
        if calls or records:
            self._write(calls, records, None)
            self._calls_since_checkpoint += len(calls)

    def save_checkpoint(
        self, state: bytes, records: Mapping[tuple[str, str], Record | None]
    ) -> None:
        """Replace checkpoint and calls by `state`, which holds the effect of every call so far.

        Raises:
            JournalError: the disk did not take it; checkpoint and calls are as before.
        """
        self._write([], records, state)
        self._calls_since_checkpoint = 0

    def read_checkpoint(self) -> bytes | None:
        """The last checkpoint."""
        row = self._database.execute("SELECT body FROM checkpoint WHERE id = 1").fetchone()
        return None if row is None else bytes(row[0])

    def read_calls(self) -> Iterator[Call]:
        """The calls since, in order."""
        for (body,) in self._database.execute("SELECT body FROM calls ORDER BY sequence"):
            yield msgspec.msgpack.decode(body, type=Call)

    def read_records(self) -> Iterator[tuple[str, str, Record]]:
        """Every record: kind, key, object."""
        for kind, key, body in self._database.execute("SELECT kind, key, body FROM records"):
            yield kind, key, msgspec.json.decode(body)

    def _write(
        self,
        calls: list[Call],
        records: Mapping[tuple[str, str], Record | None],
        state: bytes | None,
    ) -> None:
        database = self._database
        try:
            database.execute("BEGIN IMMEDIATE")
            if state is not None:
                database.execute("INSERT OR REPLACE INTO checkpoint VALUES (1, ?)", (state,))
                database.execute("DELETE FROM calls")
            database.executemany(
                "INSERT INTO calls (body) VALUES (?)",
                [(msgspec.msgpack.encode(call),) for call in calls],
            )
            for (kind, key), record in records.items():
                if record is None:
                    database.execute("DELETE FROM records WHERE kind = ? AND key = ?", (kind, key))
                else:
                    database.execute(
                        "INSERT OR REPLACE INTO records VALUES (?, ?, ?)",
                        (kind, key, msgspec.json.encode(record)),
                    )
            database.execute("COMMIT")
        except sqlite3.Error as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise JournalError(f"cannot write the AWS state at {self._path}: {error}") from error

    def _check_version(self) -> None:
        ours = f"{_FORMAT} {checkpoint.version()}"
        row = self._database.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
        if row is None:
            self._database.execute("INSERT INTO meta VALUES ('version', ?)", (ours,))
        elif row[0] != ours:
            raise JournalError(
                f"the AWS state at {self._path} is of version {row[0]} and this is {ours}: "
                "use the version it was written by, or remove it"
            )

    def _count_calls(self) -> int:
        return int(self._database.execute("SELECT COUNT(*) FROM calls").fetchone()[0])
