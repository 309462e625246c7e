"""The DaemonSet controller: watches, keys, reads and writes. Decisions are in `plan`.

Upstream: `pkg/controller/daemon/daemon_controller.go`.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from ekslab.kube.client.informers import Key
from ekslab.kube.controllers.daemon_set import plan as planning
from ekslab.kube.runtime import history
from ekslab.kube.runtime.batches import all_of
from ekslab.kube.runtime.commit import commit
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox
from ekslab.kube.runtime.expectations import Expectations
from ekslab.kube.runtime.ownership import Claims, claim, owner_reference, owner_uid
from ekslab.kube.runtime.pods import PodFacts, PodIndex
from ekslab.kube.runtime.selection import matcher

_HISTORY_LIMIT: Final = 10
_GATHER_PER_POD_S: Final = 0.0002


class DaemonSetController(Controller[Key]):
    """Keeps one pod of each daemon set on every node that should run it."""

    name: ClassVar[str] = "daemon-set-controller"

    def __init__(self, tools: Toolbox, pods: PodIndex) -> None:
        super().__init__(tools)
        self._pods = pods
        self._expected = Expectations(clock=tools.clock)
        self._claims = Claims(tools.client, DAEMON_SETS, PODS)
        self._node_views: dict[str, planning.NodeView] = {}
        self._sets = self.watch(DAEMON_SETS, self._set_changed)
        self._revisions = self.watch(CONTROLLER_REVISIONS)
        self._revisions.add_index("owner", owner_uid)
        self.watch(NODES, self._node_changed)
        self.watch(PODS)
        pods.on_change(self._pod_changed)

    def _set_changed(self, old: Item | None, new: Item | None) -> None:
        if new is not None:
            self.queue.add(new.key)
        elif old is not None:
            self._expected.forget(old.key)

    def _node_changed(self, old: Item | None, new: Item | None) -> None:
        if new is None:
            assert old is not None
            self._node_views.pop(old.name, None)
        else:
            view = planning.view_node(new.object)
            if self._node_views.get(new.name) == view:
                return
            self._node_views[new.name] = view
        count = len(self._node_views)
        for item in self._sets.list():
            self.queue.add_after(item.key, _gather_s(count))

    def _pod_changed(self, old: PodFacts | None, new: PodFacts | None) -> None:
        if old is not None and new is not None and _is_alike(old, new):
            return
        pod = new or old
        assert pod is not None
        if pod.owner_kind != "DaemonSet":
            if not pod.owner_uid and new is not None:
                self._offer(new)
            return
        item = self._sets.get(pod.namespace, pod.owner_name)
        if item is None or item.uid != pod.owner_uid:
            return
        is_gone = new is None or new.is_deleting
        if old is None and not is_gone:
            self._expected.creation_observed(item.key)
        elif is_gone:
            self._expected.deletion_observed(item.key, pod.uid)
        if self._expected.satisfied(item.key):
            self.queue.add_after(item.key, _gather_s(self._pods.count_owned_by(item.uid)))

    def _offer(self, orphan: PodFacts) -> None:
        for item in self._sets.list(orphan.namespace):
            if matcher(item.object["spec"].get("selector"))(orphan.labels):
                self.queue.add(item.key)

    async def reconcile(self, key: Key) -> Result:
        """Make, replace and delete daemon pods, then write the status."""
        item = self._sets.get(*key)
        if item is None:
            return DONE
        obj = item.object
        if not any(obj["spec"]["selector"].values()):
            self.events.warning(
                obj, "SelectingAll",
                "This daemon set is selecting all pods. A non-empty selector is required.",
            )  # fmt: skip
            return DONE
        if "deletionTimestamp" in obj["metadata"]:
            return DONE
        revisions = [one.object for one in self._revisions.by_index("owner", item.uid)]
        current = await self._current_revision(obj, revisions)
        if current is None:
            return DONE
        current_hash = current["metadata"]["labels"][history.HASH_LABEL]
        by_node = await self._claim(obj)
        wanted = planning.wishes(obj)
        nodes = [self._node_views[name] for name in sorted(self._node_views)]
        scene = planning.Scene(wanted, nodes, by_node, current_hash, self.clock.now())
        error = await self._act(key, obj, scene) if self._expected.satisfied(key) else None
        status = planning.status(obj, scene)
        await commit(self.client, DAEMON_SETS, obj, {**obj, "status": status})
        await self._forget_history(obj, revisions, by_node)
        if error is not None:
            raise error
        is_waiting = wanted.min_ready_s > 0 and status["numberReady"] != status.get(
            "numberAvailable", 0
        )
        return Result(requeue_after_s=float(wanted.min_ready_s)) if is_waiting else DONE

    async def _act(self, key: Key, obj: Object, scene: planning.Scene) -> ApiError | None:
        decided = planning.manage(scene)
        if not decided.create and not decided.delete and scene.wanted.is_rolling:
            decided = planning.roll(scene)
        if not decided.create and not decided.delete:
            return None
        for pod in decided.failed:
            self.events.warning(
                obj, "FailedDaemonPod",
                f"Found failed daemon pod {pod.namespace}/{pod.name} on node {pod.node_name},"
                " will try to kill it",
            )  # fmt: skip
        self._expected.expect(
            key, creations=len(decided.create), deletions=(pod.uid for pod in decided.delete)
        )
        reference, revision = owner_reference(obj), scene.current_hash
        outcome = await all_of(
            [
                *(
                    self._create(key, obj, planning.new_pod(obj, reference, node, revision))
                    for node in decided.create
                ),
                *(self._delete(key, obj, pod) for pod in decided.delete),
            ]
        )
        return outcome.error

    async def _create(self, key: Key, obj: Object, pod: Object) -> None:
        try:
            created = await self.client.create(PODS, editable(pod))
        except ApiError as error:
            self._expected.creation_observed(key)
            causes = (error.details or {}).get("causes") or ()
            if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
                return
            self.events.warning(obj, "FailedCreate", f"Error creating: {error.message}")
            raise
        name = created["metadata"]["name"]
        self.events.normal(obj, "SuccessfulCreate", f"Created pod: {name}")

    async def _delete(self, key: Key, obj: Object, pod: PodFacts) -> None:
        try:
            await self.client.delete(PODS, pod.name, pod.namespace, uid=pod.uid)
        except ApiError as error:
            self._expected.deletion_observed(key, pod.uid)
            if error.code == 404:
                return
            self.events.warning(obj, "FailedDelete", f"Error deleting: {error.message}")
            raise
        self.events.normal(obj, "SuccessfulDelete", f"Deleted pod: {pod.name}")

    async def _claim(self, obj: Object) -> dict[str, list[PodFacts]]:
        meta = obj["metadata"]
        found = claim(
            self._pods.owned_by(meta["uid"]),
            self._pods.orphans_in(meta["namespace"]),
            matcher(obj["spec"]["selector"]),
        )
        if found.adopt or found.release:
            await self._claims.carry_out(
                obj,
                adopt=[pod.item for pod in found.adopt],
                release=[pod.item for pod in found.release],
            )
        by_node: dict[str, list[PodFacts]] = {}
        for pod in (*found.kept, *found.adopt):
            by_node.setdefault(planning.target_node(pod), []).append(pod)
        return by_node

    async def _current_revision(self, obj: Object, revisions: Sequence[Object]) -> Object | None:
        """The revision of the template as it is, numbered highest; None if a retry is due."""
        template = obj["spec"]["template"]
        newest = history.newest_number(revisions)
        for one in revisions:
            if history.is_of(one, template):
                if one["revision"] == newest:
                    return one
                renumbered = {**one, "revision": newest + 1}
                return await self.client.update(CONTROLLER_REVISIONS, editable(renumbered))
        count = (obj.get("status") or {}).get("collisionCount", 0)
        new = history.new_revision(obj, template, number=newest + 1, collision_count=count)
        try:
            return await self.client.create(CONTROLLER_REVISIONS, editable(new))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        meta = new["metadata"]
        found = await self.client.get(CONTROLLER_REVISIONS, meta["name"], meta["namespace"])
        if history.is_of(found, template):
            return found
        status = {**(obj.get("status") or {}), "collisionCount": count + 1}
        await commit(self.client, DAEMON_SETS, obj, {**obj, "status": status})
        return None

    async def _forget_history(
        self, obj: Object, revisions: Sequence[Object], by_node: Mapping[str, Sequence[PodFacts]]
    ) -> None:
        template = obj["spec"]["template"]
        live = {pod.labels.get(history.HASH_LABEL, "") for pods in by_node.values() for pod in pods}
        live |= {
            one["metadata"]["labels"][history.HASH_LABEL]
            for one in revisions
            if history.is_of(one, template)
        }
        limit = obj["spec"].get("revisionHistoryLimit", _HISTORY_LIMIT)
        for one in history.surplus(revisions, frozenset(live), limit=limit):
            meta = one["metadata"]
            try:
                await self.client.delete(CONTROLLER_REVISIONS, meta["name"], meta["namespace"])
            except ApiError as error:
                if error.code != 404:
                    raise


def _is_alike(old: PodFacts, new: PodFacts) -> bool:
    """Whether a daemon set that looks at its pods sees no difference."""
    return (
        old.is_ready == new.is_ready
        and old.ready_since_s == new.ready_since_s
        and old.phase == new.phase
        and old.is_deleting == new.is_deleting
        and old.node_name == new.node_name
        and old.owner_uid == new.owner_uid
        and old.labels == new.labels
    )


def _gather_s(count: int) -> float:
    return 0.0 if count <= 100 else min(1.0, count * _GATHER_PER_POD_S)
