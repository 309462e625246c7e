"""The ReplicaSet controller: watches, keys, reads and writes. Decisions are in `plan`.

Upstream: `pkg/controller/replicaset/replica_set.go`, which also runs the ReplicationControllers
(`pkg/controller/replication`): their older kind differs in its selector alone.

Work per pod event is constant: a pod is read once, its set is counted later, and the more pods a
set has the longer it waits for more of them to change (a set of 10,000 is counted once a second),
unless its own pods are awaited.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from ekslab.kube.client.informers import Key
from ekslab.kube.controllers.replica_set import plan as planning
from ekslab.kube.runtime.batches import Outcome, all_of, slow_start
from ekslab.kube.runtime.commit import commit
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox
from ekslab.kube.runtime.expectations import Expectations
from ekslab.kube.runtime.ownership import (
    Claims,
    claim,
    orphan_namespace,
    owner_reference,
    owner_uid,
)
from ekslab.kube.runtime.pods import PodFacts, PodIndex, controller_of
from ekslab.kube.runtime.selection import Matcher, matcher

_PODS_COUNTED_PER_S: Final = 10_000
_COUNT_AT_ONCE: Final = 100


class ReplicaSetController(Controller[Key]):
    """Keeps as many pods as each ReplicaSet asks for."""

    name: ClassVar[str] = "replicaset-controller"
    resource: ClassVar[Resource] = REPLICA_SETS
    kind: ClassVar[str] = "ReplicaSet"

    def __init__(self, tools: Toolbox, pods: PodIndex) -> None:
        super().__init__(tools)
        self._expected = Expectations(clock=tools.clock)
        self._claims = Claims(tools.client, self.resource, PODS)
        self._pods = pods
        self._sets = self.watch(self.resource, self._set_changed)
        self._sets.add_index("owner", owner_uid)
        self._sets.add_index("orphan", orphan_namespace)
        self.watch(PODS)
        pods.on_change(self._pod_changed)

    def selection(self, replica_set: Object) -> Matcher:
        """Which labels a set selects."""
        return matcher(replica_set["spec"].get("selector"))

    def _set_changed(self, old: Item | None, new: Item | None) -> None:
        if new is not None:
            self.queue.add(new.key)
        elif old is not None:
            self._expected.forget(old.key)

    def _pod_changed(self, old: PodFacts | None, new: PodFacts | None) -> None:
        if old is not None and new is not None and _is_alike(old, new):
            return
        pod = new or old
        assert pod is not None
        is_gone = new is None or new.is_deleting
        if old is not None and old.owner_uid and old.owner_uid != pod.owner_uid:
            self._note(old, is_new=False, is_gone=False)
        if pod.owner_uid:
            self._note(pod, is_new=old is None and not is_gone, is_gone=is_gone)
        elif not is_gone:
            for item in self._sets.list(pod.namespace):
                if self.selection(item.object)(pod.labels):
                    self.queue.add(item.key)

    def _note(self, pod: PodFacts, *, is_new: bool, is_gone: bool) -> None:
        if pod.owner_kind != self.kind:
            return
        item = self._sets.get(pod.namespace, pod.owner_name)
        if item is None or item.uid != pod.owner_uid:
            return
        awaited = (is_new and self._expected.creation_observed(item.key)) or (
            is_gone and self._expected.deletion_observed(item.key, pod.uid)
        )
        count = self._pods.count_owned_by(item.uid)
        if awaited or count <= _COUNT_AT_ONCE:
            self.queue.add(item.key)
        else:
            self.queue.add_after(item.key, min(1.0, count / _PODS_COUNTED_PER_S))

    async def reconcile(self, key: Key) -> Result:
        """Make or delete pods, then write the status."""
        item = self._sets.get(*key)
        if item is None:
            return DONE
        replica_set = item.object
        active = [pod for pod in await self._claim(replica_set) if pod.is_active]
        failure: planning.Failure | None = None
        error: ApiError | None = None
        if self._expected.satisfied(key) and "deletionTimestamp" not in replica_set["metadata"]:
            missing = replica_set["spec"].get("replicas", 1) - len(active)
            error = await self._close_gap(key, replica_set, active)
            if error is not None:
                reason = "FailedCreate" if missing > 0 else "FailedDelete"
                failure = planning.Failure(reason, error.message)
        status = planning.status(replica_set, active, failure, now_s=self.clock.now())
        await commit(self.client, self.resource, replica_set, {**replica_set, "status": status})
        if error is not None:
            raise error
        return self._until_available(replica_set, status)

    async def _claim(self, replica_set: Object) -> Sequence[PodFacts]:
        meta = replica_set["metadata"]
        found = claim(
            self._pods.owned_by(meta["uid"]),
            self._pods.orphans_in(meta["namespace"]),
            self.selection(replica_set),
        )
        if not found.adopt and not found.release:
            return found.kept
        is_ending = "deletionTimestamp" in meta
        await self._claims.carry_out(
            replica_set,
            adopt=[] if is_ending else [pod.item for pod in found.adopt],
            release=[pod.item for pod in found.release],
        )
        return [*found.kept, *([] if is_ending else found.adopt)]

    async def _close_gap(
        self, key: Key, replica_set: Object, active: Sequence[PodFacts]
    ) -> ApiError | None:
        decided = planning.plan(
            replica_set["spec"].get("replicas", 1),
            active,
            self._related(replica_set, active),
            now_s=self.clock.now(),
        )
        if decided.create:
            return await self._create(key, replica_set, decided.create)
        if decided.delete:
            return await self._delete(key, replica_set, decided.delete)
        return None

    def _related(self, replica_set: Object, active: Sequence[PodFacts]) -> Sequence[PodFacts]:
        owner = controller_of(replica_set)
        if owner is None or replica_set["spec"].get("replicas", 1) >= len(active):
            return active
        siblings = self._sets.by_index("owner", owner["uid"])
        return [
            pod for sibling in siblings for pod in self._pods.owned_by(sibling.uid) if pod.is_active
        ]

    async def _create(self, key: Key, replica_set: Object, count: int) -> ApiError | None:
        self._expected.expect(key, creations=count)
        reference = owner_reference(replica_set)
        template = replica_set["spec"]["template"]

        async def create() -> None:
            pod = planning.new_pod(replica_set, {**reference}, editable(template))
            try:
                created = await self.client.create(PODS, pod)
            except ApiError as error:
                if _is_namespace_ending(error):
                    return
                self.events.warning(replica_set, "FailedCreate", f"Error creating: {error.message}")
                raise
            name = created["metadata"]["name"]
            self.events.normal(replica_set, "SuccessfulCreate", f"Created pod: {name}")

        outcome: Outcome | None = None
        try:
            outcome = await slow_start(count, create)
        finally:
            if outcome is None:
                self._expected.forget(key)
        for _ in range(outcome.failed + outcome.skipped):
            self._expected.creation_observed(key)
        return outcome.error

    async def _delete(
        self, key: Key, replica_set: Object, pods: Sequence[PodFacts]
    ) -> ApiError | None:
        self._expected.expect(key, deletions=(pod.uid for pod in pods))

        async def delete(pod: PodFacts) -> None:
            try:
                await self.client.delete(PODS, pod.name, pod.namespace, uid=pod.uid)
            except ApiError as error:
                self._expected.deletion_observed(key, pod.uid)
                if error.code == 404:
                    return
                self.events.warning(replica_set, "FailedDelete", f"Error deleting: {error.message}")
                raise
            self.events.normal(replica_set, "SuccessfulDelete", f"Deleted pod: {pod.name}")

        return (await all_of([delete(pod) for pod in pods])).error

    def _until_available(self, replica_set: Object, status: Object) -> Result:
        wanted, min_ready_s = (
            replica_set["spec"].get("replicas", 1),
            replica_set["spec"].get("minReadySeconds", 0),
        )
        is_waiting = (
            min_ready_s > 0
            and status.get("readyReplicas", 0) == wanted
            and status.get("availableReplicas", 0) != wanted
        )
        return Result(requeue_after_s=float(min_ready_s)) if is_waiting else DONE


class ReplicationControllerController(ReplicaSetController):
    """Keeps as many pods as each ReplicationController asks for."""

    name: ClassVar[str] = "replication-controller"
    resource: ClassVar[Resource] = REPLICATION_CONTROLLERS
    kind: ClassVar[str] = "ReplicationController"

    def selection(self, replica_set: Object) -> Matcher:
        """Which labels a controller selects: those of a plain map."""
        return matcher({"matchLabels": replica_set["spec"].get("selector")})


def _is_alike(old: PodFacts, new: PodFacts) -> bool:
    """Whether a set that counts its pods counts the same: of a pod's changes on its way to Ready
    two in three are none here.
    """
    return (
        old.is_ready == new.is_ready
        and old.ready_since_s == new.ready_since_s
        and old.is_active == new.is_active
        and old.is_deleting == new.is_deleting
        and old.owner_uid == new.owner_uid
        and old.labels == new.labels
    )


def _is_namespace_ending(error: ApiError) -> bool:
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
