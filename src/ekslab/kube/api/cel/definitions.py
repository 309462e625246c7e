"""What may stand in a definition: rules that compile, with messages of one line, at a bounded cost.

A rule's cost is estimated for one value and multiplied by how often there may be such a value, by
the limits of the lists and maps around it. Upstream: apiextensions-apiserver
`pkg/apis/apiextensions/validation/{validation,cel_validation}.go`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ekslab.kube.api.cel.library.prices import MOST
from ekslab.kube.api.cel.rules import Rule, compile_rule, field_path
from ekslab.kube.api.cel.shapes import REQUEST_BYTES_MOST, shape_of
from ekslab.kube.api.cel.types import Shape
from ekslab.kube.api.errors import Cause

_RULE_COST_MOST: Final = 10_000_000
_TOTAL_COST_MOST: Final = 100_000_000
_NAMED_MOST: Final = 4
_REASONS: Final = (
    "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired",
)  # fmt: skip
_ADVICE: Final = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays,"
    " maps, and strings are declared)"
)


@dataclass(slots=True)
class _Total:
    cost: int = 0
    dearest: list[tuple[int, str]] = field(default_factory=list)

    def add(self, cost: int, path: str) -> None:
        self.cost = min(self.cost + cost, MOST)
        if cost >= _TOTAL_COST_MOST // 100:
            self.dearest = sorted([*self.dearest, (cost, path)], reverse=True)[:_NAMED_MOST]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a schema stands. `count` is how many such values there may be, None for unbounded;
    `uncorrelated` the path below which an old value cannot be found.
    """

    path: str
    shape: Shape | None
    count: int | None = 1
    uncorrelated: str = ""


def definition_errors(schema: Mapping[str, Any], path: str) -> list[Cause]:
    """Everything that is wrong with the rules of an `openAPIV3Schema`, which stands at `path`."""
    causes: list[Cause] = []
    total = _Total()
    _node(schema, _Place(path, shape_of(schema, is_root=True)), total, causes)
    if total.cost > _TOTAL_COST_MOST:
        why = (
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3"
            " schema"
        )
        causes.extend(_forbidden(where, why) for _cost, where in total.dearest)
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        causes.append(_forbidden(path, _too_dear(what, total.cost, _TOTAL_COST_MOST)))
    return causes


def _node(schema: Mapping[str, Any], place: _Place, total: _Total, causes: list[Cause]) -> None:
    shape = place.shape
    below = shape.element if shape is not None else None
    items, extra = schema.get("items"), schema.get("additionalProperties")
    if isinstance(items, Mapping):
        kind = schema.get("x-kubernetes-list-type") or "atomic"
        at = replace(place, path=f"{place.path}.items", shape=below)
        _node(items, _within(at, schema.get("maxItems"), kind != "map", place), total, causes)
    if isinstance(extra, Mapping):
        atomic = schema.get("x-kubernetes-map-type") == "atomic"
        at = replace(place, path=f"{place.path}.additionalProperties", shape=below)
        _node(extra, _within(at, schema.get("maxProperties"), atomic, place), total, causes)
    for name, part in (schema.get("properties") or {}).items():
        embedded = bool(part.get("x-kubernetes-embedded-resource"))
        inside = shape.fields.get(name) if shape is not None else None
        if inside is None:
            inside = shape_of(part, is_root=embedded)
        at = replace(place, path=f"{place.path}.properties[{name}]", shape=inside)
        if schema.get("x-kubernetes-map-type") == "atomic":
            at = replace(at, uncorrelated=place.uncorrelated or place.path)
        _node(part, at, total, causes)
    for index, part in enumerate(schema.get("allOf") or ()):
        _node(part, replace(place, path=f"{place.path}.allOf[{index}]"), total, causes)
    _rules(schema, place, total, causes)


def _within(at: _Place, most: int | None, breaks: bool, around: _Place) -> _Place:  # noqa: FBT001
    count = None if most is None or at.count is None else at.count * max(most, 0)
    uncorrelated = around.uncorrelated or (around.path if breaks else "")
    return replace(at, count=count, uncorrelated=uncorrelated)


def _rules(schema: Mapping[str, Any], place: _Place, total: _Total, causes: list[Cause]) -> None:
    sources = schema.get("x-kubernetes-validations") or ()
    wrong: list[Cause] = []
    for index, source in enumerate(sources):
        _form(source, schema, f"{place.path}.x-kubernetes-validations[{index}]", wrong)
    if wrong:
        causes.extend(wrong)
        return
    for index, source in enumerate(sources):
        at = f"{place.path}.x-kubernetes-validations[{index}]"
        if place.shape is not None:
            rule = compile_rule(source, place.shape, schema)
            _compiled(rule, place, at, total, causes)


