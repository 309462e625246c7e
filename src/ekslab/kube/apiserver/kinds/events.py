"""Events, in both spellings: upstream's `pkg/apis/core/validation/events.go`."""

from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.apiserver.kinds.field_errors import invalid, not_supported, required
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

_ABOUT: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_SELECTABLE: Final = frozenset(
    {f"involvedObject.{field}" for field in _ABOUT}
    | {"reason", "reportingComponent", "source", "type"}
)
_NEW_NAMES: Final = {
    **{f"regarding.{field}": f"involvedObject.{field}" for field in _ABOUT},
    "reportingController": "reportingComponent",
}
"""What events.k8s.io calls the same fields; it does not select by source."""


class EventStrategy(Strategy):
    """Something that happened. Its name may be anything that fits a path."""

    traits = Traits(
        name_rule=names.is_path_segment,
        create_on_update=True,
        born=None,
        selectable=_SELECTABLE,
    )

    def __init__(self, info: ResourceInfo, schema: Schema) -> None:
        super().__init__(info, schema)
        if info.resource.group == "events.k8s.io":
            self.renamed = _NEW_NAMES
            self.selectable = (self.selectable - _SELECTABLE) | {"reason", "type", *_NEW_NAMES}

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """It lies in the namespace of what it is about."""
        strict = self.info.resource.group == "events.k8s.io"
        about, at = _about(obj), "regarding" if strict else "involvedObject"
        namespace, own = about.get("namespace", ""), obj["metadata"].get("namespace", "")
        if (namespace and namespace != own) or (not namespace and own != "default" and strict):
            why = "does not match event.namespace"
            causes.append(invalid(f"{at}.namespace", namespace, why))
        if strict:
            _validate_new_style(obj, causes)

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """As a new one."""
        del old
        self.check(obj, causes)

    def fields(self, obj: Object) -> dict[str, str]:
        """What it is about, why, and who says so."""
        found = super().fields(obj)
        about = _about(obj)
        for field in _ABOUT:
            found[f"involvedObject.{field}"] = about.get(field, "")
        reporter = obj.get("reportingComponent") or obj.get("reportingController") or ""
        source = obj.get("source") or obj.get("deprecatedSource") or {}
        found["reportingComponent"] = reporter
        found["source"] = source.get("component") or reporter
        found["reason"] = obj.get("reason", "")
        found["type"] = obj.get("type", "")
        return found


def _about(obj: Object) -> dict[str, Any]:
    return obj.get("involvedObject") or obj.get("regarding") or {}


def _validate_new_style(obj: Object, causes: list[Cause]) -> None:
    if not obj.get("eventTime"):
        causes.append(required("eventTime"))
    fields = ("reportingController", "reportingInstance", "action", "reason")
    causes.extend(required(field) for field in fields if not obj.get(field))
    kind = obj.get("type", "")
    if kind not in {"Normal", "Warning"}:
        causes.append(not_supported("type", kind, ("Normal", "Warning")))
