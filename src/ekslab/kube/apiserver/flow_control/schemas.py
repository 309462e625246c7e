"""Which FlowSchema a request is of.

Upstream: `apiserver/pkg/util/flowcontrol/rule.go`. Schemas are asked in the order of precedence and
name; the first that has a rule for subject and target decides. Pure; compiled once per change.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ekslab.kube.api.requests import Attributes, Object, UserInfo

_SubjectTest = Callable[[UserInfo], bool]


@dataclass(frozen=True, slots=True)
class _Rule:
    subjects: tuple[_SubjectTest, ...]
    resource_rules: Sequence[Mapping[str, Any]]
    path_rules: Sequence[Mapping[str, Any]]

    def covers(self, asked: Attributes) -> bool:
        if not any(test(asked.user) for test in self.subjects):
            return False
        if asked.is_resource_request:
            return any(_fits_resource(rule, asked) for rule in self.resource_rules)
        return any(_fits_path(rule, asked) for rule in self.path_rules)


class FlowSchema:
    """One schema, compiled, with its meters."""

    __slots__ = (
        "_method", "_rules", "dispatched", "executing", "level", "name", "precedence", "rejected",
        "uid", "waiting",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = self.level = self._method = ""
        self.precedence = 0
        self._rules: tuple[_Rule, ...] = ()
        self.executing = self.waiting = self.dispatched = 0
        self.rejected: dict[str, int] = {}

    def configure(self, obj: Object) -> None:
        """Follow the object; the meters go on."""
        spec = obj["spec"]
        self.uid = obj["metadata"].get("uid", "")
        self.level = spec["priorityLevelConfiguration"]["name"]
        self.precedence = spec.get("matchingPrecedence", 1000)
        self._method = (spec.get("distinguisherMethod") or {}).get("type", "")
        self._rules = tuple(_rule(rule) for rule in spec.get("rules") or ())

    def covers(self, asked: Attributes) -> bool:
        """Whether the request is of this schema."""
        return any(rule.covers(asked) for rule in self._rules)

    def flow(self, asked: Attributes) -> str:
        """What tells this request's flow from others of the schema."""
        if self._method == "ByUser":
            return asked.user.name
        return asked.namespace if self._method == "ByNamespace" else ""


def in_order(schemas: Iterable[FlowSchema]) -> list[FlowSchema]:
    """The order in which schemas are asked."""
    return sorted(schemas, key=lambda schema: (schema.precedence, schema.name))


def _rule(rule: Mapping[str, Any]) -> _Rule:
    return _Rule(
        tuple(_subject_test(subject) for subject in rule.get("subjects") or ()),
        rule.get("resourceRules") or (),
        rule.get("nonResourceRules") or (),
    )


def _subject_test(subject: Mapping[str, Any]) -> _SubjectTest:
    kind = subject.get("kind")
    if kind == "User":
        name = (subject.get("user") or {}).get("name", "")
        return lambda user: name in {"*", user.name}
    if kind == "Group":
        group = (subject.get("group") or {}).get("name", "")
        return lambda user: group == "*" or group in user.groups
    account = subject.get("serviceAccount") or {}
    namespace, name = account.get("namespace", ""), account.get("name", "")
    prefix = f"system:serviceaccount:{namespace}:"
    if name == "*":
        return lambda user: user.name.startswith(prefix)
    return lambda user: user.name == prefix + name


def _fits_resource(rule: Mapping[str, Any], asked: Attributes) -> bool:
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    if not (
        _has(rule.get("verbs"), asked.verb)
        and _has(rule.get("resources"), resource)
        and _has(rule.get("apiGroups"), asked.group)
    ):
        return False
    if not asked.namespace:
        return bool(rule.get("clusterScope"))
    return _has(rule.get("namespaces"), asked.namespace)


def _fits_path(rule: Mapping[str, Any], asked: Attributes) -> bool:
    return _has(rule.get("verbs"), asked.verb) and any(
        url in {"*", asked.path} or (url.endswith("*") and asked.path.startswith(url[:-1]))
        for url in rule.get("nonResourceURLs") or ()
    )


def _has(values: Sequence[str] | None, value: str) -> bool:
    return values is not None and ("*" in values or value in values)
