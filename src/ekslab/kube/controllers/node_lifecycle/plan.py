"""Health of nodes, their taints, and how fast pods may be evicted. Pure.

Rules, names and words of upstream `pkg/controller/nodelifecycle/node_lifecycle_controller.go`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ekslab.kit.clock import rfc3339
from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.pods import condition

MONITOR_PERIOD_S: Final = 5.0
GRACE_S: Final = 50.0
"""How long a node may be silent (upstream: --node-monitor-grace-period, 50 s since 1.32)."""

STARTUP_GRACE_S: Final = 60.0

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
_BY_CONDITION: Final = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
}
_OURS_NO_SCHEDULE: Final = frozenset({*_BY_CONDITION.values(), UNSCHEDULABLE})
_OURS_NO_EXECUTE: Final = frozenset({NOT_READY, UNREACHABLE})
_WATCHED: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")

_UNHEALTHY_FRACTION: Final = 0.55
_LARGE_ZONE: Final = 50
_EVICTIONS_PER_S: Final = 0.1
_EVICTIONS_PER_S_SECONDARY: Final = 0.01


class ZoneState(Enum):
    """How much of a zone is not ready."""

    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


@dataclass(frozen=True, slots=True)
class Health:
    """What a look at a node says.

    Attributes:
        ready: the status of its Ready condition, "" if it has none.
        conditions: what its conditions should become, or None to leave them.
        next_look_s: when silence could turn into a verdict.
    """

    ready: str
    conditions: list[Object] | None
    next_look_s: float


def health(node: Object, *, heard_s: float, now_s: float) -> Health:
    """Judge a node that was last heard of at `heard_s`."""
    ready = condition(node, "Ready")
    grace_s = GRACE_S if ready is not None else STARTUP_GRACE_S
    left_s = heard_s + grace_s - now_s
    if left_s > 0:
        status = ready["status"] if ready is not None else ""
        return Health(status, None, max(left_s, 0.1))
    old = list((node.get("status") or {}).get("conditions") or ())
    new = _silenced(old, node["metadata"].get("creationTimestamp", rfc3339(now_s)), now_s)
    return Health("Unknown", new if new != old else None, MONITOR_PERIOD_S)


def _silenced(old: Sequence[Object], created: str, now_s: float) -> list[Object]:
    held = {entry["type"]: entry for entry in old}
    for kind in _WATCHED:
        entry = held.get(kind)
        if entry is None:
            held[kind] = {
                "type": kind,
                "status": "Unknown",
                "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.",
                "lastHeartbeatTime": created,
                "lastTransitionTime": rfc3339(now_s),
            }
        elif entry["status"] != "Unknown":
            held[kind] = {
                **entry,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": rfc3339(now_s),
            }
    return list(held.values())


def taints(node: Object, *, evicts: bool, now_s: float) -> list[Object] | None:
    """The taints the node should have, or None if they are right. Those of others stay.

    `evicts` says whether the node may have a NoExecute taint now if it is not ready; without it,
    one that is there stays.
    """
    old: Sequence[Object] = (node.get("spec") or {}).get("taints") or ()
    wanted = dict.fromkeys(_no_schedule(node), "NoSchedule")
    execute = _no_execute(node)
    kept: list[Object] = []
    for taint in old:
        key, effect = taint["key"], taint["effect"]
        if effect == "NoSchedule" and key in _OURS_NO_SCHEDULE:
            if wanted.pop(key, None) is None:
                continue
        elif effect == "NoExecute" and key in _OURS_NO_EXECUTE:
            if key != execute:
                evicts = evicts or execute is not None
                continue
            execute = None
        kept.append(taint)
    time = rfc3339(now_s)
    added = [{"key": key, "effect": effect, "timeAdded": time} for key, effect in wanted.items()]
    if execute is not None and evicts:
        added.append({"key": execute, "effect": "NoExecute", "timeAdded": time})
    new = [*kept, *added]
    return None if new == list(old) else new


def without_no_execute(node: Object) -> list[Object] | None:
    """The taints without ours that evict, or None if there are none."""
    old: Sequence[Object] = (node.get("spec") or {}).get("taints") or ()
    kept = [
        one for one in old if one["effect"] != "NoExecute" or one["key"] not in _OURS_NO_EXECUTE
    ]
    return None if len(kept) == len(old) else kept


def has_no_execute(node: Object) -> bool:
    """Whether a taint of ours evicts its pods."""
    return without_no_execute(node) is not None


def _no_schedule(node: Object) -> list[str]:
    keys = [
        _BY_CONDITION[entry["type"], entry["status"]]
        for entry in (node.get("status") or {}).get("conditions") or ()
        if (entry["type"], entry["status"]) in _BY_CONDITION
    ]
    if (node.get("spec") or {}).get("unschedulable"):
        keys.append(UNSCHEDULABLE)
    return keys


def _no_execute(node: Object) -> str | None:
    ready = condition(node, "Ready")
    status = ready["status"] if ready is not None else "True"
    return {"False": NOT_READY, "Unknown": UNREACHABLE}.get(status)


def zone_state(ready: int, not_ready: int) -> ZoneState:
    """How a zone with so many nodes stands (upstream: ComputeZoneState)."""
    if ready == 0 and not_ready > 0:
        return ZoneState.FULL
    if not_ready > 2 and not_ready / (not_ready + ready) >= _UNHEALTHY_FRACTION:
        return ZoneState.PARTIAL
    return ZoneState.NORMAL


def evictions_per_s(state: ZoneState, size: int) -> float:
    """How many nodes of a zone may be tainted NoExecute per second: a small zone that is mostly
    down is left alone, the fault is likely not with its nodes.
    """
    if state is not ZoneState.PARTIAL:
        return _EVICTIONS_PER_S
    return _EVICTIONS_PER_S_SECONDARY if size > _LARGE_ZONE else 0.0


def zone(labels: Mapping[str, str]) -> str:
    """The zone of a node, as health is counted by: region and zone."""
    region = labels.get("topology.kubernetes.io/region", "")
    name = labels.get("topology.kubernetes.io/zone", "")
    return f"{region}:{name}"


def pod_not_ready(pod: Object, now_s: float) -> Object | None:
    """The status patch that says a pod of a lost node is not ready; None if it says so."""
    ready = condition(pod, "Ready")
    if ready is None or ready["status"] != "True":
        return None
    conditions = [
        {
            **entry,
            "status": "False",
            "reason": "NodeNotReady",
            "lastTransitionTime": rfc3339(now_s),
        }
        if entry["type"] == "Ready"
        else entry
        for entry in pod["status"]["conditions"]
    ]
    return {"conditions": conditions}
