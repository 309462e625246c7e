"""Plugins that write a pod's scheduling fields: Priority, DefaultTolerationSeconds, RuntimeClass.

Upstream: `plugin/pkg/admission/{priority,defaulttolerationseconds,runtimeclass}`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from ekslab.kube.api.objects import editable
from ekslab.kube.api.ports import AdmissionRequest, Lister, Operation
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import PRIORITY_CLASSES
from ekslab.kube.apiserver.admission.chain import (
    CREATE,
    CREATE_OR_UPDATE,
    Plugin,
    Takes,
    refusal,
)

RUNTIME_CLASSES: Final = Resource("node.k8s.io", "v1", "runtimeclasses")
_PREEMPT_LOWER: Final = "PreemptLowerPriority"
_TOLERATED_S: Final = 300
_EVICTING_TAINTS: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class Priority(Plugin):
    """Turns `priorityClassName` into a number; watches over the one default class."""

    name = "Priority"
    takes: ClassVar[Takes] = {
        ("pods", ""): CREATE_OR_UPDATE,
        ("priorityclasses.scheduling.k8s.io", ""): CREATE_OR_UPDATE,
    }

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._default: Object | None = None
        self._default_revision = -1

    async def admit(self, request: AdmissionRequest) -> None:
        """Write a new pod's priority and preemption policy; keep them on update."""
        if request.info.resource.plural != "pods" or request.obj is None:
            return
        spec = request.obj["spec"]
        if request.operation is Operation.UPDATE:
            before = (request.old or {}).get("spec") or {}
            for field in ("priority", "preemptionPolicy"):
                if spec.get(field) is None and before.get(field) is not None:
                    spec[field] = before[field]
            return
        name, priority, policy = self._resolve(request, spec.get("priorityClassName") or "")
        if name:
            spec["priorityClassName"] = name
        given = spec.get("priority")
        if given is not None and given != priority:
            why = (
                f"the integer value of priority ({given}) must not be provided in pod spec;"
                f" priority admission controller computed {priority} from the given"
                " PriorityClass name"
            )
            raise refusal(request, why)
        given = spec.get("preemptionPolicy")
        if given is not None and given != policy:
            why = (
                f"the string value of PreemptionPolicy ({given}) must not be provided in pod spec;"
                f" priority admission controller computed {policy} from the given"
                " PriorityClass name"
            )
            raise refusal(request, why)
        spec["priority"] = priority
        spec["preemptionPolicy"] = policy

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuse a second default class."""
        if request.info.resource.plural != "priorityclasses" or request.obj is None:
            return
        if not request.obj.get("globalDefault"):
            return
        default = self._default_class()
        if default is None:
            return
        name = default["metadata"]["name"]
        other = name != request.obj["metadata"].get("name")
        if request.operation is Operation.CREATE or other:
            why = f"PriorityClass {name} is already marked as default. Only one default can exist"
            raise refusal(request, why)

    def _resolve(self, request: AdmissionRequest, name: str) -> tuple[str, int, str]:
        if name:
            item = self._lister.get(PRIORITY_CLASSES, name)
            if item is None:
                raise refusal(request, f"no PriorityClass with name {name} was found")
            found: Object | None = item.object
        else:
            found = self._default_class()
        if found is None:
            return "", 0, _PREEMPT_LOWER
        policy = found.get("preemptionPolicy") or _PREEMPT_LOWER
        return found["metadata"]["name"], found.get("value", 0), policy

    def _default_class(self) -> Object | None:
        """The default with the lowest value: only one is allowed, but two can race in."""
        revision = self._lister.revision(PRIORITY_CLASSES)
        if revision != self._default_revision:
            classes = [item.object for item in self._lister.list(PRIORITY_CLASSES)]
            defaults = [found for found in classes if found.get("globalDefault")]
            self._default = min(
                defaults, key=lambda found: int(found.get("value", 0)), default=None
            )
            self._default_revision = revision
        return self._default


class DefaultTolerationSeconds(Plugin):
    """Pods bear a node that is not ready or unreachable for five minutes, if they say nothing."""

    name = "DefaultTolerationSeconds"
    takes: ClassVar[Takes] = {("pods", ""): CREATE_OR_UPDATE}

    async def admit(self, request: AdmissionRequest) -> None:
        """Append what is missing."""
        if request.obj is None:
            return
        spec = request.obj["spec"]
        tolerations: Sequence[Object] = spec.get("tolerations") or ()
        missing = [key for key in _EVICTING_TAINTS if not _tolerates(tolerations, key)]
        if missing:
            spec["tolerations"] = [
                *tolerations,
                *(
                    {
                        "key": key,
                        "operator": "Exists",
                        "effect": "NoExecute",
                        "tolerationSeconds": _TOLERATED_S,
                    }
                    for key in missing
                ),
            ]


class RuntimeClass(Plugin):
    """Lends a pod the overhead and the scheduling of its runtime class."""

    name = "RuntimeClass"
    takes: ClassVar[Takes] = {("pods", ""): CREATE}

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def admit(self, request: AdmissionRequest) -> None:
        """Write overhead, node selector and tolerations."""
        runtime = self._runtime_class(request)
        if runtime is None or request.obj is None:
            return
        spec = request.obj["spec"]
        overhead = (runtime.get("overhead") or {}).get("podFixed")
        if overhead is not None:
            if spec.get("overhead") and spec["overhead"] != overhead:
                raise refusal(request, _OVERHEAD_DIFFERS)
            spec["overhead"] = editable(overhead)
        scheduling = runtime.get("scheduling")
        if scheduling:
            _lend_scheduling(request, spec, editable(scheduling))

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuse an overhead that is not the runtime class's."""
        if request.obj is None:
            return
        runtime = self._runtime_class(request) or {}
        overhead = (runtime.get("overhead") or {}).get("podFixed")
        given = request.obj["spec"].get("overhead")
        if overhead is not None and given != overhead:
            raise refusal(request, _OVERHEAD_DIFFERS)
        if overhead is None and given is not None:
            why = "Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise refusal(request, f"pod rejected: {why}")

    def _runtime_class(self, request: AdmissionRequest) -> Object | None:
        name = ((request.obj or {}).get("spec") or {}).get("runtimeClassName")
        if name is None:
            return None
        item = self._lister.get(RUNTIME_CLASSES, name)
        if item is None:
            raise refusal(request, f'pod rejected: RuntimeClass "{name}" not found')
        return item.object


_OVERHEAD_DIFFERS: Final = (
    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
)


def _lend_scheduling(
    request: AdmissionRequest, spec: dict[str, Any], scheduling: dict[str, Any]
) -> None:
    selector: dict[str, str] = scheduling.get("nodeSelector") or {}
    own: dict[str, str] = spec.get("nodeSelector") or {}
    for key, value in selector.items():
        if own.get(key, value) != value:
            why = (
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value};"
                f" pod.spec.nodeSelector[{key}] = {own[key]}"
            )
            raise refusal(request, why)
    if selector:
        spec["nodeSelector"] = {**own, **selector}
    tolerations: list[Object] = list(spec.get("tolerations") or ())
    lent = scheduling.get("tolerations") or ()
    tolerations.extend(toleration for toleration in lent if toleration not in tolerations)
    if tolerations:
        spec["tolerations"] = tolerations


def _tolerates(tolerations: Sequence[Object], key: str) -> bool:
    return any(
        toleration.get("key", "") in {"", key} and toleration.get("effect", "") in {"", "NoExecute"}
        for toleration in tolerations
    )
