"""The recorder of core/v1 Events, with client-go's correlation (`tools/record/events_cache.go`).

Recording never waits: an event goes into a bounded queue, and a task writes it. Before that, as
upstream does it:

- the same event again (same object, type, reason, message) counts up the one that is there;
- more than 10 events in 10 minutes that differ only in their message become one,
  "(combined from similar events): ...";
- about one object, one source may write 25 events at once, then one every 5 minutes.

At a full queue an event is dropped, as upstream drops it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from ekslab.kit import logs
from ekslab.kit.clock import Clock, rfc3339
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Client, PatchType
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import EVENTS

V = TypeVar("V")

_CACHE_MOST: Final = 4096
_SIMILAR_MOST: Final = 10
_SIMILAR_WITHIN_S: Final = 600.0
_BURST: Final = 25
_REFILL_S: Final = 300.0
_QUEUE_MOST: Final = 20_000
_BATCH: Final = 64
_FEW: Final = 4  # written one after the other, as upstream does: a task for each costs more
_NAME_TRIES: Final = 5

_log = logs.get("events")


class _Recent(Generic[V]):
    """A dict that forgets what was not used for longest."""

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        value = self._held.get(key)
        if value is not None:
            self._held.move_to_end(key)
        return value

    def put(self, key: Hashable, value: V) -> V:
        self._held[key] = value
        self._held.move_to_end(key)
        if len(self._held) > _CACHE_MOST:
            self._held.popitem(last=False)
        return value


@dataclass(slots=True)
class _Similar:
    last_s: float
    messages: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


@dataclass(slots=True)
class _Written:
    """An event as it was last written: the object, and whether the server has it."""

    event: Object
    is_new: bool = True


def reference(obj: Object, *, field_path: str = "") -> Object:
    """The `v1.ObjectReference` of an object: what an Event is about."""
    meta = obj["metadata"]
    about: Object = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    for source, target in (
        ("namespace", "namespace"),
        ("name", "name"),
        ("uid", "uid"),
        ("resourceVersion", "resourceVersion"),
    ):
        if meta.get(source):
            about[target] = meta[source]
    if field_path:
        about["fieldPath"] = field_path
    return about


class EventRecorder:
    """Records what a component did to objects.

    `component` and `host` become the event's source (`kubelet` on node `ip-10-0-0-1...`). `run`
    writes what is recorded, until cancelled.
    """

    def __init__(self, client: Client, *, component: str, clock: Clock, host: str = "") -> None:
        self._client = client
        self._component = component
        self._host = host
        self._clock = clock
        self._pending: OrderedDict[tuple[str, str], _Written] = OrderedDict()
        self._wakeup: asyncio.Event = asyncio.Event()
        self._similar: _Recent[_Similar] = _Recent()
        self._seen: _Recent[_Written] = _Recent()
        self._buckets: _Recent[_Bucket] = _Recent()
        self._last_ns = 0
        self.dropped = 0

    def normal(self, obj: Object, reason: str, message: str, *, field_path: str = "") -> None:
        """Record that something went as it should."""
        self._record(reference(obj, field_path=field_path), "Normal", reason, message)

    def warning(self, obj: Object, reason: str, message: str, *, field_path: str = "") -> None:
        """Record that something went wrong."""
        self._record(reference(obj, field_path=field_path), "Warning", reason, message)

    def event(self, about: Object, kind: str, reason: str, message: str) -> None:
        """Record with an ObjectReference made by the caller; `kind` is Normal or Warning."""
        self._record(about, kind, reason, message)

    async def run(self) -> None:
        """Write recorded events until cancelled."""
        while True:
            await self._wakeup.wait()
            batch: list[_Written] = []
            while self._pending and len(batch) < _BATCH:
                batch.append(self._pending.popitem(last=False)[1])
            if not self._pending:
                self._wakeup.clear()
            if len(batch) <= _FEW:
                for written in batch:
                    await self._write(written)
            else:
                await asyncio.gather(*(self._write(written) for written in batch))

    def _record(self, about: Object, kind: str, reason: str, message: str) -> None:
        now_s = self._clock.now()
        target = (
            about.get("kind"), about.get("namespace"), about.get("name"), about.get("uid"),
            about.get("apiVersion"),
        )  # fmt: skip
        group = (*target, kind, reason)
        combined = self._is_one_too_many(group, message, now_s)
        if combined:
            message = "(combined from similar events): " + message
        identity = group if combined else (*group, about.get("fieldPath"), message)
        written = self._count_up(identity, message, now_s)
        if written is None:
            event = self._new_event(about, kind, reason, message, now_s)
            written = self._seen.put(identity, _Written(event))
        if not self._admit(target, now_s):
            return
        place = (written.event["metadata"]["namespace"], written.event["metadata"]["name"])
        if place not in self._pending and len(self._pending) >= _QUEUE_MOST:
            self.dropped += 1
            return
        self._pending[place] = written
        self._wakeup.set()

    def _is_one_too_many(self, group: Hashable, message: str, now_s: float) -> bool:
        similar = self._similar.get(group)
        if similar is None or now_s - similar.last_s > _SIMILAR_WITHIN_S:
            similar = self._similar.put(group, _Similar(now_s))
        similar.last_s = now_s
        similar.messages[message] = None
        if len(similar.messages) < _SIMILAR_MOST:
            return False
        del similar.messages[next(iter(similar.messages))]
        return True

    def _count_up(self, identity: Hashable, message: str, now_s: float) -> _Written | None:
        known = self._seen.get(identity)
        if known is None:
            return None
        known.event = {
            **known.event,
            "count": known.event["count"] + 1,
            "lastTimestamp": rfc3339(now_s),
            "message": message,
        }
        return known

    def _admit(self, target: Hashable, now_s: float) -> bool:
        bucket = self._buckets.get(target)
        if bucket is None:
            bucket = self._buckets.put(target, _Bucket(float(_BURST), now_s))
        bucket.tokens = min(float(_BURST), bucket.tokens + (now_s - bucket.at_s) / _REFILL_S)
        bucket.at_s = now_s
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    def _new_event(
        self, about: Object, kind: str, reason: str, message: str, now_s: float
    ) -> Object:
        time = rfc3339(now_s)
        source = {"component": self._component}
        if self._host:
            source["host"] = self._host
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": self._name(about, now_s),
                "namespace": about.get("namespace") or "default",
            },
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
            "type": kind,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    def _name(self, about: Object, now_s: float) -> str:
        # Time may stand still (virtual loops), names must not repeat.
        self._last_ns = max(int(now_s * 1e6) * 1000, self._last_ns + 1)
        return f"{about.get('name', '')}.{self._last_ns:x}"

    async def _write(self, written: _Written) -> None:
        try:
            if not written.is_new and await self._counted_up(written.event):
                return
            await self._create(written)
        except ApiError as error:
            # Upstream gives up on an event the server refuses: its namespace ends, say.
            _log.debug("event not written", code=error.code, error=error.message)

    async def _counted_up(self, event: Object) -> bool:
        meta = event["metadata"]
        change = {key: event[key] for key in ("count", "lastTimestamp", "message")}
        try:
            await self._client.patch(
                EVENTS, meta["name"], meta["namespace"],
                patch=change, patch_type=PatchType.STRATEGIC,
            )  # fmt: skip
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True

    async def _create(self, written: _Written) -> None:
        for _ in range(_NAME_TRIES):
            event = written.event
            written.is_new = False
            try:
                await self._client.create(EVENTS, {**event, "metadata": {**event["metadata"]}})
                return
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    written.is_new = True
                    raise
            # Another recorder took the same name at the same nanosecond.
            name = self._name(event["involvedObject"], self._clock.now())
            written.event = {**written.event, "metadata": {**event["metadata"], "name": name}}
