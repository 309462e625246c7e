"""Cluster state as columns: one row a node, one array a property.

Rows are reused after a node is gone. Arrays grow by doubling. Strings are interned: a taint list
and a label value are small integers, so that a rule is judged once per distinct value and then
looked up for all nodes. Two logs say which rows changed, so that a cached result can be repaired
row by row: `shape_log` (labels, taints, allocatable, ...) and `usage_log` (what pods use).

Worked example: three nodes of 4 cores, one pod of 500m on the second.

    allocatable[CPU] = [4000, 4000, 4000]
    requested[CPU]   = [   0,  500,    0]
    usage_log        = [1]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ekslab.kube.api.placement import Amounts, Taint

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int32]

CPU: Final = 0
MEMORY: Final = 1
EPHEMERAL: Final = 2
PODS: Final = 3
_FIRST_RESOURCES: Final = ("cpu", "memory", "ephemeral-storage", "pods")
_FIRST_CAPACITY: Final = 64
_LOG_MOST: Final = 65_536
ABSENT: Final = 0
"""Id of a label a node does not have."""


@dataclass(frozen=True, slots=True)
class NodeShape:
    """What the scheduler reads of a Node object; equal shapes mean nothing changed."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool
    allocatable: Amounts


class RowLog:
    """Rows that changed, in order. A reader keeps its position and asks what came since.

    Bounded: a reader too far behind is told None, and looks at all rows.
    """

    __slots__ = ("_first", "_rows")

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._first = 0

    @property
    def position(self) -> int:
        """Where the log ends now."""
        return self._first + len(self._rows)

    def append(self, row: int) -> None:
        """Note that `row` changed."""
        self._rows.append(row)
        if len(self._rows) > 2 * _LOG_MOST:
            del self._rows[:_LOG_MOST]
            self._first += _LOG_MOST

    def since(self, position: int) -> list[int] | None:
        """Rows changed after `position` (with repetitions), or None if that is forgotten."""
        if position < self._first:
            return None
        return self._rows[position - self._first :]


class LabelColumn:
    """Values of one label key: `ids[row]` is the interned value, `ABSENT` without the label.

    `version` changes when any node's value changes. `nodes_with[id]` counts nodes by value,
    `has_label` all that have one, `domain_count` the values that some node has.
    """

    __slots__ = ("domain_count", "has_label", "ids", "nodes_with", "values", "version")

    def __init__(self, capacity: int) -> None:
        self.ids: Ids = np.zeros(capacity, np.int32)
        self.values: dict[str, int] = {}
        self.version = 0
        self.nodes_with: Ints = np.zeros(8, np.int64)
        self.has_label = 0
        self.domain_count = 0

    def put(self, row: int, text: str | None) -> None:
        """Set the value of a row."""
        new = ABSENT if text is None else self.values.setdefault(text, len(self.values) + 1)
        old = int(self.ids[row])
        if old == new:
            return
        if self.size > len(self.nodes_with):
            more = np.zeros(self.size, np.int64)
            self.nodes_with = np.concatenate((self.nodes_with, more))
        self.ids[row] = new
        self.version += 1
        self._count(old, -1)
        self._count(new, 1)

    def _count(self, value: int, amount: int) -> None:
        if value == ABSENT:
            return
        before = int(self.nodes_with[value])
        self.nodes_with[value] = before + amount
        self.has_label += amount
        if before == 0:
            self.domain_count += 1
        elif before + amount == 0:
            self.domain_count -= 1

    @property
    def size(self) -> int:
        """One more than the largest id."""
        return len(self.values) + 1


