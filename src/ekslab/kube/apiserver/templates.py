"""What was found out about a body holds for the next body of the same bytes.

A ReplicaSet creates a thousand pods with one and the same body: only the name is drawn afterwards.
Type check, defaults and field ownership are pure functions of the body, so they are done once and
remembered, bounded, by the body itself; a hit costs one JSON parse. Validation comes after
admission and is remembered by what admission made of the body, without the parts that chance drew:

    body  {"metadata":{"generateName":"web-"},"spec":{...}}       -> checked, defaulted, owned
    pod   web-x7k2p, volume kube-api-access-9xq4d, ...            -> valid, like web-8fj2m before

Nothing that depends on anything but the body is remembered: authorization, admission, allocation
and the store decide each time.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.likeness import likeness

_BODIES_MOST: Final = 256
_BODY_BYTES_MOST: Final = 32_768
_DRAWN_META: Final = frozenset({"name", "uid", "creationTimestamp"})
Key = tuple[bytes, object, str, str]


@dataclass(slots=True)
class Prepared:
    """A body after type check, defaults and ownership.

    `owners` is the managedFields list as of the first such write.
    `valid` is what was found valid last, and `warnings` what to warn of with it.
    """

    body: bytes
    decode_warnings: tuple[str, ...]
    owners: list[Any]
    valid: bytes = b""
    warnings: tuple[str, ...] = ()

    def obj(self) -> Object:
        """The object, private to the caller."""
        made: Object = orjson.loads(self.body)
        return made

    def owners_at(self, time: str) -> list[Any]:
        """The managedFields of a write at this time."""
        return [{**entry, "time": time} for entry in self.owners]


class Templates:
    """The bodies seen last. Least recently used ones are forgotten."""

    def __init__(self) -> None:
        self._prepared: OrderedDict[Key, Prepared] = OrderedDict()

    @staticmethod
    def is_template(raw: bytes) -> bool:
        """Whether objects of this body are told apart by a drawn name only."""
        return len(raw) <= _BODY_BYTES_MOST and b'"generateName"' in raw

    def find(self, key: Key) -> Prepared | None:
        """What is known of a body."""
        found = self._prepared.get(key)
        if found is not None:
            self._prepared.move_to_end(key)
        return found

    def keep(self, key: Key, prepared: Prepared) -> None:
        """Remember a body."""
        self._prepared[key] = prepared
        if len(self._prepared) > _BODIES_MOST:
            self._prepared.popitem(last=False)


def shape_of(obj: Object) -> bytes:
    """Everything of an object that validation can depend on, without what chance drew.

    A drawn name is its generateName, which is part of the shape, and five letters: one is valid if
    the other is.
    """
    meta = {key: value for key, value in obj["metadata"].items() if key not in _DRAWN_META}
    return likeness([meta, obj.get("spec"), obj.get("status")])
