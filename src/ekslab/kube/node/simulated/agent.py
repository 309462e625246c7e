"""The agents of simulated nodes: register, keep the lease, run pods, write their status.

All nodes share one heap of timers and one pool of writers. Pods come either from one shared watch
(a fleet in the lab's process) or, without `fleet`, from one watch per node with the node's own
identity and `spec.nodeName=` selector, as real kubelets do. Every write goes through the node's
own client (`system:node:<name>`).
"""

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from typing import Final

from ekslab.kit import logs
from ekslab.kit.clock import Clock
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.errors import ApiError, not_found
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import Client, NodeConnection, PatchType
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import LEASES, NODES, PODS
from ekslab.kube.client.informers import Informer
from ekslab.kube.node import lifecycle
from ekslab.kube.node.lifecycle import Event, Stage
from ekslab.kube.node.plan import plan_pod
from ekslab.kube.node.ports import NoAddressError, PodAddresses
from ekslab.kube.node.simulated import registration
from ekslab.kube.node.simulated.logs import NodeLogs, unreachable
from ekslab.kube.node.simulated.machine import (
    Machine,
    PodRun,
    is_selected,
    lacks,
    new_machine,
    requests_of,
    visible,
)
from ekslab.kube.node.simulated.registration import NodeSpec
from ekslab.kube.node.simulated.timers import Timers
from ekslab.kube.node.status import (
    clear_explanations,
    explained,
    rejected,
    render,
    restore,
)
from ekslab.kube.node.timing import Timing
from ekslab.kube.runtime.events import EventRecorder

__all__ = ["NodeSpec", "SimulatedNodes"]

_WRITERS: Final = 128
_BY_NODE: Final = "node"
_RETRY_FIRST_S: Final = 0.5
_RETRY_MOST_S: Final = 30.0
_SHOW_SANDBOX_AFTER_S: Final = 1.0
_FINISHED: Final = ("Succeeded", "Failed")
_MISMATCH: Final = (
    "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
)

_log = logs.get("nodes")


