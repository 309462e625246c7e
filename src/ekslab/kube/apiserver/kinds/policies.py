"""Policies in CEL and their bindings.

Upstream: `pkg/apis/admissionregistration/{v1/defaults,validation/validation}.go`. Expressions are
compiled when a policy is written, so that a wrong one is refused then.
"""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.extension import validate_rule
from ekslab.kube.apiserver.kinds.field_errors import (
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
)
from ekslab.kube.apiserver.kinds.labels import validate_label_selector
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

Part = Mapping[str, Any]

_MATCH_POLICIES: Final = ("Equivalent", "Exact")
_FAILURE_POLICIES: Final = ("Fail", "Ignore")
_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_ACTIONS: Final = ("Audit", "Deny", "Warn")
_NOT_FOUND_ACTIONS: Final = ("Allow", "Deny")
_ANNOTATIONS_MOST: Final = 20


def _default_match(resources: Any) -> None:
    if resources is None:
        return
    resources.setdefault("matchPolicy", "Equivalent")
    resources.setdefault("namespaceSelector", {})
    resources.setdefault("objectSelector", {})
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in resources.get(field) or ():
            rule.setdefault("scope", "*")


def _check_match(resources: Part, at: str, causes: list[Cause]) -> None:
    policy = resources.get("matchPolicy")
    if policy is not None and policy not in _MATCH_POLICIES:
        causes.append(not_supported(f"{at}.matchPolicy", policy, _MATCH_POLICIES))
    for field in ("namespaceSelector", "objectSelector"):
        causes.extend(validate_label_selector(resources.get(field), f"{at}.{field}"))
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(resources.get(field) or ()):
            validate_rule(rule, f"{at}.{field}[{index}]", causes)


class PolicyStrategy(Strategy):
    """ValidatingAdmissionPolicy."""

    traits = Traits(generation=True, unconditional_update=False)

    def default(self, obj: Object) -> None:
        """Fail closed, match equivalents."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("failurePolicy", "Fail")
        _default_match(spec.get("matchConstraints"))

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `validateValidatingAdmissionPolicySpec`."""
        # Expressions are compiled here: loaded when the first policy is written.
        from ekslab.kube.api.cel import policies

        spec = obj.get("spec") or {}
        failure = spec.get("failurePolicy")
        if failure not in _FAILURE_POLICIES:
            causes.append(not_supported("spec.failurePolicy", failure or "", _FAILURE_POLICIES))
        _check_param_kind(spec.get("paramKind"), causes)
        constraints = spec.get("matchConstraints")
        if constraints is None:
            causes.append(required("spec.matchConstraints"))
        else:
            _check_match(constraints, "spec.matchConstraints", causes)
            if not constraints.get("resourceRules"):
                causes.append(required("spec.matchConstraints.resourceRules"))
        validations, annotations = spec.get("validations"), spec.get("auditAnnotations")
        if not validations and not annotations:
            why = "validations or auditAnnotations must contain at least one item"
            causes.append(required("spec.validations", why))
            causes.append(required("spec.auditAnnotations", why))
        for index, validation in enumerate(validations or ()):
            _check_validation(validation, f"spec.validations[{index}]", causes)
        if len(annotations or ()) > _ANNOTATIONS_MOST:
            why = f"must not have more than {_ANNOTATIONS_MOST} auditAnnotations"
            causes.append(invalid("spec.auditAnnotations", annotations, why))
        _check_annotation_keys(annotations or (), causes)
        causes.extend(policies.expression_errors(spec, "spec"))


def _check_param_kind(kind: Part | None, causes: list[Cause]) -> None:
    if kind is None:
        return
    version = kind.get("apiVersion", "")
    if not version:
        causes.append(required("spec.paramKind.apiVersion"))
    elif version.count("/") > 1:
        why = f"unexpected GroupVersion string: {version}"
        causes.append(invalid("spec.paramKind.apiVersion", version, why))
    if not kind.get("kind"):
        causes.append(required("spec.paramKind.kind"))
    else:
        wrong = names.is_dns1035_label(kind["kind"].lower())
        if wrong:
            why = f"may have mixed case, but should otherwise match: {', '.join(wrong)}"
            causes.append(invalid("spec.paramKind.kind", kind["kind"], why))


