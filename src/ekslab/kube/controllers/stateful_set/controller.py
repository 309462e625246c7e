"""The StatefulSet controller: watches, keys, reads and writes. Decisions are in `plan`.

Upstream: `pkg/controller/statefulset/{stateful_set,stateful_pod_control}.go`. Pods have fixed
names, so that nothing can be made twice; a copy that lags behind costs a refused request.
"""

from collections.abc import Awaitable, Sequence
from typing import ClassVar, Final

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import (
    CONTROLLER_REVISIONS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    STATEFUL_SETS,
)
from ekslab.kube.client.informers import Key
from ekslab.kube.controllers.stateful_set import plan as planning
from ekslab.kube.controllers.stateful_set import revisions as history
from ekslab.kube.controllers.stateful_set import templates
from ekslab.kube.runtime.batches import all_of, slow_start
from ekslab.kube.runtime.commit import commit
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox
from ekslab.kube.runtime.history import HASH_LABEL, is_of
from ekslab.kube.runtime.ownership import Claims, claim, owner_uid
from ekslab.kube.runtime.pods import PodFacts, PodIndex
from ekslab.kube.runtime.selection import matcher

_COUNT_AT_ONCE: Final = 100
_PODS_COUNTED_PER_S: Final = 10_000


class StatefulSetController(Controller[Key]):
    """Keeps the pods of StatefulSets."""

    name: ClassVar[str] = "statefulset-controller"

    def __init__(self, tools: Toolbox, pods: PodIndex) -> None:
        super().__init__(tools)
        self._pods = pods
        self._claims = Claims(tools.client, STATEFUL_SETS, PODS)
        self._sets = self.watch(STATEFUL_SETS, self._set_changed)
        self._revisions = self.watch(CONTROLLER_REVISIONS)
        self._revisions.add_index("owner", owner_uid)
        self._volume_claims = self.watch(PERSISTENT_VOLUME_CLAIMS)
        self.watch(PODS)
        pods.on_change(self._pod_changed)

    def _set_changed(self, _old: Item | None, new: Item | None) -> None:
        if new is not None:
            self.queue.add(new.key)

    def _pod_changed(self, old: PodFacts | None, new: PodFacts | None) -> None:
        pod = new or old
        assert pod is not None
        if pod.owner_kind == "StatefulSet":
            item = self._sets.get(pod.namespace, pod.owner_name)
            if item is not None and item.uid == pod.owner_uid:
                count = self._pods.count_owned_by(item.uid)
                soon = count <= _COUNT_AT_ONCE
                delay_s = 0.0 if soon else min(1.0, count / _PODS_COUNTED_PER_S)
                self.queue.add_after(item.key, delay_s)
        elif not pod.owner_uid and new is not None:
            parent = pod.name.rpartition("-")[0]
            item = self._sets.get(pod.namespace, parent)
            if item is not None:
                self.queue.add(item.key)

    async def reconcile(self, key: Key) -> Result:
        """Make and delete pods in their turn, then write the status and forget old templates."""
        item = self._sets.get(*key)
        if item is None:
            return DONE
        obj = item.object
        known = [one.object for one in self._revisions.by_index("owner", item.uid)]
        collisions = (obj.get("status") or {}).get("collisionCount", 0)
        update = await self._update_revision(obj, known, collisions)
        if update is None:
            return DONE
        current = history.current_revision(obj, known, update)
        pods = await self._claim(obj)
        scene = planning.Scene(
            obj, pods, current["metadata"]["name"], update["metadata"]["name"], self.clock.now()
        )
        decided = planning.plan(scene)
        error: ApiError | None = None
        try:
            await self._carry_out(scene, decided, {
                one["metadata"]["name"]: history.template_of(one) for one in (current, update)
            })  # fmt: skip
        except ApiError as refused:
            error = refused
        status = planning.status(scene, collisions)
        await commit(self.client, STATEFUL_SETS, obj, {**obj, "status": status})
        if error is not None:
            raise error
        await self._forget_history(scene, known)
        min_ready_s = obj["spec"].get("minReadySeconds", 0)
        is_waiting = min_ready_s and status.get("readyReplicas", 0) > status["availableReplicas"]
        return Result(requeue_after_s=float(min_ready_s)) if is_waiting else DONE

    async def _claim(self, obj: Object) -> Sequence[PodFacts]:
        meta, matches = obj["metadata"], matcher(obj["spec"].get("selector"))

        def is_member(pod: PodFacts) -> bool:
            return planning.ordinal_of(meta["name"], pod.name) is not None

        found = claim(
            self._pods.owned_by(meta["uid"]),
            [pod for pod in self._pods.orphans_in(meta["namespace"]) if is_member(pod)],
            matches,
        )
        if not found.adopt and not found.release:
            return found.kept
        is_ending = "deletionTimestamp" in meta
        await self._claims.carry_out(
            obj,
            adopt=[] if is_ending else [pod.item for pod in found.adopt],
            release=[pod.item for pod in found.release],
        )
        return [*found.kept, *([] if is_ending else found.adopt)]

    async def _update_revision(
        self, obj: Object, known: Sequence[Object], collisions: int
    ) -> Object | None:
        """The revision of the template as it is, written; None if a name was taken."""
        update = history.update_revision(obj, known, collisions)
        if update.change == "renumber":
            return await self.client.update(CONTROLLER_REVISIONS, editable(update.revision))
        if update.change != "create":
            return update.revision
        try:
            return await self.client.create(CONTROLLER_REVISIONS, editable(update.revision))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        meta = update.revision["metadata"]
        found = await self.client.get(CONTROLLER_REVISIONS, meta["name"], meta["namespace"])
        if is_of(found, obj["spec"]["template"]):
            return found
        status = {"replicas": 0, "availableReplicas": 0, **(obj.get("status") or {})}
        status["collisionCount"] = collisions + 1
        await commit(self.client, STATEFUL_SETS, obj, {**obj, "status": status})
        return None

    async def _carry_out(
        self, scene: planning.Scene, decided: planning.Plan, kept: dict[str, Object]
    ) -> None:
        obj = scene.obj
        for pod in decided.restart:
            word = "failed" if pod.phase == "Failed" else "terminated"
            self.events.warning(
                obj, f"Recreating{word.capitalize()}Pod",
                f"StatefulSet {pod.namespace}/{obj['metadata']['name']} is recreating {word} Pod"
                f" {pod.name}",
            )  # fmt: skip
        await _checked([self._delete(obj, pod) for pod in decided.restart])
        ordinals = iter(decided.create)

        async def create() -> None:
            ordinal = next(ordinals)
            revision = planning.revision_for(scene, ordinal)
            pod = templates.new_pod(obj, kept[revision], ordinal=ordinal, revision=revision)
            await self._create(obj, pod, ordinal)

        outcome = await slow_start(len(decided.create), create)
        if outcome.error is not None:
            raise outcome.error
        await _checked([self._complete(obj, pod) for pod in decided.complete])
        await _checked([self._rename(obj, pod) for pod in decided.rename])
        await _checked([self._condemn(obj, pod) for pod in decided.condemn])
        await _checked([self._delete(obj, pod) for pod in decided.replace])

    async def _create(self, obj: Object, pod: Object, ordinal: int) -> None:
        name, set_name = pod["metadata"]["name"], obj["metadata"]["name"]
        try:
            await self._make_claims(obj, name, ordinal)
            await self.client.create(PODS, editable(pod))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                text = f"create Pod {name} in StatefulSet {set_name} failed error: {error.message}"
                self.events.warning(obj, "FailedCreate", text)
            raise
        text = f"create Pod {name} in StatefulSet {set_name} successful"
        self.events.normal(obj, "SuccessfulCreate", text)

    async def _make_claims(self, obj: Object, pod_name: str, ordinal: int) -> None:
        for wanted in templates.new_claims(obj, ordinal):
            meta = wanted["metadata"]
            held = self._volume_claims.get(meta["namespace"], meta["name"])
            if held is not None:
                if "deletionTimestamp" in held.object["metadata"]:
                    why = f"pvc {meta['name']} is being deleted"
                    raise ApiError(409, "Conflict", why)
                continue
            about = f"Claim {meta['name']} Pod {pod_name} in StatefulSet {obj['metadata']['name']}"
            try:
                await self.client.create(PERSISTENT_VOLUME_CLAIMS, editable(wanted))
            except ApiError as error:
                if error.reason == "AlreadyExists":
                    continue
                text = f"create {about} failed error: {error.message}"
                self.events.warning(obj, "FailedCreate", text)
                raise
            self.events.normal(obj, "SuccessfulCreate", f"create {about} success")

    async def _complete(self, obj: Object, pod: PodFacts) -> None:
        await self._make_claims(obj, pod.name, _ordinal(obj, pod))

    async def _rename(self, obj: Object, pod: PodFacts) -> None:
        labels = templates.identity(pod.name, _ordinal(obj, pod))
        patch = {"metadata": {"uid": pod.uid, "labels": labels}}
        await self.client.patch(PODS, pod.name, pod.namespace, patch=patch)

    async def _condemn(self, obj: Object, pod: PodFacts) -> None:
        """Delete a pod nobody wants; with `whenScaled: Delete` its claims go with it."""
        retention = obj["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        if retention.get("whenScaled") == "Delete":
            owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
            for wanted in templates.new_claims(obj, _ordinal(obj, pod)):
                name = wanted["metadata"]["name"]
                held = self._volume_claims.get(pod.namespace, name)
                if held is not None:
                    changed = editable(held.object)
                    changed["metadata"]["ownerReferences"] = [owner]
                    await self.client.update(PERSISTENT_VOLUME_CLAIMS, changed)
        await self._delete(obj, pod)

    async def _delete(self, obj: Object, pod: PodFacts) -> None:
        about = f"delete Pod {pod.name} in StatefulSet {obj['metadata']['name']}"
        try:
            await self.client.delete(PODS, pod.name, pod.namespace, uid=pod.uid)
        except ApiError as error:
            if error.code == 404:
                return
            text = f"{about} failed error: {error.message}"
            self.events.warning(obj, "FailedDelete", text)
            raise
        self.events.normal(obj, "SuccessfulDelete", f"{about} successful")

    async def _forget_history(self, scene: planning.Scene, known: Sequence[Object]) -> None:
        live = {pod.labels.get(HASH_LABEL, "") for pod in scene.pods}
        live |= {scene.current, scene.update}
        for one in history.surplus(scene.obj, known, live):
            meta = one["metadata"]
            try:
                await self.client.delete(CONTROLLER_REVISIONS, meta["name"], meta["namespace"])
            except ApiError as error:
                if error.code != 404:
                    raise


def _ordinal(obj: Object, pod: PodFacts) -> int:
    ordinal = planning.ordinal_of(obj["metadata"]["name"], pod.name)
    assert ordinal is not None, "only pods with an ordinal are claimed or planned with"
    return ordinal


async def _checked(calls: Sequence[Awaitable[object]]) -> None:
    outcome = await all_of(calls)
    if outcome.error is not None:
        raise outcome.error
