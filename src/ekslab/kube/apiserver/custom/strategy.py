"""The rules of custom objects: defaults and validation by the schema of their version.

Upstream: apiextensions-apiserver `pkg/registry/customresource/{strategy,validator}.go`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.schema.model import Schema
from ekslab.kube.api.structural.defaulting import fill_defaults
from ekslab.kube.api.structural.nodes import Node
from ekslab.kube.api.structural.paths import simple_path, value_at
from ekslab.kube.api.structural.shapes import duplicates, embedded
from ekslab.kube.api.structural.values import ABSENT, BLOCKING, check_value
from ekslab.kube.apiserver.kinds.field_errors import each_invalid, invalid, required
from ekslab.kube.apiserver.kinds.object_meta import validate_meta
from ekslab.kube.apiserver.kinds.strategy import Custom, Traits

if TYPE_CHECKING:
    from ekslab.kube.api.cel.rules import Validator

_NOT_CHECKED: Final = Cause(
    "<nil>",
    'Invalid value: "null": some validation rules were not checked because the object was invalid;'
    " correct the existing errors to complete validation",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRules:
    """What a version says beyond its types.

    Attributes:
        node: its schema.
        selectable: fields its objects can be selected by.
        kept: such fields of all versions: what is kept beside a stored object.
        scale: the wire form of its scale subresource, empty if there is none.
    """

    node: Node
    selectable: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    scale: Mapping[str, str]


class CustomStrategy(Custom):
    """Objects of one version of a definition."""

    traits = Traits(generation=True, born=None, unconditional_update=False, defaults_status=True)

    def __init__(self, info: ResourceInfo, schema: Schema, rules: VersionRules) -> None:
        super().__init__(info, schema)
        self._node = rules.node
        self._kept = tuple((path.removeprefix("."), simple_path(path) or ()) for path in rules.kept)
        self.selectable |= {path.removeprefix(".") for path in rules.selectable}
        self._scale = rules.scale
        self._rules = _compiled_rules(rules.node.wire)

    def default(self, obj: Object) -> None:
        """The schema's defaults."""
        fill_defaults(obj, self._node)

    def spec_changed(self, obj: Object, old: Object) -> bool:
        """Everything but metadata counts; the status only where it is no subresource."""
        if super().spec_changed(obj, old):
            return True
        return not self.has_status and obj.get("status") != old.get("status")

    def fields(self, obj: Object) -> dict[str, str]:
        """The values of the selectable fields, by path; "" for what is not there."""
        found = super().fields(obj)
        for name, path in self._kept:
            found[name] = _field_text(value_at(obj, path))
        return found

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Everything the schema says of a new object."""
        self._check(obj, ABSENT, causes)

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """As for a new one, but for what stays as it is."""
        self._check(obj, old, causes)

    def check_status_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """As any change."""
        self._check(obj, old, causes)

    def _check(self, obj: Object, old: Any, causes: list[Cause]) -> None:
        causes.extend(check_value(obj, self._node.wire, old=old))
        self._check_scale(obj, causes)
        for path, each in embedded(obj, self._node):
            causes.extend(_embedded_causes(each, path))
        causes.extend(duplicates(obj, self._node))
        if self._rules is None:
            return
        if any(cause.reason in BLOCKING for cause in causes):
            causes.append(_NOT_CHECKED)
        else:
            causes.extend(self._rules.check(obj, None if old is ABSENT else old))

    def _check_scale(self, obj: Object, causes: list[Cause]) -> None:
        for key in ("specReplicasPath", "statusReplicasPath"):
            path = self._scale.get(key)
            count = value_at(obj, simple_path(path) or ()) if path else None
            if isinstance(count, int) and not isinstance(count, bool) and count < 0:
                causes.append(invalid(str(path), count, "should be a non-negative integer"))


def _embedded_causes(obj: Object, path: str) -> Sequence[Cause]:
    """An object within an object says what it is, and has metadata like any other."""
    causes: list[Cause] = []
    for key in ("apiVersion", "kind"):
        at = f"{path}.{key}"
        value = obj.get(key)
        if not value:
            causes.append(required(at, "must not be empty"))
        elif key == "kind" and isinstance(value, str):
            wrong = names.is_dns1035_label(value.lower())
            causes.extend(each_invalid(at, value, [
                f"may have mixed case, but should otherwise match: {why}" for why in wrong
            ]))  # fmt: skip
    meta = obj.get("metadata")
    if isinstance(meta, dict):
        # Neither a name nor a namespace need be there.
        probe = {"name": "x", "namespace": "x", **meta}
        causes.extend(
            validate_meta(
                probe, namespaced=True, rule=names.is_dns1123_subdomain, path=f"{path}.metadata"
            )
        )
    return causes


def _field_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ""


def _has_rules(wire: Any) -> bool:
    if isinstance(wire, Mapping):
        return "x-kubernetes-validations" in wire or any(map(_has_rules, wire.values()))
    return isinstance(wire, list) and any(map(_has_rules, wire))


def _compiled_rules(wire: Mapping[str, Any]) -> "Validator | None":
    """The schema's rules; their language is loaded for those who use it."""
    if not _has_rules(wire):
        return None
    from ekslab.kube.api.cel.rules import compile_rules

    return compile_rules(wire)
