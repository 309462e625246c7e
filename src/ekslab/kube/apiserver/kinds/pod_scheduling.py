"""Validation of where a pod may run: affinity, spreading, tolerations.

Upstream: `validateAffinity`, `ValidateNodeSelector`, `validateTopologySpreadConstraints` and
`ValidateTolerations` of `pkg/apis/core/validation`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.apiserver.kinds.field_errors import (
    duplicate,
    each_invalid,
    invalid,
    not_supported,
    required,
)
from ekslab.kube.apiserver.kinds.labels import validate_label_selector, validate_operator

Part = Mapping[str, Any]

TAINT_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_WEIGHT_TEXT: Final = "must be in the range 1-100"


def validate_affinity(affinity: Part, path: str, causes: list[Cause]) -> None:
    """Node affinity, pod affinity and pod anti-affinity."""
    node = affinity.get("nodeAffinity")
    if node:
        at = f"{path}.nodeAffinity"
        if _REQUIRED in node:
            validate_node_selector(node[_REQUIRED], f"{at}.{_REQUIRED}", causes)
        for index, term in enumerate(node.get(_PREFERRED) or ()):
            where = f"{at}.{_PREFERRED}[{index}]"
            _validate_weight(term, where, causes)
            _validate_term(term.get("preference") or {}, f"{where}.preference", causes)
    for kind in ("podAffinity", "podAntiAffinity"):
        pod = affinity.get(kind)
        if pod:
            at = f"{path}.{kind}"
            for index, term in enumerate(pod.get(_REQUIRED) or ()):
                _validate_pod_term(term, f"{at}.{_REQUIRED}[{index}]", causes)
            for index, term in enumerate(pod.get(_PREFERRED) or ()):
                where = f"{at}.{_PREFERRED}[{index}]"
                _validate_weight(term, where, causes)
                inner = term.get("podAffinityTerm") or {}
                _validate_pod_term(inner, f"{where}.podAffinityTerm", causes)


def _validate_weight(term: Part, path: str, causes: list[Cause]) -> None:
    weight = term.get("weight", 0)
    if not 1 <= weight <= 100:
        causes.append(invalid(f"{path}.weight", weight, _WEIGHT_TEXT))


def validate_node_selector(selector: Part, path: str, causes: list[Cause]) -> None:
    """A node selector with at least one term."""
    terms = selector.get("nodeSelectorTerms") or ()
    at = f"{path}.nodeSelectorTerms"
    if not terms:
        causes.append(required(at, "must have at least one node selector term"))
    for index, term in enumerate(terms):
        _validate_term(term, f"{at}[{index}]", causes)


def _validate_term(term: Part, path: str, causes: list[Cause]) -> None:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        at = f"{path}.matchExpressions[{index}]"
        _validate_node_operator(expression, at, causes)
        key = expression.get("key", "")
        causes.extend(each_invalid(f"{at}.key", key, names.is_qualified_name(key)))
        for number, value in enumerate(expression.get("values") or ()):
            wrong = names.is_label_value(value)
            causes.extend(each_invalid(f"{at}.values[{number}]", value, wrong))
    for index, expression in enumerate(term.get("matchFields") or ()):
        at = f"{path}.matchFields[{index}]"
        values = expression.get("values") or ()
        if expression.get("operator") not in {"In", "NotIn"}:
            why = "not a valid selector operator"
            causes.append(invalid(f"{at}.operator", expression.get("operator", ""), why))
        elif len(values) != 1:
            why = (
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            )
            causes.append(required(f"{at}.values", why))
        if expression.get("key") != "metadata.name":
            why = "not a valid field selector key"
            causes.append(invalid(f"{at}.key", expression.get("key", ""), why))


def _validate_node_operator(expression: Part, path: str, causes: list[Cause]) -> None:
    operator = expression.get("operator", "")
    values: Sequence[str] = expression.get("values") or ()
    if operator in {"Gt", "Lt"}:
        if len(values) != 1:
            why = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            causes.append(required(f"{path}.values", why))
    else:
        causes.extend(validate_operator(operator, values, path))


def _validate_pod_term(term: Part, path: str, causes: list[Cause]) -> None:
    causes.extend(validate_label_selector(term.get("labelSelector"), f"{path}.labelSelector"))
    at = f"{path}.namespaceSelector"
    causes.extend(validate_label_selector(term.get("namespaceSelector"), at))
    for name in term.get("namespaces") or ():
        causes.extend(each_invalid(f"{path}.namespace", name, names.is_dns1123_label(name)))
    key = term.get("topologyKey", "")
    if not key:
        causes.append(required(f"{path}.topologyKey", "can not be empty"))
    causes.extend(each_invalid(f"{path}.topologyKey", key, names.is_qualified_name(key)))


def validate_spread(constraints: Sequence[Part], path: str, causes: list[Cause]) -> None:
    """Topology spread constraints."""
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        at = f"{path}[{index}]"
        skew = constraint.get("maxSkew", 0)
        if skew <= 0:
            causes.append(invalid(f"{at}.maxSkew", skew, "must be greater than zero"))
        key, action = constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", "")
        if not key:
            causes.append(required(f"{at}.topologyKey", "can not be empty"))
        else:
            causes.extend(each_invalid(f"{at}.topologyKey", key, names.is_qualified_name(key)))
        allowed = ("DoNotSchedule", "ScheduleAnyway")
        if action not in allowed:
            causes.append(not_supported(f"{at}.whenUnsatisfiable", action, allowed))
        if (key, action) in seen:
            where = f"{at}.{{topologyKey, whenUnsatisfiable}}"
            causes.append(duplicate(where, f"{{{key}, {action}}}"))
        seen.add((key, action))
        _validate_domains(constraint, at, causes)
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            policy = constraint.get(field)
            if policy and policy not in {"Honor", "Ignore"}:
                causes.append(not_supported(f"{at}.{field}", policy, ("Honor", "Ignore")))
        where = f"{at}.labelSelector"
        causes.extend(validate_label_selector(constraint.get("labelSelector"), where))


def _validate_domains(constraint: Part, path: str, causes: list[Cause]) -> None:
    domains = constraint.get("minDomains")
    if domains is None:
        return
    if domains <= 0:
        causes.append(invalid(f"{path}.minDomains", domains, "must be greater than zero"))
    action = constraint.get("whenUnsatisfiable")
    if action != "DoNotSchedule":
        why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        causes.append(invalid(f"{path}.minDomains", domains, why))


def validate_tolerations(tolerations: Sequence[Part], path: str, causes: list[Cause]) -> None:
    """Keys, operators and effects that fit together."""
    for index, toleration in enumerate(tolerations):
        at = f"{path}[{index}]"
        key, operator = toleration.get("key", ""), toleration.get("operator", "")
        value, effect = toleration.get("value", ""), toleration.get("effect", "")
        if key:
            causes.extend(each_invalid(f"{at}.key", key, names.is_qualified_name(key)))
        elif operator != "Exists":
            why = (
                "operator must be Exists when `key` is empty, which means"
                ' "match all values and all keys"'
            )
            causes.append(invalid(f"{at}.operator", operator, why))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            causes.append(invalid(f"{at}.effect", effect, why))
        if operator in {"", "Equal"}:
            wrong = names.is_label_value(value)
            if wrong:
                causes.append(invalid(f"{at}.operator", value, ";".join(wrong)))
        elif operator == "Exists":
            if value:
                why = "value must be empty when `operator` is 'Exists'"
                causes.append(invalid(f"{at}.operator", dict(toleration), why))
        else:
            causes.append(not_supported(f"{at}.operator", operator, ("Equal", "Exists")))
        if effect and effect not in TAINT_EFFECTS:
            causes.append(not_supported(f"{at}.effect", effect, TAINT_EFFECTS))


def validate_taints(taints: Sequence[Part], path: str, causes: list[Cause]) -> None:
    """Taints of a node: keys, values, effects, and no pair of key and effect twice."""
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        at = f"{path}[{index}]"
        key, effect = taint.get("key", ""), taint.get("effect", "")
        causes.extend(each_invalid(f"{at}.key", key, names.is_qualified_name(key)))
        value = taint.get("value", "")
        wrong = names.is_label_value(value)
        if wrong:
            causes.append(invalid(f"{at}.value", value, ";".join(wrong)))
        if not effect:
            causes.append(required(f"{at}.effect"))
        elif effect not in TAINT_EFFECTS:
            causes.append(not_supported(f"{at}.effect", effect, TAINT_EFFECTS))
        if (key, effect) in seen:
            causes.append(duplicate(at, dict(taint)))
        seen.add((key, effect))
