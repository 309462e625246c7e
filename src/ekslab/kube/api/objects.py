"""Encoded objects: one revision of one object, shared by everybody who looks at it.

An `Item` keeps the canonical JSON as segments that are spliced on the way out, a small decoded
head that selectors and indexes ask for, and decodes the whole object only when somebody wants it.
The decoded form is shared and must not be changed; `editable` gives a private copy (a JSON round
trip costs 6-13 us for a pod, `copy.deepcopy` 43-110).

Layout of the canonical JSON, as a worked example:

    metadata  b'"metadata":{"name":"web","uid":"..."'      without its closing brace
    rest      b'"kind":"Pod","apiVersion":"v1","spec":{...},"status":{...}'
    json()    b'{' + metadata + b',"resourceVersion":"7"' + b',"managedFields":[...]}'
              + b',' + rest + b'}'
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from ekslab.kube.api.requests import Object

_DECODED_MOST: Final = 16_384
_EMPTY: Final[Mapping[str, str]] = {}


def editable(obj: Object) -> Object:
    """A private deep copy of a shared object."""
    copy: Object = orjson.loads(orjson.dumps(obj))
    return copy


class Item:
    """One revision of one object.

    Attributes:
        resource: storage name of the type, as `Resource.qualified` (`deployments.apps`).
        namespace, name, uid: identity; namespace is "" for cluster-scoped objects.
        revision: the store revision that wrote it (`metadata.resourceVersion`).
        labels: its labels.
        fields: values of the selectable fields of its type, by field path.
    """

    __slots__ = (
        "_json", "_managed", "_metadata", "_object", "_rest", "_watch_lines",
        "fields", "labels", "name", "namespace", "resource", "revision", "uid",
    )  # fmt: skip

    def __init__(
        self,
        *,
        resource: str,
        namespace: str,
        name: str,
        uid: str,
        revision: int,
        metadata: bytes,
        rest: bytes,
        managed: bytes = b"",
        labels: Mapping[str, str] = _EMPTY,
        fields: Mapping[str, str] = _EMPTY,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.revision = revision
        self.labels = labels
        self.fields = fields
        self._metadata = metadata
        self._rest = rest
        self._managed = managed
        self._json: bytes | None = None
        self._object: Object | None = None
        self._watch_lines: dict[str, bytes] | None = None

    @property
    def segments(self) -> tuple[bytes, bytes, bytes]:
        """`(metadata, managed, rest)`: what the log keeps beside identity and revision."""
        return self._metadata, self._managed, self._rest

    @property
    def resource_version(self) -> str:
        """`metadata.resourceVersion`."""
        return str(self.revision)

    def json(self) -> bytes:
        """The object as canonical JSON, with resourceVersion and managedFields. Memoized."""
        if self._json is None:
            self._json = b"".join(self.pieces())
        return self._json

    def pieces(self) -> tuple[bytes, ...]:
        """What `json` is joined from: a list of all objects must not keep each of them twice."""
        if self._json is not None:
            return (self._json,)
        if not self._managed:
            version = b',"resourceVersion":"%d"},' % self.revision
            return b"{", self._metadata, version, self._rest, b"}"
        version = b',"resourceVersion":"%d","managedFields":' % self.revision
        return b"{", self._metadata, version, self._managed, b"},", self._rest, b"}"

    def watch_line(self, event: str) -> bytes:
        """One line of a JSON watch stream for this object: ADDED, MODIFIED or DELETED. Memoized."""
        lines = self._watch_lines
        if lines is None:
            lines = self._watch_lines = {}
        line = lines.get(event)
        if line is None:
            line = lines[event] = b'{"type":"%s","object":%s}\n' % (event.encode(), self.json())
        return line

    @property
    def object(self) -> Object:
        """The decoded object: shared, never to be changed. Kept for a while (bounded)."""
        found = self._object
        if found is None:
            found = orjson.loads(self.json())
            self.keep_decoded(found)
        return found

    def glance(self) -> Object:
        """The object as `object`, but perhaps without managedFields, for one look at it: a table
        of all objects must not decode what no cell shows, nor keep what it decoded.
        """
        if self._object is not None:
            return self._object
        found: Object = orjson.loads(b"{%b},%b}" % (self._metadata, self._rest))
        return found

    def keep_decoded(self, obj: Object) -> None:
        """Take `obj` for the decoded object. It must equal what `json` says, and nobody may
        change it from now on.
        """
        self._object = obj
        _decoded.append(self)
        if len(_decoded) > _DECODED_MOST:
            _decoded.popleft()._object = None  # noqa: SLF001 - our own slot

    def forget_encodings(self) -> None:
        """Drop memoized encodings (a watcher-less object keeps only its segments)."""
        self._json = None
        self._watch_lines = None

    @property
    def key(self) -> tuple[str, str]:
        """`(namespace, name)`, the order of lists."""
        return (self.namespace, self.name)

    def __repr__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"<{self.resource} {place} @{self.revision}>"


_decoded: deque[Item] = deque()


def encode(
    obj: Object,
    *,
    resource: str,
    revision: int,
    managed: bytes = b"",
    owners: Sequence[Any] | None = None,
    fields: Mapping[str, str] = _EMPTY,
) -> Item:
    """Make an `Item` of an object. `obj`'s own resourceVersion and managedFields are left out.

    `managed` is the JSON of the managedFields list, or b"" for none. Whoever has the list itself
    at hand gives it as `owners`, and gives up `obj`: its parts become the item's decoded object,
    so that what was written is not decoded again for those who look at it.
    """
    metadata: dict[str, Any] = dict(obj["metadata"])
    metadata.pop("resourceVersion", None)
    metadata.pop("managedFields", None)
    rest = {key: value for key, value in obj.items() if key != "metadata"}
    item = Item(
        resource=resource,
        namespace=metadata.get("namespace", ""),
        name=metadata.get("name", ""),
        uid=metadata.get("uid", ""),
        revision=revision,
        metadata=b'"metadata":' + orjson.dumps(metadata)[:-1],
        rest=orjson.dumps(rest)[1:-1],
        managed=managed,
        labels=metadata.get("labels") or _EMPTY,
        fields=fields,
    )
    if owners is not None:
        metadata["resourceVersion"] = item.resource_version
        if owners:
            metadata["managedFields"] = owners
        item.keep_decoded({"metadata": metadata, **rest})
    return item
