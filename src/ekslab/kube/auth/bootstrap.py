"""The RBAC objects every cluster starts with: upstream's default roles and bindings.

Upstream: `pkg/registry/rbac/rest/storage_rbac.go` (post-start hook `rbac/bootstrap-roles`). They
carry the label `kubernetes.io/bootstrapping: rbac-defaults` and the annotation
`rbac.authorization.kubernetes.io/autoupdate: "true"`. Aggregated roles come with the rules that the
aggregation controller would give them. EKS's own names (`eks:...`) belong to the bridge.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from ekslab.kube.api.objects import editable
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import (
    AUTHENTICATED_GROUP,
    KUBE_SYSTEM,
    MASTERS_GROUP,
    SERVICE_ACCOUNTS_GROUP,
    UNAUTHENTICATED_GROUP,
)
from ekslab.kube.auth import rules
from ekslab.kube.auth.controller_roles import CONTROLLER_ROLES
from ekslab.kube.auth.default_roles import CLUSTER_ROLES, ROLES
from ekslab.kube.auth.rules import PolicyRule

_GROUP: Final = "rbac.authorization.k8s.io"
_VERBS: Final = {
    "read": ("get", "list", "watch"),
    "write": ("create", "delete", "deletecollection", "patch", "update"),
}

# ClusterRoleBinding (of the ClusterRole of the same name) -> subjects. `system:node` has none:
# nodes are the node authorizer's.
_CLUSTER_BINDINGS: Final[dict[str, tuple[str, ...]]] = {
    "cluster-admin": (f"Group {MASTERS_GROUP}",),
    "system:basic-user": (f"Group {AUTHENTICATED_GROUP}",),
    "system:discovery": (f"Group {AUTHENTICATED_GROUP}",),
    "system:kube-controller-manager": ("User system:kube-controller-manager",),
    "system:kube-dns": ("ServiceAccount kube-system/kube-dns",),
    "system:kube-scheduler": ("User system:kube-scheduler",),
    "system:monitoring": ("Group system:monitoring",),
    "system:node": (),
    "system:node-proxier": ("User system:kube-proxy",),
    "system:public-info-viewer": (
        f"Group {AUTHENTICATED_GROUP}",
        f"Group {UNAUTHENTICATED_GROUP}",
    ),
    "system:service-account-issuer-discovery": (f"Group {SERVICE_ACCOUNTS_GROUP}",),
    "system:volume-scheduler": ("User system:kube-scheduler",),
}

# RoleBinding -> Role, subjects.
_BINDINGS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "kube-public/system:controller:bootstrap-signer": (
        "system:controller:bootstrap-signer",
        ("ServiceAccount kube-system/bootstrap-signer",),
    ),
    "kube-system/system::extension-apiserver-authentication-reader": (
        "extension-apiserver-authentication-reader",
        ("User system:kube-controller-manager", "User system:kube-scheduler"),
    ),
    "kube-system/system::leader-locking-kube-controller-manager": (
        "system::leader-locking-kube-controller-manager",
        (
            "User system:kube-controller-manager",
            "ServiceAccount kube-system/kube-controller-manager",
            "ServiceAccount kube-system/leader-election-controller",
        ),
    ),
    "kube-system/system::leader-locking-kube-scheduler": (
        "system::leader-locking-kube-scheduler",
        ("User system:kube-scheduler", "ServiceAccount kube-system/kube-scheduler"),
    ),
    "kube-system/system:controller:bootstrap-signer": (
        "system:controller:bootstrap-signer",
        ("ServiceAccount kube-system/bootstrap-signer",),
    ),
    "kube-system/system:controller:cloud-provider": (
        "system:controller:cloud-provider",
        ("ServiceAccount kube-system/cloud-provider",),
    ),
    "kube-system/system:controller:token-cleaner": (
        "system:controller:token-cleaner",
        ("ServiceAccount kube-system/token-cleaner",),
    ),
}


def objects() -> Sequence[Object]:
    """All default objects in the order of their creation, roles before what binds them.

    The objects are the caller's own.
    """
    return [editable(obj) for obj in _shared()]


@cache
def node_rules() -> tuple[PolicyRule, ...]:
    """The rules of `system:node`, which the node authorizer checks after its graph."""
    role = next(obj for obj in _shared() if obj["metadata"]["name"] == "system:node")
    return rules.parse(role["rules"])


@cache
def _shared() -> tuple[Object, ...]:
    cluster_roles = list(_roles("ClusterRole", CLUSTER_ROLES))
    controller_roles = list(_roles("ClusterRole", CONTROLLER_ROLES))
    _fill_aggregated(cluster_roles)
    bindings = [
        _binding("ClusterRoleBinding", name, role=name, subjects=subjects)
        for name, subjects in _CLUSTER_BINDINGS.items()
    ]
    for role in controller_roles:
        name = role["metadata"]["name"]
        account = f"ServiceAccount {KUBE_SYSTEM}/{name.removeprefix('system:controller:')}"
        bindings.append(_binding("ClusterRoleBinding", name, role=name, subjects=(account,)))
    return (
        *cluster_roles,
        *controller_roles,
        *bindings,
        *_roles("Role", ROLES),
        *(
            _binding("RoleBinding", name, role=role, subjects=subjects)
            for name, (role, subjects) in _BINDINGS.items()
        ),
    )


def _fill_aggregated(roles: list[Object]) -> None:
    # view, then edit (which takes view), then admin (which takes edit).
    by_name = sorted(roles, key=lambda role: str(role["metadata"]["name"]))
    named = {role["metadata"]["name"]: role for role in roles}
    for name in ("view", "edit", "admin"):
        selectors = named[name]["aggregationRule"]["clusterRoleSelectors"]
        named[name]["rules"] = rules.aggregate(name, selectors, by_name)


def _roles(kind: str, table: str) -> Iterator[Object]:
    """Read a table (its notation: `ekslab.kube.auth.default_roles`)."""
    role: Object | None = None
    for line in table.replace(",\n        ", ",").splitlines():
        if line.startswith(" "):
            assert role is not None, "a rule stands below its role"
            role["rules"].append(_rule(line).as_object())
            continue
        if role is not None:
            yield role
        role = _role(kind, line)
    if role is not None:
        yield role


def _role(kind: str, heading: str) -> Object:
    full_name, *marks = heading.split()
    role = _object(kind, full_name)
    for mark in marks:
        label = f"{_GROUP}/{mark[1:]}"
        if mark.startswith("+"):
            role["metadata"]["labels"][label] = "true"
        else:
            selector = {"matchLabels": {label: "true"}}
            role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    role["rules"] = []
    return role


def _rule(line: str) -> PolicyRule:
    verb_words, group_words, resource_words, *name_words = line.split()
    verbs = sorted(verb for word in verb_words.split(",") for verb in _VERBS.get(word, (word,)))
    resources = tuple(resource_words.split(","))
    if group_words == "url":
        return PolicyRule(tuple(verbs), urls=resources)
    groups = tuple("" if word == "core" else word for word in group_words.split(","))
    names = tuple(name_words[0].removeprefix("=").split(",")) if name_words else ()
    return PolicyRule(tuple(verbs), groups, resources, names)


def _binding(kind: str, full_name: str, *, role: str, subjects: Sequence[str]) -> Object:
    binding = _object(kind, full_name)
    role_kind = "ClusterRole" if kind == "ClusterRoleBinding" else "Role"
    binding["roleRef"] = {"apiGroup": _GROUP, "kind": role_kind, "name": role}
    if subjects:
        binding["subjects"] = [_subject(text) for text in subjects]
    return binding


def _subject(text: str) -> Object:
    kind, _, name = text.partition(" ")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition("/")
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"apiGroup": _GROUP, "kind": kind, "name": name}


def _object(kind: str, full_name: str) -> Object:
    namespace, _, name = full_name.rpartition("/")
    metadata: dict[str, Any] = {
        "name": name,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    }
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": metadata}
