"""The node lifecycle controller: heartbeats, conditions, taints. Key: the node's name.

Upstream: `pkg/controller/nodelifecycle/node_lifecycle_controller.go`. Upstream looks at every node
every five seconds; here a node that was just heard of is looked at when its grace could be over,
so that thousands of healthy nodes cost next to nothing.
"""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import LEASES, NODES, PODS
from ekslab.kube.controllers.node_lifecycle import plan
from ekslab.kube.runtime.batches import all_of
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox
from ekslab.kube.runtime.pods import PodFacts, PodIndex, condition

_LEASE_NAMESPACE = "kube-node-lease"


@dataclass(slots=True)
class _Known:
    """What is remembered of a node between looks."""

    uid: str
    zone: str
    heard_s: float
    heartbeat: str
    ready: str = ""


@dataclass(slots=True)
class _Allowance:
    """Tokens for tainting nodes of one zone; there is never more than one."""

    tokens: float
    at_s: float


class _Census:
    """How many nodes each zone has, and how many of them are Ready: counted as they change, for
    each node that joins asks.
    """

    def __init__(self) -> None:
        self._nodes: Counter[str] = Counter()
        self._ready: Counter[str] = Counter()

    def enter(self, known: _Known, sign: int = 1) -> None:
        self._nodes[known.zone] += sign
        if known.ready == "True":
            self._ready[known.zone] += sign

    def leave(self, known: _Known) -> None:
        self.enter(known, -1)

    @property
    def has_ready(self) -> bool:
        return any(self._ready.values())

    def of(self, zone: str) -> tuple[int, int]:
        """Ready nodes of a zone, and all of them."""
        return self._ready[zone], self._nodes[zone]


