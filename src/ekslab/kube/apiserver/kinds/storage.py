"""Volumes, claims, storage classes, CSI objects: upstream's core and storage validation."""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.quantity import milli
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.field_errors import (
    NEGATIVE,
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
    unchanged,
)
from ekslab.kube.apiserver.kinds.object_meta import validate_core_finalizers
from ekslab.kube.apiserver.kinds.pod_defaults import default_claim_spec
from ekslab.kube.apiserver.kinds.pod_scheduling import validate_node_selector
from ekslab.kube.apiserver.kinds.pod_volumes import validate_access_modes, validate_claim_spec
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

_RECLAIM: Final = ("Delete", "Recycle", "Retain")
_BINDING_MODES: Final = ("Immediate", "WaitForFirstConsumer")
_NOT_SOURCES: Final = frozenset(
    {
        "capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy",
        "storageClassName", "mountOptions", "volumeMode", "nodeAffinity",
        "volumeAttributesClassName",
    }
)  # fmt: skip
_CLAIM_TEXT: Final = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for"
    " bound claims"
)


class ClaimStrategy(Strategy):
    """PersistentVolumeClaim: a wish for storage."""

    traits = Traits(born={"phase": "Pending"}, defaults_status=True)

    def default(self, obj: Object) -> None:
        """A file system; Pending."""
        default_claim_spec(obj.setdefault("spec", {}))
        spec = obj["spec"]
        if "dataSource" in spec and "dataSourceRef" not in spec:
            spec["dataSourceRef"] = dict(spec["dataSource"])
        obj.setdefault("status", {}).setdefault("phase", "Pending")

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidatePersistentVolumeClaim`."""
        causes.extend(validate_core_finalizers(obj["metadata"]))
        validate_claim_spec(obj["spec"], "spec", causes)

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Only growing, binding, and the attributes class may change."""
        self.check(obj, causes)
        spec, before = obj["spec"], old["spec"]
        munged = {**spec, "resources": before.get("resources")}
        free = ["volumeAttributesClassName"]
        if not before.get("volumeName"):
            free.append("volumeName")
        if before.get("storageClassName") is None:
            free.append("storageClassName")
        for field in free:
            munged[field] = before.get(field)
        if any(munged.get(f) != before.get(f) for f in munged.keys() | before.keys()):
            causes.append(forbidden("spec", _CLAIM_TEXT))
        new, was = _requested(spec), _requested(before)
        if new != was and milli(new) < milli(was):
            held = ((old.get("status") or {}).get("capacity") or {}).get("storage")
            if held is None or milli(new) < milli(held):
                why = "field can not be less than status.capacity"
                causes.append(forbidden("spec.resources.requests.storage", why))


def _requested(spec: Mapping[str, Any]) -> str:
    requests = (spec.get("resources") or {}).get("requests") or {}
    return str(requests.get("storage", "0"))


class VolumeStrategy(Strategy):
    """PersistentVolume: a piece of storage."""

    traits = Traits(born={"phase": "Pending"}, defaults_status=True)

    def default(self, obj: Object) -> None:
        """Retained, a file system, Pending."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setdefault("volumeMode", "Filesystem")
        if "hostPath" in spec:
            spec["hostPath"].setdefault("type", "")
        obj.setdefault("status", {}).setdefault("phase", "Pending")

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidatePersistentVolume`."""
        causes.extend(validate_core_finalizers(obj["metadata"]))
        spec = obj["spec"]
        modes = spec.get("accessModes") or ()
        if not modes:
            causes.append(required("spec.accessModes"))
        validate_access_modes(modes, "spec.accessModes", causes)
        capacity = spec.get("capacity") or {}
        if not capacity:
            causes.append(required("spec.capacity"))
        elif "storage" not in capacity or len(capacity) > 1:
            causes.append(not_supported("spec.capacity", dict(capacity), ("storage",)))
        for name, quantity in capacity.items():
            if milli(quantity) <= 0:
                why = NEGATIVE if milli(quantity) < 0 else "must be greater than zero"
                causes.append(invalid(f"spec.capacity[{name}]", quantity, why))
        policy = spec.get("persistentVolumeReclaimPolicy", "")
        if policy not in _RECLAIM:
            causes.append(not_supported("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM))
        sources = [field for field in spec if field not in _NOT_SOURCES]
        if not sources:
            causes.append(required("spec", "must specify a volume type"))
        causes.extend(
            forbidden(f"spec.{field}", "may not specify more than 1 volume type")
            for field in sources[1:]
        )
        affinity = spec.get("nodeAffinity")
        if affinity is not None:
            if "required" not in affinity:
                why = "must specify required node constraints"
                causes.append(required("spec.nodeAffinity.required", why))
            else:
                validate_node_selector(affinity["required"], "spec.nodeAffinity.required", causes)
        elif "local" in spec:
            causes.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
        mode = spec.get("volumeMode", "Filesystem")
        if mode not in {"Block", "Filesystem"}:
            causes.append(not_supported("spec.volumeMode", mode, ("Block", "Filesystem")))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """What it is stays."""
        self.check(obj, causes)
        spec, before = obj["spec"], old["spec"]
        sources = {f: v for f, v in spec.items() if f not in _NOT_SOURCES}
        if sources != {f: v for f, v in before.items() if f not in _NOT_SOURCES}:
            why = "spec.persistentvolumesource is immutable after creation"
            causes.append(forbidden("spec.persistentvolumesource", why))
        causes.extend(
            unchanged("spec.volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
        )
        if before.get("nodeAffinity") is not None:
            affinity = spec.get("nodeAffinity")
            causes.extend(unchanged("spec.nodeAffinity", affinity, before["nodeAffinity"]))


class StorageClassStrategy(Strategy):
    """How volumes are made."""

    traits = Traits(born=None)

    def default(self, obj: Object) -> None:
        """Deleted with the claim, bound at once."""
        obj.setdefault("reclaimPolicy", "Delete")
        obj.setdefault("volumeBindingMode", "Immediate")

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateStorageClass`."""
        provisioner = obj.get("provisioner", "")
        if not provisioner:
            causes.append(required("provisioner"))
        else:
            wrong = names.is_qualified_name(provisioner.lower())
            causes.extend(each_invalid("provisioner", provisioner, wrong))
        if "" in (obj.get("parameters") or {}):
            causes.append(invalid("parameters", "", "field can not be empty."))
        policy = obj.get("reclaimPolicy")
        if policy and policy not in {"Delete", "Retain"}:
            causes.append(not_supported("reclaimPolicy", policy, ("Delete", "Retain")))
        mode = obj.get("volumeBindingMode")
        if mode not in _BINDING_MODES:
            causes.append(not_supported("volumeBindingMode", mode, _BINDING_MODES))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Only expansion, mount options and metadata may change."""
        self.check(obj, causes)
        causes.extend(
            forbidden(field, f"updates to {field} are forbidden.")
            for field in ("parameters", "provisioner", "reclaimPolicy")
            if (obj.get(field) or None) != (old.get(field) or None)
        )
        mode = obj.get("volumeBindingMode")
        causes.extend(unchanged("volumeBindingMode", mode, old.get("volumeBindingMode")))


class CsiDriverStrategy(Strategy):
    """What a storage driver wants from the cluster."""

    traits = Traits(unconditional_update=False, born=None)

    def default(self, obj: Object) -> None:
        """Attaches, wants no pod information, keeps no capacity."""
        spec = obj.setdefault("spec", {})
        for field, value in (
            ("attachRequired", True),
            ("podInfoOnMount", False),
            ("storageCapacity", False),
            ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
            ("requiresRepublish", False),
            ("seLinuxMount", False),
        ):
            spec.setdefault(field, value)
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateCSIDriver`."""
        _validate_driver_name(obj["metadata"].get("name", ""), "metadata.name", causes)
        spec = obj["spec"]
        for index, mode in enumerate(spec.get("volumeLifecycleModes") or ()):
            if mode not in {"Persistent", "Ephemeral"}:
                at = f"spec.volumeLifecycleModes[{index}]"
                causes.append(not_supported(at, mode, ("Ephemeral", "Persistent")))
        policies = ("ReadWriteOnceWithFSType", "File", "None")
        policy = spec.get("fsGroupPolicy")
        if policy not in policies:
            causes.append(not_supported("spec.fsGroupPolicy", policy, policies))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Whether it attaches, and its modes, stay."""
        self.check(obj, causes)
        for field in ("attachRequired", "volumeLifecycleModes"):
            new, before = obj["spec"].get(field), old["spec"].get(field)
            causes.extend(unchanged(f"spec.{field}", new, before))


def _validate_driver_name(name: str, path: str, causes: list[Cause]) -> None:
    if not name:
        causes.append(required(path))
        return
    if len(name) > names.LABEL_CHARS_MOST:
        causes.append(invalid(path, name, names.longer_than(names.LABEL_CHARS_MOST)))
    causes.extend(each_invalid(path, name, names.is_dns1123_subdomain(name.lower())))


class CsiNodeStrategy(Strategy):
    """Which drivers run on a node."""

    traits = Traits(unconditional_update=False, born=None)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateCSINode`."""
        taken: set[str] = set()
        for index, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
            at, name = f"spec.drivers[{index}]", driver.get("name", "")
            _validate_driver_name(name, f"{at}.name", causes)
            if name in taken:
                causes.append(duplicate(f"{at}.name", name))
            taken.add(name)
            if not driver.get("nodeID"):
                causes.append(required(f"{at}.nodeID"))
            count = (driver.get("allocatable") or {}).get("count")
            if count is not None and count < 0:
                causes.append(invalid(f"{at}.allocatable.count", count, NEGATIVE))


class VolumeAttachmentStrategy(Strategy):
    """That a volume is to be attached to a node."""

    traits = Traits(unconditional_update=False, born={"attached": False})

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateVolumeAttachment`."""
        spec = obj["spec"]
        _validate_driver_name(spec.get("attacher", ""), "spec.attacher", causes)
        source = spec.get("source") or {}
        if not source.get("persistentVolumeName") and "inlineVolumeSpec" not in source:
            why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            causes.append(required("spec.source", why))
        node = spec.get("nodeName", "")
        causes.extend(each_invalid("spec.nodeName", node, names.is_dns1123_subdomain(node)))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """The spec stays."""
        self.check(obj, causes)
        if obj["spec"] != old["spec"]:
            causes.append(invalid("spec", obj["spec"], "field is immutable"))
