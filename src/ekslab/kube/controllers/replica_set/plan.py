"""How many pods to make, which to delete, and what the status says: pure.

Rules of upstream `pkg/controller/replicaset/replica_set.go`, `replica_set_utils.go` and of
`ActivePodsWithRanks` in `pkg/controller/controller_utils.go`.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ekslab.kit.clock import rfc3339
from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.pods import PodFacts

BURST: Final = 500
"""Most pods made or deleted in one reconcile (upstream: BurstReplicas)."""

_DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_RANK: Final = {"Pending": 0, "": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class Plan:
    """Make `create` pods, or delete these."""

    create: int = 0
    delete: tuple[PodFacts, ...] = ()


def plan(
    replicas: int, active: Sequence[PodFacts], related: Iterable[PodFacts], *, now_s: float
) -> Plan:
    """Compare what is wanted with the active pods; at most `BURST` at a time.

    `related` are the active pods of all sets of the same owner: of two equal pods the one whose
    node holds more of them goes first.
    """
    missing = replicas - len(active)
    if missing > 0:
        return Plan(create=min(missing, BURST))
    if missing == 0:
        return Plan()
    surplus = min(-missing, BURST)
    if surplus >= len(active):
        return Plan(delete=tuple(active))
    return Plan(delete=tuple(by_deletion(active, related, now_s=now_s)[:surplus]))


def by_deletion(
    pods: Sequence[PodFacts], related: Iterable[PodFacts], *, now_s: float
) -> list[PodFacts]:
    """Pods in the order in which they may be lost: unbound before bound, not ready before ready,
    cheap before dear, crowded before alone, young before old.
    """
    crowd = Counter(pod.node_name for pod in related)

    def compare(one: PodFacts, two: PodFacts) -> int:
        ranks_one, ranks_two = _ranks(one, crowd), _ranks(two, crowd)
        if ranks_one != ranks_two:
            return -1 if ranks_one < ranks_two else 1
        if one.is_ready and one.ready_since_s != two.ready_since_s:
            return _younger(one, two, one.ready_since_s, two.ready_since_s, now_s)
        if one.restarts != two.restarts:
            return two.restarts - one.restarts
        if one.created_s != two.created_s:
            return _younger(one, two, one.created_s, two.created_s, now_s)
        return 0

    return sorted(pods, key=functools.cmp_to_key(compare))


def _ranks(pod: PodFacts, crowd: Counter[str]) -> tuple[bool, int, bool, int, int]:
    return (
        bool(pod.node_name),
        _PHASE_RANK.get(pod.phase, 0),
        pod.is_ready,
        _deletion_cost(pod),
        -crowd[pod.node_name],
    )


def _deletion_cost(pod: PodFacts) -> int:
    text = (pod.item.object["metadata"].get("annotations") or {}).get(_DELETION_COST, "0")
    try:
        return int(text)
    except ValueError:
        return 0


def _younger(one: PodFacts, two: PodFacts, one_s: float, two_s: float, now_s: float) -> int:
    # Ages count by powers of two (LogarithmicScaleDown), so that it is not always the same zone
    # that loses its pods; within a power the uid decides.
    if not one_s or not two_s:
        return -1 if not one_s else 1
    difference = _magnitude(now_s - one_s) - _magnitude(now_s - two_s)
    if difference == 0:
        return -1 if one.uid < two.uid else 1
    return difference


def _magnitude(age_s: float) -> int:
    return int(math.log2(age_s * 1e9)) if age_s > 0 else -1


def status(
    replica_set: Object, active: Sequence[PodFacts], failure: "Failure | None", *, now_s: float
) -> Object:
    """The status of a set with these active pods; counts of zero are left out as on the wire."""
    spec, old = replica_set["spec"], replica_set.get("status") or {}
    wanted = (spec["template"].get("metadata") or {}).get("labels") or {}
    min_ready_s = spec.get("minReadySeconds", 0)
    ready = [pod for pod in active if pod.is_ready]
    counts = {
        "fullyLabeledReplicas": sum(1 for pod in active if wanted.items() <= pod.labels.items()),
        "readyReplicas": len(ready),
        "availableReplicas": sum(1 for pod in ready if pod.is_available(min_ready_s, now_s)),
        "observedGeneration": replica_set["metadata"].get("generation", 0),
    }
    new: Object = {"replicas": len(active)}
    new.update((key, count) for key, count in counts.items() if count)
    conditions = _conditions(old.get("conditions") or [], failure, now_s)
    if conditions:
        new["conditions"] = conditions
    return new


@dataclass(frozen=True, slots=True)
class Failure:
    """Why pods could not be made (`FailedCreate`) or deleted (`FailedDelete`)."""

    reason: str
    message: str


def _conditions(old: Sequence[Object], failure: Failure | None, now_s: float) -> list[Object]:
    others = [entry for entry in old if entry["type"] != "ReplicaFailure"]
    if failure is None:
        return others
    if len(others) < len(old):
        return list(old)
    return [
        *others,
        {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": rfc3339(now_s),
            "reason": failure.reason,
            "message": failure.message,
        },
    ]


def new_pod(owner: Object, reference: Object, template: Object) -> Object:
    """A pod of the template (upstream: GetPodFromTemplate). `template` is given up."""
    meta = template.get("metadata") or {}
    pod_meta: Object = {
        "generateName": owner["metadata"]["name"] + "-",
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [reference],
    }
    for key in ("labels", "annotations", "finalizers"):
        if meta.get(key):
            pod_meta[key] = meta[key]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_meta, "spec": template["spec"]}
