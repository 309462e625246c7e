"""Which nodes a template fits and how well: kernel results, kept per template and repaired by row.

A `Judgement` holds, for one template, what follows from node shapes alone (`Static`) and from each
node's own usage (`local`). Both are repaired for the rows the logs of `columns` name. What depends
on the whole cluster (spread, pod affinity, normalized scores) is computed anew for each pod, and
only for templates that have it. Order of filters is upstream's default plugin order.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ekslab.kube.api.placement import untolerated
from ekslab.kube.scheduler import kernel
from ekslab.kube.scheduler.columns import ABSENT, Flags, Ints, LabelColumn, NodeColumns
from ekslab.kube.scheduler.counting import Held, PodCounts, Tally
from ekslab.kube.scheduler.ports import HostPorts
from ekslab.kube.scheduler.templates import HOSTNAME, SpreadTerm, Template

_JUDGEMENTS_MOST: Final = 512
_ONE_BY_ONE_MOST: Final = 32
_HARD_EFFECTS: Final = ("NoSchedule", "NoExecute")
_UNSCHEDULABLE_KEY: Final = "node.kubernetes.io/unschedulable"


@dataclass(slots=True)
class Static:
    """What node shapes say to a template, by row. `dislikes` counts untolerated soft taints."""

    schedulable: Flags
    tolerated: Flags
    selected: Flags
    dislikes: Ints
    preference: Ints

    @property
    def passes(self) -> Flags:
        """Nodes no shape filter rejects."""
        return self.schedulable & self.tolerated & self.selected


@dataclass(slots=True)
class Judgement:
    """Everything kept for one template."""

    wanted: Ints
    scored: Ints
    wanted_list: list[int]
    scored_list: list[int]
    static: Static
    passes: Flags
    local: Ints
    shape_position: int
    usage_position: int
    has_dislikes: bool = False
    has_preference: bool = False
    all_selected: bool = False
    all_tolerated: bool = False


class Evaluator:
    """Judges templates against the cluster's state."""

    def __init__(self, columns: NodeColumns, counts: PodCounts, ports: HostPorts) -> None:
        self._columns = columns
        self._counts = counts
        self._ports = ports
        self._judgements: OrderedDict[Template, Judgement] = OrderedDict()
        self._held: OrderedDict[Template, tuple[int, list[Held]]] = OrderedDict()

    def scores(self, template: Template) -> Ints:
        """Total score by row, `kernel.INFEASIBLE` where the pod cannot run. Read only."""
        judgement = self.judgement(template)
        feasible = self.feasible(template, judgement)
        if feasible is None:
            if not judgement.has_dislikes and not judgement.has_preference:
                return judgement.local
            feasible = judgement.local >= 0
        if not feasible.any():
            return np.full(len(feasible), kernel.INFEASIBLE, np.int64)
        static = judgement.static
        total = judgement.local.copy()
        if judgement.has_dislikes:
            total += kernel.WEIGHT_TAINTS * kernel.reversed_normalized(static.dislikes, feasible)
        if judgement.has_preference:
            total += kernel.WEIGHT_NODE_AFFINITY * kernel.normalized(static.preference, feasible)
        if any(not term.hard for term in template.spread):
            total += kernel.WEIGHT_SPREAD * self._spread_score(template, feasible)
        if template.terms.preferred or any(not held.is_anti for held in self.held(template)):
            total += kernel.WEIGHT_POD_AFFINITY * self._affinity_score(template, feasible)
        if not feasible.all():
            total[~feasible] = kernel.INFEASIBLE
        return total

    def best_rows(self, template: Template) -> Ints:
        """Rows with the best score, lowest first; empty if the pod fits nowhere.

        A pod that can only go to one node, as every daemon pod, is not compared with the others
        (upstream: PreFilterResult of NodeAffinity).
        """
        if template.pinned is not None and len(template.pinned) == 1 and not template.terms:
            row = self._columns.row_of.get(next(iter(template.pinned)))
            if row is not None and self._fits_alone(template, row):
                return np.array([row])
        return kernel.best_rows(self.scores(template))

    def _fits_alone(self, template: Template, row: int) -> bool:
        """Whether one row passes every filter, where none looks at other rows."""
        if any(term.hard for term in template.spread) or self.held(template):
            return False
        if row in self._ports.taken_rows(template.ports):
            return False
        if not self.static(template, np.array([row])).passes[0]:
            return False
        wanted = self._columns.vector(template.requests).tolist()
        return self._local_score(row, wanted, template.scored) >= 0

    def feasible(self, template: Template, judgement: Judgement) -> Flags | None:
        """Rows that pass all filters; None if only `judgement.local` decides."""
        soft_or_hard = bool(template.spread) or bool(template.terms) or bool(self.held(template))
        if not soft_or_hard and not template.ports:
            return None
        feasible = judgement.local >= 0
        if template.ports:
            feasible &= self.ports_free(template)
        for missing, full in self.spread_filters(template, judgement):
            feasible &= ~missing & ~full
        for rejects in self.affinity_filters(template).values():
            feasible &= ~rejects
        return feasible

    def is_feasible(self, template: Template, row: int) -> bool:
        """Whether one row passes all filters."""
        judgement = self.judgement(template)
        if judgement.local[row] < 0:
            return False
        feasible = self.feasible(template, judgement)
        return feasible is None or bool(feasible[row])

    def ports_free(self, template: Template) -> Flags:
        """NodePorts: rows where none of the host ports is taken."""
        free: Flags = np.ones(self._columns.high, np.bool_)
        free[self._ports.taken_rows(template.ports)] = False
        return free

    def spread_filters(self, template: Template, judgement: Judgement) -> list[tuple[Flags, Flags]]:
        """Per hard constraint: rows without its label, and rows that would skew too much."""
        hard = [term for term in template.spread if term.hard]
        if not hard:
            return []
        high = self._columns.high
        columns = [self._columns.label_column(term.topology_key) for term in hard]
        everywhere = all(column.has_label == self._columns.count for column in columns)
        found: list[tuple[Flags, Flags]] = []
        for term, column in zip(hard, columns, strict=True):
            ids = column.ids[:high]
            tally = self._counts.tally(term.matchers, counts_leaving=False)
            if everywhere and _counts_everywhere(term, judgement):
                sums = tally.by_domain(term.topology_key)
                domains = column.nodes_with[: column.size] > 0
            else:
                counted = self._counted(term, judgement)
                for other in columns:
                    counted = counted & (other.ids[:high] != ABSENT)
                rows = tally.by_row()[counted]
                sums = np.bincount(ids[counted], rows, column.size).astype(np.int64)
                domains = np.bincount(ids[counted], minlength=column.size) > 0
            room = kernel.spread_room(
                ids,
                sums,
                domains,
                max_skew=term.max_skew,
                min_domains=term.min_domains,
                self_match=int(term.matches_self),
            )
            found.append((ids == ABSENT, ~room))
        return found

    def affinity_filters(self, template: Template) -> dict[str, Flags]:
        """InterPodAffinity: rows rejected by rule (`affinity`, `anti`, `existing`), in order."""
        terms, found = template.terms, dict[str, Flags]()
        if terms.affinity:
            found["affinity"] = self._affinity_rejects(template)
        if terms.anti_affinity:
            found["anti"] = self._any_in_domain(
                (term.topology_key, self._counts.tally((term.matcher,), counts_leaving=True))
                for term in terms.anti_affinity
            )
        against = [held for held in self.held(template) if held.is_anti and held.tally.total]
        if against:
            found["existing"] = self._any_in_domain(
                (held.term.topology_key, held.tally) for held in against
            )
        return found

    def held(self, template: Template) -> list[Held]:
        """Terms of running pods that speak of this template."""
        version = self._counts.held_version
        known = self._held.get(template)
        if known is not None and known[0] == version:
            return known[1]
        held = self._counts.held_against(template)
        self._held[template] = (version, held)
        if len(self._held) > _JUDGEMENTS_MOST:
            self._held.popitem(last=False)
        return held

    def forget_all(self) -> None:
        """Drop every judgement."""
        self._judgements.clear()
        self._held.clear()

    def judgement(self, template: Template) -> Judgement:
        """The current judgement of a template: repaired, or made."""
        known = self._judgements.get(template)
        if known is not None and self._repair(template, known):
            return known
        known = self._judge(template)
        self._judgements[template] = known
        if len(self._judgements) > _JUDGEMENTS_MOST:
            self._judgements.popitem(last=False)
        return known

    def static(self, template: Template, rows: Ints) -> Static:
        """Judge the shapes of some rows."""
        columns = self._columns
        lists = columns.taint_lists
        ids = columns.taints[rows]
        hard: Flags = np.zeros(len(lists), np.bool_)
        soft: Ints = np.zeros(len(lists), np.int64)
        for index in np.unique(ids):
            hard[index] = untolerated(lists[index], template.tolerations, _HARD_EFFECTS) is None
            soft[index] = sum(
                untolerated((taint,), template.tolerations, ("PreferNoSchedule",)) is not None
                for taint in lists[index]
            )
        bears = any(
            one.operator == "Exists" and one.key in ("", _UNSCHEDULABLE_KEY)
            and one.effect in ("", "NoSchedule")
            for one in template.tolerations
        )  # fmt: skip
        return Static(
            schedulable=columns.alive[rows] & (bears | ~columns.unschedulable[rows]),
            tolerated=hard[ids],
            selected=self._selected(template, rows),
            dislikes=soft[ids],
            preference=self._preference(template, rows),
        )

    def _selected(self, template: Template, rows: Ints) -> Flags:
        selection = template.selection
        if selection.is_trivial:
            return np.ones(len(rows), np.bool_)
        chosen = np.zeros(len(rows), np.bool_)
        for place, row in enumerate(rows.tolist()):
            shape = self._columns.shapes[row]
            if shape is None or (template.pinned is not None and shape.name not in template.pinned):
                continue
            chosen[place] = selection.matches(shape.labels, shape.name)
        return chosen

    def _preference(self, template: Template, rows: Ints) -> Ints:
        weights: Ints = np.zeros(len(rows), np.int64)
        if not template.preferred:
            return weights
        for place, row in enumerate(rows):
            shape = self._columns.shapes[row]
            if shape is not None:
                weights[place] = sum(
                    weight
                    for weight, term in template.preferred
                    if term.matches(shape.labels, shape.name)
                )
        return weights

    def _judge(self, template: Template) -> Judgement:
        columns = self._columns
        wanted = columns.vector(template.requests)
        scored: Ints = np.array(template.scored, np.int64)
        static = self.static(template, np.arange(columns.high))
        passes = static.passes
        local = self._local(passes, wanted, scored)
        judgement = Judgement(
            wanted=wanted,
            scored=scored,
            wanted_list=wanted.tolist(),
            scored_list=scored.tolist(),
            static=static,
            passes=passes,
            local=local,
            shape_position=columns.shape_log.position,
            usage_position=columns.usage_log.position,
        )
        self._summarize(judgement)
        return judgement

    def _summarize(self, known: Judgement) -> None:
        static, gone = known.static, ~self._columns.alive[: len(known.passes)]
        known.has_dislikes = bool(static.dislikes.any())
        known.has_preference = bool(static.preference.any())
        known.all_selected = bool((static.selected | gone).all())
        known.all_tolerated = bool((static.tolerated | gone).all())

    def _local(self, passes: Flags, wanted: Ints, scored: Ints) -> Ints:
        columns, high, kinds = self._columns, self._columns.high, len(wanted)
        local = kernel.local_scores(
            columns.allocatable[:kinds, :high],
            columns.requested[:kinds, :high],
            columns.nonzero[:, :high],
            wanted,
            scored,
        )
        local[~passes] = kernel.INFEASIBLE
        return local

    def _repair(self, template: Template, known: Judgement) -> bool:
        columns = self._columns
        if len(known.local) != columns.high:
            return False
        shapes = columns.shape_log.since(known.shape_position)
        if shapes is None:
            return False
        if shapes:
            self._repair_shapes(template, known, sorted(set(shapes)))
        known.shape_position = columns.shape_log.position
        rows = columns.usage_log.since(known.usage_position)
        known.usage_position = columns.usage_log.position
        if rows is None or len(rows) > _ONE_BY_ONE_MOST:
            known.local = self._local(known.passes, known.wanted, known.scored)
        else:
            for row in rows:
                self._rescore(known, row)
        return True

    def _repair_shapes(self, template: Template, known: Judgement, rows: list[int]) -> None:
        index = np.array(rows)
        fresh, kept = self.static(template, index), known.static
        kept.schedulable[index] = fresh.schedulable
        kept.tolerated[index] = fresh.tolerated
        kept.selected[index] = fresh.selected
        kept.dislikes[index] = fresh.dislikes
        kept.preference[index] = fresh.preference
        known.passes[index] = fresh.passes
        self._summarize(known)
        for row in rows:
            self._rescore(known, row)

    def _rescore(self, known: Judgement, row: int) -> None:
        if not known.passes[row]:
            known.local[row] = kernel.INFEASIBLE
            return
        known.local[row] = self._local_score(row, known.wanted_list, known.scored_list)

    def _local_score(self, row: int, wanted: Sequence[int], scored: Sequence[int]) -> int:
        columns = self._columns
        return kernel.local_score_of_one(
            columns.allocatable[:, row].tolist(),
            columns.requested[:, row].tolist(),
            columns.nonzero[:, row].tolist(),
            wanted,
            scored,
        )

    def _counted(self, term: SpreadTerm, judgement: Judgement) -> Flags:
        """Rows whose pods count for a spread term, by its inclusion policies."""
        counted = self._columns.alive[: self._columns.high]
        if term.honor_affinity:
            counted = counted & judgement.static.selected
        if term.honor_taints:
            counted = counted & judgement.static.tolerated
        return counted

    def _spread_score(self, template: Template, feasible: Flags) -> Ints:
        soft = [term for term in template.spread if not term.hard]
        judgement = self._judgements[template]
        high = self._columns.high
        columns = [self._columns.label_column(term.topology_key) for term in soft]
        ignored: Flags | None = None
        if not template.spread_is_default:
            ignored = np.logical_or.reduce([column.ids[:high] == ABSENT for column in columns])
        judged = feasible if ignored is None else feasible & ~ignored
        total: Ints = np.zeros(high, np.int64)
        for term, column in zip(soft, columns, strict=True):
            tally = self._counts.tally(term.matchers, counts_leaving=False)
            ids = column.ids[:high]
            if term.topology_key == HOSTNAME:
                weight = kernel.spread_weight(int(judged.sum()))
                share = kernel.spread_term_total(tally.by_row(), weight, term.max_skew)
            else:
                weight = kernel.spread_weight(self._domain_count(column, judged))
                sums = self._sums(term, judgement, tally)
                share = kernel.spread_term_total(sums, weight, term.max_skew).take(ids)
            if column.has_label != self._columns.count:
                share[ids == ABSENT] = 0
            total += share
        return kernel.spread_score(total, feasible, ignored)

    def _sums(self, term: SpreadTerm, judgement: Judgement, tally: Tally) -> Ints:
        if _counts_everywhere(term, judgement):
            return tally.by_domain(term.topology_key)
        counted = self._counted(term, judgement)
        column = self._columns.label_column(term.topology_key)
        ids = column.ids[: len(counted)][counted]
        return np.bincount(ids, tally.by_row()[counted], column.size).astype(np.int64)

    def _domain_count(self, column: LabelColumn, judged: Flags) -> int:
        if judged.all():
            return column.domain_count
        present = np.bincount(column.ids[: len(judged)][judged], minlength=column.size) > 0
        present[ABSENT] = False
        return int(present.sum())

    def _affinity_score(self, template: Template, feasible: Flags) -> Ints:
        high = self._columns.high
        raw: Ints = np.zeros(high, np.int64)
        for term in template.terms.preferred:
            tally = self._counts.tally((term.matcher,), counts_leaving=True)
            raw += term.weight * self._spread_over(
                tally.by_domain(term.topology_key), term.topology_key
            )
        for held in self.held(template):
            if not held.is_anti and held.tally.total:
                key = held.term.topology_key
                raw += held.term.weight * self._spread_over(held.tally.by_domain(key), key)
        return kernel.spanned(raw, feasible)

    def _spread_over(self, sums: Ints, key: str) -> Ints:
        return sums.take(self._columns.label_column(key).ids[: self._columns.high])

    def _affinity_rejects(self, template: Template) -> Flags:
        terms = template.terms.affinity
        high = self._columns.high
        tally = self._counts.tally(tuple(term.matcher for term in terms), counts_leaving=True)
        missing: Flags = np.zeros(high, np.bool_)
        empty: Flags = np.zeros(high, np.bool_)
        nowhere = True
        for key in dict.fromkeys(term.topology_key for term in terms):
            ids = self._columns.label_column(key).ids[:high]
            sums = tally.by_domain(key)
            missing |= ids == ABSENT
            empty |= (sums == 0).take(ids)
            nowhere = nowhere and not sums.any()
        if nowhere and self._matches_itself(template):
            # The first pod of a group that wants its own company may go anywhere.
            return missing
        return missing | empty

    def _matches_itself(self, template: Template) -> bool:
        return all(self._counts.matches(term.matcher, template) for term in template.terms.affinity)

    def _any_in_domain(self, pairs: Iterable[tuple[str, Tally]]) -> Flags:
        rejects: Flags = np.zeros(self._columns.high, np.bool_)
        for key, tally in pairs:
            if tally.total:
                ids = self._columns.label_column(key).ids[: self._columns.high]
                rejects |= (tally.by_domain(key) > 0).take(ids)
        return rejects


def _counts_everywhere(term: SpreadTerm, judgement: Judgement) -> bool:
    """Whether the inclusion policies of a term leave no node out."""
    return (not term.honor_affinity or judgement.all_selected) and (
        not term.honor_taints or judgement.all_tolerated
    )
