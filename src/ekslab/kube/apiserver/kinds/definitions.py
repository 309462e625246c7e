"""CustomResourceDefinition: names, versions, columns, subresources, and structural schemas.

What all versions have in common is reported at its old place in the spec
(`spec.validation.openAPIV3Schema...`), as upstream's conversion to one internal form makes it.
Upstream: apiextensions-apiserver `pkg/apis/apiextensions/validation/validation.go`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause, bad_request
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.walking import DecodeError, Walk
from ekslab.kube.apiserver.kinds.field_errors import (
    each_invalid,
    invalid,
    not_supported,
    required,
    unchanged,
)
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

Part = Mapping[str, Any]

_SCOPES: Final = ("Cluster", "Namespaced")
_STRATEGIES: Final = ("None", "Webhook")
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = (
    "byte", "date", "date-time", "double", "float", "int32", "int64", "password",
)  # fmt: skip
_PROTECTED: Final = (".k8s.io", ".kubernetes.io")
_APPROVAL: Final = "api-approved.kubernetes.io"
_SELECTABLE_MOST: Final = 8
_HOISTED: Final = {
    "schema": "spec.validation",
    "subresources": "spec.subresources",
    "additionalPrinterColumns": "spec.additionalPrinterColumns",
    "selectableFields": "spec.selectableFields",
}


class DefinitionStrategy(Strategy):
    """CustomResourceDefinition."""

    traits = Traits(
        generation=True,
        unconditional_update=False,
        born={"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []},
    )

    def default(self, obj: Object) -> None:
        """Singular and list kind from the kind; no conversion.

        Raises:
            ApiError: 400 for a schema within a schema that is none.
        """
        spec = obj.setdefault("spec", {})
        kinds = spec.setdefault("names", {})
        if kinds.get("kind"):
            kinds.setdefault("singular", kinds["kind"].lower())
            kinds.setdefault("listKind", kinds["kind"] + "List")
        conversion = spec.setdefault("conversion", {})
        conversion.setdefault("strategy", "None")
        service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)
        for version in spec.get("versions") or ():
            _make_exact(version.get("schema"), self.schema)

    def prepare_create(self, obj: Object) -> None:
        """The storage version is a stored version from the start."""
        super().prepare_create(obj)
        stored = [each["name"] for each in obj["spec"].get("versions") or () if each.get("storage")]
        obj["status"] = {**obj["status"], "storedVersions": stored}

    def prepare_update(self, obj: Object, old: Object) -> None:
        """A new storage version joins the stored versions."""
        super().prepare_update(obj, old)
        status = obj.get("status") or {}
        stored = list(status.get("storedVersions") or ())
        for each in obj["spec"].get("versions") or ():
            if each.get("storage") and each.get("name") not in stored:
                stored.append(each["name"])
        obj["status"] = {**status, "storedVersions": stored}

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateCustomResourceDefinition`."""
        self._check(obj, None, causes)

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Group and plural stay, kind and scope once they are established; what is not changed is
        not checked again.
        """
        self._check(obj, old, causes)
        spec, before = obj["spec"], old["spec"]
        causes.extend(unchanged("spec.group", spec.get("group"), before.get("group")))
        was = before.get("names") or {}
        causes.extend(unchanged("spec.names.plural", spec["names"].get("plural"), was["plural"]))
        if _is_established(old):
            causes.extend(unchanged("spec.scope", spec.get("scope"), before.get("scope")))
            causes.extend(unchanged("spec.names.kind", spec["names"].get("kind"), was["kind"]))
        there = {each.get("name") for each in spec.get("versions") or ()}
        for index, version in enumerate((obj.get("status") or {}).get("storedVersions") or ()):
            if version not in there:
                why = (
                    "missing from spec.versions; "
                    f"{version} was previously a storage version, and must remain in spec.versions"
                    " until a storage migration ensures no data remains persisted in "
                    f"{version} and removes {version} from status.storedVersions"
                )
                at = f"status.storedVersions[{index}]"
                causes.append(invalid(at, version, why))

    def check_status_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """The storage version cannot leave the stored versions."""
        del old
        stored = (obj.get("status") or {}).get("storedVersions") or []
        storage = [each["name"] for each in obj["spec"]["versions"] if each.get("storage")]
        if storage and storage[0] not in stored:
            why = f"must have the storage version {storage[0]}"
            causes.append(invalid("status.storedVersions", stored, why))

    @staticmethod
    def _check(obj: Object, old: Object | None, causes: list[Cause]) -> None:
        spec = obj["spec"]
        group, kinds = spec.get("group", ""), spec.get("names") or {}
        name, wanted = obj["metadata"].get("name", ""), f"{kinds.get('plural', '')}.{group}"
        if name != wanted:
            why = 'must be spec.names.plural+"."+spec.group'
            causes.append(invalid("metadata.name", name, why))
        _check_approval(group, obj["metadata"], old, causes)
        if not group:
            causes.append(required("spec.group"))
        else:
            causes.extend(each_invalid("spec.group", group, names.is_dns1123_subdomain(group)))
            if "." not in group:
                why = "should be a domain with at least one dot"
                causes.append(invalid("spec.group", group, why))
        if not spec.get("scope"):
            causes.append(required("spec.scope"))
        elif spec["scope"] not in _SCOPES:
            causes.append(not_supported("spec.scope", spec["scope"], _SCOPES))
        if spec.get("preserveUnknownFields"):
            why = (
                "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in"
                " spec.versions[*].schema instead"
            )
            causes.append(invalid("spec.preserveUnknownFields", value=True, detail=why))
        _check_versions(spec, old["spec"] if old is not None else {}, causes)
        _check_names(kinds, causes)
        _check_conversion(spec, causes)


def _make_exact(holder: Any, definition: Any) -> None:
    """Give the schemas within a schema, which the types do not look into, their exact form."""
    if not isinstance(holder, dict) or not isinstance(holder.get("openAPIV3Schema"), dict):
        return
    versions = definition.fields["spec"].fields["versions"].element
    props = versions.fields["schema"].fields["openAPIV3Schema"]
    try:
        holder["openAPIV3Schema"] = _exact(holder["openAPIV3Schema"], props)
    except DecodeError as error:
        kind = "CustomResourceDefinition"
        message = f'{kind} in version "v1" cannot be handled as a {kind}: {error}'
        raise bad_request(message) from None
    except RecursionError:
        raise bad_request("the schema is nested too deeply") from None


def _exact(wire: dict[str, Any], props: Any) -> dict[str, Any]:
    found = dict(wire)
    for key in ("items", "additionalProperties"):
        below = found.get(key)
        if isinstance(below, dict):
            typed = Walk(tells_duplicates=False).object(below, props, go_name="JSONSchemaProps")
            found[key] = _exact(typed, props)
        elif below is None:
            found.pop(key, None)
        elif not isinstance(below, list if key == "items" else bool):
            raise DecodeError(f"json: cannot unmarshal {key} into Go value of type JSONSchemaProps")
    if found.get("properties"):
        found["properties"] = {
            name: _exact(each, props) for name, each in found["properties"].items()
        }
    for key in ("allOf", "anyOf", "oneOf"):
        if found.get(key):
            found[key] = [_exact(each, props) for each in found[key]]
    if found.get("not"):
        found["not"] = _exact(found["not"], props)
    return found


def _is_established(obj: Object) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any((each["type"], each["status"]) == ("Established", "True") for each in conditions)


def _check_approval(group: str, meta: Part, old: Object | None, causes: list[Cause]) -> None:
    """Groups of Kubernetes' own need a word that somebody has looked at them."""
    if not group.endswith(_PROTECTED) and group not in {"k8s.io", "kubernetes.io"}:
        return
    said = (meta.get("annotations") or {}).get(_APPROVAL)
    if old is not None and (old["metadata"].get("annotations") or {}).get(_APPROVAL) == said:
        return
    at = f"metadata.annotations[{_APPROVAL}]"
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not said:
        why = f'protected groups must have approval annotation "{_APPROVAL}", {see}'
        causes.append(required(at, why))
    elif not said.startswith(("https://", "http://", "unapproved")):
        why = f'protected groups must have approval annotation "{_APPROVAL}" with either a URL or'
        why += f' a reason starting with "unapproved", {see}'
        causes.append(invalid(at, said, why))


