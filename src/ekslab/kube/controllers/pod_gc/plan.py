"""Which pods to sweep away. Pure. Rules of upstream `pkg/controller/podgc/gc_controller.go`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from ekslab.kit.clock import rfc3339
from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.pods import PodFacts

TERMINATED_MOST: Final = 12_500
"""Ended pods that are kept (upstream: --terminated-pod-gc-threshold)."""

QUARANTINE_S: Final = 40.0
"""How long a node must be missing before its pods are swept."""


def terminated(pods: Sequence[PodFacts]) -> list[PodFacts]:
    """The oldest of the ended pods, beyond those that are kept."""
    ended = [pod for pod in pods if pod.is_terminal]
    surplus = len(ended) - TERMINATED_MOST
    if surplus <= 0:
        return []
    return sorted(ended, key=lambda pod: (pod.created_s, pod.name))[:surplus]


def unbound_and_ending(pods: Sequence[PodFacts]) -> list[PodFacts]:
    """Pods that were deleted before they had a node: no kubelet ends them."""
    return [pod for pod in pods if pod.is_deleting and not pod.node_name]


def orphaned(
    pods: Sequence[PodFacts],
    nodes: Collection[str],
    missing_since: Mapping[str, float],
    now_s: float,
) -> list[PodFacts]:
    """Pods of nodes that have been missing for the quarantine."""
    return [
        pod
        for pod in pods
        if pod.node_name
        and pod.node_name not in nodes
        and now_s - missing_since.get(pod.node_name, now_s) >= QUARANTINE_S
    ]


def failed_status(pod: Object, now_s: float) -> Object:
    """The status of a pod whose node is gone, as it is written before the pod is deleted."""
    others = [
        one
        for one in (pod.get("status") or {}).get("conditions") or ()
        if one["type"] != "DisruptionTarget"
    ]
    told = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastTransitionTime": rfc3339(now_s),
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
    }
    return {"phase": "Failed", "conditions": [*others, told]}
