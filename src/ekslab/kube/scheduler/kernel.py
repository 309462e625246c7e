"""Filters and scores over the columns: pure functions of arrays, integers in and out.

Arrays run over nodes; `rows` variants see a part of them. Scores are 0..100 as upstream's, before
the plugin's weight. Sources: kube-scheduler `framework/plugins/{noderesources,podtopologyspread,
interpodaffinity,tainttoleration,nodeaffinity}`. Where upstream computes with floats (balanced
allocation, the logarithm of topology spread) we use fixed point, so that a decision is the same
on every machine; scores may differ from upstream's by one.
"""

from collections.abc import Sequence
from math import log
from typing import Final

import numpy as np

from ekslab.kube.scheduler.columns import CPU, MEMORY, Flags, Ids, Ints

MAX_SCORE: Final = 100
WEIGHT_TAINTS: Final = 3
WEIGHT_NODE_AFFINITY: Final = 2
WEIGHT_SPREAD: Final = 2
WEIGHT_POD_AFFINITY: Final = 2
_FRACTION: Final = 10_000
_FIXED_BITS: Final = 10
_FIXED_POINT: Final = 1 << _FIXED_BITS
INFEASIBLE: Final = -1


def fits(allocatable: Ints, requested: Ints, wanted: Ints) -> Flags:
    """NodeResourcesFit: nodes with room for every resource the pod wants (`wanted[i] > 0`).

    `allocatable` and `requested` are resources x nodes, `wanted` one amount a resource.
    """
    ids = np.flatnonzero(wanted)
    free = allocatable[ids] - requested[ids]
    room: Flags = np.all(free >= wanted[ids, None], axis=0)
    return room


def least_allocated(allocatable: Ints, nonzero: Ints, scored: Ints) -> Ints:
    """NodeResourcesFit, LeastAllocated: the emptier the better, mean over cpu and memory."""
    capacity = allocatable[CPU : MEMORY + 1]
    used = nonzero + scored[:, None]
    room = np.maximum(capacity - used, 0)
    shares = room * MAX_SCORE // np.maximum(capacity, 1)
    weights = (capacity > 0).sum(axis=0)
    score: Ints = shares.sum(axis=0) // np.maximum(weights, 1)
    return score


