"""How many pods of which kind run where: what topology spread and pod affinity ask.

A `Tally` is one number a row, plus its sums by topology domain, kept as pods come and go. Pods
are grouped by namespace and labels (`PodGroup`), so that a selector is matched once per group and
not once per pod. A tally is made when the first template asks for it and filled from the groups.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ekslab.kube.scheduler.columns import ABSENT, Ints, NodeColumns
from ekslab.kube.scheduler.templates import NamespaceLabels, PodMatcher, PodTerm, Template

_TALLIES_MOST: Final = 4096
HARD_AFFINITY_WEIGHT: Final = 1
"""Upstream `InterPodAffinityArgs.hardPodAffinityWeight`."""


class Tally:
    """Counts by row, and by domain of the topology keys that were asked for."""

    __slots__ = ("_columns", "_sums", "rows", "total")

    def __init__(self, columns: NodeColumns) -> None:
        self._columns = columns
        self._sums: dict[str, tuple[int, Ints]] = {}
        self.rows: Ints = np.zeros(len(columns.alive), np.int64)
        self.total = 0

    def add(self, row: int, amount: int) -> None:
        """Count `amount` more pods on a row."""
        if row >= len(self.rows):
            self._fit()
        self.rows[row] += amount
        self.total += amount
        for key, (version, sums) in self._sums.items():
            column = self._columns.label_column(key)
            if version == column.version and column.ids[row] != ABSENT:
                sums[column.ids[row]] += amount

    def by_row(self) -> Ints:
        """Counts of rows `0..high`. A view: read only."""
        if len(self.rows) < self._columns.high:
            self._fit()
        return self.rows[: self._columns.high]

    def by_domain(self, key: str) -> Ints:
        """Sums by value id of a label key; nodes without it count nowhere. Read only."""
        column = self._columns.label_column(key)
        kept = self._sums.get(key)
        if kept is not None and kept[0] == column.version:
            return kept[1]
        rows = self.by_row()
        sums = np.bincount(column.ids[: len(rows)], rows, column.size).astype(np.int64)
        sums[ABSENT] = 0
        self._sums[key] = (column.version, sums)
        return sums

    def _fit(self) -> None:
        rows = np.zeros(len(self._columns.alive), np.int64)
        rows[: len(self.rows)] = self.rows
        self.rows = rows


@dataclass(slots=True, eq=False)
class PodGroup:
    """Pods of one namespace and one set of labels: how many per row, alive and terminating."""

    namespace: str
    labels: Mapping[str, str]
    alive: dict[int, int] = field(default_factory=dict)
    leaving: dict[int, int] = field(default_factory=dict)
    tallies: list[tuple[Tally, bool]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Held:
    """Pods that themselves hold one affinity term, by row. `weight` 0 is required anti-affinity."""

    term: PodTerm
    tally: Tally
    is_anti: bool


class PodCounts:
    """All tallies of a cluster."""

    def __init__(self, columns: NodeColumns, spaces: NamespaceLabels) -> None:
        self._columns = columns
        self._spaces = spaces
        self._groups: dict[tuple[str, tuple[tuple[str, str], ...]], PodGroup] = {}
        self._tallies: OrderedDict[tuple[bytes, ...], tuple[tuple[PodMatcher, ...], bool, Tally]]
        self._tallies = OrderedDict()
        self._held: dict[tuple[str, bytes, int, bool], Held] = {}
        self.held_version = 0

    def add(self, row: int, template: Template, amount: int, *, leaving: bool) -> None:
        """Count `amount` (1 or -1) pods of a template on a row."""
        group = self._group(template)
        kept = group.leaving if leaving else group.alive
        count = kept.get(row, 0) + amount
        if count:
            kept[row] = count
        else:
            del kept[row]
        for tally, counts_leaving in group.tallies:
            if counts_leaving or not leaving:
                tally.add(row, amount)
        if template.terms:
            for held in self._held_by(template):
                held.tally.add(row, amount)
        if not group.alive and not group.leaving:
            del self._groups[_group_key(template)]

    def tally(self, matchers: tuple[PodMatcher, ...], *, counts_leaving: bool) -> Tally:
        """Pods that all the matchers match; terminating ones too if `counts_leaving`."""
        key = (b"1" if counts_leaving else b"0", *(matcher.key for matcher in matchers))
        known = self._tallies.get(key)
        if known is not None:
            return known[2]
        tally = Tally(self._columns)
        self._tallies[key] = (matchers, counts_leaving, tally)
        for group in self._groups.values():
            self._attach(group, matchers, counts_leaving=counts_leaving, tally=tally)
        if len(self._tallies) > _TALLIES_MOST:
            self._drop_oldest()
        return tally

    def held_against(self, template: Template) -> list[Held]:
        """Terms of running pods that speak of pods like this one."""
        return [held for held in self._held.values() if self.matches(held.term.matcher, template)]

    def matches(self, matcher: PodMatcher, template: Template) -> bool:
        """Whether a matcher means pods like this one."""
        return matcher.matches(template.namespace, template.labels, self._spaces)

    def namespaces_changed(self) -> None:
        """Labels of a namespace changed: match everything anew, when it is asked for."""
        for group in self._groups.values():
            group.tallies.clear()
        self._tallies.clear()
        self.held_version += 1

    def _group(self, template: Template) -> PodGroup:
        key = _group_key(template)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = PodGroup(template.namespace, template.labels)
            for matchers, counts_leaving, tally in self._tallies.values():
                self._attach(group, matchers, counts_leaving=counts_leaving, tally=tally)
        return group

    def _attach(
        self,
        group: PodGroup,
        matchers: tuple[PodMatcher, ...],
        *,
        counts_leaving: bool,
        tally: Tally,
    ) -> None:
        if not all(one.matches(group.namespace, group.labels, self._spaces) for one in matchers):
            return
        group.tallies.append((tally, counts_leaving))
        for row, count in group.alive.items():
            tally.add(row, count)
        if counts_leaving:
            for row, count in group.leaving.items():
                tally.add(row, count)

    def _drop_oldest(self) -> None:
        _, _, tally = self._tallies.popitem(last=False)[1]
        for group in self._groups.values():
            group.tallies = [entry for entry in group.tallies if entry[0] is not tally]

    def _held_by(self, template: Template) -> list[Held]:
        terms = template.terms
        hard = [(term, term.weight, True) for term in terms.anti_affinity]
        soft = [(term, term.weight, False) for term in terms.preferred]
        wanted = [(term, HARD_AFFINITY_WEIGHT, False) for term in terms.affinity]
        return [self._hold(*entry) for entry in (*hard, *soft, *wanted)]

    def _hold(self, term: PodTerm, weight: int, is_anti: bool) -> Held:  # noqa: FBT001 - a table row
        key = (term.topology_key, term.matcher.key, weight, is_anti)
        held = self._held.get(key)
        if held is None:
            if len(self._held) > _TALLIES_MOST:
                self._held = {name: one for name, one in self._held.items() if one.tally.total}
            weighted = PodTerm(term.topology_key, term.matcher, weight)
            held = self._held[key] = Held(weighted, Tally(self._columns), is_anti)
            self.held_version += 1
        return held


def _group_key(template: Template) -> tuple[str, tuple[tuple[str, str], ...]]:
    return template.namespace, tuple(sorted(template.labels.items()))
