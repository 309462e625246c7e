"""Pods: upstream's `registry/core/pod/strategy.go` and the update rules of its validation."""

from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.apiserver.kinds.field_errors import (
    each_invalid,
    forbidden,
    invalid,
    shown,
    unchanged,
)
from ekslab.kube.apiserver.kinds.object_meta import validate_core_finalizers
from ekslab.kube.apiserver.kinds.pod_defaults import default_pod
from ekslab.kube.apiserver.kinds.pod_resources import qos_class
from ekslab.kube.apiserver.kinds.pod_spec import validate_pod_annotations, validate_pod_spec
from ekslab.kube.apiserver.kinds.pod_warnings import pod_warnings
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

_DEADLINE_MOST: Final = 2**31 - 1
_UPDATABLE: Final = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_GONE: Final = frozenset({"Succeeded", "Failed"})


class PodStrategy(Strategy):
    """Born Pending with its QoS class; afterwards little of the spec can change."""

    traits = Traits(
        generation=True,
        graceful=True,
        selectable=frozenset(
            {
                "spec.nodeName", "spec.restartPolicy", "spec.schedulerName",
                "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP",
                "status.podIPs", "status.nominatedNodeName",
            }
        ),
    )  # fmt: skip

    def __init__(self, info: ResourceInfo, schema: Schema) -> None:
        super().__init__(info, schema)
        self.renamed = {"spec.host": "spec.nodeName"}  # What the oldest clients send.
        self.selectable |= {"spec.host"}

    def default(self, obj: Object) -> None:
        """Defaults of a pod (upstream: `SetDefaults_Pod`, `SetDefaults_PodSpec`, ...)."""
        default_pod(obj)

    def prepare_create(self, obj: Object) -> None:
        """Pending, with a QoS class; scheduling gates show as a condition."""
        obj["metadata"]["generation"] = 1
        spec = obj["spec"]
        _mirror_service_account(spec)
        status: Object = {"phase": "Pending", "qosClass": qos_class(spec)}
        if spec.get("schedulingGates"):
            status["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                }
            ]
        obj["status"] = status

    def prepare_update(self, obj: Object, old: Object) -> None:
        """The status is not for writers of the pod."""
        _mirror_service_account(obj["spec"])
        super().prepare_update(obj, old)

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        """Neither spec nor owners change with the status; the QoS class stays."""
        super().prepare_status_update(obj, old)
        meta, before = obj["metadata"], old["metadata"]
        if "ownerReferences" in before:
            meta["ownerReferences"] = before["ownerReferences"]
        else:
            meta.pop("ownerReferences", None)
        status = obj.setdefault("status", {})
        if not status.get("qosClass") and old.get("status", {}).get("qosClass"):
            status["qosClass"] = old["status"]["qosClass"]

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Everything upstream's `ValidatePodCreate` refuses."""
        meta, spec = obj["metadata"], obj["spec"]
        causes.extend(validate_core_finalizers(meta))
        causes.extend(validate_pod_annotations(meta, spec, "metadata.annotations"))
        causes.extend(validate_pod_spec(spec, "spec"))
        if spec.get("ephemeralContainers"):
            why = "cannot be set on create"
            causes.append(forbidden("spec.ephemeralContainers", why))
        if spec.get("schedulingGates") and spec.get("nodeName"):
            why = "cannot be set until all schedulingGates have been cleared"
            causes.append(forbidden("spec.nodeName", why))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Images, deadline, tolerations and gates may change, nothing else of the spec."""
        causes.extend(validate_core_finalizers(obj["metadata"]))
        if obj["spec"] == old["spec"]:
            return
        causes.extend(validate_pod_spec(obj["spec"], "spec"))
        causes.extend(_validate_change(obj["spec"], old["spec"]))

    def check_status_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Addresses are addresses, and the QoS class stays."""
        status, before = obj.get("status", {}), old.get("status", {})
        if before.get("qosClass"):
            causes.extend(unchanged("status.qosClass", status.get("qosClass"), before["qosClass"]))
        for index, entry in enumerate(status.get("podIPs") or ()):
            address = entry.get("ip", "")
            causes.extend(each_invalid(f"status.podIPs[{index}]", address, names.is_ip(address)))
        nominated = status.get("nominatedNodeName")
        if nominated:
            wrong = names.is_dns1123_subdomain(nominated)
            causes.extend(each_invalid("status.nominatedNodeName", nominated, wrong))

    def warnings(self, obj: Object) -> list[str]:
        """Upstream's `pkg/api/pod/warnings.go`."""
        return pod_warnings(obj["spec"], obj["metadata"], "spec")

    def fields(self, obj: Object) -> dict[str, str]:
        """What the scheduler and node agents select by, and the rest upstream knows."""
        meta, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
        address = status.get("podIP", "")
        addresses = status.get("podIPs")
        return {
            "metadata.name": meta.get("name", ""),
            "metadata.namespace": meta.get("namespace", ""),
            "spec.nodeName": spec.get("nodeName", ""),
            "spec.restartPolicy": spec.get("restartPolicy", ""),
            "spec.schedulerName": spec.get("schedulerName", ""),
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase", ""),
            "status.podIP": address,
            "status.podIPs": ",".join(e.get("ip", "") for e in addresses) if addresses else address,
            "status.nominatedNodeName": status.get("nominatedNodeName", ""),
        }

    def deletion_grace_s(self, obj: Object, requested: int | None) -> int:
        """The requested or the pod's own grace; 0 where no node agent would ever confirm."""
        spec, status = obj["spec"], obj.get("status") or {}
        if not spec.get("nodeName") or status.get("phase") in _GONE:
            return 0
        own = spec.get("terminationGracePeriodSeconds", 0)
        grace: int = requested if requested is not None else own
        return grace if grace >= 0 else 1


