"""What one object uses of a ResourceQuota, and whether a quota is about it. Pure.

Admission and the controller must agree on these, so they share them. Rules are those of upstream's
`pkg/quota/v1/evaluator/core` and apiserver `pkg/quota/v1/generic`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ekslab.kube.api import quantity
from ekslab.kube.api.placement import pod_requests
from ekslab.kube.api.quantity import Format, Quantity
from ekslab.kube.api.requests import Object

Usage = dict[str, Quantity]
"""Name of a quota (`requests.cpu`, `count/secrets`) -> amount."""

_ONE: Final = quantity.of_value(1)
_COUNTED_BY_NAME: Final = frozenset(
    {"pods", "services", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas",
     "secrets", "configmaps"}
)  # fmt: skip
_PLAIN: Final = ("cpu", "memory", "ephemeral-storage")
_NEEDED: Final = frozenset(
    {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
)
_CLASS: Final = ".storageclass.storage.k8s.io/"


def hard(quota: Object, *, part: str = "status") -> dict[str, str]:
    """The limits of a quota: as they are in force (`status`) or as they are wished (`spec`)."""
    limits: dict[str, str] = (quota.get(part) or {}).get("hard") or {}
    return limits


def type_of(name: str) -> str:
    """The type whose objects a quota's name is about, as `Resource.qualified`.

    >>> type_of("count/deployments.apps"), type_of("services.nodeports"), type_of("limits.cpu")
    ('deployments.apps', 'services', 'pods')
    """
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name in _COUNTED_BY_NAME:
        return name
    if name.startswith("services."):
        return "services"
    if name == "requests.storage" or _CLASS in name:
        return "persistentvolumeclaims"
    return "pods"


def usage(qualified: str, obj: Object) -> Usage:
    """What one object uses, under every name it is counted by."""
    found: Usage = {f"count/{qualified}": _ONE}
    if qualified == "pods":
        return found | (_pod_usage(obj) if not is_over(obj) else {})
    if qualified in _COUNTED_BY_NAME:
        found[qualified] = _ONE
    if qualified == "services":
        found |= _service_usage(obj["spec"])
    elif qualified == "persistentvolumeclaims":
        found |= _claim_usage(obj)
    return found


def is_over(pod: Object) -> bool:
    """Whether a pod has ended and uses nothing but its name."""
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def _pod_usage(pod: Object) -> Usage:
    found: Usage = {"pods": _ONE}
    for name, amount in pod_requests(pod["spec"]).items():
        value = _amount(name, amount)
        found[f"requests.{name}"] = value
        if name in _PLAIN or name.startswith("hugepages-"):
            found[name] = value
    limits = {
        part: [{**box, "resources": {"requests": _of(box, "limits")}} for box in boxes]
        for part, boxes in _containers(pod["spec"]).items()
    }
    for name, amount in pod_requests(limits).items():
        if name in _PLAIN:
            found[f"limits.{name}"] = _amount(name, amount)
    return found


def _amount(name: str, amount: int) -> Quantity:
    if name == "cpu":
        return quantity.of_milli(amount)
    is_bytes = name in {"memory", "ephemeral-storage"} or name.startswith("hugepages-")
    return quantity.of_value(amount, Format.BINARY if is_bytes else Format.DECIMAL)


def _containers(spec: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    return {part: spec[part] for part in ("containers", "initContainers") if spec.get(part)}


def _of(box: Mapping[str, Any], field: str) -> dict[str, str]:
    return (box.get("resources") or {}).get(field) or {}


def _service_usage(spec: Mapping[str, Any]) -> Usage:
    kind, ports = spec.get("type", "ClusterIP"), len(spec.get("ports") or ())
    found: Usage = {}
    if kind == "NodePort":
        found["services.nodeports"] = quantity.of_value(ports)
    elif kind == "LoadBalancer":
        found["services.loadbalancers"] = _ONE
        has_ports = spec.get("allocateLoadBalancerNodePorts", True)
        given = [port for port in spec.get("ports") or () if port.get("nodePort")]
        count = ports if has_ports else len(given)
        if count:
            found["services.nodeports"] = quantity.of_value(count)
    return found


def _claim_usage(claim: Object) -> Usage:
    spec, notes = claim["spec"], claim["metadata"].get("annotations") or {}
    found: Usage = {}
    storage_class = notes.get("volume.beta.kubernetes.io/storage-class") or spec.get(
        "storageClassName"
    )
    if storage_class:
        found[f"{storage_class}{_CLASS}persistentvolumeclaims"] = _ONE
    requested = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if requested is not None:
        size = quantity.parse(requested)
        found["requests.storage"] = size
        if storage_class:
            found[f"{storage_class}{_CLASS}requests.storage"] = size
    return found


def covers(quota: Object, qualified: str, obj: Object) -> bool:
    """Whether the object lies in all scopes of the quota. Only pods have scopes."""
    spec = quota.get("spec") or {}
    needs = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    needs += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not needs:
        return True
    return qualified == "pods" and all(_in_scope(need, obj["spec"]) for need in needs)


def _in_scope(need: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    match need["scopeName"]:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return _is_best_effort(spec)
        case "NotBestEffort":
            return not _is_best_effort(spec)
        case "CrossNamespacePodAffinity":
            return any(map(_leaves_namespace, _affinity_terms(spec.get("affinity") or {})))
        case "PriorityClass":
            return _priority_fits(need, spec.get("priorityClassName", ""))
        case _:
            return False


def _is_best_effort(spec: Mapping[str, Any]) -> bool:
    return not any(
        amount not in {"0", 0}
        for boxes in _containers(spec).values()
        for box in boxes
        for field in ("requests", "limits")
        for name, amount in _of(box, field).items()
        if name in {"cpu", "memory"}
    )


def _priority_fits(need: Mapping[str, Any], name: str) -> bool:
    values = need.get("values") or ()
    match need.get("operator"):
        case "In":
            return name in values
        case "NotIn":
            return name not in values
        case "DoesNotExist":
            return not name
        case _:
            return bool(name)


def _affinity_terms(affinity: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    for kind in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(kind) or {}
        yield from part.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for one in part.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield one["podAffinityTerm"]


def _leaves_namespace(term: Mapping[str, Any]) -> bool:
    return bool(term.get("namespaces")) or term.get("namespaceSelector") is not None


def unspecified(names: Iterable[str], pod: Object) -> str:
    """What containers must say because a quota counts it: `must specify limits.cpu for: a,b`."""
    needed = sorted(_NEEDED.intersection(names))
    boxes = [box for part in _containers(pod["spec"]).values() for box in part]
    missing: dict[str, list[str]] = {}
    for name in needed:
        field, _, short = name.rpartition(".")
        lacking = sorted(box["name"] for box in boxes if short not in _of(box, field or "requests"))
        if lacking:
            missing[name] = lacking
    if not missing:
        return ""
    told = "; ".join(f"{name} for: {','.join(boxes)}" for name, boxes in missing.items())
    return f"must specify {told}"


def total(usages: Iterable[Usage], wanted: Callable[[str], bool]) -> Usage:
    """The sum of what several objects use, of the names that are wanted."""
    summed: Usage = {}
    for one in usages:
        for name, amount in one.items():
            if wanted(name):
                summed[name] = summed[name] + amount if name in summed else amount
    return summed
