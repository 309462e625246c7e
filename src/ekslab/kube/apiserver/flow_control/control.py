"""Flow control of one API server: from a request to a seat.

Upstream: `apiserver/pkg/server/filters/priority-and-fairness.go` and `util/flowcontrol`. Without
contention a request costs one look into a dictionary: what it is of was found out for the first
of its kind. Watches sit only until they are open, long streams not at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ekslab.kit.clock import Clock
from ekslab.kube.api.requests import ApiRequest, Attributes, Object
from ekslab.kube.apiserver.flow_control import defaults
from ekslab.kube.apiserver.flow_control.schemas import FlowSchema, in_order
from ekslab.kube.apiserver.flow_control.seats import Level, Seats
from ekslab.kube.store.port import Store

SCHEMAS: Final = "flowschemas.flowcontrol.apiserver.k8s.io"
LEVELS: Final = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
_KNOWN_MOST: Final = 4_096
_Headers = tuple[tuple[bytes, bytes], ...]
_Key = tuple[object, ...]


class Place(NamedTuple):
    """Where a request belongs: its schema, its level, its flow, and the headers that say so."""

    schema: FlowSchema
    level: Level
    flow: str
    headers: _Headers


@dataclass(slots=True)
class _Seen:
    """The revisions that the levels and schemas are of."""

    schemas: int = -1
    levels: int = -1


class FlowControl:
    """Classifies requests and seats them."""

    def __init__(
        self, store: Store, clock: Clock, attributes_of: Callable[[ApiRequest], Attributes]
    ) -> None:
        self.seats = Seats(clock)
        self.schemas: list[FlowSchema] = []
        self._store = store
        self._attributes_of = attributes_of
        self._seen = _Seen()
        self._places: dict[_Key, Place] = {}

    def place(self, request: ApiRequest) -> Place:
        """Where a request belongs."""
        changed, seen = self._store.changed, self._seen
        if changed(SCHEMAS) != seen.schemas or changed(LEVELS) != seen.levels:
            self.configure()
        user = request.user
        key = (user.name, user.groups, request.verb, request.resource, request.subresource,
               request.namespace, request.path if request.resource is None else "")  # fmt: skip
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= _KNOWN_MOST:
                self._places.clear()
            place = self._places[key] = self._find(self._attributes_of(request))
        return place

    def is_free(self, place: Place) -> bool:
        """Whether a request that is answered at once, without a seat, takes nobody's turn."""
        return not place.level.waiting

    def enter_nowait(self, place: Place) -> bool:
        """Sit down if nobody has to wait for it."""
        return self.seats.take_nowait(place.level, place.schema)

    async def enter(self, place: Place) -> None:
        """Sit down, waiting for it if need be; `leave` afterwards.

        Raises:
            Shed: 429.
        """
        await self.seats.take(place.level, place.schema, place.flow)

    def leave(self, place: Place) -> None:
        """Stand up."""
        self.seats.release(place.level, place.schema)

    def configure(self) -> None:
        """Follow what the API holds now."""
        store, before = self._store, {schema.name: schema for schema in self.schemas}
        self._seen = _Seen(store.changed(SCHEMAS), store.changed(LEVELS))
        levels = self._objects(LEVELS, defaults.levels())
        self.seats.configure(
            {name: (obj["spec"], obj["metadata"].get("uid", "")) for name, obj in levels.items()}
        )
        found = []
        for name, obj in self._objects(SCHEMAS, defaults.schemas()).items():
            schema = before.get(name) or FlowSchema(name)
            schema.configure(obj)
            found.append(schema)
        # One whose level is missing is passed over, as upstream does: it dangles.
        self.schemas = in_order(schema for schema in found if schema.level in levels)
        self._places.clear()

    def _objects(self, resource: str, fallback: Any) -> Mapping[str, Object]:
        found = {item.name: item.object for item in self._store.published_all(resource)}
        for obj in fallback:
            name = obj["metadata"]["name"]
            if name in defaults.MANDATORY:
                found.setdefault(name, obj)
        return found

    def _find(self, asked: Attributes) -> Place:
        for schema in self.schemas:
            if schema.covers(asked):
                return self._placed(schema, asked)
        # Nobody is of neither group, but a bound is better than none.
        last = next(schema for schema in self.schemas if schema.name == "catch-all")
        return self._placed(last, asked)

    def _placed(self, schema: FlowSchema, asked: Attributes) -> Place:
        level = self.seats.levels[schema.level]
        headers = (
            (b"x-kubernetes-pf-flowschema-uid", schema.uid.encode()),
            (b"x-kubernetes-pf-prioritylevel-uid", level.uid.encode()),
        )
        return Place(schema, level, schema.flow(asked), headers)
