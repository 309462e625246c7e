"""Priorities, disruption budgets, quotas, limit ranges, autoscalers.

Upstream: `pkg/apis/{scheduling,policy,autoscaling}` and the quota parts of core.
"""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.quantity import milli
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.amounts import validate_at_most_all, validate_int_or_percent
from ekslab.kube.apiserver.kinds.field_errors import (
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
    unchanged,
)
from ekslab.kube.apiserver.kinds.labels import validate_label_selector
from ekslab.kube.apiserver.kinds.pod_resources import validate_quantity, validate_resource_name
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

Part = Mapping[str, Any]

_USER_PRIORITY_MOST: Final = 1_000_000_000
_SYSTEM_PRIORITIES: Final = {
    "system-node-critical": 2_000_001_000,
    "system-cluster-critical": 2_000_000_000,
}
_EVICTION_POLICIES: Final = ("IfHealthyBudget", "AlwaysAllow")
_SCOPES: Final = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating",
    "PriorityClass", "Terminating", "VolumeAttributesClass",
)  # fmt: skip
_LIMIT_TYPES: Final = ("Pod", "Container", "PersistentVolumeClaim")


class PriorityClassStrategy(Strategy):
    """A name for a priority."""

    traits = Traits(generation=True, unconditional_update=True)

    def default(self, obj: Object) -> None:
        """Preempts."""
        obj.setdefault("preemptionPolicy", "PreemptLowerPriority")

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidatePriorityClass`."""
        name, value = obj["metadata"].get("name", ""), obj.get("value", 0)
        if name.startswith("system-"):
            if _SYSTEM_PRIORITIES.get(name) != value or obj.get("globalDefault"):
                why = (
                    "priority class names with 'system-' prefix are reserved for system use only."
                    f" error: {_why_not_system(name, value)}"
                )
                causes.append(forbidden("metadata.name", why))
        elif value > _USER_PRIORITY_MOST:
            why = f"maximum allowed value of a user defined priority is {_USER_PRIORITY_MOST}"
            causes.append(forbidden("value", why))
        policy = obj.get("preemptionPolicy", "")
        allowed = ("PreemptLowerPriority", "Never")
        if policy not in allowed:
            causes.append(not_supported("preemptionPolicy", policy, allowed))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Value and preemption stay."""
        if obj.get("value") != old.get("value"):
            causes.append(forbidden("value", "may not be changed in an update."))
        policy = obj.get("preemptionPolicy")
        causes.extend(unchanged("preemptionPolicy", policy, old.get("preemptionPolicy")))


def _why_not_system(name: str, value: int) -> str:
    known = _SYSTEM_PRIORITIES.get(name)
    if known is None:
        return f"{name} is not a known system priority class"
    if known != value:
        return f"value of {name} PriorityClass must be {known}"
    return f"globalDefault of {name} PriorityClass must be false"


class DisruptionBudgetStrategy(Strategy):
    """How much of a set may be away at once."""

    traits = Traits(
        generation=True,
        unconditional_update=False,
        born={"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
    )

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidatePodDisruptionBudgetSpec`."""
        spec = obj.get("spec") or {}
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if least is not None and most is not None:
            why = "minAvailable and maxUnavailable cannot be both set"
            causes.append(invalid("spec", dict(spec), why))
        for field, amount in (("minAvailable", least), ("maxUnavailable", most)):
            if amount is not None:
                causes.extend(validate_int_or_percent(amount, f"spec.{field}"))
                causes.extend(validate_at_most_all(amount, f"spec.{field}"))
        causes.extend(validate_label_selector(spec.get("selector"), "spec.selector"))
        policy = spec.get("unhealthyPodEvictionPolicy")
        if policy is not None and policy not in _EVICTION_POLICIES:
            at = "spec.unhealthyPodEvictionPolicy"
            causes.append(not_supported(at, policy, _EVICTION_POLICIES))


class ResourceQuotaStrategy(Strategy):
    """How much a namespace may use."""

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateResourceQuotaSpec`."""
        spec = obj.get("spec") or {}
        for name, quantity in (spec.get("hard") or {}).items():
            at = f"spec.hard[{name}]"
            causes.extend(_validate_quota_name(name, at))
            causes.extend(validate_quantity(name, quantity, at))
        for scope in spec.get("scopes") or ():
            if scope not in _SCOPES:
                why = "unsupported scope"
                causes.append(invalid("spec.scopes", list(spec["scopes"]), why))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """The scopes stay."""
        self.check(obj, causes)
        scopes = sorted((obj.get("spec") or {}).get("scopes") or ())
        before = sorted((old.get("spec") or {}).get("scopes") or ())
        causes.extend(unchanged("spec.scopes", scopes, before))


def _validate_quota_name(name: str, path: str) -> list[Cause]:
    if name.startswith("count/"):
        return each_invalid(path, name, names.is_qualified_name(name.removeprefix("count/") or "/"))
    wrong = validate_resource_name(name, path)
    if wrong and "/" not in name:
        return [*wrong, invalid(path, name, "must be a standard resource for quota")]
    return wrong