def _form(
    source: Mapping[str, Any], schema: Mapping[str, Any], at: str, wrong: list[Cause]
) -> None:
    """What can be said of a rule without compiling it."""
    rule, message = source.get("rule") or "", source.get("message") or ""
    expression, reason = source.get("messageExpression") or "", source.get("reason")
    path = source.get("fieldPath") or ""
    if not rule.strip():
        wrong.append(_required(f"{at}.rule", "rule is not specified"))
    elif message and not message.strip():
        wrong.append(_invalid(f"{at}.message", message, "must be non-empty if specified"))
    elif _lines(message.strip()):
        wrong.append(_invalid(f"{at}.message", message, "must not contain line breaks"))
    elif _lines(rule.strip()) and not message.strip():
        why = "message must be specified if rule contains line breaks"
        wrong.append(_required(f"{at}.message", why))
    if expression and not expression.strip():
        why = "messageExpression must be non-empty if specified"
        wrong.append(_required(f"{at}.messageExpression", why))
    if reason is not None and reason not in _REASONS:
        known = ", ".join(f'"{each}"' for each in _REASONS)
        text = f"Unsupported value: {json.dumps(reason)}: supported values: {known}"
        wrong.append(Cause(f"{at}.reason", text, "FieldValueNotSupported"))
    if path and not path.strip():
        wrong.append(_invalid(f"{at}.fieldPath", path, "must be non-empty if specified"))
    if _lines(path):
        wrong.append(_invalid(f"{at}.fieldPath", path, "must not contain line breaks"))
    if path and field_path(path, schema) is None:
        wrong.append(_invalid(f"{at}.fieldPath", path, "must be a valid path"))


def _compiled(rule: Rule, place: _Place, at: str, total: _Total, causes: list[Cause]) -> None:
    """What can be said of a rule once it was compiled."""
    source = rule.source
    if rule.program is not None:
        cost = _cost(rule.program.cost.most, place)
        if cost > _RULE_COST_MOST:
            text = _too_dear("estimated rule cost", cost, _RULE_COST_MOST)
            causes.append(_forbidden(f"{at}.rule", text))
        total.add(cost, f"{at}.rule")
    if rule.error:
        causes.append(_invalid(f"{at}.rule", _shown(source), rule.error))
    if rule.message_error:
        where = f"{at}.messageExpression"
        causes.append(_invalid(where, _shown(source), rule.message_error))
    elif rule.message is not None:
        cost = rule.message.cost.most
        if cost > _RULE_COST_MOST:
            text = _too_dear("estimated messageExpression cost", cost, _RULE_COST_MOST)
            causes.append(_forbidden(f"{at}.messageExpression", text))
        total.add(cost, f"{at}.messageExpression")
    if rule.uses_old and place.uncorrelated:
        why = "oldSelf cannot be used on the uncorrelatable portion of the schema within"
        causes.append(_invalid(f"{at}.rule", source["rule"], f"{why} {place.uncorrelated}"))
    elif rule.program is not None and not rule.uses_old and "optionalOldSelf" in source:
        why = "may not be set if oldSelf is not used in rule"
        causes.append(_invalid(f"{at}.optionalOldSelf", source["optionalOldSelf"], why))


def _cost(cost: int, place: _Place) -> int:
    """A rule's cost for all values there may be in one request."""
    assert place.shape is not None
    count = place.count
    if count is None:
        count = REQUEST_BYTES_MOST // (place.shape.least_bytes + 1)
    return min(cost * count, MOST)


def _too_dear(what: str, cost: int, most: int) -> str:
    factor = cost / most
    if factor > 100:
        shown = "more than 100x"
    else:
        shown = f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return f"{what} exceeds budget by factor of {shown} {_ADVICE}"


def _lines(text: str) -> bool:
    return re.search(r"[\n\r]", text) is not None


def _shown(source: Mapping[str, Any]) -> Any:
    """A rule as upstream shows it: with the names of its Go type."""
    return {
        "Rule": source.get("rule", ""),
        "Message": source.get("message", ""),
        "MessageExpression": source.get("messageExpression", ""),
        "Reason": source.get("reason"),
        "FieldPath": source.get("fieldPath", ""),
        "OptionalOldSelf": source.get("optionalOldSelf"),
    }


def _invalid(path: str, value: Any, detail: str) -> Cause:
    shown = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return Cause(path, f"Invalid value: {shown}: {detail}")


def _required(path: str, detail: str) -> Cause:
    return Cause(path, f"Required value: {detail}", "FieldValueRequired")


def _forbidden(path: str, detail: str) -> Cause:
    return Cause(path, f"Forbidden: {detail}", "FieldValueForbidden")
