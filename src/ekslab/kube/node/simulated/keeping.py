"""The pods of simulated nodes: from the watch through their lives to the status that is written.

What is due is decided by `lifecycle`; here it is set into motion: timers, writers, addresses. Only
one writer at a time looks at a pod. Upstream: kubelet `kubelet.go` (syncPod) and
`status/status_manager.go`.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Final

from ekslab.kit import logs
from ekslab.kit.clock import Clock
from ekslab.kit.queues import BoundedQueue
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import PatchType
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import NODES, PODS
from ekslab.kube.node import lifecycle
from ekslab.kube.node.lifecycle import Event, Stage
from ekslab.kube.node.plan import plan_pod
from ekslab.kube.node.ports import NoAddressError
from ekslab.kube.node.simulated.machine import (
    Machine,
    PodRun,
    is_selected,
    lacks,
    requests_of,
    visible,
)
from ekslab.kube.node.simulated.timers import Timers
from ekslab.kube.node.status import changes, rejected, render, restore
from ekslab.kube.node.timing import Timing

Work = BoundedQueue[Callable[[], object]]
Record = Callable[[Machine, Object, Event], None]

_RETRY_FIRST_S: Final = 0.5
_RETRY_MOST_S: Final = 30.0
_SHOW_SANDBOX_AFTER_S: Final = 1.0
_FINISHED: Final = ("Succeeded", "Failed")
# By this the node lifecycle controller takes readiness from the pods of a node that is not ready.
_NOT_READY: Final = b'"reason":"NodeNotReady"'
_MISMATCH: Final = (
    "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
)

_log = logs.get("nodes")


class PodKeeper:
    """Runs the pods of all nodes. `work` is what the writers take from, `record` writes events."""

    def __init__(
        self, *, clock: Clock, timing: Timing, timers: Timers, work: Work, record: Record
    ) -> None:
        self._clock = clock
        self._timing = timing
        self._timers = timers
        self._work = work
        self._record = record

    def changed(self, machine: Machine, item: Item, *, is_gone: bool) -> None:
        """A pod of this node came, changed or went."""
        if is_gone:
            self._gone(machine, item)
            return
        run = machine.pods.get(item.uid)
        if run is None:
            run = self._arrived(machine, item)
        else:
            run.item = item
            if run.plan.readiness_gates:
                self._show(run)
            if machine.ready_s and _NOT_READY in item.segments[2]:
                self._reaffirm(run)
        if b'"deletionTimestamp"' in item.segments[0]:
            self._stop_pod(run)

    def node_ready(self, machine: Machine) -> None:
        """The node is Ready: its pods are as ready as their containers are."""
        for run in machine.pods.values():
            if _NOT_READY in run.item.segments[2]:
                self._reaffirm(run)

    def _reaffirm(self, run: PodRun) -> None:
        """Write what is true again over what the node lifecycle controller wrote meanwhile."""
        if run.state.stage is not Stage.ENDED:
            self._show(run)

    def _arrived(self, machine: Machine, item: Item) -> PodRun:
        pod, now_s = item.object, self._clock.now()
        plan = plan_pod(pod, self._timing)
        state = lifecycle.begin(plan, now_s)
        run = PodRun(item, plan, state, machine, {})
        machine.pods[item.uid] = run
        status = pod.get("status") or {}
        if status.get("phase") in _FINISHED:
            run.state.stage = Stage.ENDED
            return run
        run.requests = requests_of(pod)
        short = lacks(machine, run.requests)
        if short is not None:
            run.requests = {}
            run.is_rejected = True
            self._enqueue(run, partial(self._reject, run, *short))
            return run
        machine.take(run)
        if restore(plan, state, status, now_s):
            if state.address:
                machine.pool.adopt(item.uid, state.address)
            for container in plan.containers:
                machine.around.images.adopt(container.image, now_s)
            self._advance(run)
        elif is_selected(pod, dict(machine.spec.labels), machine.name):
            self._enqueue(run, partial(self._sync, run))
        else:
            self._enqueue(run, partial(self._look_again, run))
        return run

    async def _look_again(self, run: PodRun) -> None:
        """The node's labels may have changed since it registered: ask before refusing."""
        run.queued = False
        machine = run.machine
        try:
            node = await machine.client.get(NODES, machine.name)
        except ApiError as error:
            _log.info("node not read", node=machine.name, error=error.message)
            node = {"metadata": {}}
        if is_selected(run.item.object, node["metadata"].get("labels") or {}, machine.name):
            self._enqueue(run, partial(self._sync, run))
            return
        machine.give_back(run)
        run.is_rejected = True
        await self._reject(run, "NodeAffinity", _MISMATCH)

    async def _reject(self, run: PodRun, reason: str, message: str) -> None:
        run.queued = False
        run.state.stage = Stage.ENDED
        self._emit(run, [Event("Warning", reason, message)])
        status = rejected(run.item.object, reason, message, self._clock.now())
        await self._write_status(run, status)

    def _gone(self, machine: Machine, item: Item) -> None:
        run = machine.pods.pop(item.uid, None)
        if run is not None:
            _wake(run)
            run.due_s = None
            machine.give_back(run)
            machine.pool.release(run.uid)

    def _stop_pod(self, run: PodRun) -> None:
        metadata = run.item.object["metadata"]
        if "deletionTimestamp" not in metadata:
            return
        grace_s = float(metadata.get("deletionGracePeriodSeconds") or 0)
        if not run.stops:
            run.stops, run.stopping_s = True, self._clock.now()
        if run.state.stage is Stage.ENDED:
            self._enqueue(run, partial(self._sync, run))
            return
        now_s = self._clock.now()
        events = lifecycle.stop(run.plan, run.state, grace_s=grace_s, now_s=now_s, at=self._timing)
        self._emit(run, events)
        self._advance(run)

    def _advance(self, run: PodRun) -> None:
        """Let time act on a pod, show what changed, and set the next timer."""
        now_s = self._clock.now()
        events = lifecycle.advance(run.plan, run.state, now_s, run.machine.around)
        self._emit(run, events)
        _wake(run)
        shown = visible(run.state)
        due_s = run.state.due_s
        if shown != run.shown:
            self._show(run)
        elif run.state.stage is Stage.ACTIVE and due_s is not None:
            # A sandbox that waits long for its images shows; a quick one is shown with its start.
            ready_s = run.state.since["PodReadyToStartContainers"][1]
            if ready_s == now_s and due_s - now_s > _SHOW_SANDBOX_AFTER_S:
                self._show(run)
        if run.state.stage is Stage.ENDED:
            run.machine.give_back(run)
        self._set_timer(run, due_s)

    def _set_timer(self, run: PodRun, due_s: float | None) -> None:
        if due_s is not None and due_s != run.due_s:
            self._timers.at(due_s, partial(self._due, run, due_s))
        run.due_s = due_s

    def _due(self, run: PodRun, due_s: float) -> None:
        if run.due_s != due_s or not run.machine.is_alive:
            return
        run.due_s = None
        if run.state.stage is Stage.ADDRESS:
            self._enqueue(run, partial(self._sync, run))
        else:
            self._advance(run)

    def _show(self, run: PodRun) -> None:
        if not run.is_rejected:
            run.dirty = True
            self._enqueue(run, partial(self._sync, run))

    def _enqueue(self, run: PodRun, work: Callable[[], object]) -> None:
        if not run.queued:
            run.queued = True
            self._work.put_nowait(work)

    async def _sync(self, run: PodRun) -> None:
        """Write what there is to write of one pod. Only one writer at a time looks at a pod."""
        try:
            if run.state.stage is Stage.ADDRESS and not run.stops:
                await self._address(run)
                run.dirty = True
            while run.dirty and run.machine.is_alive:
                run.dirty = False
                run.shown = visible(run.state)
                now_s = self._clock.now()
                pod = run.newest()
                status = render(run.plan, run.state, pod, run.machine.host, now_s)
                if change := changes(status, pod.get("status") or {}):
                    await self._write_status(run, change)
        finally:
            run.queued = False
        if run.state.stage is Stage.ENDED and run.machine.is_alive and not run.dirty:
            run.machine.pool.release(run.uid)
            if run.stops:
                await self._delete(run)

    async def _address(self, run: PodRun) -> None:
        plan, state = run.plan, run.state
        try:
            address = run.machine.host.primary
            if not plan.host_network:
                address = await run.machine.pool.allocate(plan.namespace, plan.name, plan.uid)
        except NoAddressError as error:
            sandbox = sandbox_id(plan.uid)
            text = (
                "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup"
                f' network for sandbox "{sandbox}": {error}'
            )
            self._emit(run, [Event("Warning", "FailedCreatePodSandBox", text)])
            self._set_timer(run, self._clock.now() + self._timing.sandbox_retry_s)
            return
        lifecycle.give_address(plan, state, address, self._clock.now(), self._timing)
        self._set_timer(run, state.due_s)

    async def _write_status(self, run: PodRun, status: Object) -> None:
        item = run.item
        try:
            run.written = await run.machine.client.patch(
                PODS,
                item.name,
                item.namespace,
                patch={"metadata": {"uid": item.uid}, "status": status},
                patch_type=PatchType.STRATEGIC,
                subresource="status",
            )
        except ApiError as error:
            self._status_failed(run, error)
            return
        run.failures = 0

    def _status_failed(self, run: PodRun, error: ApiError) -> None:
        if error.code in (404, 409):
            return  # gone, or another pod of that name: the watch will tell
        run.failures += 1
        wait_s = min(_RETRY_FIRST_S * 2.0 ** min(run.failures, 10), _RETRY_MOST_S)
        _log.info("pod status not written", pod=run.plan.full_name, error=error.message)
        self._timers.at(self._clock.now() + wait_s, partial(self._show, run))

    async def _delete(self, run: PodRun) -> None:
        item = run.item
        try:
            await run.machine.client.delete(
                PODS, item.name, item.namespace, uid=item.uid, grace_period_s=0
            )
        except ApiError as error:
            if error.code in (404, 409):
                return
            _log.info("pod not deleted", pod=run.plan.full_name, error=error.message)
            retry_s = self._clock.now() + _RETRY_MOST_S / 4
            again = partial(self._enqueue, run, partial(self._sync, run))
            self._timers.at(retry_s, again)

    def _emit(self, run: PodRun, events: list[Event]) -> None:
        if not events:
            return
        item = run.item
        for event in events:
            about: Object = {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": item.namespace,
                "name": item.name,
                "uid": item.uid,
                "resourceVersion": item.resource_version,
            }
            if event.field_path:
                about["fieldPath"] = event.field_path
            self._record(run.machine, about, event)


def _wake(run: PodRun) -> None:
    for follower in run.followers:
        follower.set()


def sandbox_id(text: str) -> str:
    """64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()
