"""The rules of custom resources: `x-kubernetes-validations` of a structural schema.

Compile once per version of a definition, check with every write:

    validator = compile_rules(version["schema"]["openAPIV3Schema"])
    causes = validator.check(new, old) if validator else []

Only values that fit their schema should be checked: upstream runs rules after everything else, and
not at all if the value's types are wrong. Upstream: apiextensions-apiserver
`pkg/apiserver/schema/cel/{compilation,validation,maplist}.go`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ekslab.kube.api.cel.compiling import (
    BUDGET,
    Budget,
    InstantiationError,
    Program,
    compile_text,
)
from ekslab.kube.api.cel.environments import Environment
from ekslab.kube.api.cel.failures import CelError, CompileError, CostExceededError
from ekslab.kube.api.cel.frames import ABSENT
from ekslab.kube.api.cel.shapes import escaped, shape_of
from ekslab.kube.api.cel.types import BOOL, STRING, Shape, optional_of
from ekslab.kube.api.cel.values import NONE, Optional
from ekslab.kube.api.errors import Cause

_MESSAGE_BYTES_MOST: Final = 5 * 1024
_OUT_OF_BUDGET: Final = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)
_REASONS: Final = {
    "FieldValueInvalid": "Invalid value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
}


@dataclass(slots=True)
class Rule:
    """One compiled rule; `error` says why it did not compile.

    Attributes:
        source: the rule as it stands in the schema.
        program, message: the rule and its messageExpression.
        uses_old: whether it is a transition rule.
        optional_old: whether oldSelf is an optional, so that it runs on create, too.
        field_path: where its failures are reported, below the node it stands at.
    """

    source: Mapping[str, Any]
    program: Program | None = None
    message: Program | None = None
    error: str = ""
    message_error: str = ""
    uses_old: bool = False
    optional_old: bool = False
    field_path: str = ""

    @property
    def shown(self) -> str:
        """How messages call it."""
        return str(self.source.get("message") or self.source.get("rule") or "").strip()


def compile_rule(source: Mapping[str, Any], shape: Shape, schema: Mapping[str, Any]) -> Rule:
    """Compile one rule of a schema node; what is wrong with it is in the result."""
    optional_old = bool(source.get("optionalOldSelf"))
    made = Rule(source, optional_old=optional_old)
    text = source.get("rule") or ""
    if not text.strip():
        return made
    old = optional_of(shape.type) if optional_old else shape.type
    environment = Environment({"self": shape.type, "oldSelf": old}, root=shape)
    try:
        program = compile_text(text, environment)
    except CompileError as error:
        made.error = f"compilation failed: {error}"
        return made
    except InstantiationError as error:
        made.error = f"program instantiation failed: {error}"
        return made
    if program.type != BOOL:
        made.error = "cel expression must evaluate to a bool"
        return made
    made.program, made.uses_old = program, "oldSelf" in program.names
    expression = source.get("messageExpression")
    if expression:
        _compile_message(made, expression, environment)
    path = source.get("fieldPath")
    if path:
        made.field_path = field_path(path, schema) or ""
    return made


def _compile_message(rule: Rule, text: str, environment: Environment) -> None:
    try:
        program = compile_text(text, environment)
    except CompileError as error:
        rule.message_error = f"messageExpression compilation failed: {error}"
        return
    except InstantiationError as error:
        rule.message_error = f"messageExpression instantiation failed: {error}"
        return
    if program.type != STRING:
        rule.message_error = "messageExpression must evaluate to a string"
        return
    rule.message = program


def field_path(text: str, schema: Mapping[str, Any]) -> str | None:
    """A rule's fieldPath (`.spec['a.b']`) in the form of error paths, without the leading dot; None
    if the schema has no such field.
    """
    path, at, node = "", 0, schema
    part = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]")
    while at < len(text):
        match = part.match(text, at)
        if match is None:
            return None
        at = match.end()
        name = match.group(1) or re.sub(r"\\(.)", r"\1", match.group(2) or "")
        properties, extra = node.get("properties"), node.get("additionalProperties")
        if properties is not None:
            if name not in properties:
                return None
            node, path = properties[name], f"{path}.{name}" if path else name
        elif isinstance(extra, Mapping):
            node, path = extra, f"{path}[{name}]"
        else:
            return None
    return path or None


@dataclass(slots=True)
class Validator:
    """The rules of one node of a schema, and those below it."""

    schema: Mapping[str, Any]
    rules: list[Rule]
    is_root: bool
    shape: Shape | None
    element: "Validator | None" = None
    values: "Validator | None" = None
    fields: dict[str, "Validator"] = field(default_factory=dict)
    all_of: list["Validator"] = field(default_factory=list)

    def check(self, new: Any, old: Any = None, path: str = "") -> list[Cause]:
        """What is wrong with `new`, which replaces `old` (None on create), at `path`. All rules
        together may cost what upstream lets them cost for one object.
        """
        return self.check_within(Budget(BUDGET), new, old, path)

    def check_within(self, budget: Budget, new: Any, old: Any, path: str) -> list[Cause]:
        """The same, within what is left of a budget; below zero nothing more is run."""
        causes: list[Cause] = []
        if new is None or budget.left < 0:
            return causes
        if self.rules:
            self._check_rules(budget, new, old, path, causes)
        for part in self.all_of:
            causes.extend(part.check_within(budget, new, old, path))
        if isinstance(new, list):
            self._check_elements(budget, new, old, path, causes)
        elif isinstance(new, dict):
            self._check_fields(budget, new, old, path, causes)
        return causes

    def _check_elements(
        self, budget: Budget, new: list[Any], old: Any, path: str, causes: list[Cause]
    ) -> None:
        if self.element is None:
            return
        before = _correlated(self.schema, old if isinstance(old, list) else [])
        keys = tuple(self.schema.get("x-kubernetes-list-map-keys") or ())
        for index, each in enumerate(new):
            was = before.get(_key_of(each, keys)) if before else None
            causes.extend(self.element.check_within(budget, each, was, f"{path}[{index}]"))

    def _check_fields(
        self, budget: Budget, new: dict[str, Any], old: Any, path: str, causes: list[Cause]
    ) -> None:
        correlatable = self.schema.get("x-kubernetes-map-type") != "atomic"
        before = old if isinstance(old, dict) and correlatable else {}
        if self.values is not None:
            for key, value in new.items():
                causes.extend(
                    self.values.check_within(budget, value, before.get(key), f"{path}[{key}]")
                )
        for name, part in self.fields.items():
            if name in new:
                at = f"{path}.{name}" if path else name
                causes.extend(part.check_within(budget, new[name], before.get(name), at))

    def _check_rules(
        self, budget: Budget, new: Any, old: Any, path: str, causes: list[Cause]
    ) -> None:
        kind = "object" if self.is_root else str(self.schema.get("type") or "")
        if budget.left <= 0:
            causes.append(_invalid(path, kind, _OUT_OF_BUDGET))
            budget.left = -1
            return
        read = self.shape.read if self.shape is not None else None
        try:
            value = new if read is None else read(new)
            before = ABSENT if old is None else old if read is None else read(old)
        except CelError as error:
            causes.append(_invalid(path, kind, str(error)))
            return
        for rule in self.rules:
            if not self._check_rule(budget, rule, (value, before, new, kind), path, causes):
                return

    def _check_rule(
        self,
        budget: Budget,
        rule: Rule,
        values: tuple[Any, Any, Any, str],
        path: str,
        causes: list[Cause],
    ) -> bool:
        """Check one rule. False: no more are to be run."""
        value, old, raw, kind = values
        if rule.error:
            causes.append(_invalid(path, kind, f"rule compile error: {rule.error}"))
            return True
        if rule.program is None or (rule.uses_old and old is ABSENT and not rule.optional_old):
            return True
        given = [value, old]
        if rule.optional_old:
            given[1] = NONE if old is ABSENT else Optional(old)
        try:
            holds = rule.program.evaluate(given, budget)
        except CostExceededError as error:
            why = "no further validation rules will be run due to call cost exceeds limit for rule"
            return _stop(budget, causes, _invalid(path, kind, f"'{error}': {why}: {rule.shown}"))
        except CelError as error:
            if budget.left < 0:
                return _stop(budget, causes, _invalid(path, kind, _OUT_OF_BUDGET))
            causes.append(_invalid(path, kind, _failed(error, rule)))
            return True
        if budget.left < 0:
            return _stop(budget, causes, _invalid(path, kind, _OUT_OF_BUDGET))
        return True if holds else self._report(budget, rule, (given, raw, kind), path, causes)

    def _report(
        self,
        budget: Budget,
        rule: Rule,
        values: tuple[list[Any], Any, str],
        path: str,
        causes: list[Cause],
    ) -> bool:
        given, raw, kind = values
        at = path
        if rule.field_path:
            at = f"{path}.{rule.field_path}" if path else rule.field_path
        detail, stopped = _message(budget, rule, given)
        if stopped:
            return _stop(budget, causes, _invalid(at, kind, stopped))
        if not detail:
            message = rule.source.get("message")
            detail = message.strip() if message else f"failed rule: {rule.shown}"
        causes.append(_cause(at, raw, kind, detail, rule.source.get("reason")))
        return True


def _stop(budget: Budget, causes: list[Cause], cause: Cause) -> bool:
    causes.append(cause)
    budget.left = -1
    return False


def _failed(error: CelError, rule: Rule) -> str:
    text = str(error)
    if text.startswith("no such overload"):
        why = (
            "call arguments did not match a supported operator, function or macro signature"
            " for rule"
        )
        return f"'{text}': {why}: {rule.shown}"
    return f"{text} evaluating rule: {rule.shown}"


def _message(budget: Budget, rule: Rule, given: list[Any]) -> tuple[str, str]:
    """The text of a messageExpression, empty if it has none; and why nothing more can be run."""
    if rule.message is None:
        return "", ""
    shown = json.dumps(rule.source["messageExpression"], ensure_ascii=False)
    why = "no further validation rules will be run"
    try:
        text = rule.message.evaluate(given, budget)
    except CostExceededError:
        exceeded = "due to call cost exceeds limit for messageExpression"
        return "", f"{why} {exceeded}: {shown}"
    except CelError:
        text = ""
    if budget.left < 0:
        return "", f"messageExpression evaluation failed due to running out of cost budget, {why}"
    text = text.strip() if isinstance(text, str) else ""
    if "\n" in text or len(text.encode()) > _MESSAGE_BYTES_MOST:
        return "", ""
    return text, ""


def _invalid(path: str, kind: str, detail: str) -> Cause:
    return Cause(path, f'Invalid value: "{kind}": {detail}')


def _cause(path: str, value: Any, kind: str, detail: str, reason: str | None) -> Cause:
    """A failed rule as a field error. Objects and lists are not shown."""
    reason = reason or "FieldValueInvalid"
    text = _REASONS.get(reason, "Invalid value")
    if reason not in {"FieldValueForbidden", "FieldValueRequired"} and kind not in {
        "object",
        "array",
    }:
        text = f"{text}: {json.dumps(value, ensure_ascii=False)}"
    if reason == "FieldValueDuplicate":
        return Cause(path, text, reason)
    return Cause(path, f"{text}: {detail}", reason)


def _correlated(schema: Mapping[str, Any], old: list[Any]) -> dict[str, Any]:
    """Elements of an old list by key, if the list is a map."""
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    if schema.get("x-kubernetes-list-type") != "map" or not keys:
        return {}
    return {_key_of(each, keys): each for each in old if isinstance(each, dict)}


def _key_of(element: Any, keys: tuple[str, ...]) -> str:
    if not isinstance(element, dict):
        return ""
    return repr([element.get(key) for key in keys])


def compile_rules(schema: Mapping[str, Any], *, is_root: bool = True) -> Validator | None:
    """The rules of a structural schema (`openAPIV3Schema` as it is on the wire); None if it has
    none. A rule that does not compile is reported by `check`, as upstream.
    """
    if not has_rules(schema):
        return None
    return _validator(schema, schema, shape_of(schema, is_root=is_root), is_root=is_root)


def has_rules(schema: Any) -> bool:
    """Whether there are rules anywhere in a schema."""
    if isinstance(schema, Mapping):
        if schema.get("x-kubernetes-validations"):
            return True
        return any(has_rules(part) for part in schema.values())
    return isinstance(schema, list) and any(map(has_rules, schema))


def _validator(
    schema: Mapping[str, Any], node: Mapping[str, Any], shape: Shape | None, *, is_root: bool
) -> Validator | None:
    """The validator of a schema node. `schema` has the rules; `node`, its structural part, differs
    from it inside of `allOf`.
    """
    sources = schema.get("x-kubernetes-validations") or ()
    rules = [compile_rule(source, shape, node) for source in sources] if shape else []
    made = Validator(node, rules, is_root, shape)
    items, own_items = schema.get("items"), node.get("items")
    if isinstance(items, Mapping) and isinstance(own_items, Mapping):
        made.element = _validator(
            items, own_items, shape.element if shape else None, is_root=_embedded(own_items)
        )
    extra, own_extra = schema.get("additionalProperties"), node.get("additionalProperties")
    if isinstance(extra, Mapping) and isinstance(own_extra, Mapping):
        made.values = _validator(
            extra, own_extra, shape.element if shape else None, is_root=_embedded(own_extra)
        )
    own_fields = node.get("properties") or {}
    for name, part in (schema.get("properties") or {}).items():
        own = own_fields.get(name)
        below = None if own is None else _field_shape(shape, name, own)
        found = None if own is None else _validator(part, own, below, is_root=_embedded(own))
        if found is not None:
            made.fields[name] = found
    parts = (_validator(part, node, shape, is_root=is_root) for part in schema.get("allOf") or ())
    made.all_of = [part for part in parts if part is not None]
    is_empty = not (rules or made.element or made.values or made.fields or made.all_of)
    return None if is_empty else made


def _embedded(schema: Mapping[str, Any]) -> bool:
    return bool(schema.get("x-kubernetes-embedded-resource"))


def _field_shape(shape: Shape | None, name: str, own: Mapping[str, Any]) -> Shape | None:
    if shape is None:
        return None
    identifier = escaped(name)
    if identifier is None:
        return shape_of(own, is_root=_embedded(own))
    return shape.fields.get(identifier)
