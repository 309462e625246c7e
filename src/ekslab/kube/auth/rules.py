"""RBAC policy rules: what one rule allows, and whether rules cover others.

Pure functions over compiled rules. Upstream: `pkg/apis/rbac/v1/evaluation_helpers.go` (matching),
component-helpers `auth/rbac/validation/policy_comparator.go` (covering), `pkg/registry/rbac/
validation` (the text of a refused escalation), clusterroleaggregation controller (`aggregate`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ekslab.kube.api.requests import Attributes, Object, UserInfo
from ekslab.kube.api.selectors import label_selector

_ALL: Final = "*"


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of a role, in the order its author wrote it."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def allows(self, attributes: Attributes) -> bool:
        """Whether the rule allows a request."""
        if not attributes.is_resource_request:
            return self.allows_path(attributes.verb, attributes.path)
        return self.allows_type(
            attributes.verb, attributes.group, attributes.resource, attributes.subresource
        ) and (not self.names or attributes.name in self.names)

    def allows_path(self, verb: str, path: str) -> bool:
        """Whether the rule allows a verb on a path that is no resource."""
        return _has(self.verbs, verb) and any(_url_covers(url, path) for url in self.urls)

    def allows_type(self, verb: str, group: str, resource: str, subresource: str) -> bool:
        """Whether the rule allows a verb on a type of resource; `names` may still narrow it."""
        if not (_has(self.verbs, verb) and _has(self.groups, group)):
            return False
        if not subresource:
            return _has(self.resources, resource)
        return _has(self.resources, f"{resource}/{subresource}") or (
            f"*/{subresource}" in self.resources
        )

    def as_object(self) -> Object:
        """The wire form (`rbac.authorization.k8s.io/v1 PolicyRule`); empty lists are left out."""
        fields = {
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.urls,
        }
        rule: Object = {key: list(values) for key, values in fields.items() if values}
        return {"verbs": list(self.verbs), **rule}


def parse(rules: Sequence[Mapping[str, Any]] | None) -> tuple[PolicyRule, ...]:
    """The rules of a role object (`role["rules"]`)."""
    return tuple(
        PolicyRule(
            verbs=tuple(rule.get("verbs") or ()),
            groups=tuple(rule.get("apiGroups") or ()),
            resources=tuple(rule.get("resources") or ()),
            names=tuple(rule.get("resourceNames") or ()),
            urls=tuple(rule.get("nonResourceURLs") or ()),
        )
        for rule in rules or ()
    )


def covers(owner_rules: Sequence[PolicyRule], rules: Sequence[PolicyRule]) -> list[PolicyRule]:
    """What of `rules` the owner's rules do not cover, broken down to single verbs and resources.

    An empty list says: all is covered.
    """
    return [
        part
        for rule in rules
        for part in _parts(rule)
        if not any(_covers_part(owner, part) for owner in owner_rules)
    ]


def escalation_message(user: UserInfo, missing: Sequence[PolicyRule]) -> str:
    """Upstream's words for granting what one does not hold oneself."""
    lines = sorted({_compact(rule) for rule in _merge_verbs(missing)})
    groups = " ".join(quoted(group) for group in user.groups)
    return (
        f"user {quoted(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions"
        " not currently held:\n" + "\n".join(lines)
    )


def aggregate(name: str, selectors: Sequence[Object], roles: Iterable[Object]) -> list[Object]:
    """The rules of an aggregated ClusterRole `name`: those of all others its selectors choose.

    `roles` are ClusterRoles in order of their names. Each rule appears once.
    """
    candidates = [role for role in roles if role["metadata"]["name"] != name]
    rules: list[Object] = []
    for selector in map(label_selector, selectors):
        for role in candidates:
            if selector.matches(role["metadata"].get("labels") or {}):
                rules.extend(rule for rule in role.get("rules") or () if rule not in rules)
    return rules


def quoted(text: str) -> str:
    """A string as Go's `%q` writes it."""
    return orjson.dumps(text).decode()


def _has(values: tuple[str, ...], value: str) -> bool:
    return value in values or _ALL in values


def _url_covers(owner: str, path: str) -> bool:
    return owner == path or (owner.endswith(_ALL) and path.startswith(owner.rstrip(_ALL)))


def _parts(rule: PolicyRule) -> Iterator[PolicyRule]:
    names: tuple[tuple[str, ...], ...] = tuple((name,) for name in rule.names) or ((),)
    for group in rule.groups:
        for resource in rule.resources:
            for verb in rule.verbs:
                for name in names:
                    yield PolicyRule((verb,), (group,), (resource,), name)
    for url in rule.urls:
        for verb in rule.verbs:
            yield PolicyRule((verb,), urls=(url,))


def _covers_part(owner: PolicyRule, part: PolicyRule) -> bool:
    if not _has(owner.verbs, part.verbs[0]):
        return False
    if part.urls:
        return any(_url_covers(url, part.urls[0]) for url in owner.urls)
    if owner.names and not (part.names and part.names[0] in owner.names):
        return False
    return _has(owner.groups, part.groups[0]) and _covers_resource(owner, part.resources[0])


def _covers_resource(owner: PolicyRule, resource: str) -> bool:
    if _has(owner.resources, resource):
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in owner.resources


def _merge_verbs(parts: Sequence[PolicyRule]) -> list[PolicyRule]:
    merged: dict[tuple[tuple[str, ...], ...], PolicyRule] = {}
    for part in parts:
        # Upstream merges the verbs of resource rules only; paths stay apart.
        apart = part.verbs if part.urls else ()
        key = (part.groups, part.resources, part.names, part.urls, apart)
        before = merged.get(key)
        verbs = (*before.verbs, *part.verbs) if before else part.verbs
        merged[key] = PolicyRule(verbs, part.groups, part.resources, part.names, part.urls)
    return list(merged.values())


def _compact(rule: PolicyRule) -> str:
    fields = (
        ("APIGroups", rule.groups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.urls),
        ("ResourceNames", rule.names),
        ("Verbs", rule.verbs),
    )
    shown = (
        f"{label}:[{' '.join(quoted(value) for value in values)}]"
        for label, values in fields
        if values
    )
    return "{" + ", ".join(shown) + "}"
