"""The EndpointSlice controller: watches, keys, reads and writes. Decisions are in `plan`.

Upstream: `pkg/controller/endpointslice/endpointslice_controller.go`. Key: the service.
"""

from typing import ClassVar, Final

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import ENDPOINT_SLICES, NODES, PODS, SERVICES
from ekslab.kube.client.informers import Key
from ekslab.kube.controllers.endpoint_slice.plan import (
    MANAGED_BY,
    MANAGER,
    SERVICE_NAME,
    Plan,
    plan,
    zone_of,
)
from ekslab.kube.runtime.batches import Outcome, all_of
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox
from ekslab.kube.runtime.ownership import owner_reference
from ekslab.kube.runtime.pods import PodFacts, PodIndex
from ekslab.kube.runtime.selection import map_matcher
from ekslab.kube.runtime.services import ServiceSelectors, count_delay_s, note_pod

_STALE_RETRY_S: Final = 0.02


class EndpointSliceController(Controller[Key]):
    """Keeps the slices of every service that selects pods."""

    name: ClassVar[str] = "endpointslice-controller"

    def __init__(self, tools: Toolbox, pods: PodIndex) -> None:
        super().__init__(tools)
        self._pods = pods
        self._selectors = ServiceSelectors()
        self._written: dict[Key, int] = {}
        self._counts: dict[Key, int] = {}
        self._zones: dict[str, str] = {}
        self._services = self.watch(SERVICES, self._service_changed)
        self._slices = self.watch(ENDPOINT_SLICES, self._slice_changed)
        self._slices.add_index("service", _service_of)
        self.watch(NODES, self._node_changed)
        self.watch(PODS)
        pods.on_change(self._pod_changed)

    def _service_changed(self, old: Item | None, new: Item | None) -> None:
        self._selectors.changed(old, new)
        item = new or old
        assert item is not None
        self.queue.add(item.key)

    def _slice_changed(self, old: Item | None, new: Item | None) -> None:
        item = new or old
        assert item is not None
        for name in _service_of(item):
            namespace, service = name.split("/")
            key = (namespace, service)
            if new is None or new.revision > self._written.get(key, 0):
                self.queue.add(key)

    def _node_changed(self, _old: Item | None, new: Item | None) -> None:
        if new is None:
            return
        zone = zone_of(new.object)
        if self._zones.get(new.name, "") == zone:
            return
        self._zones[new.name] = zone
        for pod in self._pods.on_node(new.name):
            for key in self._selectors.of(pod):
                self._add(key)

    def _pod_changed(self, old: PodFacts | None, new: PodFacts | None) -> None:
        note_pod(self._selectors, old, new, self._add)

    def _add(self, key: Key) -> None:
        self.queue.add_after(key, count_delay_s(self._counts.get(key, 0)))

    async def reconcile(self, key: Key) -> Result:
        """Bring the slices of one service in line with its pods."""
        service = self._services.get(*key)
        if service is None:
            self._written.pop(key, None)
            self._counts.pop(key, None)
            return DONE
        obj = service.object
        selector = obj["spec"].get("selector")
        if obj["spec"].get("type") == "ExternalName" or not selector:
            return DONE
        if self._slices.revision < self._written.get(key, 0):
            # The copy has not seen our last writes: deciding now would make slices twice.
            return Result(requeue_after_s=_STALE_RETRY_S)
        matches = map_matcher(selector)
        pods = [pod for pod in self._pods.in_namespace(key[0]) if matches(pod.labels)]
        self._counts[key] = len(pods)
        existing = [
            item.object
            for item in self._slices.by_index("service", f"{key[0]}/{key[1]}")
            if "deletionTimestamp" not in item.object["metadata"]
        ]
        await self._carry_out(
            key, obj, plan(obj, pods, self._zones, existing, owner_reference(obj))
        )
        return DONE

    async def _carry_out(self, key: Key, service: Object, decided: Plan) -> None:
        async def create(new: Object) -> None:
            self._wrote(key, await self.client.create(ENDPOINT_SLICES, editable(new)))

        async def update(new: Object) -> None:
            self._wrote(key, await self.client.update(ENDPOINT_SLICES, editable(new)))

        async def delete(name: str) -> None:
            try:
                await self.client.delete(ENDPOINT_SLICES, name, key[0])
            except ApiError as error:
                if error.code != 404:
                    raise

        outcome: Outcome = await all_of(
            [
                *map(create, decided.create),
                *map(update, decided.update),
                *map(delete, decided.delete),
            ]
        )
        if outcome.error is None or _is_namespace_ending(outcome.error):
            return
        if outcome.error.code not in {404, 409}:
            self.events.warning(
                service, "FailedToUpdateEndpointSlices",
                f"Error updating Endpoint Slices for Service {key[0]}/{key[1]}:"
                f" {outcome.error.message}",
            )  # fmt: skip
        raise outcome.error

    def _wrote(self, key: Key, obj: Object) -> None:
        revision = int(obj["metadata"]["resourceVersion"])
        self._written[key] = max(revision, self._written.get(key, 0))


def _service_of(item: Item) -> list[str]:
    if item.labels.get(MANAGED_BY) != MANAGER or SERVICE_NAME not in item.labels:
        return []
    return [f"{item.namespace}/{item.labels[SERVICE_NAME]}"]


def _is_namespace_ending(error: ApiError) -> bool:
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
