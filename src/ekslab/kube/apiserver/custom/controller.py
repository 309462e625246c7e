"""Definitions on their way: names accepted, established, served, emptied and gone.

    created   -> NamesAccepted, Established=False (Installing)
              -> Established=True, served
    deleted   -> Terminating (InstanceDeletionInProgress), no more writes
              -> all objects deleted, finalizer taken, the definition deleted, no longer served

Each step is one write of the status; its event leads to the next. Upstream: apiextensions-apiserver
`pkg/controller/{status/naming_controller,establish,finalizer/crd_finalizer}.go`.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from ekslab.kit import logs
from ekslab.kit.clock import rfc3339
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.requests import ApiRequest, Object, UserInfo
from ekslab.kube.api.well_known import DEFINITIONS, MASTERS_GROUP
from ekslab.kube.apiserver.custom.naming import condition, is_true, named, with_condition
from ekslab.kube.apiserver.custom.parts import Parts
from ekslab.kube.apiserver.custom.serving import Offered, offered
from ekslab.kube.apiserver.deleting import DEFINITION_FINALIZER
from ekslab.kube.store.port import StoreEvent

_USER: Final = UserInfo("system:apiserver", (MASTERS_GROUP,))
_MANAGER: Final = "kube-apiserver"
_LOOK_AGAIN_S: Final = 0.5
_log = logs.get("custom-resources")


class _Step(Enum):
    """What follows a look at a definition that is being emptied."""

    GO_ON = "go on"
    WAIT = "wait"
    DONE = "done"


class DefinitionController:
    """Brings definitions to their ends, one after the other."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._offered: dict[str, Offered] = {}
        self._built_of: dict[str, tuple[Any, ...]] = {}
        self._emptying: set[str] = set()  # bounded by the number of definitions

    def serve_established(self) -> None:
        """Serve what was established before."""
        for item in self._all():
            self._serve(item.object)

    async def resync(self, tasks: TaskGroup) -> None:
        """Look at every definition, and forget those that are gone; `tasks` empty them."""
        there = {item.name for item in self._all()}
        for name in [name for name in self._offered if name not in there]:
            self._forget(name)
        for item in self._all():
            await self._reconcile(item.name, tasks)

    async def changed(self, events: Sequence[StoreEvent], tasks: TaskGroup) -> None:
        """Follow changes."""
        for name in dict.fromkeys(event.item.name for event in events):
            await self._reconcile(name, tasks)
        gone = {event.item.object["spec"]["group"] for event in events if event.deleted}
        if gone:
            # What they were called may be what others wait for.
            for item in self._all():
                spec = item.object["spec"]
                if spec["group"] in gone and not is_true(item.object, "NamesAccepted"):
                    await self._reconcile(item.name, tasks)

    def _all(self) -> Sequence[Item]:
        return self._parts.store.published_all(DEFINITIONS.qualified)

    def _get(self, name: str) -> Object | None:
        found = next((item for item in self._all() if item.name == name), None)
        return None if found is None else found.object

    async def _reconcile(self, name: str, tasks: TaskGroup) -> None:
        obj = self._get(name)
        if obj is None:
            self._forget(name)
            return
        self._serve(obj)
        if "deletionTimestamp" in obj["metadata"]:
            if name not in self._emptying:
                self._emptying.add(name)
                tasks.start(self._empty(name), name=f"emptying/{name}")
            return
        status = named(obj, [item.object for item in self._all()], now=self._now())
        if status == obj.get("status") and is_true(obj, "NamesAccepted"):
            established = condition(obj, "Established") or {}
            if established.get("status") == "True":
                return
            status = with_condition(
                status,
                "Established",
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
                now=self._now(),
            )
        if status != obj.get("status"):
            await self._write(obj, status)

    def _serve(self, obj: Object) -> None:
        """Serve a definition as it is now; nothing before it is established."""
        name = obj["metadata"]["name"]
        is_ending = is_true(obj, "Terminating")
        if not is_true(obj, "Established"):
            return
        status = obj["status"]
        built_of = (obj["metadata"]["uid"], obj["spec"], status.get("acceptedNames"), is_ending)
        if self._built_of.get(name) == built_of:
            return
        registry = self._parts.registry
        before = self._offered.get(name)
        now = offered(obj, registry.catalog.meta_type("ObjectMeta"), is_ending=is_ending)
        registry.replace(before.served if before is not None else (), now.served)
        self._offered[name], self._built_of[name] = now, built_of
        if now.stored.strategy.selectable - {"metadata.name", "metadata.namespace"}:
            for item in self._parts.store.published_all(now.stored.storage):
                item.fields = now.stored.strategy.fields(item.object)

    def _forget(self, name: str) -> None:
        before = self._offered.pop(name, None)
        self._built_of.pop(name, None)
        if before is not None:
            self._parts.registry.replace(before.served, ())

    async def _empty(self, name: str) -> None:
        """Delete all objects of a definition, and then itself."""
        try:
            while (obj := self._get(name)) is not None:
                step = await self._empty_once(obj)
                if step is _Step.DONE:
                    return
                if step is _Step.WAIT:
                    await self._parts.clock.sleep(_LOOK_AGAIN_S)
        finally:
            self._emptying.discard(name)

    async def _empty_once(self, obj: Object) -> _Step:
        """One look, and what is to follow."""
        if DEFINITION_FINALIZER not in (obj["metadata"].get("finalizers") or ()):
            return _Step.DONE if await self._delete(obj) else _Step.WAIT
        reason = (condition(obj, "Terminating") or {}).get("reason")
        if reason not in {"InstanceDeletionInProgress", "InstanceDeletionCheck"}:
            message = "CustomResource deletion is in progress"
            return await self._write_ending(obj, "True", "InstanceDeletionInProgress", message)
        offers = self._offered.get(obj["metadata"]["name"])
        store = self._parts.store
        if offers is not None and store.published_all(offers.stored.storage):
            request = ApiRequest(
                verb="deletecollection", user=_USER, resource=offers.stored.resource
            )
            try:
                await self._parts.delete_all(offers.stored, request)
            except ApiError as error:
                _log.warning("deletion failed", resource=offers.stored.storage, error=str(error))
                return _Step.WAIT
            if store.published_all(offers.stored.storage):
                return _Step.WAIT
        return await self._write_ending(
            obj, "False", "InstanceDeletionCompleted", "removed all instances", is_last=True
        )

    async def _write_ending(
        self, obj: Object, status: str, reason: str, message: str, *, is_last: bool = False
    ) -> _Step:
        new = with_condition(
            obj.get("status") or {}, "Terminating", status, reason, message, now=self._now()
        )
        written = await self._write(obj, new, is_last=is_last)
        return _Step.GO_ON if written else _Step.WAIT

    async def _write(self, obj: Object, status: Object, *, is_last: bool = False) -> bool:
        """Write the status; somebody who was faster leaves an event to act on."""
        new = editable({**obj, "status": status})
        if is_last:
            meta = new["metadata"]
            meta["finalizers"] = [n for n in meta["finalizers"] if n != DEFINITION_FINALIZER]
        return await self._ask("update", obj, body=new, subresource="status")

    async def _delete(self, obj: Object) -> bool:
        if obj["metadata"].get("finalizers"):
            return True  # Others have something to do; taking the last of them ends it.
        body = {"preconditions": {"uid": obj["metadata"]["uid"]}}
        return await self._ask("delete", obj, body=body)

    async def _ask(self, verb: str, obj: Object, *, body: Object, subresource: str = "") -> bool:
        """Ask the API server; whether it did as it was asked."""
        request = ApiRequest(
            verb=verb,
            user=_USER,
            resource=DEFINITIONS,
            name=obj["metadata"]["name"],
            subresource=subresource,
            body=body,
            user_agent=_MANAGER,
        )
        try:
            await self._parts.handle(request)
        except ApiError as error:
            if error.code not in {404, 409}:
                _log.warning("refused", definition=request.name, error=error.message)
            return False
        return True

    def _now(self) -> str:
        return rfc3339(self._parts.clock.now())
