"""What the expressions of a policy ask of the types that it is about, and these do not have.

A policy is compiled with `object` as `dyn`, so that a wrong field name is only found when it runs;
its status can warn before. Upstream: `TypeChecker` of apiserver
`pkg/admission/plugin/policy/validating/typechecking.go`.
"""

from collections.abc import Mapping
from itertools import product
from typing import Any, Final

from ekslab.kube.api.cel.admission import AdmissionEnvironment
from ekslab.kube.api.cel.compiling import InstantiationError, compile_text
from ekslab.kube.api.cel.failures import CompileError
from ekslab.kube.api.cel.shapes import built_in
from ekslab.kube.api.cel.types import DYN, Type
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.schema.catalog import Catalog

_TYPES_MOST: Final = 10  # of each rule


def type_warnings(spec: Mapping[str, Any], catalog: Catalog) -> list[dict[str, str]]:
    """`status.typeChecking.expressionWarnings` of a policy: of built-in types only."""
    kinds = _types_of(spec, catalog)
    warnings: list[dict[str, str]] = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            text = validation.get(field)
            results = [_wrong(text, spec, name, kind) for name, kind in kinds] if text else []
            shown = "\n".join(result for result in results if result)
            if shown:
                at = f"spec.validations[{index}].{field}"
                warnings.append({"fieldRef": at, "warning": shown})
    return warnings


def _wrong(text: str, spec: Mapping[str, Any], name: str, kind: Type) -> str:
    """What is wrong with an expression for objects of one type; empty if nothing is."""
    has_params = spec.get("paramKind") is not None
    kinds = {"object": kind, "oldObject": kind}
    types: dict[str, Type] = {}
    for variable in spec.get("variables") or ():
        environment = AdmissionEnvironment(has_params=has_params, types=types, kinds=kinds)
        types[variable["name"]] = _type_of(variable.get("expression", ""), environment)
    environment = AdmissionEnvironment(has_params=has_params, types=types, kinds=kinds)
    try:
        compile_text(text, environment)
    except CompileError as error:
        return f"{name}: {error}\n"
    except InstantiationError:
        return ""
    return ""


def _type_of(text: str, environment: AdmissionEnvironment) -> Type:
    try:
        return compile_text(text, environment).type
    except (CompileError, InstantiationError):
        return DYN


def _types_of(spec: Mapping[str, Any], catalog: Catalog) -> list[tuple[str, Type]]:
    """The types that the rules name without wildcards: how messages call them, and they."""
    found: dict[str, Type] = {}
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        parts = [rule.get(field) or () for field in ("apiGroups", "apiVersions", "resources")]
        if any("*" in each or "/" in each for part in parts for each in part):
            continue
        for group, version, plural in list(product(*map(sorted, parts)))[:_TYPES_MOST]:
            info = catalog.resources.get(Resource(group, version, plural))
            if info is not None:
                name = f"{info.api_version}, Kind={info.kind}"
                found[name] = built_in(catalog.schema_of(info)).type
    return sorted(found.items(), key=lambda item: item[0])