class NodeLifecycleController(Controller[str]):
    """Notices nodes that fall silent, and taints them."""

    name: ClassVar[str] = "node-controller"

    def __init__(self, tools: Toolbox, pods: PodIndex) -> None:
        super().__init__(tools)
        self._pods = pods
        self._known: dict[str, _Known] = {}
        self._census = _Census()
        self._allowances: dict[str, _Allowance] = {}
        self._is_all_lost = False
        self._nodes = self.watch(NODES, self._node_changed)
        self.watch(LEASES, self._lease_changed)
        self.watch(PODS)

    def _lease_changed(self, _old: Item | None, new: Item | None) -> None:
        if new is not None and new.namespace == _LEASE_NAMESPACE:
            known = self._known.get(new.name)
            if known is not None:
                known.heard_s = self.clock.now()

    def _node_changed(self, old: Item | None, new: Item | None) -> None:
        if new is None:
            assert old is not None
            self._forget(old)
            return
        ready = condition(new.object, "Ready")
        heartbeat = ready.get("lastHeartbeatTime", "") if ready is not None else ""
        known = self._known.get(new.name)
        if known is None or known.uid != new.uid:
            if known is not None:
                self._census.leave(known)
            zone = plan.zone(new.labels)
            known = _Known(new.uid, zone, self.clock.now(), heartbeat)
            self._known[new.name] = known
            self._census.enter(known)
            self._say(new, "RegisteredNode", f"Registered Node {new.name} in Controller")
        elif heartbeat != known.heartbeat:
            known.heartbeat = heartbeat
            known.heard_s = self.clock.now()
        self._census.leave(known)
        known.zone = plan.zone(new.labels)
        self._census.enter(known)
        self.queue.add(new.name)

    def _forget(self, node: Item) -> None:
        known = self._known.get(node.name)
        if known is not None and known.uid == node.uid:
            del self._known[node.name]
            self._census.leave(known)
            self._say(node, "RemovingNode", f"Removing Node {node.name} from Controller")

    def _say(self, node: Item, reason: str, what: str) -> None:
        about = {"kind": "Node", "apiVersion": "v1", "name": node.name, "uid": node.uid}
        self.events.event(about, "Normal", reason, f"Node {node.name} event: {what}")

    async def reconcile(self, key: str) -> Result:
        """Look at one node: is it heard of, and is it tainted as it should be?"""
        item, known = self._nodes.get("", key), self._known.get(key)
        if item is None or known is None:
            return DONE
        now_s = self.clock.now()
        node = item.object
        verdict = plan.health(node, heard_s=known.heard_s, now_s=now_s)
        if verdict.conditions is not None:
            status = {"conditions": verdict.conditions}
            change = {"metadata": {"resourceVersion": item.resource_version}, "status": status}
            node = await self.client.patch(NODES, key, patch=change, subresource="status")
        self._note_ready(item, known, verdict.ready)
        wait_s = await self._taint(node, known, now_s)
        if verdict.ready in {"False", "Unknown"}:
            await self._mark_pods(key)
        return Result(requeue_after_s=min(verdict.next_look_s, wait_s))

    def _note_ready(self, item: Item, known: _Known, ready: str) -> None:
        if self._known.get(item.name) is not known:
            return  # the node went while we looked
        if known.ready == "True" and ready != "True":
            message = f"Node {item.name} status is now: NodeNotReady"
            about = {"kind": "Node", "apiVersion": "v1", "name": item.name, "uid": item.uid}
            self.events.event(about, "Normal", "NodeNotReady", message)
        if ready != known.ready:
            self._census.leave(known)
            known.ready = ready
            self._census.enter(known)
        is_all_lost = not self._census.has_ready
        if is_all_lost != self._is_all_lost:
            self._is_all_lost = is_all_lost
            for name in list(self._known):
                self.queue.add(name)

    async def _taint(self, node: Object, known: _Known, now_s: float) -> float:
        """Write the taints. Returns when to look again because evicting had to wait."""
        if self._is_all_lost:
            # Where every node seems lost, the fault is ours: nobody is evicted.
            spared = plan.without_no_execute(node)
            if spared is not None:
                node = await self._write_taints(node, spared)
        wants_eviction = known.ready in {"False", "Unknown"} and not plan.has_no_execute(node)
        evicts, wait_s = False, float("inf")
        if wants_eviction and not self._is_all_lost:
            wait_s = self._wait_for_allowance_s(known.zone, now_s)
            evicts = wait_s <= 0
            wait_s = float("inf") if evicts else max(wait_s, 0.1)
        wanted = plan.taints(node, evicts=evicts, now_s=now_s)
        if wanted is not None:
            await self._write_taints(node, wanted)
        return wait_s

    async def _write_taints(self, node: Object, taints: list[Object]) -> Object:
        meta = node["metadata"]
        change = {
            "metadata": {"resourceVersion": meta["resourceVersion"]},
            "spec": {"taints": taints or None},
        }
        return await self.client.patch(NODES, meta["name"], patch=change)

    def _wait_for_allowance_s(self, zone: str, now_s: float) -> float:
        """Take one token of the zone and return 0; or how long until there is one."""
        ready, members = self._census.of(zone)
        state = plan.zone_state(ready, members - ready)
        rate = plan.evictions_per_s(state, members)
        allowance = self._allowances.setdefault(zone, _Allowance(1.0, now_s))
        allowance.tokens = min(1.0, allowance.tokens + (now_s - allowance.at_s) * rate)
        allowance.at_s = now_s
        if rate > 0 and allowance.tokens >= 1.0:
            allowance.tokens -= 1.0
            return 0.0
        return (1.0 - allowance.tokens) / rate if rate > 0 else plan.MONITOR_PERIOD_S

    async def _mark_pods(self, node_name: str) -> None:
        async def mark(pod: PodFacts) -> None:
            status = plan.pod_not_ready(pod.item.object, self.clock.now())
            if status is None:
                return
            self.events.warning(pod.item.object, "NodeNotReady", "Node is not ready")
            try:
                await self.client.patch(
                    PODS, pod.name, pod.namespace,
                    patch={"metadata": {"uid": pod.uid}, "status": status},
                    subresource="status",
                )  # fmt: skip
            except ApiError as error:
                if error.code not in {404, 409}:
                    raise

        outcome = await all_of([mark(pod) for pod in self._pods.on_node(node_name) if pod.is_ready])
        if outcome.error is not None:
            raise outcome.error
