"""Kinds that extend the API server: webhooks and API services.

Upstream: `pkg/apis/admissionregistration`, kube-aggregator.
"""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.field_errors import (
    duplicate,
    each_invalid,
    go_quote,
    invalid,
    not_supported,
    required,
)
from ekslab.kube.apiserver.kinds.labels import validate_label_selector
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits
from ekslab.kube.apiserver.kinds.webhook_clients import validate_client

Part = Mapping[str, Any]

_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES: Final = ("*", "Cluster", "Namespaced")


class WebhooksStrategy(Strategy):
    """Mutating and validating webhook configurations."""

    traits = Traits(generation=True, unconditional_update=False, born=None)

    def default(self, obj: Object) -> None:
        """Fail closed, match equivalents, ten seconds."""
        for webhook in obj.get("webhooks") or ():
            webhook.setdefault("failurePolicy", "Fail")
            webhook.setdefault("matchPolicy", "Equivalent")
            webhook.setdefault("namespaceSelector", {})
            webhook.setdefault("objectSelector", {})
            webhook.setdefault("timeoutSeconds", 10)
            if self.info.kind == "MutatingWebhookConfiguration":
                webhook.setdefault("reinvocationPolicy", "Never")
            service = (webhook.get("clientConfig") or {}).get("service")
            if service is not None:
                service.setdefault("port", 443)
            for rule in webhook.get("rules") or ():
                rule.setdefault("scope", "*")

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `validateValidatingWebhook` and its twin."""
        taken: set[str] = set()
        for index, webhook in enumerate(obj.get("webhooks") or ()):
            at, name = f"webhooks[{index}]", webhook.get("name", "")
            wrong = names.is_dns1123_subdomain(name)
            causes.extend(each_invalid(f"{at}.name", name, wrong))
            if not wrong and len(name.split(".")) < 3:
                why = "should be a domain with at least three segments separated by dots"
                causes.append(invalid(f"{at}.name", name, why))
            if name in taken:
                causes.append(duplicate(f"{at}.name", name))
            taken.add(name)
            _validate_webhook(webhook, at, causes)


def _validate_webhook(webhook: Part, at: str, causes: list[Cause]) -> None:
    versions = webhook.get("admissionReviewVersions") or ()
    if not versions:
        why = "must specify one of v1, v1beta1"
        causes.append(required(f"{at}.admissionReviewVersions", why))
    elif not {"v1", "v1beta1"} & set(versions):
        why = "must include at least one of v1, v1beta1"
        causes.append(invalid(f"{at}.admissionReviewVersions", list(versions), why))
    for index, rule in enumerate(webhook.get("rules") or ()):
        validate_rule(rule, f"{at}.rules[{index}]", causes)
    for field, allowed in (
        ("failurePolicy", ("Fail", "Ignore")),
        ("matchPolicy", ("Equivalent", "Exact")),
        ("sideEffects", ("None", "NoneOnDryRun")),
        ("reinvocationPolicy", ("IfNeeded", "Never")),
    ):
        value = webhook.get(field)
        if value is None:
            if field == "sideEffects":
                why = f"must specify one of {', '.join(allowed)}"
                causes.append(required(f"{at}.{field}", why))
        elif value not in allowed:
            causes.append(not_supported(f"{at}.{field}", value, allowed))
    conditions = webhook.get("matchConditions")
    if conditions:
        # Loaded by those who write expressions.
        from ekslab.kube.api.cel.conditions import condition_errors

        causes.extend(condition_errors(conditions, f"{at}.matchConditions"))
    seconds = webhook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        why = "the timeout value must be between 1 and 30 seconds"
        causes.append(invalid(f"{at}.timeoutSeconds", seconds, why))
    for field in ("namespaceSelector", "objectSelector"):
        causes.extend(validate_label_selector(webhook.get(field), f"{at}.{field}"))
    validate_client(webhook.get("clientConfig") or {}, f"{at}.clientConfig", causes)


def validate_rule(rule: Part, at: str, causes: list[Cause]) -> None:
    """Append what is wrong with a rule of webhooks or policies."""
    operations = rule.get("operations") or ()
    if not operations:
        causes.append(required(f"{at}.operations"))
    if len(operations) > 1 and "*" in operations:
        why = "if '*' is present, must not specify other operations"
        causes.append(invalid(f"{at}.operations", list(operations), why))
    for index, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            causes.append(not_supported(f"{at}.operations[{index}]", operation, _OPERATIONS))
    causes.extend(
        required(f"{at}.{field}")
        for field in ("apiGroups", "apiVersions", "resources")
        if not rule.get(field)
    )
    scope = rule.get("scope")
    if scope is not None and scope not in _SCOPES:
        causes.append(not_supported(f"{at}.scope", scope, _SCOPES))


class ApiServiceStrategy(Strategy):
    """Which server serves a group and version."""

    traits = Traits(unconditional_update=False)

    def default(self, obj: Object) -> None:
        """Port 443."""
        service = (obj.get("spec") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateAPIService`."""
        spec = obj.get("spec") or {}
        group, version = spec.get("group", ""), spec.get("version", "")
        name, wanted = obj["metadata"].get("name", ""), f"{version}.{group}"
        if name != wanted:
            why = f'must be `spec.version+"."+spec.group`: {go_quote(wanted)}'
            causes.append(invalid("metadata.name", name, why))
        if group and names.is_dns1123_subdomain(group):
            causes.extend(each_invalid("spec.group", group, names.is_dns1123_subdomain(group)))
        causes.extend(each_invalid("spec.version", version, names.is_dns1035_label(version)))
        for field, most in (("groupPriorityMinimum", 20_000), ("versionPriority", 1000)):
            value = spec.get(field, 0)
            if not 0 < value <= most:
                why = f"must be positive and less than {most}"
                causes.append(invalid(f"spec.{field}", value, why))
        service = spec.get("service")
        if service is None:
            if spec.get("caBundle"):
                why = "local APIServices may not have a caBundle"
                causes.append(invalid("spec.caBundle", f"{len(spec['caBundle'])} bytes", why))
            return
        causes.extend(
            required(f"spec.service.{field}")
            for field in ("namespace", "name")
            if not service.get(field)
        )
