"""Validation of label selectors: upstream's `apimachinery/pkg/apis/meta/v1/validation`."""

from collections.abc import Mapping, Sequence
from typing import Any

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.apiserver.kinds.field_errors import each_invalid, forbidden, invalid, required
from ekslab.kube.apiserver.kinds.object_meta import validate_labels


def validate_label_selector(selector: Mapping[str, Any] | None, path: str) -> list[Cause]:
    """Keys and values are labels; operators have the values they need. None is good."""
    if not selector:
        return []
    causes: list[Cause] = []
    if selector.get("matchLabels"):
        causes.extend(validate_labels(selector["matchLabels"], f"{path}.matchLabels"))
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        causes.extend(_validate_expression(expression, f"{path}.matchExpressions[{index}]"))
    return causes


def _validate_expression(expression: Mapping[str, Any], path: str) -> list[Cause]:
    operator = expression.get("operator", "")
    values: Sequence[str] = expression.get("values") or ()
    causes = validate_operator(operator, values, path)
    key = expression.get("key", "")
    causes.extend(each_invalid(f"{path}.key", key, names.is_qualified_name(key)))
    for index, value in enumerate(values):
        causes.extend(each_invalid(f"{path}.values[{index}]", value, names.is_label_value(value)))
    return causes


def validate_operator(operator: str, values: Sequence[str], path: str) -> list[Cause]:
    """In and NotIn need values, Exists and DoesNotExist must not have any."""
    if operator in {"In", "NotIn"}:
        why = "must be specified when `operator` is 'In' or 'NotIn'"
        return [] if values else [required(f"{path}.values", why)]
    if operator in {"Exists", "DoesNotExist"}:
        why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [forbidden(f"{path}.values", why)] if values else []
    return [invalid(f"{path}.operator", operator, "not a valid selector operator")]


def selector_is_empty(selector: Mapping[str, Any] | None) -> bool:
    """Whether a selector selects everything."""
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def selector_matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a well-formed label selector matches these labels."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or ():
        key, values = expression.get("key", ""), expression.get("values") or ()
        match expression.get("operator"):
            case "In":
                good = key in labels and labels[key] in values
            case "NotIn":
                good = key not in labels or labels[key] not in values
            case "Exists":
                good = key in labels
            case _:
                good = key not in labels
        if not good:
            return False
    return True
