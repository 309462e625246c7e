"""Served versions that are not the stored one, converted on the way in and out.

Two pairs of built-in resources share storage as upstream's do: `events.k8s.io/v1` Events are kept
as core/v1 Events (`pkg/apis/events/v1/conversion.go`), `autoscaling/v1` HorizontalPodAutoscalers
as autoscaling/v2 (`pkg/apis/autoscaling/v1/conversion.go`). All functions are pure: they share
subtrees with what they are given and never change it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a served resource is kept: under `stored`, through two functions of whole objects."""

    stored: Resource
    to_stored: Callable[[Object], Object]
    to_served: Callable[[Object], Object]


_EVENT_NAMES: Final = {  # events.k8s.io/v1 -> core/v1
    "regarding": "involvedObject",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "reportingController": "reportingComponent",
}
_EVENT_NAMES_BACK: Final = {core: new for new, core in _EVENT_NAMES.items()}


def _event_to_core(obj: Object) -> Object:
    core = {_EVENT_NAMES.get(key, key): value for key, value in obj.items()}
    core["apiVersion"] = "v1"
    core.setdefault("source", {})
    return core


def _event_from_core(obj: Object) -> Object:
    event = {_EVENT_NAMES_BACK.get(key, key): value for key, value in obj.items()}
    event["apiVersion"] = "events.k8s.io/v1"
    return event


def _scaler_to_v2(obj: Object) -> Object:
    spec = dict(obj.get("spec") or {})
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    v2 = {**obj, "apiVersion": "autoscaling/v2", "spec": spec}
    status = dict(obj.get("status") or {})
    current = status.pop("currentCPUUtilizationPercentage", None)
    if current is not None:
        resource = {"name": "cpu", "current": {"averageUtilization": current}}
        status["currentMetrics"] = [{"type": "Resource", "resource": resource}]
    if status:
        v2["status"] = status
    return v2


def _cpu_utilization(metrics: list[dict[str, Any]] | None, part: str) -> int | None:
    for metric in metrics or ():
        resource = metric.get("resource") or {}
        value = (resource.get(part) or {}).get("averageUtilization")
        if metric.get("type") == "Resource" and resource.get("name") == "cpu" and value is not None:
            return int(value)
    return None


def _scaler_from_v2(obj: Object) -> Object:
    spec = dict(obj.get("spec") or {})
    percentage = _cpu_utilization(spec.pop("metrics", None), "target")
    spec.pop("behavior", None)
    if percentage is not None:
        spec["targetCPUUtilizationPercentage"] = percentage
    v1 = {**obj, "apiVersion": "autoscaling/v1", "spec": spec}
    status = dict(obj.get("status") or {})
    current = _cpu_utilization(status.pop("currentMetrics", None), "current")
    status.pop("conditions", None)
    if current is not None:
        status["currentCPUUtilizationPercentage"] = current
    if "status" in obj:
        v1["status"] = status
    return v1


BUILT_IN: Final = {
    Resource("events.k8s.io", "v1", "events"): Conversion(
        Resource("", "v1", "events"), _event_to_core, _event_from_core
    ),
    Resource("autoscaling", "v1", "horizontalpodautoscalers"): Conversion(
        Resource("autoscaling", "v2", "horizontalpodautoscalers"), _scaler_to_v2, _scaler_from_v2
    ),
}
"""Conversions of built-in resources, by served resource."""
