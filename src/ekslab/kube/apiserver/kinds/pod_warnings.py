"""Warnings about what is legal and probably not meant: upstream's `pkg/api/pod/warnings.go`."""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api.quantity import milli

_DEPRECATED_LABELS: Final = {
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def pod_warnings(spec: Mapping[str, Any], meta: Mapping[str, Any], path: str) -> list[str]:
    """What upstream warns of in a pod or a pod template."""
    found = [
        f"{path}.nodeSelector[{key}]: deprecated since v1.14;"
        f' use "{_DEPRECATED_LABELS[key]}" instead'
        for key in spec.get("nodeSelector") or ()
        if key in _DEPRECATED_LABELS
    ]
    for index, volume in enumerate(spec.get("volumes") or ()):
        if "gitRepo" in volume:
            found.append(f"{path}.volumes[{index}].gitRepo: deprecated in v1.11")
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            found.extend(_container_warnings(container, f"{path}.{kind}[{index}]"))
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        found.append(
            f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are"
            " invalid and will be treated as 1"
        )
    for key in meta.get("annotations") or ():
        if key.startswith("container.apparmor.security.beta.kubernetes.io/"):
            where = "metadata" if path == "spec" else f"{path.removesuffix('.spec')}.metadata"
            found.append(
                f"{where}.annotations[{key}]: deprecated since v1.30;"
                ' use the "appArmorProfile" field instead'
            )
    return found


def _container_warnings(container: Mapping[str, Any], path: str) -> list[str]:
    found: list[str] = []
    resources = container.get("resources") or {}
    for kind in ("limits", "requests"):
        for name in ("memory", "ephemeral-storage"):
            amount = (resources.get(kind) or {}).get(name)
            if amount is not None and milli(amount) % 1000:
                found.append(
                    f"{path}.resources.{kind}[{name}]: fractional byte value"
                    f' "{amount}" is invalid, must be an integer'
                )
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name", "")
        if name in seen:
            found.append(
                f"{path}.env[{index}]: hides previous definition of"
                f' "{name}", which may be dropped when using apply'
            )
        seen.add(name)
    return found
