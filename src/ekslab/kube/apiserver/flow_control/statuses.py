"""Says in the status of the server's own FlowSchemas whether their priority level is there.

Upstream: the part of `util/flowcontrol/apf_controller.go` that writes the condition `Dangling`.
Level-triggered: after each change all schemas are looked at, and those that say something else are
corrected. Upstream does it for those of users, too.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from ekslab.kit import logs
from ekslab.kit.clock import Clock, rfc3339
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Answer
from ekslab.kube.api.requests import ApiRequest, Object, UserInfo
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import MASTERS_GROUP
from ekslab.kube.apiserver.flow_control.control import LEVELS, SCHEMAS
from ekslab.kube.store.port import Store

_RESOURCE: Final = Resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
_USER: Final = UserInfo("system:apiserver", (MASTERS_GROUP,))
_MANAGER: Final = "api-priority-and-fairness-config-consumer-v1"
_AGAIN_S: Final = 1.0
_OURS: Final = "apf.kubernetes.io/autoupdate-spec"
_DANGLING: Final = "Dangling"
_PATCH_TYPE: Final = "application/strategic-merge-patch+json"


class FlowStatuses:
    """Keeps the condition true. `handle` is the server's pipeline."""

    def __init__(
        self, handle: Callable[[ApiRequest], Awaitable[Answer]], *, store: Store, clock: Clock
    ) -> None:
        self._handle = handle
        self._store = store
        self._clock = clock
        self._log = logs.get("flow-statuses")

    async def run(self) -> None:
        """Until cancelled."""
        async with TaskGroup("flow-statuses") as tasks:
            for resource in (SCHEMAS, LEVELS):
                tasks.start(self._follow(resource), name=resource)

    async def _follow(self, resource: str) -> None:
        while True:
            watch = self._store.watch(resource, after=self._store.revision)
            try:
                await self.correct()
                async for _ in watch:
                    await self.correct()
            except ApiError as error:
                self._log.warning("trying again", code=error.code, error=error.message)
            finally:
                watch.close()
            await self._clock.sleep(_AGAIN_S)  # the store closes, or we were too slow

    async def correct(self) -> None:
        """Write the condition of those that lack it or say something else."""
        levels = {item.name for item in self._store.published_all(LEVELS)}
        for item in self._store.published_all(SCHEMAS):
            if _OURS not in (item.object["metadata"].get("annotations") or {}):
                continue
            wanted = _condition(item.object, levels)
            if not _says(item.object, wanted):
                wanted["lastTransitionTime"] = rfc3339(self._clock.now())
                await self._write(item.name, wanted)

    async def _write(self, name: str, condition: Mapping[str, Any]) -> None:
        request = ApiRequest(
            verb="patch",
            user=_USER,
            resource=_RESOURCE,
            name=name,
            subresource="status",
            options={"fieldManager": _MANAGER},
            body={"status": {"conditions": [condition]}},
            content_type=_PATCH_TYPE,
        )
        try:
            await self._handle(request)
        except ApiError as error:
            if error.reason not in {"NotFound", "Conflict"}:  # gone, or it will be looked at again
                raise


def _condition(schema: Object, levels: set[str]) -> dict[str, Any]:
    level = schema["spec"]["priorityLevelConfiguration"]["name"]
    found = level in levels
    text = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    return {
        "type": _DANGLING,
        "status": "False" if found else "True",
        "reason": "Found" if found else "NotFound",
        "message": f"{text} {'and it exists' if found else 'but there is no such object'}",
    }


def _says(schema: Object, wanted: Mapping[str, Any]) -> bool:
    conditions = (schema.get("status") or {}).get("conditions") or ()
    return any(
        all(condition.get(key) == value for key, value in wanted.items())
        for condition in conditions
    )