def _mirror_service_account(spec: Object) -> None:
    # Admission may set the account after defaulting; the deprecated field always shows the same.
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]


def _validate_change(spec: Object, old: Object) -> list[Cause]:
    causes: list[Cause] = []
    for kind in ("containers", "initContainers"):
        new_ones, old_ones = spec.get(kind) or (), old.get(kind) or ()
        if len(new_ones) != len(old_ones):
            why = "pod updates may not add or remove containers"
            return [*causes, forbidden(f"spec.{kind}", why)]
    deadline, before = spec.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if deadline is not None:
        if not 0 <= deadline <= _DEADLINE_MOST:
            why = names.outside_range(0, _DEADLINE_MOST)
            return [*causes, invalid("spec.activeDeadlineSeconds", deadline, why)]
        if before is not None and before < deadline:
            why = "must be less than or equal to previous value"
            return [*causes, invalid("spec.activeDeadlineSeconds", deadline, why)]
    elif before is not None:
        why = "must not update from a positive integer to nil value"
        causes.append(invalid("spec.activeDeadlineSeconds", None, why))
    causes.extend(_validate_tolerations_change(spec, old))
    causes.extend(_validate_gates_change(spec, old))
    munged = _munged(spec, old)
    if munged != old:
        why = (
            f"pod updates may not change fields other than {_UPDATABLE}\n{_difference(old, munged)}"
        )
        causes.append(forbidden("spec", why))
    return causes


def _validate_tolerations_change(spec: Object, old: Object) -> list[Cause]:
    kept = [{**entry, "tolerationSeconds": None} for entry in spec.get("tolerations") or ()]
    for entry in old.get("tolerations") or ():
        if {**entry, "tolerationSeconds": None} not in kept:
            why = "existing toleration can not be modified except its tolerationSeconds"
            return [forbidden("spec.tolerations", why)]
    return []


def _validate_gates_change(spec: Object, old: Object) -> list[Cause]:
    before = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    return [
        forbidden(
            f"spec.schedulingGates[{index}]",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'",
        )
        for index, gate in enumerate(spec.get("schedulingGates") or ())
        if gate.get("name") not in before
    ]


def _munged(spec: Object, old: Object) -> Object:
    """The new spec with everything that may change set back to what it was."""
    munged = dict(spec)
    for kind in ("containers", "initContainers"):
        if kind in spec:
            munged[kind] = [
                {**container, "image": before.get("image", "")}
                for container, before in zip(spec[kind], old.get(kind) or (), strict=True)
            ]
    free = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if old.get("schedulingGates"):
        # Nobody has looked at a gated pod yet: where it may run can still be narrowed.
        free += ["nodeSelector", "affinity"]
    grace = old.get("terminationGracePeriodSeconds", 0)
    if grace < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        free.append("terminationGracePeriodSeconds")
    for key in free:
        if key in old:
            munged[key] = old[key]
        else:
            munged.pop(key, None)
    return munged


def _difference(old: Any, new: Any) -> str:
    """What differs, line by line, in the manner of the diff upstream prints (its exact layout is
    declared unstable upstream and is not imitated).
    """
    lines: list[str] = []

    def walk(before: Any, after: Any, path: str) -> None:
        if before == after:
            return
        if isinstance(before, dict) and isinstance(after, dict):
            for key in sorted(before.keys() | after.keys()):
                walk(before.get(key), after.get(key), f"{path}.{key}" if path else key)
        elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            for index, (one, two) in enumerate(zip(before, after, strict=True)):
                walk(one, two, f"{path}[{index}]")
        else:
            if before is not None:
                lines.append(f"- \t{path}: {shown(before)},")
            if after is not None:
                lines.append(f"+ \t{path}: {shown(after)},")

    walk(old, new, "")
    return "\n".join(["  core.PodSpec{", *lines, "  }", ""])
