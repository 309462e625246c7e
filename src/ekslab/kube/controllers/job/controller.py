"""The Job controller: watches, keys, reads and writes. Decisions are in `plan` and `counting`.

Upstream: `pkg/controller/job/job_controller.go`. Two kinds of keys: a Job, and a pod whose Job is
gone and that still wears the finalizer by which Jobs count their pods.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from ekslab.kit.clock import rfc3339
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.ports import PatchType
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import JOBS, PODS
from ekslab.kube.client.informers import Key
from ekslab.kube.controllers.job import counting, plan
from ekslab.kube.controllers.job.templates import new_pod
from ekslab.kube.runtime.batches import all_of, slow_start
from ekslab.kube.runtime.commit import commit
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox
from ekslab.kube.runtime.expectations import Expectations
from ekslab.kube.runtime.ownership import Claims, claim
from ekslab.kube.runtime.pods import PodFacts, PodIndex
from ekslab.kube.runtime.selection import matcher

_Key = tuple[Literal["job", "orphan"], Key]

_OWN_NAME: Final = "kubernetes.io/job-controller"
_PODS_COUNTED_PER_S: Final = 5_000
_COUNT_AT_ONCE: Final = 100


@dataclass(slots=True)
class _Done:
    """What acting on pods has come to."""

    active: int
    ready: int
    terminating: int
    finished: Object | None
    managed: bool = False
    wait_s: float | None = None
    error: ApiError | None = None


class JobController(Controller[_Key]):
    """Runs pods to completion."""

    name: ClassVar[str] = "job-controller"

    def __init__(self, tools: Toolbox, pods: PodIndex) -> None:
        super().__init__(tools)
        self._pods = pods
        self._expected = Expectations(clock=tools.clock)
        self._claims = Claims(tools.client, JOBS, PODS)
        self._backoffs: dict[Key, plan.Backoff] = {}
        self._untracked: dict[Key, set[str]] = {}
        self._written: dict[Key, int] = {}
        self._jobs = self.watch(JOBS, self._job_changed)
        self.watch(PODS)
        pods.on_change(self._pod_changed)

    def _job_changed(self, old: Item | None, new: Item | None) -> None:
        if new is not None:
            self.queue.add(("job", new.key))
            return
        assert old is not None
        self._expected.forget(old.key)
        self._backoffs.pop(old.key, None)
        self._untracked.pop(old.key, None)
        self._written.pop(old.key, None)
        for pod in self._pods.owned_by(old.uid):
            if plan.has_finalizer(pod):
                self.queue.add(("orphan", (pod.namespace, pod.name)))

    def _pod_changed(self, old: PodFacts | None, new: PodFacts | None) -> None:
        pod = new or old
        assert pod is not None
        if pod.owner_kind != "Job":
            if new is not None and not new.owner_uid:
                self._offer(new)
            return
        item = self._job_of(pod)
        if item is None:
            if new is not None and new.is_deleting and plan.has_finalizer(new):
                self.queue.add(("orphan", (new.namespace, new.name)))
            return
        if new is None or not plan.has_finalizer(new):
            self._untracked.get(item.key, set()).discard(pod.uid)
        is_gone = new is None or new.is_deleting
        awaited = (old is None and not is_gone and self._expected.creation_observed(item.key)) or (
            is_gone and self._expected.deletion_observed(item.key, pod.uid)
        )
        count = self._pods.count_owned_by(item.uid)
        soon = awaited or count <= _COUNT_AT_ONCE
        self.queue.add_after(
            ("job", item.key), 0.0 if soon else min(1.0, count / _PODS_COUNTED_PER_S)
        )

    def _job_of(self, pod: PodFacts) -> Item | None:
        item = self._jobs.get(pod.namespace, pod.owner_name)
        return item if item is not None and item.uid == pod.owner_uid else None

    def _offer(self, orphan: PodFacts) -> None:
        for item in self._jobs.list(orphan.namespace):
            if matcher(item.object["spec"].get("selector"))(orphan.labels):
                self.queue.add(("job", item.key))
                return
        if plan.has_finalizer(orphan):
            self.queue.add(("orphan", (orphan.namespace, orphan.name)))

    async def reconcile(self, key: _Key) -> Result:
        """Bring one Job further, or let one orphan go."""
        kind, name = key
        if kind == "orphan":
            await self._release_orphan(name)
            return DONE
        item = self._jobs.get(*name)
        if item is None or item.object["spec"].get("managedBy") not in {None, _OWN_NAME}:
            return DONE
        if item.revision < self._written.get(name, 0):
            # Our own write has not come back: pods that it counted would be made again.
            return DONE
        job = item.object
        if plan.is_finished(job):
            self._backoffs.pop(name, None)
            self._untracked.pop(name, None)
            return DONE
        pods = await self._claim(job)
        scene = plan.Scene(
            job,
            pods,
            frozenset(self._untracked.get(name, ())),
            self._backoffs.get(name, plan.Backoff()),
            self.clock.now(),
        )
        view = plan.look(scene)
        done = await self._act(name, view)
        await self._track(name, view, done)
        if done.error is not None:
            raise done.error
        waits = [wait_s for wait_s in (done.wait_s, view.look_again_s) if wait_s is not None]
        return Result(requeue_after_s=min(waits)) if waits else DONE

    async def _claim(self, job: Object) -> Sequence[PodFacts]:
        meta = job["metadata"]
        found = claim(
            self._pods.owned_by(meta["uid"]),
            self._pods.orphans_in(meta["namespace"]),
            matcher(job["spec"].get("selector")),
        )
        if not found.adopt and not found.release:
            return found.kept
        is_ending = "deletionTimestamp" in meta
        await self._claims.carry_out(
            job,
            adopt=[] if is_ending else [pod.item for pod in found.adopt],
            release=[pod.item for pod in found.release],
        )
        return [*found.kept, *([] if is_ending else found.adopt)]

    async def _act(self, key: Key, view: plan.View) -> _Done:
        """End the pods of a Job that ends; make or delete pods of one that goes on."""
        active, satisfied = len(view.active), self._expected.satisfied(key)
        ready = sum(pod.is_ready for pod in view.active)
        done = _Done(active, ready, view.terminating, view.finished)
        if view.finished is not None:
            deleted, done.error = await self._delete(key, view, view.active, counted=True)
            _take_off(done, deleted)
            if len(deleted) != active or not satisfied:
                done.finished = None
            return done
        if satisfied and "deletionTimestamp" not in view.scene.job["metadata"]:
            done.managed = True
            await self._manage(key, view, done)
        completions = view.spec.get("completions")
        is_complete = done.active == 0 and (
            view.succeeded > 0 if completions is None else view.succeeded >= completions
        )
        if is_complete:
            done.managed = False
            done.finished = plan.new_condition(
                "SuccessCriteriaMet", "CompletionsReached",
                "Reached expected number of succeeded pods", view.scene.now_s,
            )  # fmt: skip
        return done

    async def _manage(self, key: Key, view: plan.View, done: _Done) -> None:
        action = plan.manage(view)
        done.wait_s = action.wait_s
        if action.delete:
            deleted, done.error = await self._delete(key, view, action.delete, counted=False)
            _take_off(done, deleted)
        elif action.create:
            made, done.error = await self._create(key, view, action)
            done.active += made

    async def _create(
        self, key: Key, view: plan.View, action: plan.Action
    ) -> tuple[int, ApiError | None]:
        self._expected.expect(key, creations=action.create)
        job, indexes = view.scene.job, iter(action.create_indexes)

        async def create() -> None:
            pod = editable(new_pod(view, next(indexes, None)))
            try:
                created = await self.client.create(PODS, pod)
            except ApiError as error:
                causes = (error.details or {}).get("causes") or ()
                if not any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
                    text = f"Error creating: {error.message}"
                    self.events.warning(job, "FailedCreate", text)
                raise
            name = created["metadata"]["name"]
            self.events.normal(job, "SuccessfulCreate", f"Created pod: {name}")

        outcome = None
        try:
            outcome = await slow_start(action.create, create)
        finally:
            if outcome is None:
                self._expected.forget(key)
        for _ in range(outcome.failed + outcome.skipped):
            self._expected.creation_observed(key)
        return outcome.succeeded, outcome.error

    async def _delete(
        self, key: Key, view: plan.View, pods: Sequence[PodFacts], *, counted: bool
    ) -> tuple[list[PodFacts], ApiError | None]:
        """Delete pods. Unless they are to be counted as failed, their finalizer goes first."""
        if not pods:
            return [], None
        self._expected.expect(key, deletions=(pod.uid for pod in pods))
        job, deleted = view.scene.job, []

        async def delete(pod: PodFacts) -> None:
            try:
                if not counted:
                    await self._remove_finalizer(key, pod)
                await self.client.delete(PODS, pod.name, pod.namespace, uid=pod.uid)
            except ApiError as error:
                self._expected.deletion_observed(key, pod.uid)
                if error.code != 404:
                    text = f"Error deleting: {error.message}"
                    self.events.warning(job, "FailedDelete", text)
                    raise
            else:
                self.events.normal(job, "SuccessfulDelete", f"Deleted pod: {pod.name}")
            deleted.append(pod)

        outcome = await all_of([delete(pod) for pod in pods])
        return deleted, outcome.error

    async def _track(self, key: Key, view: plan.View, done: _Done) -> None:
        """Note finished pods, let them go, count them, and end the Job when all is counted."""
        job, now_s = view.scene.job, view.scene.now_s
        status = editable(job.get("status") or {})
        status.setdefault("uncountedTerminatedPods", {})
        if view.start_time:
            status["startTime"] = view.start_time
        word = ""
        if done.managed:
            suspended = plan.is_suspended(job)
            word = counting.with_suspension(job, status, suspended=suspended, now_s=now_s)
        if word == "Resumed":
            status["startTime"] = rfc3339(now_s)
        status["ready"] = done.ready
        status["terminating"] = done.terminating
        status.pop("active", None)
        if done.active:
            status["active"] = done.active
        tally = counting.note(view, status, done.finished)
        job = await self._write(key, job, tally.status)
        self._backoffs[key] = view.backoff
        if word:
            self.events.normal(job, word, f"Job {word.lower()}")
        released, error = await self._release(key, tally.release)
        left = {pod.uid for pod in view.tracked} - released
        counted = counting.count(tally.status, left, is_indexed=view.is_indexed)
        ended = counting.finish(counted, tally.last_word, now_s) if error is None else None
        job = await self._write(key, job, ended or counted)
        if ended is not None and tally.last_word is not None:
            self._say_ended(job, tally.last_word)
        if error is not None:
            raise error

    async def _write(self, key: Key, job: Object, status: Object) -> Object:
        written = await commit(self.client, JOBS, job, {**job, "status": status})
        self._written[key] = int(written["metadata"]["resourceVersion"])
        return written

    def _say_ended(self, job: Object, last_word: Object) -> None:
        if last_word["type"] != "Complete":
            self.events.warning(job, last_word["reason"], last_word["message"])
            return
        completions = job["spec"].get("completions")
        if completions is not None and job["status"].get("succeeded", 0) > completions:
            self.events.warning(
                job, "TooManySucceededPods",
                "Too many succeeded pods running after completion count reached",
            )  # fmt: skip
        self.events.normal(job, "Completed", "Job completed")

    async def _release(
        self, key: Key, pods: Sequence[PodFacts]
    ) -> tuple[set[str], ApiError | None]:
        released: set[str] = set()

        async def release(pod: PodFacts) -> None:
            await self._remove_finalizer(key, pod)
            released.add(pod.uid)

        outcome = await all_of([release(pod) for pod in pods])
        return released, outcome.error

    async def _remove_finalizer(self, key: Key | None, pod: PodFacts) -> None:
        if key is not None:
            self._untracked.setdefault(key, set()).add(pod.uid)
        gone = {"$deleteFromPrimitiveList/finalizers": [plan.FINALIZER]}
        try:
            await self.client.patch(
                PODS, pod.name, pod.namespace,
                patch={"metadata": {"uid": pod.uid, **gone}}, patch_type=PatchType.STRATEGIC,
            )  # fmt: skip
        except ApiError as error:
            if error.code == 404:
                return
            if key is not None:
                self._untracked[key].discard(pod.uid)
            raise

    async def _release_orphan(self, key: Key) -> None:
        pod = self._pods.get(*key)
        if pod is None or not plan.has_finalizer(pod):
            return
        if pod.owner_kind == "Job" and self._job_of(pod) is not None:
            return
        await self._remove_finalizer(None, pod)


def _take_off(done: _Done, deleted: Sequence[PodFacts]) -> None:
    done.active -= len(deleted)
    done.ready -= sum(pod.is_ready for pod in deleted)
    done.terminating += len(deleted)