def _check_validation(validation: Part, at: str, causes: list[Cause]) -> None:
    message, expression = validation.get("message", ""), validation.get("expression", "").strip()
    if message and not message.strip():
        why = "message must be non-empty if specified"
        causes.append(invalid(f"{at}.message", message, why))
    elif "\n" in message.strip():
        causes.append(invalid(f"{at}.message", message, "message must not contain line breaks"))
    elif "\n" in expression and not message.strip():
        why = "message must be specified if expression contains line breaks"
        causes.append(required(f"{at}.message", why))
    reason = validation.get("reason")
    if reason is not None and reason not in _REASONS:
        causes.append(not_supported(f"{at}.reason", reason, _REASONS))


def _check_annotation_keys(annotations: Any, causes: list[Cause]) -> None:
    taken: set[str] = set()
    for index, annotation in enumerate(annotations):
        at, key = f"spec.auditAnnotations[{index}].key", annotation.get("key", "")
        if not key:
            causes.append(required(at))
        elif key in taken:
            causes.append(duplicate(at, key))
        else:
            causes.extend(each_invalid(at, key, names.is_qualified_name(key)))
        taken.add(key)


class BindingStrategy(Strategy):
    """ValidatingAdmissionPolicyBinding."""

    traits = Traits(generation=True, unconditional_update=False, born=None)

    def default(self, obj: Object) -> None:
        """As of a policy's constraints."""
        _default_match(obj.setdefault("spec", {}).get("matchResources"))

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `validateValidatingAdmissionPolicyBindingSpec`."""
        spec = obj.get("spec") or {}
        name = spec.get("policyName", "")
        if not name:
            causes.append(required("spec.policyName"))
        else:
            causes.extend(each_invalid("spec.policyName", name, names.is_dns1123_subdomain(name)))
        if spec.get("paramRef") is not None:
            _check_param_ref(spec["paramRef"], causes)
        if spec.get("matchResources") is not None:
            # As upstream, which has this path wrong.
            _check_match(spec["matchResources"], "spec.matchResouces", causes)
        self._check_actions(spec.get("validationActions") or (), causes)

    @staticmethod
    def _check_actions(actions: Any, causes: list[Cause]) -> None:
        at = "spec.validationActions"
        if not actions:
            causes.append(required(at, "at least one validation action is required"))
        for index, action in enumerate(actions):
            if action not in _ACTIONS:
                causes.append(not_supported(f"{at}[{index}]", action, _ACTIONS))
            elif action in actions[:index]:
                causes.append(duplicate(f"{at}[{index}]", action))
        if "Deny" in actions and "Warn" in actions:
            why = (
                "must not contain both Deny and Warn (repeating the same validation failure"
                " information in the API response and headers serves no purpose)"
            )
            causes.append(invalid(at, list(actions), why))


def _check_param_ref(ref: Part, causes: list[Cause]) -> None:
    at = "spec.paramRef"
    if ref.get("name"):
        causes.extend(each_invalid(f"{at}.name", ref["name"], names.is_path_segment(ref["name"])))
        if ref.get("selector") is not None:
            why = "name and selector are mutually exclusive"
            causes.append(forbidden(f"{at}.name", why))
    elif ref.get("selector") is None:
        causes.append(required(at, "one of name or selector must be specified"))
    if ref.get("selector") is not None:
        causes.extend(validate_label_selector(ref["selector"], f"{at}.selector"))
    action = ref.get("parameterNotFoundAction")
    if action is None:
        causes.append(required(f"{at}.parameterNotFoundAction"))
    elif action not in _NOT_FOUND_ACTIONS:
        causes.append(not_supported(f"{at}.parameterNotFoundAction", action, _NOT_FOUND_ACTIONS))