class NodeColumns:
    """All nodes of a cluster. `high` is one more than the highest row ever used."""

    def __init__(self) -> None:
        self._capacity = _FIRST_CAPACITY
        self._free: list[int] = []
        self._resource_ids = {name: index for index, name in enumerate(_FIRST_RESOURCES)}
        self._taint_ids: dict[tuple[Taint, ...], int] = {(): 0}
        self._label_columns: dict[str, LabelColumn] = {}
        self.high = 0
        self.count = 0
        self.row_of: dict[str, int] = {}
        self.shapes: list[NodeShape | None] = []
        self.taint_lists: list[tuple[Taint, ...]] = [()]
        self.alive: Flags = np.zeros(_FIRST_CAPACITY, np.bool_)
        self.unschedulable: Flags = np.zeros(_FIRST_CAPACITY, np.bool_)
        self.taints: Ids = np.zeros(_FIRST_CAPACITY, np.int32)
        self.allocatable: Ints = np.zeros((len(_FIRST_RESOURCES), _FIRST_CAPACITY), np.int64)
        self.requested: Ints = np.zeros((len(_FIRST_RESOURCES), _FIRST_CAPACITY), np.int64)
        self.nonzero: Ints = np.zeros((2, _FIRST_CAPACITY), np.int64)
        self.shape_log = RowLog()
        self.usage_log = RowLog()

    def put(self, shape: NodeShape) -> bool:
        """Add or change a node; False if nothing of its shape changed."""
        row = self.row_of.get(shape.name)
        if row is None:
            row = self._take_row()
            self.row_of[shape.name] = row
            self.alive[row] = True
            self.count += 1
        elif self.shapes[row] == shape:
            return False
        self.shapes[row] = shape
        self._write(row, shape)
        self.shape_log.append(row)
        return True

    def remove(self, name: str) -> None:
        """Forget a node. What its pods used is forgotten with it: the caller re-adds nothing."""
        row = self.row_of.pop(name, None)
        if row is None:
            return
        self.alive[row] = False
        self.shapes[row] = None
        self.count -= 1
        self.requested[:, row] = 0
        self.nonzero[:, row] = 0
        for column in self._label_columns.values():
            column.put(row, None)
        self._free.append(row)
        self.shape_log.append(row)

    def use(self, row: int, wanted: Ints, scored: Ints, sign: int) -> None:
        """Add (`sign` 1) or take back (-1) what a pod uses on a row.

        `wanted` has one amount per resource (it may be shorter than the resources known now);
        `scored` cpu and memory as scores count them.
        """
        self.requested[: len(wanted), row] += sign * wanted
        self.nonzero[:, row] += sign * scored
        self.usage_log.append(row)

    def resource_id(self, name: str) -> int:
        """The index of a resource; a new one gets a column of zeros."""
        index = self._resource_ids.get(name)
        if index is None:
            index = self._resource_ids[name] = len(self._resource_ids)
            zeros = np.zeros((1, self._capacity), np.int64)
            self.allocatable = np.vstack((self.allocatable, zeros))
            self.requested = np.vstack((self.requested, zeros))
        return index

    @property
    def resource_names(self) -> list[str]:
        """Names by index."""
        return list(self._resource_ids)

    def vector(self, wanted: Mapping[str, int]) -> Ints:
        """Amounts as one array over resources, with 1 for the pod itself."""
        ids = [(self.resource_id(name), amount) for name, amount in wanted.items()]
        vector: Ints = np.zeros(len(self._resource_ids), np.int64)
        for index, amount in ids:
            vector[index] = amount
        vector[PODS] = 1
        return vector

    def label_column(self, key: str) -> LabelColumn:
        """The column of a label key, made when first asked for."""
        column = self._label_columns.get(key)
        if column is None:
            column = self._label_columns[key] = LabelColumn(self._capacity)
            for row, shape in enumerate(self.shapes):
                if shape is not None:
                    column.put(row, shape.labels.get(key))
        return column

    def name(self, row: int) -> str:
        """The node of a row."""
        shape = self.shapes[row]
        assert shape is not None, f"row {row} is free"
        return shape.name

    def _take_row(self) -> int:
        if self._free:
            return self._free.pop()
        if self.high == self._capacity:
            self._grow()
        self.shapes.append(None)
        self.high += 1
        return self.high - 1

    def _grow(self) -> None:
        more = self._capacity
        self._capacity *= 2
        self.alive = np.concatenate((self.alive, np.zeros(more, np.bool_)))
        self.unschedulable = np.concatenate((self.unschedulable, np.zeros(more, np.bool_)))
        self.taints = np.concatenate((self.taints, np.zeros(more, np.int32)))
        block = np.zeros((len(self._resource_ids), more), np.int64)
        self.allocatable = np.hstack((self.allocatable, block))
        self.requested = np.hstack((self.requested, block))
        self.nonzero = np.hstack((self.nonzero, np.zeros((2, more), np.int64)))
        for column in self._label_columns.values():
            column.ids = np.concatenate((column.ids, np.zeros(more, np.int32)))

    def _write(self, row: int, shape: NodeShape) -> None:
        self.unschedulable[row] = shape.unschedulable
        taint_id = self._taint_ids.setdefault(shape.taints, len(self._taint_ids))
        if taint_id == len(self.taint_lists):
            self.taint_lists.append(shape.taints)
        self.taints[row] = taint_id
        self.allocatable[:, row] = 0
        for name, amount in shape.allocatable.items():
            index = self.resource_id(name)  # before the subscript: it may replace the array
            self.allocatable[index, row] = amount
        for key, column in self._label_columns.items():
            column.put(row, shape.labels.get(key))
