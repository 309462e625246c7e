"""The durable journal: an append-only log in SQLite.

One transaction per tick, committed in the loop, with the write-ahead log synced before the commit
returns (`journal_mode=WAL`, `synchronous=FULL`). A row of `log` is one revision of one object; the
newest row of a key is its state, the rows before are history until they are compacted. Opening
reads the log once, in order, and rebuilds both.

**Revisions never mean two things.** Events and Leases are published before they are durable, so a
crash may lose revisions that somebody has seen. `meta.ceiling` is durable and bounds what may be
published. After an unclean end the counter starts behind it, and the span in between goes to
`lost`: whoever asks to go on from there is told that it is gone, and lists again.

    log holds up to 41, ceiling 10000, kill -9   ->  opens at revision 10001, lost (41, 10001)

The database is locked exclusively: a second process gets `StoreLockedError`. A killed process
leaves no lock behind.
"""

import gc
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from ekslab.kube.api.objects import Item
from ekslab.kube.store.memory import MemoryStore
from ekslab.kube.store.port import (
    StoreError,
    StoreEvent,
    StoreFormatError,
    StoreLockedError,
)

FORMAT: Final = 1
CEILING_STEP: Final = 10_000
_FILE: Final = "store.db"
_METADATA_CHARS: Final = len('"metadata":')
_CHECKPOINT_PAGES: Final = 256

_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
CREATE TABLE lost (low INTEGER, high INTEGER PRIMARY KEY);
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    resource TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    fields BLOB NOT NULL,
    metadata BLOB NOT NULL,
    managed BLOB NOT NULL,
    rest BLOB NOT NULL
);
INSERT INTO meta VALUES ('format', {format}), ('ceiling', 1), ('clean', 1), ('compacted', 1);
COMMIT;
"""
_INSERT: Final = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SET: Final = "UPDATE meta SET value = ? WHERE key = ?"


@dataclass(slots=True)
class Recovered:
    """What the log held: see `MemoryStore.recover`."""

    revision: int
    compacted: int
    objects: dict[tuple[str, str, str], Item] = field(default_factory=dict)
    events: list[StoreEvent] = field(default_factory=list)
    garbage: list[int] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)


class SqliteJournal:
    """A `journal.Journal` in a directory."""

    def __init__(self, directory: Path) -> None:
        """Open or make the database and lock it.

        Raises:
            StoreLockedError, StoreFormatError, StoreError: with one sentence for the user.
        """
        self._directory = directory
        self._path = directory / _FILE
        self._ceiling = 0
        self._compacted = 0
        _make_private(directory, self._path)
        self._db = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            with self._explained("open"):
                self._prepare()
        except StoreError:
            self._db.close()
            raise

    @property
    def ceiling(self) -> int:
        """See `Journal.ceiling`."""
        return self._ceiling

    def recover(self) -> Recovered:
        """Read everything, and begin a new life of the store."""
        with self._explained("read"):
            meta = dict(self._db.execute("SELECT key, value FROM meta"))
            newest = self._db.execute("SELECT max(revision) FROM log").fetchone()[0] or 1
            clean = meta["clean"]
            found = Recovered(revision=clean or meta["ceiling"] + 1, compacted=meta["compacted"])
            found.lost = self._db.execute("SELECT low, high FROM lost").fetchall()
            _replay(self._db.execute("SELECT * FROM log ORDER BY revision"), found)
        if not clean:
            found.lost.append((newest, found.revision))
        self._compacted = found.compacted
        with self._explained("write to"), self._transaction():
            if not clean:
                self._db.execute("INSERT INTO lost VALUES (?, ?)", found.lost[-1])
            self._db.execute(_SET, (0, "clean"))
            self._db.execute(_SET, (found.revision + CEILING_STEP, "ceiling"))
        self._ceiling = found.revision + CEILING_STEP
        return found

    def commit(
        self, events: Sequence[StoreEvent], *, forget: Sequence[int], compacted: int
    ) -> None:
        """See `Journal.commit`."""
        newest = events[-1].revision if events else 0
        ceiling = self._ceiling
        if newest + CEILING_STEP // 2 > ceiling:
            ceiling = newest + CEILING_STEP
        db = self._db
        with self._explained("write to"), self._transaction():
            db.executemany(_INSERT, map(_row, events))
            if forget:
                db.executemany("DELETE FROM log WHERE revision = ?", zip(forget, strict=True))
            if compacted != self._compacted:
                db.execute(_SET, (compacted, "compacted"))
                db.execute("DELETE FROM lost WHERE high <= ?", (compacted,))
            if ceiling != self._ceiling:
                db.execute(_SET, (ceiling, "ceiling"))
        self._ceiling = ceiling
        self._compacted = compacted

    def size_bytes(self) -> int:
        """See `Journal.size_bytes`."""
        files = (self._path, self._path.with_name(f"{_FILE}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self, *, revision: int) -> None:
        """See `Journal.close`."""
        try:
            with self._explained("write to"), self._transaction():
                self._db.execute(_SET, (revision, "clean"))
        finally:
            self._db.close()

    def _prepare(self) -> None:
        db = self._db
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
        if tables:
            self._check_format(tables)
        else:
            db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        if not tables:
            db.executescript(_SCHEMA.format(format=FORMAT))
        # Takes the write lock, which exclusive locking mode then keeps.
        with self._transaction():
            db.execute(_SET, (FORMAT, "format"))

    def _check_format(self, tables: set[str]) -> None:
        found = None
        if "meta" in tables:
            found = self._db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        if found is None:
            raise StoreFormatError(f"{self._path} is not a store of ekslab")
        if found[0] != FORMAT:
            raise StoreFormatError(
                f"the store in {self._directory} has format {found[0]}, this version of ekslab"
                f" reads format {FORMAT}"
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error:
            # A failed COMMIT may leave the transaction open, or have ended it.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                text = f"the store in {self._directory} is in use by another process"
                raise StoreLockedError(text) from error
            if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise StoreFormatError(f"{self._path} cannot be read: {error}") from error
            text = f"cannot {doing} the store in {self._directory}: {error}"
            raise StoreError(text) from error


def open_store(
    directory: Path,
    *,
    history_events: int = 100_000,
    history_bytes: int = 128 << 20,
    watcher_queue: int = 16_384,
) -> MemoryStore:
    """The durable store in a directory, made if it is not there.

    Raises:
        StoreLockedError, StoreFormatError, StoreError: with one sentence for the user.
    """
    journal = SqliteJournal(directory)
    # Hundreds of thousands of objects that all stay: collecting while they are made finds nothing.
    collecting = gc.isenabled()
    gc.disable()
    try:
        found = journal.recover()
        store = MemoryStore(
            history_events=history_events,
            history_bytes=history_bytes,
            watcher_queue=watcher_queue,
            first_revision=found.revision,
            journal=journal,
        )
        store.recover(
            found.objects.values(),
            found.events,
            compacted=found.compacted,
            lost=found.lost,
            garbage=found.garbage,
        )
    finally:
        if collecting:
            gc.enable()
    return store


def _make_private(directory: Path, path: Path) -> None:
    """The store holds Secrets: nobody but its user may read it."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"cannot open the store in {directory}: {error.strerror}") from error


