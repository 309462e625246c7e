"""The cluster as the scheduler believes it to be: nodes, and the pods on them.

A pod counts from the moment it is assumed, before its binding is written (upstream
`backend/cache/cache.go`). Pods whose node is not known count as soon as the node appears.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from ekslab.kube.api.placement import amounts, taints_of
from ekslab.kube.api.requests import Object
from ekslab.kube.scheduler.columns import Ints, NodeColumns, NodeShape
from ekslab.kube.scheduler.counting import PodCounts
from ekslab.kube.scheduler.evaluation import Evaluator
from ekslab.kube.scheduler.ports import HostPorts
from ekslab.kube.scheduler.templates import Template

Key = tuple[str, str]
_VECTORS_MOST: Final = 8192


@dataclass(frozen=True, slots=True)
class Placed:
    """A pod on a node. `started_s` (lab time it came there) orders victims of preemption."""

    uid: str
    key: Key
    node: str
    template: Template
    leaving: bool = False
    started_s: float = 0.0


def node_shape(node: Object) -> NodeShape:
    """What the scheduler reads of a Node.

    Raises:
        ValueError: a quantity cannot be read.
    """
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return NodeShape(
        name=node["metadata"]["name"],
        labels=node["metadata"].get("labels") or {},
        taints=taints_of(spec),
        unschedulable=bool(spec.get("unschedulable")),
        allocatable=amounts(status.get("allocatable") or {}),
    )


class ClusterState:
    """Nodes, pods on them, and what can be asked about both."""

    def __init__(self) -> None:
        self._spaces: dict[str, Mapping[str, str]] = {}
        self.columns = NodeColumns()
        self.counts = PodCounts(self.columns, lambda name: self._spaces.get(name, {}))
        self.ports = HostPorts()
        self.evaluator = Evaluator(self.columns, self.counts, self.ports)
        self._loads: dict[str, dict[str, Placed]] = {}
        self._placed: dict[str, Placed] = {}
        self._vectors: dict[Template, tuple[Ints, Ints]] = {}

    def put_node(self, shape: NodeShape) -> bool:
        """Add or change a node; False if nothing that counts here changed."""
        is_new = shape.name not in self.columns.row_of
        changed = self.columns.put(shape)
        if is_new:
            for placed in self._loads.get(shape.name, {}).values():
                self._count(placed, 1)
        return changed

    def remove_node(self, name: str) -> None:
        """Forget a node; its pods stay known, in case it comes back."""
        if name not in self.columns.row_of:
            return
        for placed in self._loads.get(name, {}).values():
            self._count(placed, -1)
        self.columns.remove(name)

    def place(self, placed: Placed) -> None:
        """Count a pod on its node, or count it anew if it changed."""
        before = self._placed.get(placed.uid)
        if before is not None:
            if before == placed:
                return
            self.remove(placed.uid)
        self._placed[placed.uid] = placed
        self._loads.setdefault(placed.node, {})[placed.uid] = placed
        if placed.node in self.columns.row_of:
            self._count(placed, 1)

    def remove(self, uid: str) -> Placed | None:
        """Take a pod off its node; gives what was there."""
        placed = self._placed.pop(uid, None)
        if placed is None:
            return None
        load = self._loads[placed.node]
        del load[uid]
        if placed.node in self.columns.row_of:
            self._count(placed, -1)
        if not load:
            del self._loads[placed.node]
        return placed

    def find(self, uid: str) -> Placed | None:
        """Where a pod is, if it is anywhere."""
        return self._placed.get(uid)

    def pods_on(self, node: str) -> Iterable[Placed]:
        """Pods of a node, in the order they came."""
        return list(self._loads.get(node, {}).values())

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Labels of a namespace (None: it is gone); affinity terms select by them."""
        before = self._spaces.pop(name, None)
        if labels is not None:
            self._spaces[name] = labels
        if before is not None and labels is not None and before != labels:
            self.counts.namespaces_changed()

    def _count(self, placed: Placed, sign: int) -> None:
        row, template = self.columns.row_of[placed.node], placed.template
        wanted, scored = self._amounts(template)
        self.columns.use(row, wanted, scored, sign)
        self.counts.add(row, template, sign, leaving=placed.leaving)
        if template.ports:
            (self.ports.add if sign > 0 else self.ports.remove)(row, template.ports)

    def _amounts(self, template: Template) -> tuple[Ints, Ints]:
        known = self._vectors.get(template)
        if known is None:
            if len(self._vectors) > _VECTORS_MOST:
                self._vectors.clear()
            judged = self.columns.vector(template.requests), scored_vector(template)
            known = self._vectors[template] = judged
        return known


def scored_vector(template: Template) -> Ints:
    """Cpu and memory as scores count them."""
    return np.array(template.scored, np.int64)
