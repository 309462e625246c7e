"""The flow control objects of every cluster: upstream's mandatory and suggested ones.

Upstream: `apiserver/pkg/apis/flowcontrol/bootstrap/default.go` (v1.29 and later). The mandatory
ones (`exempt`, `catch-all`) rule even where somebody deleted them.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import (
    AUTHENTICATED_GROUP,
    KUBE_SYSTEM,
    MASTERS_GROUP,
    NODES_GROUP,
    SERVICE_ACCOUNTS_GROUP,
    UNAUTHENTICATED_GROUP,
)

MANDATORY: Final = frozenset({"exempt", "catch-all"})
_API_VERSION: Final = "flowcontrol.apiserver.k8s.io/v1"
_ANNOTATIONS: Final = {"apf.kubernetes.io/autoupdate-spec": "true"}

# Level: shares, percent lent, then queues, hand and length; without them it refuses at once.
_LEVELS: Final[dict[str, tuple[int, ...]]] = {
    "catch-all": (5, 0),
    "system": (30, 33, 64, 6, 50),
    "node-high": (40, 25, 64, 6, 50),
    "leader-election": (10, 0, 16, 4, 50),
    "workload-high": (40, 50, 128, 6, 50),
    "workload-low": (100, 90, 128, 6, 50),
    "global-default": (20, 50, 128, 6, 50),
}
_MANAGER: Final = "User system:kube-controller-manager"
_SCHEDULER: Final = "User system:kube-scheduler"
_SYSTEM_ACCOUNTS: Final = f"ServiceAccount {KUBE_SYSTEM}/*"
_EVERYBODY: Final = (f"Group {UNAUTHENTICATED_GROUP}", f"Group {AUTHENTICATED_GROUP}")
_EVERY: Final = ("*",)
_LEADING: Final = ("get", "create", "update")


def _resources(verbs: Sequence[str], group: str, *names: str, scope: str = "*") -> Object:
    """A rule for resources; `scope` is a namespace, "*" for all, with "+" the cluster's, too."""
    rule: Object = {"verbs": [*verbs], "apiGroups": [group], "resources": [*names]}
    if "+" in scope:
        rule["clusterScope"] = True
    rule["namespaces"] = [scope.replace("+", "") or "*"]
    return rule


_EVERYTHING: Final[dict[str, Any]] = {
    "resourceRules": [_resources(_EVERY, "*", "*", scope="*+")],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}
_LEASES: Final = _resources(_LEADING, "coordination.k8s.io", "leases")
_LOCKS: Final = ("endpoints", "configmaps")
_PROBES: Final = {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}

# FlowSchema: level, precedence, what tells its flows apart, subjects, rules.
_SCHEMAS: Final[dict[str, tuple[str, int, str, tuple[str, ...], dict[str, Any]]]] = {
    "exempt": ("exempt", 1, "", (f"Group {MASTERS_GROUP}",), _EVERYTHING),
    "probes": ("exempt", 2, "", _EVERYBODY, {"nonResourceRules": [_PROBES]}),
    "system-leader-election": (
        "leader-election",
        100,
        "ByUser",
        (_MANAGER, _SCHEDULER, _SYSTEM_ACCOUNTS),
        {"resourceRules": [_resources(_LEADING, "", *_LOCKS, scope=KUBE_SYSTEM), _LEASES]},
    ),
    "endpoint-controller": (
        "workload-high",
        150,
        "ByUser",
        (
            _MANAGER,
            f"ServiceAccount {KUBE_SYSTEM}/endpoint-controller",
            f"ServiceAccount {KUBE_SYSTEM}/endpointslicemirroring-controller",
        ),
        {"resourceRules": [_resources(_LEADING, "", "endpoints")]},
    ),
    "workload-leader-election": (
        "leader-election",
        200,
        "ByUser",
        (_SYSTEM_ACCOUNTS,),
        {"resourceRules": [_resources(_LEADING, "", *_LOCKS), _LEASES]},
    ),
    "system-node-high": (
        "node-high",
        400,
        "ByUser",
        (f"Group {NODES_GROUP}",),
        {
            "resourceRules": [
                _resources(_EVERY, "", "nodes", "nodes/status", scope="*+"),
                _resources(_EVERY, "coordination.k8s.io", "leases"),
            ]
        },
    ),
    "system-nodes": ("system", 500, "ByUser", (f"Group {NODES_GROUP}",), _EVERYTHING),
    "kube-controller-manager": ("workload-high", 800, "ByNamespace", (_MANAGER,), _EVERYTHING),
    "kube-scheduler": ("workload-high", 800, "ByNamespace", (_SCHEDULER,), _EVERYTHING),
    "kube-system-service-accounts": (
        "workload-high",
        900,
        "ByNamespace",
        (_SYSTEM_ACCOUNTS,),
        _EVERYTHING,
    ),
    "service-accounts": (
        "workload-low",
        9000,
        "ByUser",
        (f"Group {SERVICE_ACCOUNTS_GROUP}",),
        _EVERYTHING,
    ),
    "global-default": ("global-default", 9900, "ByUser", _EVERYBODY, _EVERYTHING),
    "catch-all": ("catch-all", 10_000, "ByUser", _EVERYBODY, _EVERYTHING),
}


@cache
def levels() -> Sequence[Object]:
    """The PriorityLevelConfigurations; shared, never to be changed."""
    exempt = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    limited = {
        name: {"type": "Limited", "limited": _limited(*numbers)}
        for name, numbers in _LEVELS.items()
    }
    return [
        _object("PriorityLevelConfiguration", name, spec)
        for name, spec in {"exempt": exempt, **limited}.items()
    ]


@cache
def schemas() -> Sequence[Object]:
    """The FlowSchemas; shared, never to be changed."""
    return [_object("FlowSchema", name, _schema_spec(name)) for name in _SCHEMAS]


def _limited(shares: int, lent: int, *queues: int) -> Object:
    response: Object = {"type": "Reject"}
    if queues:
        names = ("queues", "handSize", "queueLengthLimit")
        response = {"type": "Queue", "queuing": dict(zip(names, queues, strict=True))}
    return {
        "nominalConcurrencyShares": shares,
        "lendablePercent": lent,
        "limitResponse": response,
    }


def _schema_spec(name: str) -> Object:
    level, precedence, method, subjects, rules = _SCHEMAS[name]
    spec: Object = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [{"subjects": [_subject(text) for text in subjects], **rules}],
    }
    if method:
        spec["distinguisherMethod"] = {"type": method}
    return spec


def _subject(text: str) -> Object:
    kind, _, name = text.partition(" ")
    if kind == "ServiceAccount":
        namespace, _, account = name.partition("/")
        return {"kind": kind, "serviceAccount": {"namespace": namespace, "name": account}}
    return {"kind": kind, kind.lower(): {"name": name}}


def _object(kind: str, name: str, spec: Object) -> Object:
    metadata = {"name": name, "annotations": _ANNOTATIONS}
    return {"apiVersion": _API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
