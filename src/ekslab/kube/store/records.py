"""What the log keeps of a change: one record each, and how they are read back.

A record is `revision, kind, four lengths`, a head of JSON (what selectors and indexes ask for) and
the three segments of the `Item` as they are. Of a resource that is kept encrypted the head names
the object and no more; all else is one sealed segment:

    configmaps  head [3, "configmaps", "default", "web", uid, fields, labels]  {...} {...} {...}
    secrets     head [4, "secrets", "default", "web", uid]                     -     -     sealed
"""

import struct
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

import orjson

from ekslab.kube.api.objects import Item
from ekslab.kube.store.port import Key, StoreEvent, StoreFormatError

_FIXED: Final = struct.Struct("<QBIIII")
_KIND_AT: Final = 8
_SEALED_LENGTHS: Final = struct.Struct("<III")

STATE: Final = 0
"""This is what the key holds, until a later record says otherwise."""
DELETION: Final = 1
"""The key holds nothing any more; the record has its last state."""
PAST: Final = 2
"""The key held this once: written again for the history's sake, never to be taken for its state."""


class Cipher(Protocol):
    """Seals what the log holds of some resources (upstream: `value.Transformer`)."""

    @property
    def resources(self) -> frozenset[str]:
        """Those that are written sealed; what was written is read either way."""

    def seal(self, key: Key, plain: bytes) -> bytes:
        """The bytes to keep at a key."""

    def unseal(self, key: Key, sealed: bytes) -> bytes:
        """The bytes that were sealed for this key.

        Raises:
            StoreFormatError: no key is known that opens them, or they were tampered with.
        """


class NoCipher:
    """Keeps everything as it is."""

    resources: Final[frozenset[str]] = frozenset()

    def seal(self, _key: Key, plain: bytes) -> bytes:
        """The bytes."""
        return plain

    def unseal(self, key: Key, _sealed: bytes) -> bytes:
        """Nothing was sealed here.

        Raises:
            StoreFormatError: something was.
        """
        raise StoreFormatError(f"{key.resource} {key.namespace}/{key.name} is encrypted: no key")


PLAIN: Final = NoCipher()


class Record(NamedTuple):
    """A record as it stands in the log."""

    revision: int
    kind: int
    raw: memoryview


def record(event: StoreEvent, cipher: Cipher) -> bytes:
    """The record of a change."""
    item = event.item
    previous = event.previous.revision if event.previous is not None else 0
    told = (previous, item.resource, item.namespace, item.name, item.uid)
    sorting = (dict(item.fields), dict(item.labels))
    metadata, managed, rest = item.segments
    if item.resource in cipher.resources:
        head = orjson.dumps(told)
        more = orjson.dumps(sorting)
        lengths = _SEALED_LENGTHS.pack(len(more), len(metadata), len(managed))
        plain = b"".join((lengths, more, metadata, managed, rest))
        rest = cipher.seal(Key(item.resource, item.namespace, item.name), plain)
        metadata = managed = b""
    else:
        head = orjson.dumps((*told, *sorting))
    kind = DELETION if event.deleted else STATE
    sizes = len(head), len(metadata), len(managed), len(rest)
    fixed = _FIXED.pack(event.revision, kind, *sizes)
    return b"".join((fixed, head, metadata, managed, rest))


def records(data: memoryview) -> Iterator[Record]:
    """The records in a row of them."""
    at, total, unpack = 0, len(data), _FIXED.unpack_from
    while at < total:
        revision, kind, head, metadata, managed, rest = unpack(data, at)
        end = at + _FIXED.size + head + metadata + managed + rest
        yield Record(revision, kind, data[at:end])
        at = end


def as_past(found: Record) -> bytes:
    """The same record, as one that is only history."""
    raw = bytearray(found.raw)
    raw[_KIND_AT] = PAST
    return bytes(raw)


def key_of(found: Record) -> Key:
    """The key it is about."""
    end = _FIXED.size + _FIXED.unpack_from(found.raw)[2]
    _, resource, namespace, name, *_ = orjson.loads(found.raw[_FIXED.size : end])
    return Key(resource, namespace, name)


def item_of(found: Record, cipher: Cipher) -> tuple[Item, int]:
    """The object, and the revision it had before (0: it was created).

    Raises:
        StoreFormatError: it is sealed, and cannot be opened.
    """
    raw = found.raw
    revision, _, head, metadata, managed, rest = _FIXED.unpack_from(raw)
    at_metadata = _FIXED.size + head
    at_managed = at_metadata + metadata
    at_rest = at_managed + managed
    previous, resource, namespace, name, uid, *sorting = orjson.loads(
        raw[_FIXED.size : at_metadata]
    )
    segments = raw[at_metadata:at_managed], raw[at_managed:at_rest], raw[at_rest : at_rest + rest]
    if not sorting:
        plain = memoryview(cipher.unseal(Key(resource, namespace, name), bytes(segments[2])))
        more, metadata, managed = _SEALED_LENGTHS.unpack_from(plain)
        at_metadata = _SEALED_LENGTHS.size + more
        at_managed = at_metadata + metadata
        at_rest = at_managed + managed
        sorting = orjson.loads(plain[_SEALED_LENGTHS.size : at_metadata])
        segments = plain[at_metadata:at_managed], plain[at_managed:at_rest], plain[at_rest:]
    item = Item(
        resource=sys.intern(resource),
        namespace=sys.intern(namespace),
        name=name,
        uid=uid,
        revision=revision,
        metadata=bytes(segments[0]),
        managed=bytes(segments[1]),
        rest=bytes(segments[2]),
        fields=sorting[0],
        labels=sorting[1],
    )
    return item, previous
