"""The expressions of a policy as they are written: what is wrong with them.

Upstream: `validateValidatingAdmissionPolicySpec` of
`pkg/apis/admissionregistration/validation/validation.go`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api.cel.admission import (
    AdmissionEnvironment,
    ExpressionError,
    compile_expression,
)
from ekslab.kube.api.cel.conditions import condition_errors
from ekslab.kube.api.cel.conditions import expression_errors as bool_errors
from ekslab.kube.api.cel.types import DYN, NULL, STRING, Type
from ekslab.kube.api.errors import Cause

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPRESSION_BYTES_MOST: Final = 5 * 1024  # of a value expression of an audit annotation


def expression_errors(spec: Mapping[str, Any], path: str) -> list[Cause]:
    """What is wrong with the expressions of a policy's spec, which stands at `path`."""
    has_params = spec.get("paramKind") is not None
    causes: list[Cause] = []
    conditions = spec.get("matchConditions") or ()
    causes.extend(condition_errors(conditions, f"{path}.matchConditions", has_params=has_params))
    types: dict[str, Type] = {}
    for index, variable in enumerate(spec.get("variables") or ()):
        at = f"{path}.variables[{index}]"
        environment = AdmissionEnvironment(has_params=has_params, types=types)
        types[variable.get("name", "")] = _variable(variable, at, environment, types, causes)
    environment = AdmissionEnvironment(has_params=has_params, types=types)
    told = AdmissionEnvironment(has_params=has_params, has_authorizer=False, types=types)
    for index, validation in enumerate(spec.get("validations") or ()):
        at = f"{path}.validations[{index}]"
        causes.extend(bool_errors(validation.get("expression", ""), at, environment))
        message = validation.get("messageExpression", "")
        if message:
            _text(message, f"{at}.messageExpression", told, (STRING,), causes)
    for index, annotation in enumerate(spec.get("auditAnnotations") or ()):
        at, text = (
            f"{path}.auditAnnotations[{index}].valueExpression",
            annotation.get("valueExpression"),
        )
        if not (text or "").strip():
            causes.append(Cause(at, "Required value", "FieldValueRequired"))
        elif len(text.encode()) > _EXPRESSION_BYTES_MOST:
            why = f"Too long: may not be more than {_EXPRESSION_BYTES_MOST} bytes"
            causes.append(Cause(at, why, "FieldValueTooLong"))
        else:
            _text(text, at, environment, (STRING, NULL), causes)
    return causes


def _variable(
    variable: Mapping[str, Any],
    at: str,
    environment: AdmissionEnvironment,
    taken: Mapping[str, Type],
    causes: list[Cause],
) -> Type:
    name, text = variable.get("name", ""), variable.get("expression", "")
    if not name:
        causes.append(
            Cause(f"{at}.name", "Required value: name is not specified", "FieldValueRequired")
        )
    elif not _IDENTIFIER.fullmatch(name):
        why = "name is not a valid CEL identifier"
        causes.append(Cause(f"{at}.name", f"Invalid value: {json.dumps(name)}: {why}"))
    elif name in taken:
        causes.append(
            Cause(f"{at}.name", f"Duplicate value: {json.dumps(name)}", "FieldValueDuplicate")
        )
    if not text.strip():
        why = "Required value: expression is not specified"
        causes.append(Cause(f"{at}.expression", why, "FieldValueRequired"))
        return DYN
    return _text(text, f"{at}.expression", environment, (), causes)


def _text(
    text: str,
    at: str,
    environment: AdmissionEnvironment,
    returns: Sequence[Type],
    causes: list[Cause],
) -> Type:
    """Compile an expression; its type, `dyn` if it is wrong."""
    try:
        return compile_expression(text, environment, returns).type
    except ExpressionError as error:
        shown = json.dumps(text, ensure_ascii=False)
        causes.append(Cause(at, f"Invalid value: {shown}: {error}"))
        return DYN