def _check_versions(spec: Part, before: Part, causes: list[Cause]) -> None:
    versions = spec.get("versions") or ()
    stored = [each for each in versions if each.get("storage")]
    taken: set[str] = set()
    places = _places(versions)
    for index, version in enumerate(versions):
        at, name = f"spec.versions[{index}]", version.get("name", "")
        causes.extend(each_invalid(f"{at}.name", name, names.is_dns1035_label(name)))
        if name in taken:
            why = "must contain unique version names"
            causes.append(invalid("spec.versions", [each.get("name") for each in versions], why))
        taken.add(name)
        if "openAPIV3Schema" not in (version.get("schema") or {}):
            why = "schemas are required"
            causes.append(required(f"{at}.schema.openAPIV3Schema", why))
        warning = version.get("deprecationWarning")
        if warning is not None and not version.get("deprecated"):
            why = "can only be set for deprecated versions"
            causes.append(invalid(f"{at}.deprecationWarning", warning, why))
        old: Part = next(
            (each for each in before.get("versions") or () if each["name"] == name), {}
        )
        for part, check in _PART_CHECKS.items():
            value = version.get(part)
            place = places.get(part) or f"{at}.{part}"
            if value and value != old.get(part) and (index == 0 or part not in places):
                check(value, place, version, causes)
    if len(stored) != 1:
        why = "must have exactly one version marked as storage version"
        causes.append(invalid("spec.versions", [dict(each) for each in versions], why))


