"""The RBAC authorizer: rules of roles, bound to users, groups and service accounts.

Upstream: `plugin/pkg/auth/authorizer/rbac` and `pkg/registry/rbac/validation/rule.go`. Rules come
from a `Lister`; what is compiled from them is kept until one of the four types changes, so that a
repeated question costs two dictionary look-ups:

    (user, groups, namespace)            -> Grants: the rules that apply, in upstream's order
    (verb, group, resource, subresource) -> Candidates: of those, the rules that fit the type

Only rules with `resourceNames` look at the object's name, and only after that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import Decision, Lister, Verdict
from ekslab.kube.api.requests import Attributes, Object, UserInfo
from ekslab.kube.api.well_known import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from ekslab.kube.auth import rules
from ekslab.kube.auth.rules import PolicyRule, quoted

_GRANTS_MOST: Final = 16_384
_CANDIDATES_MOST: Final = 65_536  # of all users and namespaces
_KEY_LONGEST: Final = 1_024  # reviews ask in words of any length
_ROLES_MOST: Final = 8_192

_Subject = tuple[str, str]  # ("User" | "Group", name)


class MissingRoleError(LookupError):
    """A binding points to a role that is not there. The text is upstream's."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What somebody may do in a namespace; `errors` names roles that could not be resolved."""

    rules: tuple[PolicyRule, ...]
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Grant:
    rule: PolicyRule
    reason: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    names: tuple[str, ...]  # empty: any name
    verdict: Verdict


@dataclass(slots=True)
class _Grants:
    grants: tuple[_Grant, ...]
    denial: Verdict
    candidates: dict[tuple[str, str, str, str], tuple[_Candidate, ...]] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class _Binding:
    """A cluster-wide binding, seen from one of its subjects (the `place`-th)."""

    number: int
    place: int
    role_kind: str
    role: str
    source: str


class RbacAuthorizer:
    """Decides by roles and bindings. Says ALLOW or NO_OPINION, never DENY, as upstream."""

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._newest = -1
        self._revisions: tuple[int, ...] = ()
        self._grants: dict[tuple[str, tuple[str, ...], str], _Grants] = {}
        self._candidates = 0
        self._bindings: dict[_Subject, list[_Binding]] = {}
        self._bindings_revision = -1
        self._compiled: dict[tuple[str, str], tuple[int, tuple[PolicyRule, ...]]] = {}

    def authorize(self, attributes: Attributes) -> Verdict:
        """Decide. A denial carries the names of missing roles, if there are any."""
        grants = self._grants_of(attributes.user, attributes.namespace)
        if not attributes.resource:
            return _decide_path(grants, attributes)
        key = (
            attributes.verb,
            attributes.group,
            attributes.resource,
            attributes.subresource,
        )
        candidates = grants.candidates.get(key)
        if candidates is None:
            candidates = _candidates(grants, key)
            if _is_short(key):
                self._count_candidates()
                grants.candidates[key] = candidates
        for candidate in candidates:
            if not candidate.names or attributes.name in candidate.names:
                return candidate.verdict
        return grants.denial

    def rules_for(self, user: UserInfo, namespace: str) -> RuleSet:
        """All rules that apply to a user in a namespace (SelfSubjectRulesReview, escalation)."""
        found: list[PolicyRule] = []
        problems: list[str] = []
        for grant in self._visit(user, namespace):
            if isinstance(grant, str):
                problems.append(grant)
            else:
                found.append(grant.rule)
        return RuleSet(tuple(found), tuple(problems))

    def rules_of(self, role_ref: Object, namespace: str) -> tuple[PolicyRule, ...]:
        """The rules a `roleRef` points to.

        Raises:
            MissingRoleError: there is no such role.
        """
        return self._rules_of(role_ref.get("kind", ""), role_ref.get("name", ""), namespace)

    def _grants_of(self, user: UserInfo, namespace: str) -> _Grants:
        newest = self._lister.newest
        if newest != self._newest:
            self._forget_changed()
            self._newest = newest
        key = (user.name, user.groups, namespace)
        grants = self._grants.get(key)
        if grants is None:
            grants = self._compile(user, namespace)
            if _is_short((user.name, namespace, *user.groups)):
                if len(self._grants) >= _GRANTS_MOST:
                    self._grants.clear()
                self._grants[key] = grants
        return grants

    def _count_candidates(self) -> None:
        """One more is kept: forget all if that is too much."""
        if self._candidates >= _CANDIDATES_MOST:
            self._grants.clear()
            self._candidates = 0
        self._candidates += 1

    def _forget_changed(self) -> None:
        """Drop all grants if one of the four types changed."""
        revision = self._lister.revision
        revisions = (
            revision(CLUSTER_ROLE_BINDINGS),
            revision(ROLE_BINDINGS),
            revision(CLUSTER_ROLES),
            revision(ROLES),
        )
        if revisions != self._revisions:
            self._grants.clear()
            self._candidates = 0
            self._revisions = revisions

    def _compile(self, user: UserInfo, namespace: str) -> _Grants:
        found: list[_Grant] = []
        problems: list[str] = []
        for grant in self._visit(user, namespace):
            if isinstance(grant, str):
                problems.append(grant)
            else:
                found.append(grant)
        reason = f"RBAC: {_aggregated(problems)}" if problems else ""
        return _Grants(tuple(found), Verdict(Decision.NO_OPINION, reason))

    def _visit(self, user: UserInfo, namespace: str) -> Iterator[_Grant | str]:
        """Grants, and texts of problems, in upstream's order: cluster bindings come first."""
        for binding in self._cluster_bindings_of(user):
            yield from self._resolve(binding.role_kind, binding.role, "", binding.source)
        if not namespace:
            return
        for item in self._lister.list(ROLE_BINDINGS, namespace):
            subject = _first_subject(item.object, user, namespace)
            if subject is None:
                continue
            ref = item.object["roleRef"]
            source = (
                f"RoleBinding {quoted(f'{item.name}/{namespace}')} of {ref['kind']}"
                f" {quoted(ref['name'])} to {_described(subject, namespace)}"
            )
            yield from self._resolve(ref["kind"], ref["name"], namespace, source)

    def _resolve(
        self, role_kind: str, role: str, namespace: str, source: str
    ) -> Iterator[_Grant | str]:
        try:
            resolved = self._rules_of(role_kind, role, namespace)
        except MissingRoleError as missing:
            yield str(missing)
            return
        reason = f"RBAC: allowed by {source}"
        yield from (_Grant(rule, reason) for rule in resolved)

    def _rules_of(self, kind: str, name: str, namespace: str) -> tuple[PolicyRule, ...]:
        if kind == "ClusterRole":
            item = self._lister.get(CLUSTER_ROLES, name)
            namespace = ""
        elif kind == "Role":
            item = self._lister.get(ROLES, name, namespace)
        else:
            raise MissingRoleError(f"unsupported role reference kind: {quoted(kind)}")
        if item is None:
            resource = f"{kind.lower()}.rbac.authorization.k8s.io"
            raise MissingRoleError(f"{resource} {quoted(name)} not found")
        return self._compiled_rules(item, namespace)

    def _compiled_rules(self, item: Item, namespace: str) -> tuple[PolicyRule, ...]:
        key = (namespace, item.name)
        known = self._compiled.get(key)
        if known is not None and known[0] == item.revision:
            return known[1]
        compiled = rules.parse(item.object.get("rules"))
        if len(self._compiled) >= _ROLES_MOST:
            self._compiled.clear()
        self._compiled[key] = (item.revision, compiled)
        return compiled

    def _cluster_bindings_of(self, user: UserInfo) -> list[_Binding]:
        """Cluster bindings that apply, each once (by its first subject that does), by name."""
        revision = self._lister.revision(CLUSTER_ROLE_BINDINGS)
        if revision != self._bindings_revision:
            self._bindings = _index(self._lister.list(CLUSTER_ROLE_BINDINGS))
            self._bindings_revision = revision
        applying: dict[int, _Binding] = {}
        subjects: list[_Subject] = [("User", user.name)]
        subjects += [("Group", group) for group in user.groups]
        for subject in subjects:
            for binding in self._bindings.get(subject, ()):
                before = applying.get(binding.number)
                if before is None or binding.place < before.place:
                    applying[binding.number] = binding
        return [applying[number] for number in sorted(applying)]


