"""LimitRanger: defaults and bounds of what containers, pods and claims ask for.

Upstream: `plugin/pkg/admission/limitranger`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

from ekslab.kube.api import quantity
from ekslab.kube.api.ports import AdmissionRequest, Lister
from ekslab.kube.api.quantity import Quantity
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import LIMIT_RANGES
from ekslab.kube.apiserver.admission.chain import (
    CREATE,
    CREATE_OR_UPDATE,
    UPDATE,
    Plugin,
    Takes,
    refusal,
)

_ANNOTATION: Final = "kubernetes.io/limit-ranger"
_POD_LEVEL: Final = ("cpu", "memory")

Quantities = Mapping[str, Quantity]
_Total = dict[str, Quantity]


class LimitRanger(Plugin):
    """Applies every LimitRange of the namespace."""

    name = "LimitRanger"
    takes: ClassVar[Takes] = {
        ("pods", ""): CREATE,
        ("pods", "resize"): UPDATE,
        ("persistentvolumeclaims", ""): CREATE_OR_UPDATE,
    }

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def admit(self, request: AdmissionRequest) -> None:
        """Write what the ranges set by default into the containers that leave it open."""
        if request.obj is None or request.info.resource.plural != "pods":
            return
        for limit_range in self._ranges(request):
            _apply_defaults(limit_range, request.obj)

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuse what lies outside of a range."""
        if request.obj is None:
            return
        for limit_range in self._ranges(request):
            problems = list(dict.fromkeys(_problems(limit_range, request)))
            if problems:
                text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
                raise refusal(request, text)

    def _ranges(self, request: AdmissionRequest) -> Iterator[Object]:
        if (request.old or {}).get("metadata", {}).get("deletionTimestamp"):
            return
        for item in self._lister.list(LIMIT_RANGES, request.request.namespace):
            yield item.object


def _apply_defaults(limit_range: Object, pod: Object) -> None:
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for limit in limit_range["spec"].get("limits") or ():
        if limit.get("type") == "Container":
            requests |= limit.get("defaultRequest") or {}
            limits |= limit.get("default") or {}
    notes = [
        note
        for field, label in (("containers", "container"), ("initContainers", "init container"))
        for container in pod["spec"].get(field) or ()
        for note in _complete(container, label, requests, limits)
    ]
    if notes:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[_ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def _complete(
    container: dict[str, Any], label: str, requests: dict[str, str], limits: dict[str, str]
) -> Iterator[str]:
    """Fill in what is missing; says what it did in upstream's words."""
    for kind, field, defaults in (("request", "requests", requests), ("limit", "limits", limits)):
        given = (container.get("resources") or {}).get(field) or {}
        missing = {name: amount for name, amount in defaults.items() if name not in given}
        if missing:
            resources = container.setdefault("resources", {})
            resources[field] = {**given, **missing}
            yield f"{', '.join(sorted(missing))} {kind} for {label} {container['name']}"


def _problems(limit_range: Object, request: AdmissionRequest) -> Iterator[str]:
    assert request.obj is not None, "validate has looked"
    spec: dict[str, Any] = request.obj["spec"]
    is_pod = request.info.resource.plural == "pods"
    for limit in limit_range["spec"].get("limits") or ():
        kind = limit.get("type", "")
        if is_pod and kind == "Container":
            for field in ("containers", "initContainers"):
                for container in spec.get(field) or ():
                    requests, limits = (
                        _amounts(container, "requests"),
                        _amounts(container, "limits"),
                    )
                    yield from _outside(limit, kind, requests, limits)
        elif is_pod and kind == "Pod":
            yield from _outside(limit, kind, _of_pod(spec, "requests"), _of_pod(spec, "limits"))
        elif not is_pod and kind == "PersistentVolumeClaim":
            yield from _outside_claim(limit, kind, _amounts(spec, "requests"))


def _outside(limit: Object, kind: str, requests: Quantities, limits: Quantities) -> Iterator[str]:
    for key, check in _CHECKS.items():
        for name, bound in (limit.get(key) or {}).items():
            enforced = quantity.parse(bound)
            problem = check(f"{name}", kind, enforced, requests.get(name), limits.get(name))
            if problem:
                yield problem


def _outside_claim(limit: Object, kind: str, requests: Quantities) -> Iterator[str]:
    for name, bound in (limit.get("min") or {}).items():
        yield from filter(
            None, [_below(name, kind, quantity.parse(bound), requests.get(name), None)]
        )
    for name, bound in (limit.get("max") or {}).items():
        enforced, request = quantity.parse(bound), requests.get(name)
        start = f"maximum {name} usage per {kind} is {enforced}"
        if request is None:
            yield f"{start}.  No request is specified"
        elif enforced < request:
            yield f"{start}, but request is {request}"


def _below(
    name: str, kind: str, enforced: Quantity, request: Quantity | None, limit: Quantity | None
) -> str:
    start = f"minimum {name} usage per {kind} is {enforced}"
    if request is None:
        return f"{start}.  No request is specified"
    if request < enforced:
        return f"{start}, but request is {request}"
    if limit is not None and limit < enforced:
        return f"{start}, but limit is {limit}"
    return ""


def _above(
    name: str, kind: str, enforced: Quantity, request: Quantity | None, limit: Quantity | None
) -> str:
    start = f"maximum {name} usage per {kind} is {enforced}"
    if limit is None:
        return f"{start}.  No limit is specified"
    if enforced < limit:
        return f"{start}, but limit is {limit}"
    if request is not None and enforced < request:
        return f"{start}, but request is {request}"
    return ""


def _ratio(
    name: str, kind: str, enforced: Quantity, request: Quantity | None, limit: Quantity | None
) -> str:
    start = f"{name} max limit to request ratio per {kind} is {enforced}"
    if request is None or request.nanos == 0:
        return f"{start}, but no request is specified or request is 0"
    if limit is None or limit.nanos == 0:
        return f"{start}, but no limit is specified or limit is 0"
    if limit.nanos * quantity.parse("1").nanos > enforced.nanos * request.nanos:
        return f"{start}, but provided ratio is {limit.nanos / request.nanos:f}"
    return ""


_Check = Callable[[str, str, Quantity, Quantity | None, Quantity | None], str]
_CHECKS: Final[dict[str, _Check]] = {
    "min": _below,
    "max": _above,
    "maxLimitRequestRatio": _ratio,
}


def _amounts(holder: dict[str, Any], field: str) -> _Total:
    amounts = (holder.get("resources") or {}).get(field) or {}
    return {name: quantity.parse(amount) for name, amount in amounts.items()}


def _of_pod(spec: dict[str, Any], field: str) -> _Total:
    """What a pod needs at most at any time: its containers together, or an init container with
    the restartable ones before it; amounts of the pod itself go before.
    """
    total: _Total = {}
    for container in spec.get("containers") or ():
        _add(total, _amounts(container, field))
    sidecars: _Total = {}
    peak: _Total = {}
    for container in spec.get("initContainers") or ():
        amounts = _amounts(container, field)
        if container.get("restartPolicy") == "Always":
            _add(total, amounts)
            _add(sidecars, amounts)
            now = dict(sidecars)
        else:
            now = dict(amounts)
            _add(now, sidecars)
        _raise_to(peak, now)
    _raise_to(total, peak)
    whole = _amounts(spec, field)
    total.update((name, whole[name]) for name in _POD_LEVEL if name in whole)
    return total


def _add(total: _Total, more: Quantities) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def _raise_to(total: _Total, least: Quantities) -> None:
    for name, amount in least.items():
        if name not in total or total[name] < amount:
            total[name] = amount