def _places(versions: Sequence[Part]) -> dict[str, str]:
    """Where the parts that all versions have in common are reported."""
    return {
        part: place
        for part, place in _HOISTED.items()
        if all(each.get(part) == versions[0].get(part) for each in versions)
    }


def _check_schema(schema: Part, at: str, _version: Part, causes: list[Cause]) -> None:
    from ekslab.kube.apiserver.kinds.structural import schema_causes  # with the first definition

    wire = schema.get("openAPIV3Schema")
    if wire is not None:
        causes.extend(schema_causes(wire, f"{at}.openAPIV3Schema"))


def _check_subresources(subresources: Part, at: str, _version: Part, causes: list[Cause]) -> None:
    from ekslab.kube.api.structural.paths import simple_path

    scale = subresources.get("scale")
    if scale is None:
        return
    for field, roots in (
        ("specReplicasPath", ("spec",)),
        ("statusReplicasPath", ("status",)),
        ("labelSelectorPath", ("spec", "status")),
    ):
        place, path = f"{at}.scale.{field}", scale.get(field)
        if not path:
            if field != "labelSelectorPath":
                causes.append(required(place))
            continue
        found = simple_path(path)
        if found is None:
            why = "should be a json path with dot-separated names, like .spec.replicas"
            causes.append(invalid(place, path, why))
        elif found[0] not in roots or len(found) < 2:
            where = f".{roots[0]}" if len(roots) == 1 else "either .spec or .status"
            causes.append(invalid(place, path, f"should be a json path under {where}"))


def _check_columns(columns: Sequence[Part], at: str, _version: Part, causes: list[Cause]) -> None:
    from ekslab.kube.api.structural.paths import BadPathError, compile_path

    for index, column in enumerate(columns):
        place = f"{at}[{index}]"
        if not column.get("name"):
            causes.append(required(f"{place}.name"))
        kind, form, path = column.get("type"), column.get("format"), column.get("jsonPath")
        if not kind:
            why = f"must be one of {','.join(_COLUMN_TYPES)}"
            causes.append(required(f"{place}.type", why))
        elif kind not in _COLUMN_TYPES:
            why = f"must be one of {','.join(_COLUMN_TYPES)}"
            causes.append(invalid(f"{place}.type", kind, why))
        if form and form not in _COLUMN_FORMATS:
            why = f"must be one of {','.join(_COLUMN_FORMATS)}"
            causes.append(invalid(f"{place}.format", form, why))
        if not path:
            causes.append(required(f"{place}.jsonPath"))
            continue
        try:
            compile_path(path)
        except (BadPathError, RecursionError):
            causes.append(invalid(f"{place}.jsonPath", path, "is no JSON path that is understood"))


