"""Why a pod fits nowhere, in upstream's words.

Texts are those of kube-scheduler `framework/types.go` (FitError), the plugins' `ErrReason...`
constants, and `framework/preemption`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ekslab.kube.api.placement import untolerated
from ekslab.kube.scheduler.columns import PODS, Flags
from ekslab.kube.scheduler.state import ClusterState
from ekslab.kube.scheduler.templates import Template

NO_NODES: Final = "no nodes available to schedule pods"
_HARD_EFFECTS: Final = ("NoSchedule", "NoExecute")
_POD_AFFINITY: Final = {
    "affinity": ("node(s) didn't match pod affinity rules", False),
    "anti": ("node(s) didn't match pod anti-affinity rules", True),
    "existing": ("node(s) didn't satisfy existing pods anti-affinity rules", True),
}


@dataclass(slots=True)
class Diagnosis:
    """Reasons by count, the plugins that rejected, and the rows where preemption might help."""

    node_count: int
    reasons: Counter[str] = field(default_factory=Counter)
    plugins: dict[str, int] = field(default_factory=dict)
    resolvable: list[int] = field(default_factory=list)
    prefilter: str = ""

    def message(self, preemption: str = "") -> str:
        """`0/3 nodes are available: 1 Insufficient cpu, 2 ...`, and what preemption said."""
        if not self.node_count and not self.prefilter:
            return NO_NODES
        text = f"0/{self.node_count} nodes are available"
        if self.prefilter:
            text += f": {self.prefilter}."
        elif self.reasons:
            text += ": " + counted(self.reasons) + "."
        return f"{text} preemption: {preemption}" if preemption else text


def counted(reasons: Mapping[str, int]) -> str:
    """`2 this, 1 that`, sorted as upstream sorts: as text."""
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))


def diagnose(state: ClusterState, template: Template) -> Diagnosis:
    """Judge every node by every filter, in order; the first that rejects gives the reason."""
    columns, evaluator = state.columns, state.evaluator
    found = Diagnosis(columns.count)
    judgement = evaluator.judgement(template)
    static = judgement.static
    left = columns.alive[: columns.high].copy()

    def reject(plugin: str, rows: Flags, why: Callable[[int], list[str]], *, helps: bool) -> None:
        nonlocal left
        for row in np.flatnonzero(left & rows):
            found.reasons.update(why(int(row)))
            found.plugins[plugin] = found.plugins.get(plugin, 0) + 1
            if helps:
                found.resolvable.append(int(row))
        left = left & ~rows

    def say(text: str) -> Callable[[int], list[str]]:
        return lambda _row: [text]

    if template.pinned is not None:
        rows = [columns.row_of[name] for name in template.pinned if name in columns.row_of]
        others = np.ones(len(left), np.bool_)
        others[rows] = False
        reject("NodeAffinity", others, say(_NOT_PINNED), helps=False)
    reject("NodeUnschedulable", ~static.schedulable, say("node(s) were unschedulable"), helps=False)
    reject(
        "TaintToleration",
        ~static.tolerated,
        lambda row: [_taint_reason(state, template, row)],
        helps=False,
    )
    reject("NodeAffinity", ~static.selected, say(_NOT_SELECTED), helps=False)
    if template.ports:
        reject("NodePorts", ~evaluator.ports_free(template), say(_NO_PORTS), helps=True)
    _reject_misfits(state, template, left, found)
    left = left & (judgement.local >= 0)
    for missing, full in evaluator.spread_filters(template, judgement):
        reject("PodTopologySpread", missing, say(_NO_SPREAD_LABEL), helps=False)
        reject("PodTopologySpread", full, say(_SPREAD), helps=True)
    for rule, rejects in evaluator.affinity_filters(template).items():
        text, helps = _POD_AFFINITY[rule]
        reject("InterPodAffinity", rejects, say(text), helps=helps)
    return found


_NOT_PINNED: Final = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
_NOT_SELECTED: Final = "node(s) didn't match Pod's node affinity/selector"
_NO_PORTS: Final = "node(s) didn't have free ports for the requested pod ports"
_SPREAD: Final = "node(s) didn't match pod topology spread constraints"
_NO_SPREAD_LABEL: Final = f"{_SPREAD} (missing required label)"


def _taint_reason(state: ClusterState, template: Template, row: int) -> str:
    taints = state.columns.taint_lists[state.columns.taints[row]]
    taint = untolerated(taints, template.tolerations, _HARD_EFFECTS)
    return f"node(s) had untolerated taint {taint}"


def _reject_misfits(state: ClusterState, template: Template, left: Flags, found: Diagnosis) -> None:
    columns = state.columns
    wanted = columns.vector(template.requests)
    names = columns.resource_names
    for row in np.flatnonzero(left):
        free = columns.allocatable[:, row] - columns.requested[:, row]
        short = [int(index) for index in np.flatnonzero((wanted > 0) & (free < wanted))]
        if not short:
            continue
        found.reasons.update(
            "Too many pods" if index == PODS else f"Insufficient {names[index]}" for index in short
        )
        found.plugins["NodeResourcesFit"] = found.plugins.get("NodeResourcesFit", 0) + 1
        # More than the whole node has cannot be helped by evicting anybody.
        if all(columns.allocatable[index, row] >= wanted[index] for index in short):
            found.resolvable.append(int(row))
