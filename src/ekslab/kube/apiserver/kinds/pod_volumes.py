"""Validation of volumes: upstream's `ValidateVolumes` and `validateVolumeSource`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.quantity import milli
from ekslab.kube.apiserver.kinds.field_errors import (
    NEGATIVE,
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
)
from ekslab.kube.apiserver.kinds.pod_containers import (
    PULL_POLICIES,
    validate_descending_path,
    validate_field_ref,
)

Part = Mapping[str, Any]

_MODE_TEXT: Final = "must be a number between 0 and 0777 (octal), both inclusive"
_DOWNWARD_FIELDS: Final = (
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace",
    "metadata.uid",
)  # fmt: skip
_HOST_PATH_TYPES: Final = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate",
    "Socket",
)  # fmt: skip
_PROJECTIONS: Final = (
    "secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle",
    "podCertificate",
)  # fmt: skip


def validate_volumes(volumes: Sequence[Part], path: str, causes: list[Cause]) -> dict[str, Part]:
    """Check all volumes; gives those with good names, by name, for the mounts to find."""
    known: dict[str, Part] = {}
    for index, volume in enumerate(volumes):
        at = f"{path}[{index}]"
        _validate_source(volume, at, causes)
        name = volume.get("name", "")
        if not name:
            causes.append(required(f"{at}.name"))
            continue
        wrong = names.is_dns1123_label(name)
        if wrong:
            causes.extend(each_invalid(f"{at}.name", name, wrong))
        elif name in known:
            causes.append(duplicate(f"{at}.name", name))
        else:
            known[name] = volume
    return known


def _validate_source(volume: Part, path: str, causes: list[Cause]) -> None:
    first = True
    for kind, source in volume.items():
        if kind == "name":
            continue
        if not first:
            causes.append(forbidden(f"{path}.{kind}", "may not specify more than 1 volume type"))
            continue
        first = False
        check = _SOURCES.get(kind)
        if check is not None:
            check(source, f"{path}.{kind}", causes)
    if first:
        causes.append(required(path, "must specify a volume type"))


def _validate_mode(mode: int | None, at: str, causes: list[Cause]) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        causes.append(invalid(at, mode, _MODE_TEXT))


def _validate_items(source: Part, path: str, causes: list[Cause]) -> None:
    for index, item in enumerate(source.get("items") or ()):
        at = f"{path}.items[{index}]"
        if not item.get("key"):
            causes.append(required(f"{at}.key"))
        _validate_file(item.get("path", ""), f"{at}.path", causes)
        _validate_mode(item.get("mode"), f"{at}.mode", causes)


def _validate_file(target: str, at: str, causes: list[Cause]) -> None:
    if not target:
        causes.append(required(at))
        return
    validate_descending_path(target, at, causes)
    if target.startswith("..") and not target.startswith("../"):
        causes.append(invalid(at, target, "must not start with '..'"))


def _config_map(source: Part, path: str, causes: list[Cause]) -> None:
    if not source.get("name"):
        causes.append(required(f"{path}.name"))
    _validate_mode(source.get("defaultMode"), f"{path}.defaultMode", causes)
    _validate_items(source, path, causes)


def _secret(source: Part, path: str, causes: list[Cause]) -> None:
    if not source.get("secretName"):
        causes.append(required(f"{path}.secretName"))
    _validate_mode(source.get("defaultMode"), f"{path}.defaultMode", causes)
    _validate_items(source, path, causes)


def _downward(source: Part, path: str, causes: list[Cause]) -> None:
    _validate_mode(source.get("defaultMode"), f"{path}.defaultMode", causes)
    for item in source.get("items") or ():
        # Upstream names the list, not the item.
        _validate_downward_file(item, path, causes)


def _validate_downward_file(item: Part, path: str, causes: list[Cause]) -> None:
    if not item.get("path"):
        causes.append(required(f"{path}.path"))
    else:
        _validate_file(item["path"], f"{path}.path", causes)
    if "fieldRef" in item:
        validate_field_ref(item["fieldRef"], _DOWNWARD_FIELDS, f"{path}.fieldRef", causes)
        if "resourceFieldRef" in item:
            why = "fieldRef and resourceFieldRef can not be specified simultaneously"
            causes.append(invalid(path, "resource", why))
    elif "resourceFieldRef" not in item:
        causes.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    _validate_mode(item.get("mode"), f"{path}.mode", causes)


def _projected(source: Part, path: str, causes: list[Cause]) -> None:
    _validate_mode(source.get("defaultMode"), f"{path}.defaultMode", causes)
    for index, part in enumerate(source.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        given = [kind for kind in _PROJECTIONS if kind in part]
        if not given:
            causes.append(required(at, "must specify one volume source"))
        for kind in given[1:]:
            why = "may not specify more than 1 volume type"
            causes.append(forbidden(f"{at}.{kind}", why))
        for kind in given[:1]:
            _validate_projection(kind, part[kind], f"{at}.{kind}", causes)


def _validate_projection(kind: str, part: Part, at: str, causes: list[Cause]) -> None:
    if kind in {"secret", "configMap"}:
        if not part.get("name"):
            causes.append(required(f"{at}.name"))
        _validate_items(part, at, causes)
    elif kind == "downwardAPI":
        _downward(part, at, causes)
    elif kind == "serviceAccountToken":
        seconds = part.get("expirationSeconds", 0)
        if seconds < 600:
            why = "may not specify a duration less than 10 minutes"
            causes.append(invalid(f"{at}.expirationSeconds", seconds, why))
        elif seconds > 1 << 32:
            why = "may not specify a duration larger than 2^32 seconds"
            causes.append(invalid(f"{at}.expirationSeconds", seconds, why))
        _validate_file(part.get("path", ""), f"{at}.path", causes)


def _empty_dir(source: Part, path: str, causes: list[Cause]) -> None:
    limit = source.get("sizeLimit")
    if limit is not None and milli(limit) < 0:
        why = "SizeLimit field must be a valid resource quantity"
        causes.append(forbidden(f"{path}.sizeLimit", why))
    if source.get("medium", "") not in {"", "Memory", "HugePages"} and not str(
        source["medium"]
    ).startswith("HugePages-"):
        causes.append(
            not_supported(f"{path}.medium", source["medium"], ("", "Memory", "HugePages"))
        )


def _host_path(source: Part, path: str, causes: list[Cause]) -> None:
    target = source.get("path", "")
    if not target:
        causes.append(required(f"{path}.path"))
    elif ".." in target.split("/"):
        causes.append(invalid(f"{path}.path", target, "must not contain '..'"))
    if source.get("type", "") not in _HOST_PATH_TYPES:
        causes.append(not_supported(f"{path}.type", source["type"], _HOST_PATH_TYPES))


def _claim(source: Part, path: str, causes: list[Cause]) -> None:
    if not source.get("claimName"):
        causes.append(required(f"{path}.claimName"))


def _csi(source: Part, path: str, causes: list[Cause]) -> None:
    if not source.get("driver"):
        causes.append(required(f"{path}.driver"))


def _nfs(source: Part, path: str, causes: list[Cause]) -> None:
    if not source.get("server"):
        causes.append(required(f"{path}.server"))
    if not source.get("path"):
        causes.append(required(f"{path}.path"))
    elif not source["path"].startswith("/"):
        causes.append(invalid(f"{path}.path", source["path"], "must be an absolute path"))


def _block_store(source: Part, path: str, causes: list[Cause]) -> None:
    if not source.get("volumeID"):
        causes.append(required(f"{path}.volumeID"))
    partition = source.get("partition", 0)
    if not 0 <= partition <= 255:
        why = names.outside_range(1, 255)
        causes.append(invalid(f"{path}.partition", partition, why))


def _ephemeral(source: Part, path: str, causes: list[Cause]) -> None:
    template = source.get("volumeClaimTemplate")
    if template is None:
        causes.append(required(f"{path}.volumeClaimTemplate"))
        return
    validate_claim_spec(template.get("spec") or {}, f"{path}.volumeClaimTemplate.spec", causes)


def _image(source: Part, path: str, causes: list[Cause]) -> None:
    if not source.get("reference"):
        causes.append(required(f"{path}.reference"))
    policy = source.get("pullPolicy", "")
    if policy not in PULL_POLICIES:
        causes.append(not_supported(f"{path}.pullPolicy", policy, PULL_POLICIES))


_SOURCES: Final[dict[str, Callable[[Part, str, list[Cause]], None]]] = {
    "configMap": _config_map,
    "secret": _secret,
    "downwardAPI": _downward,
    "projected": _projected,
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "persistentVolumeClaim": _claim,
    "csi": _csi,
    "nfs": _nfs,
    "awsElasticBlockStore": _block_store,
    "ephemeral": _ephemeral,
    "image": _image,
}

ACCESS_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def validate_claim_spec(spec: Part, path: str, causes: list[Cause]) -> None:
    """A PersistentVolumeClaim's spec: upstream's `ValidatePersistentVolumeClaimSpec`."""
    modes = spec.get("accessModes") or ()
    if not modes:
        causes.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    validate_access_modes(modes, f"{path}.accessModes", causes)
    amount = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    at = f"{path}.resources[storage]"
    if amount is None:
        causes.append(required(at))
    elif milli(amount) < 0:
        causes.append(invalid(at, amount, NEGATIVE))
    elif milli(amount) == 0:
        causes.append(invalid(at, amount, "must be greater than zero"))
    name = spec.get("storageClassName")
    if name:
        wrong = names.is_dns1123_subdomain(name)
        causes.extend(each_invalid(f"{path}.storageClassName", name, wrong))
    mode = spec.get("volumeMode", "Filesystem")
    if mode not in {"Block", "Filesystem"}:
        causes.append(not_supported(f"{path}.volumeMode", mode, ("Block", "Filesystem")))


def validate_access_modes(modes: Sequence[str], path: str, causes: list[Cause]) -> None:
    """Known modes, and ReadWriteOncePod only alone."""
    causes.extend(
        not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES
    )
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        why = "may not use ReadWriteOncePod with other access modes"
        causes.append(forbidden(path, why))
