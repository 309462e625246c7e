"""Resource amounts of containers: upstream's `ValidateContainerResourceRequirements` and QoS."""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.quantity import milli
from ekslab.kube.apiserver.kinds.field_errors import (
    NEGATIVE,
    each_invalid,
    forbidden,
    invalid,
    required,
)

Amounts = Mapping[str, str]

_CONTAINER_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_STANDARD: Final = frozenset(
    {
        "cpu", "memory", "ephemeral-storage", "storage", "requests.cpu", "requests.memory",
        "requests.ephemeral-storage", "requests.storage", "limits.cpu", "limits.memory",
        "limits.ephemeral-storage", "pods", "resourcequotas", "services",
        "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
        "services.nodeports", "services.loadbalancers",
    }
)  # fmt: skip
_INTEGER: Final = frozenset(
    {
        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
        "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    }
)  # fmt: skip
_COMPUTE: Final = ("cpu", "memory")
_NOTHING: Final[Amounts] = {}


def validate_requirements(resources: Mapping[str, Any], path: str) -> list[Cause]:
    """Limits and requests of one container."""
    causes: list[Cause] = []
    limits: Amounts = resources.get("limits") or _NOTHING
    requests: Amounts = resources.get("requests") or _NOTHING
    for name, quantity in limits.items():
        causes.extend(_validate_amount(name, quantity, f"{path}.limits[{name}]"))
    for name, quantity in requests.items():
        causes.extend(_validate_amount(name, quantity, f"{path}.requests[{name}]"))
        limit = limits.get(name)
        if limit is not None:
            if quantity == limit:
                continue
            if not overcommit_allowed(name):
                why = f"must be equal to {name} limit of {limit}"
                causes.append(invalid(f"{path}.requests", quantity, why))
            elif milli(quantity) > milli(limit):
                why = f"must be less than or equal to {name} limit of {limit}"
                causes.append(invalid(f"{path}.requests", quantity, why))
        elif not overcommit_allowed(name):
            why = "Limit must be set for non overcommitable resources"
            causes.append(required(f"{path}.limits", why))
    asked = requests.keys() | limits.keys()
    if any(name.startswith("hugepages-") for name in asked) and not asked & set(_COMPUTE):
        causes.append(forbidden(path, "HugePages require cpu or memory"))
    return causes


def _validate_amount(name: str, quantity: str, path: str) -> list[Cause]:
    causes = validate_container_resource(name, path)
    causes.extend(validate_quantity(name, quantity, path))
    return causes


def validate_container_resource(name: str, path: str) -> list[Cause]:
    """What a container may ask for: cpu, memory, ephemeral-storage, huge pages, extended."""
    if name in _CONTAINER_RESOURCES:
        return []
    causes = validate_resource_name(name, path)
    if "/" not in name:
        if not name.startswith("hugepages-"):
            causes.append(invalid(path, name, "must be a standard resource for containers"))
    elif "kubernetes.io/" not in name and (
        name.startswith("requests.") or names.is_qualified_name(f"requests.{name}")
    ):
        causes.append(invalid(path, name, "doesn't follow extended resource name standard"))
    return causes


def validate_resource_name(name: str, path: str) -> list[Cause]:
    """A standard resource, or a qualified name with a domain."""
    causes = each_invalid(path, name, names.is_qualified_name(name))
    if not causes and "/" not in name and not is_standard(name):
        causes.append(invalid(path, name, "must be a standard resource type or fully qualified"))
    return causes


def is_standard(name: str) -> bool:
    """Whether upstream knows the resource without a domain."""
    return name in _STANDARD or name.startswith(("hugepages-", "requests.hugepages-"))


def validate_quantity(name: str, quantity: str, path: str) -> list[Cause]:
    """Not negative, and whole where the resource is counted in pieces."""
    amount = milli(quantity)
    if amount < 0:
        return [invalid(path, quantity, NEGATIVE)]
    if amount % 1000 and (name in _INTEGER or _is_extended(name)):
        return [invalid(path, quantity, "must be an integer")]
    return []


def _is_extended(name: str) -> bool:
    return "/" in name and "kubernetes.io/" not in name


def overcommit_allowed(name: str) -> bool:
    """Native resources other than huge pages may be limited above what is requested."""
    return not _is_extended(name) and not name.startswith("hugepages-")


def qos_class(spec: Mapping[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort: upstream's `qos.ComputePodQOS`."""
    pod_level = spec.get("resources")
    if pod_level:
        groups = [pod_level]
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        groups = [container.get("resources") or {} for container in containers]
    asked = False
    guaranteed = True
    totals: dict[str, list[int]] = {name: [0, 0] for name in _COMPUTE}
    for group in groups:
        requests, limits = group.get("requests") or _NOTHING, group.get("limits") or _NOTHING
        for name in _COMPUTE:
            request = milli(requests[name]) if name in requests else 0
            limit = milli(limits[name]) if name in limits else 0
            asked = asked or request > 0 or limit > 0
            guaranteed = guaranteed and limit > 0
            totals[name][0] += request
            totals[name][1] += limit
    if not asked:
        return "BestEffort"
    same = all(request == limit for request, limit in totals.values())
    return "Guaranteed" if guaranteed and same else "Burstable"
