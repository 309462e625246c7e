"""The resource quota controller: watches, keys, reads and writes. Decisions are in `plan`.

Upstream: `pkg/controller/resourcequota/resource_quota_controller.go`. Admission adds to
`status.used` before an object is written; a count made in between would lose that. So a quota is
counted only when nobody has changed it for a moment.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from ekslab.kube.api import quota
from ekslab.kube.api.objects import Item
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.well_known import RESOURCE_QUOTAS
from ekslab.kube.client.informers import Informer, Key
from ekslab.kube.controllers.resource_quota import plan
from ekslab.kube.runtime.commit import commit
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox

if TYPE_CHECKING:
    from ekslab.kube.api.requests import Object

_SETTLED_S: Final = 0.5
_LOOK_AGAIN_S: Final = 0.2
_RESYNC_S: Final = 300.0


class ResourceQuotaController(Controller[Key]):
    """Counts what is used of quotas. `resources` gives the types served now."""

    name: ClassVar[str] = "resourcequota-controller"

    def __init__(self, tools: Toolbox, resources: Callable[[], Sequence[ResourceInfo]]) -> None:
        super().__init__(tools)
        self._resources = resources
        self._changed_s: dict[Key, float] = {}
        self._watched: dict[str, Informer] = {}
        self._quotas = self.watch(RESOURCE_QUOTAS, self._quota_changed)

    def _quota_changed(self, old: Item | None, new: Item | None) -> None:
        if new is None:
            assert old is not None
            self._changed_s.pop(old.key, None)
            return
        wanted = quota.hard(new.object, part="spec")
        if wanted != quota.hard(new.object):
            # New limits are in force at once; there is no use to be lost yet.
            self.queue.add(new.key)
            return
        self._changed_s[new.key] = self.clock.now()
        self.queue.add_after(new.key, _SETTLED_S)

    def _watch_type(self, qualified: str) -> Informer | None:
        """The informer of a type that some quota counts; None for a type that is not served."""
        informer = self._watched.get(qualified)
        if informer is not None:
            return informer
        for info in self._resources():
            if info.resource.qualified == qualified and info.namespaced:
                informer = self._watched[qualified] = self.tools.informers.informer(info.resource)
                informer.on_change(self._thing_changed)
                return informer
        return None

    def _thing_changed(self, old: Item | None, new: Item | None) -> None:
        item = new or old
        assert item is not None
        quotas = self._quotas.list(item.namespace)
        if not quotas:
            return
        if (old is not None and new is not None) and not plan.changes_usage(
            old.object, new.object, item.resource
        ):
            return
        for one in quotas:
            names = quota.hard(one.object, part="spec")
            if any(quota.type_of(name) == item.resource for name in names):
                self.queue.add_after(one.key, _LOOK_AGAIN_S)

    async def reconcile(self, key: Key) -> Result:
        """Count, and write the status."""
        item = self._quotas.get(*key)
        if item is None:
            return DONE
        quiet_s = self.clock.now() - self._changed_s.get(key, 0.0)
        if quiet_s < _SETTLED_S:
            return Result(requeue_after_s=_SETTLED_S - quiet_s)
        things: dict[str, Sequence[Object]] = {}
        types = {quota.type_of(name) for name in quota.hard(item.object, part="spec")}
        for qualified in sorted(types):
            informer = self._watch_type(qualified)
            if informer is None:
                continue
            if not informer.has_synced:
                return Result(requeue_after_s=_LOOK_AGAIN_S)
            things[qualified] = [one.object for one in informer.list(item.namespace)]
        status = plan.status(item.object, things)
        await commit(self.client, RESOURCE_QUOTAS, item.object, {**item.object, "status": status})
        return Result(requeue_after_s=_RESYNC_S)