def _check_selectable(fields: Sequence[Part], at: str, version: Part, causes: list[Cause]) -> None:
    from ekslab.kube.api.structural.paths import simple_path
    from ekslab.kube.apiserver.kinds.field_errors import duplicate, too_many

    if len(fields) > _SELECTABLE_MOST:
        causes.append(too_many(at, len(fields), _SELECTABLE_MOST))
    seen: set[str] = set()
    for index, field in enumerate(fields):
        place, path = f"{at}[{index}].jsonPath", field.get("jsonPath", "")
        if not path:
            causes.append(required(place))
            continue
        if path in seen:
            causes.append(duplicate(place, path))
        seen.add(path)
        found = simple_path(path)
        if found is None:
            causes.append(invalid(place, path, "is an invalid path: must be a simple field path"))
            continue
        if found[0] == "metadata":
            causes.append(invalid(place, path, "must not point to fields in metadata"))
            continue
        wire: Any = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        for name in found:
            wire = (wire.get("properties") or {}).get(name) or {}
        if wire.get("type") not in {"string", "integer", "boolean"}:
            why = (
                "must point to a field of type string, boolean or integer. Enum string fields and"
                " strings with formats are allowed"
            )
            causes.append(invalid(place, path, why))


_PART_CHECKS: Final[Mapping[str, Callable[[Any, str, Part, list[Cause]], None]]] = {
    "schema": _check_schema,
    "subresources": _check_subresources,
    "additionalPrinterColumns": _check_columns,
    "selectableFields": _check_selectable,
}


def _check_names(kinds: Part, causes: list[Cause]) -> None:
    for field in ("plural", "singular", "kind", "listKind"):
        value, at = kinds.get(field, ""), f"spec.names.{field}"
        if not value:
            causes.append(required(at))
            continue
        wrong = names.is_dns1035_label(value.lower())
        if wrong:
            label = "a DNS-1035 label"
            why = f"may have mixed case, but should otherwise match: {wrong[0]}"
            causes.append(invalid(at, value, why if label in wrong[0] else wrong[0]))
    if kinds.get("kind") and kinds.get("kind") == kinds.get("listKind"):
        why = "kind and listKind may not be the same"
        causes.append(invalid("spec.names.listKind", kinds["listKind"], why))
    for field in ("shortNames", "categories"):
        for index, value in enumerate(kinds.get(field) or ()):
            wrong = names.is_dns1035_label(value)
            causes.extend(each_invalid(f"spec.names.{field}[{index}]", value, wrong))


def _check_conversion(spec: Part, causes: list[Cause]) -> None:
    conversion = spec.get("conversion") or {}
    strategy = conversion.get("strategy")
    webhook = conversion.get("webhook")
    at = "spec.conversion"
    if strategy not in _STRATEGIES:
        causes.append(not_supported(f"{at}.strategy", strategy or "", _STRATEGIES))
    elif strategy == "Webhook":
        if (webhook or {}).get("clientConfig") is None:
            why = "required when strategy is set to Webhook"
            causes.append(required(f"{at}.webhookClientConfig", why))
        versions = (webhook or {}).get("conversionReviewVersions") or []
        if not versions:
            causes.append(required(f"{at}.conversionReviewVersions"))
        elif not {"v1", "v1beta1"} & set(versions):
            why = "must include at least one of v1, v1beta1"
            causes.append(invalid(f"{at}.conversionReviewVersions", versions, why))
    elif webhook is not None:
        why = "Forbidden: should not be set when strategy is not set to Webhook"
        causes.append(Cause(f"{at}.webhookClientConfig", why, "FieldValueForbidden"))