def balanced_allocation(allocatable: Ints, requested: Ints, wanted: Ints) -> Ints:
    """NodeResourcesBalancedAllocation: cpu and memory used to like fractions score high."""
    capacity = allocatable[CPU : MEMORY + 1]
    used = requested[CPU : MEMORY + 1] + wanted[CPU : MEMORY + 1, None]
    fractions = np.minimum(used * _FRACTION // np.maximum(capacity, 1), _FRACTION)
    deviation = np.abs(fractions[CPU] - fractions[MEMORY]) // 2
    deviation[(capacity == 0).any(axis=0)] = 0
    score: Ints = (_FRACTION - deviation) * MAX_SCORE // _FRACTION
    return score


def local_scores(
    allocatable: Ints, requested: Ints, nonzero: Ints, wanted: Ints, scored: Ints
) -> Ints:
    """What a node's own usage says of it: `INFEASIBLE` without room, else the two scores' sum."""
    total = least_allocated(allocatable, nonzero, scored)
    if wanted[CPU] or wanted[MEMORY]:
        total += balanced_allocation(allocatable, requested, wanted)
    total[~fits(allocatable, requested, wanted)] = INFEASIBLE
    return total


def local_score_of_one(  # a scalar twin of `local_scores`: repairing one row must cost ~2 us
    allocatable: Sequence[int],
    requested: Sequence[int],
    nonzero: Sequence[int],
    wanted: Sequence[int],
    scored: Sequence[int],
) -> int:
    """`local_scores` of one node, in plain integers."""
    for capacity, used, need in zip(allocatable, requested, wanted, strict=False):
        if need and capacity - used < need:
            return INFEASIBLE
    shares = weights = 0
    for capacity, used, need in zip(allocatable, nonzero, scored, strict=False):
        if capacity > 0:
            shares += max(capacity - used - need, 0) * MAX_SCORE // capacity
            weights += 1
    total = shares // weights if weights else 0
    if not (wanted[CPU] or wanted[MEMORY]):
        return total
    deviation = 0
    if allocatable[CPU] and allocatable[MEMORY]:
        cpu, memory = (
            min((requested[index] + wanted[index]) * _FRACTION // allocatable[index], _FRACTION)
            for index in (CPU, MEMORY)
        )
        deviation = abs(cpu - memory) // 2
    return total + (_FRACTION - deviation) * MAX_SCORE // _FRACTION


def spread_room(
    ids: Ids, counts: Ints, domains: Flags, *, max_skew: int, min_domains: int, self_match: int
) -> Flags:
    """PodTopologySpread, hard: nodes whose domain may take one more.

    `ids` is each node's domain, `counts` and `domains` run over domains: matching pods, and
    whether the domain exists among eligible nodes. Nodes without the label (domain 0) never pass.
    """
    present = counts[domains]
    least = int(present.min()) if len(present) >= max(min_domains, 1) else 0
    passes: Flags = counts + self_match - least <= max_skew
    passes[0] = False
    room: Flags = passes.take(ids)
    return room


def spread_weight(domain_count: int) -> int:
    """PodTopologySpread's weight of a term, in 1/1024: the logarithm of its domains plus two."""
    return round(log(domain_count + 2) * _FIXED_POINT)


def spread_score(total: Ints, feasible: Flags, ignored: Flags | None) -> Ints:
    """PodTopologySpread, soft: sums of `count * weight + skew - 1` in 1/1024, made 0..100.

    The fewest matching pods score highest; `ignored` nodes lack a topology label and score 0.
    """
    rounded = (total + _FIXED_POINT // 2) >> _FIXED_BITS
    judged = feasible if ignored is None else feasible & ~ignored
    everywhere = bool(judged.all())
    chosen = rounded if everywhere else rounded[judged]
    if not len(chosen):
        return np.zeros(len(total), np.int64)
    least, most = int(chosen.min()), int(chosen.max())
    if most == 0:
        scores = np.full(len(total), MAX_SCORE, np.int64)
    elif everywhere and most - least < len(total):
        # Few distinct values: dividing those is cheaper than dividing for every node.
        table = MAX_SCORE * (most - np.arange(most - least + 1)) // most
        scores = table.take(rounded - least)
    else:
        scores = MAX_SCORE * (most + least - rounded) // most
    if ignored is not None:
        scores[ignored] = 0
    return scores


def spread_term_total(counts: Ints, weight: int, max_skew: int) -> Ints:
    """One soft term's share of `spread_score`, for counts by node or by domain, in 1/1024."""
    return counts * weight + (max_skew - 1) * _FIXED_POINT


def normalized(raw: Ints, feasible: Flags) -> Ints:
    """Upstream's `DefaultNormalizeScore`: 0..100 by the largest among feasible nodes."""
    most = int(raw[feasible].max(initial=0))
    return raw * MAX_SCORE // most if most else raw


def reversed_normalized(raw: Ints, feasible: Flags) -> Ints:
    """The same, with the largest scoring 0."""
    most = int(raw[feasible].max(initial=0))
    return MAX_SCORE - raw * MAX_SCORE // most if most else np.full_like(raw, MAX_SCORE)


def spanned(raw: Ints, feasible: Flags) -> Ints:
    """InterPodAffinity's normalization: 0..100 between the least and the most; may be negative raw.

    Nodes that are not feasible get values without meaning.
    """
    chosen = raw[feasible]
    if not len(chosen):
        return np.zeros_like(raw)
    least, most = int(chosen.min()), int(chosen.max())
    if most == least:
        return np.zeros_like(raw)
    return (raw - least) * MAX_SCORE // (most - least)


def best_rows(scores: Ints) -> Ints:
    """Rows with the best score, lowest first; empty if all are infeasible."""
    if not len(scores):
        return np.zeros(0, np.int64)
    best = scores.max()
    if best < 0:
        return np.zeros(0, np.int64)
    return np.flatnonzero(scores == best)
