"""Roles and bindings: upstream's `pkg/apis/rbac/{v1/defaults.go,validation}`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.field_errors import (
    each_invalid,
    invalid,
    not_supported,
    required,
)
from ekslab.kube.apiserver.kinds.labels import validate_label_selector
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

GROUP: Final = "rbac.authorization.k8s.io"
_KINDS: Final = ("ServiceAccount", "User", "Group")


class RoleStrategy(Strategy):
    """What may be done, in a namespace or everywhere."""

    traits = Traits(name_rule=names.is_path_segment, create_on_update=True)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateRole` and `ValidateClusterRole`."""
        for index, rule in enumerate(obj.get("rules") or ()):
            _validate_rule(rule, f"rules[{index}]", self.info.namespaced, causes)
        aggregation = obj.get("aggregationRule")
        if aggregation is not None:
            selectors = aggregation.get("clusterRoleSelectors") or ()
            at = "aggregationRule.clusterRoleSelectors"
            if not selectors:
                why = "at least one clusterRoleSelector required if aggregationRule is non-nil"
                causes.append(required(at, why))
            for index, selector in enumerate(selectors):
                causes.extend(validate_label_selector(selector, f"{at}[{index}]"))


def _validate_rule(
    rule: Mapping[str, Any], path: str, namespaced: object, causes: list[Cause]
) -> None:
    if not rule.get("verbs"):
        causes.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    urls: Sequence[str] = rule.get("nonResourceURLs") or ()
    if urls:
        at = f"{path}.nonResourceURLs"
        if namespaced:
            why = "namespaced rules cannot apply to non-resource URLs"
            causes.append(invalid(at, list(urls), why))
        if any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            causes.append(invalid(at, list(urls), why))
        return
    if not rule.get("apiGroups"):
        why = "resource rules must supply at least one api group"
        causes.append(required(f"{path}.apiGroups", why))
    if not rule.get("resources"):
        why = "resource rules must supply at least one resource"
        causes.append(required(f"{path}.resources", why))


class BindingStrategy(Strategy):
    """Who has a role."""

    traits = Traits(name_rule=names.is_path_segment, create_on_update=True)

    def default(self, obj: Object) -> None:
        """Groups of the role and of users and groups of users."""
        obj.setdefault("roleRef", {}).setdefault("apiGroup", GROUP)
        for subject in obj.get("subjects") or ():
            if not subject.get("apiGroup") and subject.get("kind") in {"User", "Group"}:
                subject["apiGroup"] = GROUP

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateRoleBinding` and `ValidateClusterRoleBinding`."""
        role = obj.get("roleRef") or {}
        if role.get("apiGroup") != GROUP:
            causes.append(not_supported("roleRef.apiGroup", role.get("apiGroup", ""), (GROUP,)))
        kinds = ("Role", "ClusterRole") if self.info.namespaced else ("ClusterRole",)
        if role.get("kind") not in kinds:
            causes.append(not_supported("roleRef.kind", role.get("kind", ""), kinds))
        name = role.get("name", "")
        if not name:
            causes.append(required("roleRef.name"))
        else:
            causes.extend(each_invalid("roleRef.name", name, names.is_path_segment(name)))
        for index, subject in enumerate(obj.get("subjects") or ()):
            _validate_subject(subject, f"subjects[{index}]", self.info.namespaced, causes)

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """The role stays."""
        self.check(obj, causes)
        role = obj.get("roleRef") or {}
        if role != old.get("roleRef"):
            shown = {
                "APIGroup": role.get("apiGroup", ""),
                "Kind": role.get("kind", ""),
                "Name": role.get("name", ""),
            }
            causes.append(invalid("roleRef", shown, "cannot change roleRef"))


def _validate_subject(
    subject: Mapping[str, Any], path: str, namespaced: object, causes: list[Cause]
) -> None:
    name, kind, group = (
        subject.get("name", ""),
        subject.get("kind", ""),
        subject.get("apiGroup", ""),
    )
    if not name:
        causes.append(required(f"{path}.name"))
    if kind == "ServiceAccount":
        if name:
            causes.extend(each_invalid(f"{path}.name", name, names.is_dns1123_subdomain(name)))
        if group:
            causes.append(not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            causes.append(required(f"{path}.namespace"))
    elif kind in {"User", "Group"}:
        if group != GROUP:
            causes.append(not_supported(f"{path}.apiGroup", group, (GROUP,)))
    else:
        causes.append(not_supported(f"{path}.kind", kind, _KINDS))