class LimitRangeStrategy(Strategy):
    """Bounds and defaults of single objects."""

    traits = Traits(create_on_update=True, born=None)

    def default(self, obj: Object) -> None:
        """Limits of containers default to the most, requests to the limits or the least."""
        for item in (obj.get("spec") or {}).get("limits") or ():
            if item.get("type") == "Container":
                default = item.setdefault("default", {})
                request = item.setdefault("defaultRequest", {})
                for source, target in (
                    (item.get("max"), default),
                    (default, request),
                    (item.get("min"), request),
                ):
                    for name, quantity in (source or {}).items():
                        target.setdefault(name, quantity)
                for field in ("default", "defaultRequest"):
                    if not item[field]:
                        del item[field]

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateLimitRange`."""
        taken: set[str] = set()
        for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
            at, kind = f"spec.limits[{index}]", item.get("type", "")
            if kind not in _LIMIT_TYPES and "/" not in kind:
                why = "must be a standard limit type or fully qualified"
                causes.append(invalid(f"{at}.type", kind, why))
            if kind in taken:
                causes.append(duplicate(f"{at}.type", kind))
            taken.add(kind)
            for field in ("max", "min", "default", "defaultRequest"):
                for name, quantity in (item.get(field) or {}).items():
                    where = f"{at}.{field}[{name}]"
                    wrong = validate_resource_name(name, where)
                    causes.extend(wrong or validate_quantity(name, quantity, where))
            if kind == "Pod":
                causes.extend(
                    forbidden(f"{at}.{field}", "may not be specified when `type` is 'Pod'")
                    for field in ("default", "defaultRequest")
                    if item.get(field)
                )
            _validate_order(item, at, causes)


_ORDERED: Final = (
    ("min", "max", "min", "min value {0} is greater than max value {1}"),
    ("default", "max", "default", "default value {0} is greater than max value {1}"),
    ("min", "default", "default", "min value {0} is greater than default value {1}"),
    (
        "defaultRequest", "max", "defaultRequest",
        "default request value {0} is greater than max value {1}",
    ),
    (
        "min", "defaultRequest", "defaultRequest",
        "min value {0} is greater than default request value {1}",
    ),
    (
        "defaultRequest", "default", "defaultRequest",
        "default request value {0} is greater than default limit value {1}",
    ),
)  # fmt: skip


def _validate_order(item: Part, path: str, causes: list[Cause]) -> None:
    for lower, upper, blamed, text in _ORDERED:
        low, high = item.get(lower) or {}, item.get(upper) or {}
        for name in sorted(low.keys() & high.keys()):
            if milli(low[name]) > milli(high[name]):
                value = (item.get(blamed) or {})[name]
                why = text.format(low[name], high[name])
                causes.append(invalid(f"{path}.{blamed}[{name}]", value, why))


class AutoscalerStrategy(Strategy):
    """HorizontalPodAutoscaler, v2 and v1."""

    traits = Traits(born={"desiredReplicas": 0})

    def default(self, obj: Object) -> None:
        """At least one replica; without metrics, 80 % of the requested CPU."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("minReplicas", 1)
        if self.info.resource.version == "v1":
            spec.setdefault("targetCPUUtilizationPercentage", 80)
        elif not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": 80}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]

    def prepare_create(self, obj: Object) -> None:
        """Nothing measured yet."""
        super().prepare_create(obj)
        if self.info.resource.version == "v1":
            obj["status"] = {"currentReplicas": 0, "desiredReplicas": 0}

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `validateHorizontalPodAutoscalerSpec`."""
        spec = obj["spec"]
        least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
        if least is not None and least < 1:
            why = "must be greater than or equal to 1"
            causes.append(invalid("spec.minReplicas", least, why))
        if most < 1:
            causes.append(invalid("spec.maxReplicas", most, "must be greater than 0"))
        if least is not None and most < least:
            why = "must be greater than or equal to `minReplicas`"
            causes.append(invalid("spec.maxReplicas", most, why))
        target = spec.get("scaleTargetRef") or {}
        for field in ("kind", "name"):
            value, at = target.get(field, ""), f"spec.scaleTargetRef.{field}"
            if not value:
                causes.append(required(at))
            else:
                causes.extend(each_invalid(at, value, names.is_path_segment(value)))
        for index, metric in enumerate(spec.get("metrics") or ()):
            _validate_metric(metric, f"spec.metrics[{index}]", causes)


_SOURCES: Final = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "External": "external",
    "ContainerResource": "containerResource",
}


def _validate_metric(metric: Part, path: str, causes: list[Cause]) -> None:
    kind = metric.get("type", "")
    if not kind:
        causes.append(required(f"{path}.type", "must specify a metric source type"))
        return
    field = _SOURCES.get(kind)
    if field is None:
        causes.append(not_supported(f"{path}.type", kind, sorted(_SOURCES)))
        return
    source, at = metric.get(field), f"{path}.{field}"
    if source is None:
        why = f"must populate information for the given metric source ({kind})"
        causes.append(required(at, why))
        return
    if kind in {"Resource", "ContainerResource"} and not source.get("name"):
        causes.append(required(f"{at}.name", "must specify a resource name"))
    target = source.get("target") or {}
    if target.get("type") not in {"Utilization", "Value", "AverageValue"}:
        why = "must be either Utilization, Value, or AverageValue"
        causes.append(invalid(f"{at}.target.type", target.get("type", ""), why))
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        why = "must be greater than 0"
        causes.append(invalid(f"{at}.target.averageUtilization", utilization, why))
