"""What the log keeps of a change: one record each, and how they are read back.

A record is `revision, kind, four lengths`, a head of JSON (what selectors and indexes ask for) and
the three segments of the `Item` as they are.
"""

import struct
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

import orjson

from ekslab.kube.api.objects import Item
from ekslab.kube.store.port import Key, StoreEvent

_FIXED: Final = struct.Struct("<QBIIII")
_KIND_AT: Final = 8


STATE: Final = 0
"""This is what the key holds, until a later record says otherwise."""
DELETION: Final = 1
"""The key holds nothing any more; the record has its last state."""
PAST: Final = 2
"""The key held this once: written again for the history's sake, never to be taken for its state."""


class Record(NamedTuple):
    """A record as it stands in the log."""

    revision: int
    kind: int
    raw: memoryview


def record(event: StoreEvent) -> bytes:
    """The record of a change."""
    item = event.item
    head = orjson.dumps(
        (
            event.previous.revision if event.previous is not None else 0,
            item.resource,
            item.namespace,
            item.name,
            item.uid,
            dict(item.fields),
            dict(item.labels),
        )
    )
    metadata, managed, rest = item.segments
    kind = DELETION if event.deleted else STATE
    lengths = len(head), len(metadata), len(managed), len(rest)
    fixed = _FIXED.pack(event.revision, kind, *lengths)
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


def item_of(found: Record) -> tuple[Item, int]:
    """The object, and the revision it had before (0: it was created)."""
    raw = found.raw
    revision, _, head, metadata, managed, rest = _FIXED.unpack_from(raw)
    at_metadata = _FIXED.size + head
    at_managed = at_metadata + metadata
    at_rest = at_managed + managed
    previous, resource, namespace, name, uid, fields, labels = orjson.loads(
        raw[_FIXED.size : at_metadata]
    )
    item = Item(
        resource=sys.intern(resource),
        namespace=sys.intern(namespace),
        name=name,
        uid=uid,
        revision=revision,
        metadata=bytes(raw[at_metadata:at_managed]),
        managed=bytes(raw[at_managed:at_rest]),
        rest=bytes(raw[at_rest : at_rest + rest]),
        labels=labels,
        fields=fields,
    )
    return item, previous