def _row(event: StoreEvent) -> tuple[Any, ...]:
    item = event.item
    return (
        event.revision,
        item.resource,
        item.namespace,
        item.name,
        item.uid,
        event.deleted,
        event.previous.revision if event.previous is not None else 0,
        orjson.dumps(dict(item.fields)) if item.fields else b"",
        *item.segments,
    )


def _replay(rows: Iterator[Sequence[Any]], found: Recovered) -> None:
    """Go through the log in order, keeping state, history and what nobody needs any more."""
    objects, events, garbage = found.objects, found.events, found.garbage
    compacted = found.compacted
    for row in rows:
        revision, deleted = row[0], row[5]
        item = _item(row)
        key = (item.resource, item.namespace, item.name)
        before = objects.pop(key, None)
        if not deleted:
            objects[key] = item
        if revision > compacted:
            previous = before if row[6] else None
            events.append(StoreEvent(revision, item, previous, bool(deleted)))
            continue
        if before is not None:
            garbage.append(before.revision)
        if deleted:
            garbage.append(revision)


def _item(row: Sequence[Any]) -> Item:
    revision, resource, namespace, name, uid, _, _, fields, metadata, managed, rest = row
    labels = None
    if b'"labels":{' in metadata:
        labels = orjson.loads(metadata[_METADATA_CHARS:] + b"}").get("labels")
    return Item(
        resource=sys.intern(resource),
        namespace=sys.intern(namespace),
        name=name,
        uid=uid,
        revision=revision,
        metadata=metadata,
        rest=rest,
        managed=managed,
        labels=labels or {},
        fields=orjson.loads(fields) if fields else {},
    )
