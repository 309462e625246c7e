"""The scheduling loop: take a pod, choose a node, assume it there, bind it.

Upstream: kube-scheduler `schedule_one.go` and `eventhandlers.go`. Choosing is synchronous, one pod
after the other, so that each decision sees the last; binding runs beside it, bounded. A pod that
fits nowhere gets the condition PodScheduled=False, an event, and waits in the queue.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Final

from ekslab.kit import logs
from ekslab.kit.clock import Clock, Timer, rfc3339
from ekslab.kit.rng import Rng
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import Client, PatchType
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import NAMESPACES, NODES, PODS
from ekslab.kube.client.informers import InformerFactory
from ekslab.kube.runtime.events import EventRecorder
from ekslab.kube.scheduler.diagnosis import Diagnosis, diagnose
from ekslab.kube.scheduler.informed import Surroundings
from ekslab.kube.scheduler.preemption import Preemption, preempt
from ekslab.kube.scheduler.queue import Change, SchedulingQueue, Waiting
from ekslab.kube.scheduler.state import ClusterState, Placed, node_shape
from ekslab.kube.scheduler.templates import Template, parse, shape_key

DEFAULT_NAME: Final = "default-scheduler"
_WRITES_MOST: Final = 256
_YIELD_EVERY: Final = 32
_TEMPLATES_MOST: Final = 4096
_FLUSH_EVERY_S: Final = 30.0
_WHY_MOST: Final = 16_384
_FINISHED: Final = ("Succeeded", "Failed")
_RESERVED: Final = "nominated:"

Work = Coroutine[Any, Any, None]

_log = logs.get("scheduler")


class Scheduler:
    """Binds pods whose `schedulerName` is `name` to nodes."""

    def __init__(self, client: Client, *, clock: Clock, rng: Rng, name: str = DEFAULT_NAME) -> None:
        self.name = name
        self.state = ClusterState()
        self.queue = SchedulingQueue()
        self.bound = 0
        self._client = client
        self._clock = clock
        self._rng = rng
        self._informers = InformerFactory(client, clock=clock)
        self._events = EventRecorder(client, component=name, clock=clock)
        self._surroundings = Surroundings(
            self._informers,
            on_selectors=self._forget_templates,
            on_claims=lambda: self._note(Change.CLAIMS),
        )
        self._templates: OrderedDict[bytes, Template] = OrderedDict()
        self._assumed: set[str] = set()
        self._changes: dict[Change, None] = {}
        self._why: OrderedDict[tuple[str, str], Diagnosis] = OrderedDict()
        self._wakeup = asyncio.Event()
        self._timer: Timer | None = None
        self._slots = asyncio.Semaphore(_WRITES_MOST)

    async def run(self) -> None:
        """Schedule until cancelled."""
        nodes, namespaces, pods = map(self._informers.informer, (NODES, NAMESPACES, PODS))
        async with TaskGroup(self.name) as group:
            group.start(self._informers.run(), name="informers")
            group.start(self._events.run(), name="events")
            await self._informers.wait_synced()
            namespaces.on_change(self._on_namespace)
            nodes.on_change(self._on_node)
            pods.on_change(self._on_pod)
            await self._schedule(group)

    def why_pending(self, namespace: str, name: str) -> Diagnosis | None:
        """The last failed try of a pod: reasons and plugins."""
        return self._why.get((namespace, name))

    async def _schedule(self, group: TaskGroup) -> None:
        tries = 0
        while True:
            self._settle()
            waiting = self.queue.pop()
            if waiting is None:
                await self._idle()
                continue
            await self._slots.acquire()
            work = self._try(waiting)
            if work is None:
                self._slots.release()
            else:
                group.start(self._release_after(work), name=waiting.item.name)
            tries += 1
            if tries % _YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def _settle(self) -> None:
        now_s = self._clock.now()
        if self._changes:
            self.queue.happened(self._changes, now_s=now_s)
            self._changes.clear()
        self.queue.flush(now_s)

    async def _idle(self) -> None:
        due_s = self.queue.next_due_s()
        wait_s = _FLUSH_EVERY_S
        if due_s is not None:
            wait_s = min(wait_s, max(0.0, due_s - self._clock.now()))
        self._wakeup.clear()
        if len(self.queue):
            self._timer = self._clock.call_later(wait_s, self._wakeup.set)
        await self._wakeup.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _release_after(self, work: Work) -> None:
        try:
            await work
        finally:
            self._slots.release()

    def _try(self, waiting: Waiting) -> Work | None:
        """Decide one pod: nothing awaits between looking at the state and assuming."""
        item = waiting.item
        try:
            template = self._template(item.object)
        except ValueError as error:
            _log.warning("pod cannot be read", pod=item.name, error=str(error))
            self.queue.fail(waiting, (), now_s=self._clock.now())
            return None
        obstacle = self._surroundings.claims_in_the_way(item.namespace, template.claims)
        if obstacle:
            found = Diagnosis(self.state.columns.count, prefilter=obstacle)
            found.plugins["VolumeBinding"] = 1
            return self._fail(waiting, template, found)
        self.state.remove(_RESERVED + item.uid)
        rows = self.state.evaluator.best_rows(template)
        if not len(rows):
            return self._fail(waiting, template, diagnose(self.state, template))
        row = int(rows[0] if len(rows) == 1 else rows[self._rng.integer(0, len(rows) - 1)])
        node = self.state.columns.name(row)
        self.state.place(Placed(item.uid, item.key, node, template, started_s=self._clock.now()))
        self._assumed.add(item.uid)
        return self._bind(waiting, node)

    async def _bind(self, waiting: Waiting, node: str) -> None:
        item = waiting.item
        binding: Object = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": item.name, "namespace": item.namespace, "uid": item.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self._client.create(PODS, binding, subresource="binding", name=item.name)
        except ApiError as error:
            self._forget(waiting)
            _log.warning("binding refused", pod=item.name, node=node, error=error.message)
            if error.code != 404:
                text = f'binding rejected: running Bind plugin "DefaultBinder": {error.message}'
                self._events.warning(item.object, "FailedScheduling", text)
            return
        self.bound += 1
        self._why.pop(item.key, None)
        text = f"Successfully assigned {item.namespace}/{item.name} to {node}"
        self._events.normal(item.object, "Scheduled", text)

    def _forget(self, waiting: Waiting) -> None:
        uid = waiting.item.uid
        if uid in self._assumed:
            self._assumed.discard(uid)
            self.state.remove(uid)
            self._note(Change.POD_REMOVED)
        self.queue.fail(waiting, (), now_s=self._clock.now())
        self._wakeup.set()

    def _fail(self, waiting: Waiting, template: Template, found: Diagnosis) -> Work:
        outcome = Preemption()
        if found.node_count and not found.prefilter:
            outcome = preempt(self.state, template, found, nominated=waiting.nominated)
        if outcome.victims:
            waiting.nominated = outcome.node
        if waiting.nominated:
            self._reserve(waiting, template)
        self._why[waiting.key] = found
        if len(self._why) > _WHY_MOST:
            self._why.popitem(last=False)
        plugins = found.plugins or dict.fromkeys(("NodeUnschedulable",))
        self.queue.fail(waiting, plugins, now_s=self._clock.now())
        return self._report(waiting, found.message(outcome.message), outcome)

    def _reserve(self, waiting: Waiting, template: Template) -> None:
        """Keep the room that victims leave: upstream counts nominated pods as if they ran."""
        uid = _RESERVED + waiting.item.uid
        self.state.place(Placed(uid, waiting.key, waiting.nominated, template))

    async def _report(self, waiting: Waiting, message: str, outcome: Preemption) -> None:
        item = waiting.item
        try:
            for victim in outcome.victims:
                await self._evict(victim, waiting)
            self._events.warning(item.object, "FailedScheduling", message)
            await self._write_condition(item, message, outcome.node)
        except ApiError as error:
            if error.code not in (404, 409):
                _log.warning("pod status not written", pod=item.name, error=error.message)

    async def _evict(self, victim: Placed, waiting: Waiting) -> None:
        namespace, name = victim.key
        if victim.uid.startswith(_RESERVED):
            self.state.remove(victim.uid)
            return
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": f"{self.name}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        about = {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name}
        try:
            await self._patch_status(namespace, name, {"conditions": [condition]})
            await self._client.delete(PODS, name, namespace, uid=victim.uid)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return
        text = f"Preempted by pod {waiting.item.uid} on node {victim.node}"
        self._events.event({**about, "uid": victim.uid}, "Normal", "Preempted", text)

    async def _write_condition(self, item: Item, message: str, nominated: str) -> None:
        status = item.object.get("status") or {}
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
        }
        known: Object = next(
            (c for c in status.get("conditions") or () if c["type"] == "PodScheduled"), {}
        )
        if not nominated and condition.items() <= known.items():
            return
        is_new = known.get("status") != "False"
        since = rfc3339(self._clock.now()) if is_new else known.get("lastTransitionTime")
        change: Object = {"conditions": [{**condition, "lastTransitionTime": since}]}
        if nominated:
            change["nominatedNodeName"] = nominated
        await self._patch_status(item.namespace, item.name, change)

    async def _patch_status(self, namespace: str, name: str, status: Object) -> None:
        await self._client.patch(
            PODS,
            name,
            namespace,
            patch={"status": status},
            patch_type=PatchType.STRATEGIC,
            subresource="status",
        )

    def _template(self, pod: Object) -> Template:
        key = shape_key(pod)
        known = self._templates.get(key)
        if known is not None:
            return known
        selectors = self._surroundings.default_selectors(pod)
        template = parse(pod, default_selectors=selectors or ())
        if selectors is not None:
            self._templates[key] = template
            if len(self._templates) > _TEMPLATES_MOST:
                self._templates.popitem(last=False)
        return template

    def _forget_templates(self) -> None:
        self._templates.clear()

    def _note(self, *changes: Change) -> None:
        self._changes.update(dict.fromkeys(changes))
        self._wakeup.set()

    def _on_namespace(self, old: Item | None, new: Item | None) -> None:
        if new is not None:
            self.state.set_namespace(new.name, new.labels)
        elif old is not None:
            self.state.set_namespace(old.name, None)

    def _on_node(self, old: Item | None, new: Item | None) -> None:
        if new is None:
            assert old is not None
            self.state.remove_node(old.name)
            return
        row = self.state.columns.row_of.get(new.name)
        before = None if row is None else self.state.columns.shapes[row]
        try:
            shape = node_shape(new.object)
        except ValueError as error:
            _log.warning("node cannot be read", node=new.name, error=str(error))
            return
        if not self.state.put_node(shape):
            return
        if before is None:
            self._note(Change.NODE_ADDED)
            return
        if before.allocatable != shape.allocatable:
            self._note(Change.NODE_RESOURCES)
        if before.labels != shape.labels:
            self._note(Change.NODE_LABELS)
        if (before.taints, before.unschedulable) != (shape.taints, shape.unschedulable):
            self._note(Change.NODE_TAINTS)

    def _on_pod(self, old: Item | None, new: Item | None) -> None:
        if new is None:
            assert old is not None
            self._drop(old)
        elif _field(new, "status.phase") in _FINISHED:
            self._drop(new)
        elif node := _field(new, "spec.nodeName"):
            self._on_placed(old, new, node)
        else:
            self._on_pending(old, new)

    def _drop(self, item: Item) -> None:
        self.queue.remove(item.key)
        self._assumed.discard(item.uid)
        self._why.pop(item.key, None)
        reserved = self.state.remove(_RESERVED + item.uid)
        if self.state.remove(item.uid) is not None or reserved is not None:
            self._note(Change.POD_REMOVED)

    def _on_placed(self, old: Item | None, new: Item, node: str) -> None:
        leaving = _is_leaving(new)
        known = self.state.find(new.uid)
        was_assumed = new.uid in self._assumed
        self._assumed.discard(new.uid)
        self.queue.remove(new.key)
        self.state.remove(_RESERVED + new.uid)
        same_labels = old is None or old.labels == new.labels
        if known is not None and same_labels and (known.node, known.leaving) == (node, leaving):
            if was_assumed:
                self._note(Change.POD_ADDED)
            return
        try:
            template = self._template(new.object)
        except ValueError as error:
            _log.warning("pod cannot be read", pod=new.name, error=str(error))
            return
        started_s = known.started_s if known is not None else self._clock.now()
        self.state.place(Placed(new.uid, new.key, node, template, leaving, started_s))
        self._note(Change.POD_ADDED)

    def _on_pending(self, old: Item | None, new: Item) -> None:
        pod = new.object
        spec = pod["spec"]
        if spec.get("schedulerName", DEFAULT_NAME) != self.name:
            return
        if _is_leaving(new):
            self._drop(new)
            return
        if old is not None and old.labels == new.labels and old.object["spec"] == spec:
            self.queue.refresh(new)
            return
        gated = bool(spec.get("schedulingGates"))
        priority = spec.get("priority") or 0
        self.queue.put(new, priority=priority, gated=gated, now_s=self._clock.now())
        self._wakeup.set()


def _field(item: Item, path: str) -> str:
    known = item.fields.get(path)
    if known is not None:
        return known
    part, name = path.split(".")
    return (item.object.get(part) or {}).get(name) or ""


def _is_leaving(item: Item) -> bool:
    # Looking for the bytes first spares decoding nearly every pod.
    return b'"deletionTimestamp"' in item.segments[0] and bool(
        item.object["metadata"].get("deletionTimestamp")
    )
