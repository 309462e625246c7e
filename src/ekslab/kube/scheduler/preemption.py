"""Which pods must go so that a more important one can run.

Upstream: kube-scheduler `framework/preemption` and `defaultpreemption`. On each node where it can
help, all less important pods are taken away in thought; if the pod fits then, they are given back
one by one, the most important first, as long as it still fits. Of the nodes left, the one whose
victims matter least is chosen.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from ekslab.kube.scheduler.diagnosis import Diagnosis, counted
from ekslab.kube.scheduler.state import ClusterState, Placed
from ekslab.kube.scheduler.templates import Template

_CANDIDATES_MOST: Final = 64
NOT_HELPFUL: Final = "Preemption is not helpful for scheduling"
NO_VICTIMS: Final = "No preemption victims found for incoming pod"
NEVER: Final = "not eligible due to preemptionPolicy=Never."
WAITS: Final = "not eligible due to a terminating pod on the nominated node."


@dataclass(frozen=True, slots=True)
class Preemption:
    """The outcome: victims on a node, or (empty node) why none, in upstream's words."""

    node: str = ""
    victims: tuple[Placed, ...] = ()
    message: str = ""


def preempt(
    state: ClusterState, template: Template, diagnosis: Diagnosis, *, nominated: str = ""
) -> Preemption:
    """Choose victims for a pod that fits nowhere. The state is as before when this returns."""
    if not template.preempts:
        return Preemption(message=NEVER)
    if nominated and any(
        pod.leaving and pod.template.priority < template.priority
        for pod in state.pods_on(nominated)
    ):
        return Preemption(message=WAITS)
    candidates: list[tuple[str, tuple[Placed, ...]]] = []
    hopeless: Counter[str] = Counter()
    helpful = diagnosis.resolvable
    if diagnosis.node_count > len(helpful):
        hopeless[NOT_HELPFUL] = diagnosis.node_count - len(helpful)
    for row in helpful:
        name = state.columns.name(row)
        victims = _victims(state, template, row, name)
        if victims:
            candidates.append((name, victims))
        else:
            hopeless[NO_VICTIMS] += 1
        if len(candidates) >= _CANDIDATES_MOST:
            break
    if not candidates:
        text = f"0/{diagnosis.node_count} nodes are available: {counted(hopeless)}."
        return Preemption(message=text)
    node, victims = min(candidates, key=lambda candidate: _cost(candidate[1]))
    return Preemption(node, victims)


def _victims(state: ClusterState, template: Template, row: int, name: str) -> tuple[Placed, ...]:
    less = [pod for pod in state.pods_on(name) if pod.template.priority < template.priority]
    if not less:
        return ()
    fits = state.evaluator.is_feasible
    for pod in less:
        state.remove(pod.uid)
    victims: list[Placed] = []
    if fits(template, row):
        for pod in sorted(less, key=lambda pod: (-pod.template.priority, pod.started_s)):
            state.place(pod)
            if not fits(template, row):
                state.remove(pod.uid)
                victims.append(pod)
    for pod in less:
        state.place(pod)
    return tuple(victims)


def _cost(victims: tuple[Placed, ...]) -> tuple[int, int, int, float]:
    """Least first: top priority, sum of priorities, number, then the latest start of the top."""
    priorities = [pod.template.priority for pod in victims]
    top = max(priorities)
    started = min(pod.started_s for pod in victims if pod.template.priority == top)
    return top, sum(priority + 2**31 for priority in priorities), len(victims), -started
