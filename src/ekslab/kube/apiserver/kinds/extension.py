"""Kinds that extend the API server: webhooks, custom resource definitions, API services.

Upstream: `pkg/apis/admissionregistration`, apiextensions-apiserver, kube-aggregator.
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
    unchanged,
)
from ekslab.kube.apiserver.kinds.labels import validate_label_selector
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

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
    config = webhook.get("clientConfig") or {}
    if ("url" in config) == ("service" in config):
        causes.append(required(f"{at}.clientConfig", "exactly one of url or service is required"))
    elif "url" in config and not config["url"].startswith("https://"):
        why = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
        causes.append(invalid(f"{at}.clientConfig.url", config["url"], why))


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


class DefinitionStrategy(Strategy):
    """CustomResourceDefinition: names, versions, and one of them stored."""

    traits = Traits(
        generation=True,
        unconditional_update=False,
        born={"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []},
    )

    def default(self, obj: Object) -> None:
        """Singular and list kind from the kind; no conversion."""
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
        """Upstream's `ValidateCustomResourceDefinition`, but for the schemas' own rules."""
        spec = obj["spec"]
        group, kinds = spec.get("group", ""), spec.get("names") or {}
        name, wanted = obj["metadata"].get("name", ""), f"{kinds.get('plural', '')}.{group}"
        if name != wanted:
            why = 'must be spec.names.plural+"."+spec.group'
            causes.append(invalid("metadata.name", name, why))
        if not group:
            causes.append(required("spec.group"))
        else:
            causes.extend(each_invalid("spec.group", group, names.is_dns1123_subdomain(group)))
            if "." not in group:
                why = "should be a domain with at least one dot"
                causes.append(invalid("spec.group", group, why))
        if spec.get("scope") not in {"Cluster", "Namespaced"}:
            allowed = ("Cluster", "Namespaced")
            if not spec.get("scope"):
                causes.append(required("spec.scope"))
            else:
                causes.append(not_supported("spec.scope", spec["scope"], allowed))
        _validate_definition_versions(spec, causes)
        _validate_definition_names(kinds, causes)

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Group, scope and names stay once they are established."""
        self.check(obj, causes)
        spec, before = obj["spec"], old["spec"]
        for field in ("group", "scope"):
            causes.extend(unchanged(f"spec.{field}", spec.get(field), before.get(field)))
        for field in ("plural", "kind"):
            new, was = spec["names"].get(field), (before.get("names") or {}).get(field)
            causes.extend(unchanged(f"spec.names.{field}", new, was))
        served = {each.get("name") for each in spec.get("versions") or ()}
        for index, version in enumerate((obj.get("status") or {}).get("storedVersions") or ()):
            if version not in served:
                why = (
                    "missing from spec.versions; "
                    f"{version} was previously a storage version, and must remain in spec.versions"
                    " until a storage migration ensures no data remains persisted in "
                    f"{version} and removes {version} from status.storedVersions"
                )
                at = f"status.storedVersions[{index}]"
                causes.append(invalid(at, version, why))


def _validate_definition_versions(spec: Part, causes: list[Cause]) -> None:
    versions = spec.get("versions") or ()
    stored = [each for each in versions if each.get("storage")]
    taken: set[str] = set()
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
    if len(stored) != 1:
        why = "must have exactly one version marked as storage version"
        causes.append(invalid("spec.versions", [dict(each) for each in versions], why))


def _validate_definition_names(kinds: Part, causes: list[Cause]) -> None:
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
