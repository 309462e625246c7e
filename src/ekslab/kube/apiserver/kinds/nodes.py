"""Nodes: upstream's `registry/core/node/strategy.go` and `ValidateNode`."""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.field_errors import duplicate, each_invalid, forbidden
from ekslab.kube.apiserver.kinds.pod_resources import validate_quantity, validate_resource_name
from ekslab.kube.apiserver.kinds.pod_scheduling import validate_taints
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

_INFO: Final = (
    "machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion",
    "kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture",
)  # fmt: skip
_MAY_CHANGE: Final = frozenset({"taints", "unschedulable", "podCIDR", "podCIDRs", "providerID"})


class NodeStrategy(Strategy):
    """A machine. Unlike other kinds it is created with its status: the node agent brings it."""

    traits = Traits(selectable=frozenset({"spec.unschedulable"}), defaults_status=True)

    def default(self, obj: Object) -> None:
        """What is allocatable defaults to the capacity; required parts are written."""
        obj.setdefault("spec", {})
        status = obj.setdefault("status", {})
        if "allocatable" not in status and status.get("capacity"):
            status["allocatable"] = dict(status["capacity"])
        endpoints = status.setdefault("daemonEndpoints", {})
        endpoints.setdefault("kubeletEndpoint", {}).setdefault("Port", 0)
        info = status.setdefault("nodeInfo", {})
        for field in _INFO:
            info.setdefault(field, "")

    def prepare_create(self, obj: Object) -> None:
        """Keep the status that the client gave."""

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateNode`."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        validate_taints(spec.get("taints") or (), "spec.taints", causes)
        _validate_amounts(status, causes)
        seen: set[str] = set()
        for index, text in enumerate(spec.get("podCIDRs") or ()):
            causes.extend(each_invalid(f"spec.podCIDRs[{index}]", text, names.is_cidr(text)))
            if text in seen:
                causes.append(duplicate(f"spec.podCIDRs[{index}]", text))
            seen.add(text)

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Address range and provider id are set once; the rest of the spec hardly changes."""
        spec, before = obj.get("spec") or {}, old.get("spec") or {}
        validate_taints(spec.get("taints") or (), "spec.taints", causes)
        ranges = before.get("podCIDRs") or ([before["podCIDR"]] if before.get("podCIDR") else [])
        if ranges and (spec.get("podCIDRs") or [spec.get("podCIDR")]) != ranges:
            why = 'node updates may not change podCIDR except from "" to valid'
            causes.append(forbidden("spec.podCIDRs", why))
        if before.get("providerID") and spec.get("providerID") != before["providerID"]:
            why = 'node updates may not change providerID except from "" to valid'
            causes.append(forbidden("spec.providerID", why))
        others = (spec.keys() | before.keys()) - _MAY_CHANGE
        if any(spec.get(field) != before.get(field) for field in others):
            why = "node updates may only change labels, taints, or capacity"
            causes.append(forbidden("[]", why))

    def check_status_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Amounts are not negative, addresses not twice."""
        del old
        status = obj.get("status") or {}
        _validate_amounts(status, causes)
        seen: list[Mapping[str, Any]] = []
        for index, entry in enumerate(status.get("addresses") or ()):
            if entry in seen:
                causes.append(duplicate(f"status.addresses[{index}]", dict(entry)))
            seen.append(entry)

    def fields(self, obj: Object) -> dict[str, str]:
        """Whether it takes new pods."""
        cordoned = (obj.get("spec") or {}).get("unschedulable")
        return {**super().fields(obj), "spec.unschedulable": "true" if cordoned else "false"}


def _validate_amounts(status: Mapping[str, Any], causes: list[Cause]) -> None:
    for kind in ("capacity", "allocatable"):
        for name, quantity in (status.get(kind) or {}).items():
            at = f"status.{kind}[{name}]"
            wrong = validate_resource_name(name, at)
            causes.extend(wrong or validate_quantity(name, quantity, at))