class SimulatedNodes:
    """The simulated nodes of one cluster."""

    def __init__(
        self, *, clock: Clock, timing: Timing | None = None, fleet: Client | None = None
    ) -> None:
        self.machines: dict[str, Machine] = {}
        self._clock = clock
        self._timing = timing or Timing()
        self._timers = Timers(clock)
        # Each pod and node is in the queue at most once, which bounds it.
        self._work: asyncio.Queue[Callable[[], object]] = asyncio.Queue()
        self._fleet = Informer(fleet, PODS, clock=clock) if fleet is not None else None
        self._own: dict[str, tuple[Informer, asyncio.Task[None]]] = {}
        self._group: TaskGroup | None = None
        if self._fleet is not None:
            self._fleet.add_index(_BY_NODE, lambda item: (node_name(item),))
            self._fleet.on_change(self._on_pod)

    async def run(self) -> None:
        """Run all nodes, also those added later, until cancelled."""
        async with TaskGroup("nodes") as group:
            self._group = group
            try:
                group.start(self._timers.run(), name="timers")
                if self._fleet is not None:
                    group.start(self._fleet.run(), name="pods")
                for machine in list(self.machines.values()):
                    self._start(machine, group)
                for number in range(_WRITERS):
                    group.start(self._write_for_ever(), name=f"writer-{number}")
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None
                self._own.clear()

    def add(self, spec: NodeSpec, client: Client, addresses: PodAddresses) -> None:
        """Boot a node: it registers with `client`, its own identity, and runs what comes to it."""
        if spec.name in self.machines:
            self.remove(spec.name)
        events = EventRecorder(client, component="kubelet", clock=self._clock, host=spec.name)
        machine = new_machine(spec, client, addresses, events, self._timing)
        self.machines[spec.name] = machine
        if self._group is not None:
            self._start(machine, self._group)

    def remove(self, name: str) -> None:
        """The machine is gone, with everything on it. Its Node object is not ours to delete."""
        machine = self.machines.pop(name, None)
        if machine is None:
            return
        machine.is_alive = False
        for run in machine.pods.values():
            machine.pool.release(run.uid)
        own = self._own.pop(name, None)
        if own is not None:
            own[1].cancel()

    def stop(self, name: str) -> None:
        """The node dies silently: no lease, no status, no answer. Its pods stay as they are."""
        machine = self.machines.get(name)
        if machine is not None:
            machine.is_alive = False

    async def shut_down(self, name: str) -> None:
        """The machine shuts down in an orderly way: it says so, and is gone."""
        machine = self.machines.get(name)
        if machine is None:
            return
        rows = registration.stopping_conditions(self._clock.now(), machine.registered_s)
        try:
            await self._patch_node(machine, {"conditions": rows})
        except ApiError as error:
            _log.info("node could not say it stops", node=name, error=error.message)
        self.remove(name)

    def connect(self, node_name: str) -> NodeConnection:
        """The way to a node's agent. See `NodeConnections`.

        Raises:
            ApiError: 404 for an unknown node, 500 for one that does not answer.
        """
        machine = self.machines.get(node_name)
        if machine is None:
            raise not_found("", "nodes", node_name)
        if not machine.is_alive:
            raise unreachable(machine)
        return NodeLogs(machine, clock=self._clock)

    def _start(self, machine: Machine, group: TaskGroup) -> None:
        self._work.put_nowait(partial(self._register, machine))
        if self._fleet is not None:
            for item in self._fleet.by_index(_BY_NODE, machine.name):
                self._on_pod(None, item)
            return
        selector = f"spec.nodeName={machine.name}"
        informer = Informer(machine.client, PODS, clock=self._clock, field_selector=selector)
        informer.on_change(self._on_pod)
        task = group.start(informer.run(), name=f"pods of {machine.name}")
        self._own[machine.name] = (informer, task)

    async def _write_for_ever(self) -> None:
        while True:
            work = await self._work.get()
            result = work()
            if asyncio.iscoroutine(result):
                await result

    # Nodes ------------------------------------------------------------------------------------

    async def _register(self, machine: Machine) -> None:
        now_s = self._clock.now()
        machine.registered_s = now_s
        wanted = registration.node_object(machine.spec, now_s)
        try:
            node = await self._create_or_adopt(machine, wanted)
        except ApiError as error:
            _log.warning("node cannot register", node=machine.name, error=error.message)
            again = partial(self._work.put_nowait, partial(self._register, machine))
            self._timers.at(now_s + _RETRY_MOST_S / 4, again)
            return
        machine.uid = node["metadata"]["uid"]
        for reason, text in registration.NODE_EVENTS:
            self._record_node(machine, reason, text)
        await self._renew(machine)
        ready_s = self._timing.spread(self._timing.node_ready_s, machine.name, "ready")
        self._node_at(self._clock.now() + ready_s, machine, self._become_ready)

    async def _create_or_adopt(self, machine: Machine, wanted: Object) -> Object:
        try:
            return await machine.client.create(NODES, wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        # As kubelet's tryRegisterWithAPIServer: an existing Node is taken up.
        node = await machine.client.get(NODES, machine.name)
        await self._patch_node(machine, wanted["status"])
        return node

    async def _become_ready(self, machine: Machine) -> None:
        machine.ready_s = self._clock.now()
        await self._heartbeat(machine)
        self._record_node(machine, *registration.READY_EVENT)

    async def _heartbeat(self, machine: Machine) -> None:
        now_s = self._clock.now()
        rows = registration.ready_conditions(now_s, machine.registered_s, machine.ready_s)
        images = machine.around.images.listing(now_s)
        status = registration.node_status(machine.spec, rows, images)
        try:
            await self._patch_node(machine, status)
        except ApiError as error:
            _log.info("node status not written", node=machine.name, error=error.message)
            if error.code != 404:
                self._node_at(now_s + registration.LEASE_RENEW_S, machine, self._heartbeat)
                return
        self._node_at(now_s + registration.HEARTBEAT_S, machine, self._heartbeat)

    async def _patch_node(self, machine: Machine, status: Object) -> None:
        await machine.client.patch(
            NODES,
            machine.name,
            patch={"status": status},
            patch_type=PatchType.STRATEGIC,
            subresource="status",
        )

    async def _renew(self, machine: Machine) -> None:
        now_s = self._clock.now()
        try:
            await self._write_lease(machine, now_s)
        except ApiError as error:
            machine.lease_revision = ""
            _log.info("lease not renewed", node=machine.name, error=error.message)
        wait_s = self._timing.spread(registration.LEASE_RENEW_S, machine.name, "lease")
        self._node_at(now_s + min(wait_s, registration.LEASE_RENEW_S), machine, self._renew)

    async def _write_lease(self, machine: Machine, now_s: float) -> None:
        """Renew, from the revision we wrote last; without one, create or take up what is there."""
        client, name, space = machine.client, machine.name, registration.LEASE_NAMESPACE
        lease = registration.lease_object(name, machine.uid, now_s)
        written: Object | None = None
        if not machine.lease_revision:
            try:
                written = await client.create(LEASES, lease)
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
                there = await client.get(LEASES, name, space)
                machine.lease_revision = there["metadata"]["resourceVersion"]
                lease = registration.lease_object(name, machine.uid, now_s)
        if written is None:
            lease["metadata"]["resourceVersion"] = machine.lease_revision
            written = await client.update(LEASES, lease)
        machine.lease_revision = written["metadata"]["resourceVersion"]

    def _node_at(self, due_s: float, machine: Machine, work: Callable[[Machine], object]) -> None:
        def due() -> None:
            if machine.is_alive:
                self._work.put_nowait(partial(work, machine))

        self._timers.at(due_s, due)

    def _record_node(self, machine: Machine, reason: str, text: str) -> None:
        # kubelet's reference to its own Node carries the name as uid.
        about = {"apiVersion": "v1", "kind": "Node", "name": machine.name, "uid": machine.name}
        self._record(machine, about, Event("Normal", reason, text.format(name=machine.name)))

    def _record(self, machine: Machine, about: Object, event: Event) -> None:
        if not machine.records and self._group is not None:
            machine.records = True
            self._group.start(machine.events.run(), name=f"events of {machine.name}")
        machine.events.event(about, event.type, event.reason, event.message)

    # Pods -------------------------------------------------------------------------------------

    def _on_pod(self, old: Item | None, new: Item | None) -> None:
        item = new if new is not None else old
        assert item is not None
        machine = self.machines.get(node_name(item))
        if machine is None or not machine.is_alive:
            return
        if new is None:
            self._gone(machine, item)
            return
        run = machine.pods.get(new.uid)
        if run is None:
            run = self._arrived(machine, new)
        else:
            run.item = new
            if run.plan.readiness_gates:
                self._show(run)
        if b'"deletionTimestamp"' in new.segments[0]:
            self._stop_pod(run)

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
        run.explained = explained(status)
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
                status = render(run.plan, run.state, run.item.object, run.machine.host, now_s)
                run.explained = clear_explanations(status, run.explained)
                await self._write_status(run, status)
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
            await run.machine.client.patch(
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


def node_name(item: Item) -> str:
    """The node a pod is bound to, or ""."""
    known = item.fields.get("spec.nodeName")
    if known is None:
        known = item.object["spec"].get("nodeName") or ""
    return known


def sandbox_id(text: str) -> str:
    """64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()
