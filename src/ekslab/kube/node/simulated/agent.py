"""The agents of simulated nodes: register, keep the lease, run pods, write their status.

All nodes share one heap of timers and one pool of writers. Pods come either from one shared watch
(a fleet in the lab's process) or, without `fleet`, from one watch per node with the node's own
identity and `spec.nodeName=` selector, as real kubelets do. Every write goes through the node's
own client (`system:node:<name>`).
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from ekslab.kit import logs
from ekslab.kit.clock import Clock
from ekslab.kit.queues import BoundedQueue
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.errors import ApiError, not_found
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import Client, NodeConnection, PatchType
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import LEASES, NODES, PODS
from ekslab.kube.client.informers import Informer
from ekslab.kube.node.lifecycle import Event
from ekslab.kube.node.ports import PodAddresses
from ekslab.kube.node.simulated import registration
from ekslab.kube.node.simulated.containers import Containers
from ekslab.kube.node.simulated.keeping import PodKeeper, Work
from ekslab.kube.node.simulated.logs import unreachable
from ekslab.kube.node.simulated.machine import Machine, new_machine
from ekslab.kube.node.simulated.registration import NodeSpec
from ekslab.kube.node.simulated.timers import Timers
from ekslab.kube.node.timing import Timing
from ekslab.kube.runtime.events import EventRecorder

__all__ = ["NodeSpec", "SimulatedNodes"]

_WRITERS: Final = 128
_WORK_MOST: Final = 4_000_000  # pods and nodes of the largest fleet, each in it at most once
_BY_NODE: Final = "node"
_REGISTER_AGAIN_S: Final = 7.0
_LAST_EVENTS_S: Final = 5.0

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
        self._work: Work = BoundedQueue(limit=_WORK_MOST)
        self._pods = PodKeeper(
            clock=clock,
            timing=self._timing,
            timers=self._timers,
            work=self._work,
            record=self._record,
        )
        self._fleet = Informer(fleet, PODS, clock=clock) if fleet is not None else None
        self._own: dict[str, tuple[Informer, asyncio.Task[None]]] = {}
        self._recorders: dict[Machine, asyncio.Task[None]] = {}
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
                self._recorders.clear()

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
        recorder = self._recorders.pop(machine, None)
        if recorder is not None:  # what it has recorded is still to be written
            self._timers.at(self._clock.now() + _LAST_EVENTS_S, recorder.cancel)

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
        return Containers(machine, clock=self._clock)

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
            node, ready_since_s = await self._create_or_adopt(machine, wanted)
        except ApiError as error:
            _log.warning("node cannot register", node=machine.name, error=error.message)
            again = partial(self._work.put_nowait, partial(self._register, machine))
            self._timers.at(now_s + _REGISTER_AGAIN_S, again)
            return
        machine.uid = node["metadata"]["uid"]
        if ready_since_s is not None:
            await self._go_on(machine, ready_since_s)
            return
        for reason, text in registration.NODE_EVENTS:
            self._record_node(machine, reason, text)
        await self._renew(machine)
        ready_s = self._timing.spread(self._timing.node_ready_s, machine.name, "ready")
        self._node_at(self._clock.now() + ready_s, machine, self._become_ready)

    async def _create_or_adopt(
        self, machine: Machine, wanted: Object
    ) -> tuple[Object, float | None]:
        """The Node, and since when it is Ready if it was before this agent began."""
        try:
            return await machine.client.create(NODES, wanted), None
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        # As kubelet's tryRegisterWithAPIServer: an existing Node is taken up.
        node = await machine.client.get(NODES, machine.name)
        is_same = node["spec"].get("providerID", "") == machine.spec.provider_id
        ready_since_s = registration.ready_since(node) if is_same else None
        if ready_since_s is None:
            await self._patch_node(machine, wanted["status"])
        return node, ready_since_s

    async def _go_on(self, machine: Machine, ready_since_s: float) -> None:
        """The machine ran all the time, only its agent began anew: the node stays Ready."""
        machine.registered_s = machine.ready_s = ready_since_s
        await self._renew(machine)
        await self._heartbeat(machine)
        self._pods.node_ready(machine)

    async def _become_ready(self, machine: Machine) -> None:
        machine.ready_s = self._clock.now()
        await self._heartbeat(machine)
        self._pods.node_ready(machine)
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
        if machine not in self._recorders and self._group is not None:
            work = machine.events.run()
            self._recorders[machine] = self._group.start(work, name=f"events of {machine.name}")
        machine.events.event(about, event.type, event.reason, event.message)

    def _on_pod(self, old: Item | None, new: Item | None) -> None:
        item = new if new is not None else old
        assert item is not None
        machine = self.machines.get(node_name(item))
        if machine is not None and machine.is_alive:
            self._pods.changed(machine, item, is_gone=new is None)


def node_name(item: Item) -> str:
    """The node a pod is bound to, or ""."""
    known = item.fields.get("spec.nodeName")
    if known is None:
        known = item.object["spec"].get("nodeName") or ""
    return known
