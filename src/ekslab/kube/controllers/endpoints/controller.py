"""The Endpoints controller: watches, keys, reads and writes. Decisions are in `plan`.

Upstream: `pkg/controller/endpoint/endpoints_controller.go`. Key: the service.
"""

from typing import ClassVar

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.well_known import ENDPOINTS, PODS, SERVICES
from ekslab.kube.client.informers import Key
from ekslab.kube.controllers.endpoints.plan import desired
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox
from ekslab.kube.runtime.pods import PodFacts, PodIndex
from ekslab.kube.runtime.selection import map_matcher
from ekslab.kube.runtime.services import ServiceSelectors, count_delay_s, note_pod


class EndpointsController(Controller[Key]):
    """Keeps the Endpoints of every service that selects pods."""

    name: ClassVar[str] = "endpoint-controller"

    def __init__(self, tools: Toolbox, pods: PodIndex) -> None:
        super().__init__(tools)
        self._pods = pods
        self._selectors = ServiceSelectors()
        self._counts: dict[Key, int] = {}
        self._services = self.watch(SERVICES, self._service_changed)
        self._endpoints = self.watch(ENDPOINTS, self._endpoints_changed)
        self.watch(PODS)
        pods.on_change(self._pod_changed)

    def _service_changed(self, old: Item | None, new: Item | None) -> None:
        self._selectors.changed(old, new)
        item = new or old
        assert item is not None
        self.queue.add(item.key)

    def _endpoints_changed(self, old: Item | None, new: Item | None) -> None:
        # Only a deletion by somebody else is looked at, as upstream does.
        if new is None and old is not None:
            self.queue.add(old.key)

    def _pod_changed(self, old: PodFacts | None, new: PodFacts | None) -> None:
        note_pod(self._selectors, old, new, self._add)

    def _add(self, key: Key) -> None:
        self.queue.add_after(key, count_delay_s(self._counts.get(key, 0)))

    async def reconcile(self, key: Key) -> Result:
        """Bring the Endpoints of one service in line with its pods."""
        service, existing = self._services.get(*key), self._endpoints.get(*key)
        if service is None:
            self._counts.pop(key, None)
            if existing is not None:
                await self._delete(key)
            return DONE
        obj = service.object
        selector = obj["spec"].get("selector")
        if obj["spec"].get("type") == "ExternalName" or not selector:
            return DONE
        matches = map_matcher(selector)
        pods = [pod for pod in self._pods.in_namespace(key[0]) if matches(pod.labels)]
        self._counts[key] = len(pods)
        old = existing.object if existing is not None else None
        new = desired(obj, pods, old)
        if old is None:
            await self._create(new, key)
        elif new != old:
            await self.client.update(ENDPOINTS, editable(new))
        return DONE

    async def _create(self, new: dict[str, object], key: Key) -> None:
        try:
            await self.client.create(ENDPOINTS, editable(new))
        except ApiError as error:
            causes = (error.details or {}).get("causes") or ()
            if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
                return
            service = self._services.get(*key)
            if service is not None and error.code == 403:
                self.events.warning(
                    service.object, "FailedToCreateEndpoint",
                    f"Failed to create endpoint for service {key[0]}/{key[1]}: {error.message}",
                )  # fmt: skip
            raise

    async def _delete(self, key: Key) -> None:
        try:
            await self.client.delete(ENDPOINTS, key[1], key[0])
        except ApiError as error:
            if error.code != 404:
                raise