def _is_short(words: Sequence[str]) -> bool:
    """Whether an answer to a question in these words may be kept."""
    return sum(map(len, words)) + len(words) <= _KEY_LONGEST


def _index(items: Sequence[Item]) -> dict[_Subject, list[_Binding]]:
    index: dict[_Subject, list[_Binding]] = {}
    for number, item in enumerate(items):
        ref = item.object["roleRef"]
        for place, subject in enumerate(item.object.get("subjects") or ()):
            key = _subject_key(subject, "")
            if key is None:
                continue
            source = (
                f"ClusterRoleBinding {quoted(item.name)} of {ref['kind']}"
                f" {quoted(ref['name'])} to {_described(subject, '')}"
            )
            binding = _Binding(number, place, ref["kind"], ref["name"], source)
            index.setdefault(key, []).append(binding)
    return index


def _subject_key(subject: dict[str, Any], binding_namespace: str) -> _Subject | None:
    """Whom a subject means: a service account is the user of its name."""
    name: str = subject.get("name", "")
    match subject.get("kind"):
        case "User":
            return ("User", name)
        case "Group":
            return ("Group", name)
        case "ServiceAccount":
            namespace = subject.get("namespace") or binding_namespace
            return ("User", f"system:serviceaccount:{namespace}:{name}") if namespace else None
    return None


def _first_subject(binding: Object, user: UserInfo, namespace: str) -> dict[str, Any] | None:
    for subject in binding.get("subjects") or ():
        key = _subject_key(subject, namespace)
        if key is None:
            continue
        kind, name = key
        if user.name == name if kind == "User" else name in user.groups:
            found: dict[str, Any] = subject
            return found
    return None


def _described(subject: dict[str, Any], binding_namespace: str) -> str:
    name = subject["name"]
    if subject["kind"] == "ServiceAccount":
        name = f"{name}/{subject.get('namespace') or binding_namespace}"
    return f"{subject['kind']} {quoted(name)}"


def _decide_path(grants: _Grants, attributes: Attributes) -> Verdict:
    for grant in grants.grants:
        if grant.rule.urls and grant.rule.allows_path(attributes.verb, attributes.path):
            return Verdict(Decision.ALLOW, grant.reason)
    return grants.denial


def _candidates(grants: _Grants, key: tuple[str, str, str, str]) -> tuple[_Candidate, ...]:
    """The rules that fit a type, in order, up to the first that asks for no name."""
    found: list[_Candidate] = []
    for grant in grants.grants:
        if grant.rule.allows_type(*key):
            found.append(_Candidate(grant.rule.names, Verdict(Decision.ALLOW, grant.reason)))
            if not grant.rule.names:
                break
    return tuple(found)


def _aggregated(problems: Sequence[str]) -> str:
    """Several errors as upstream's `NewAggregate` writes them: each once, in brackets."""
    unique = list(dict.fromkeys(problems))
    return unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]"
