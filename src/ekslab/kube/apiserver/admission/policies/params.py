"""Parameters of a binding: objects that expressions see as `params`.

Upstream: `CollectParams` of apiserver `pkg/admission/plugin/policy/generic/policy_dispatcher.go`.
"""

from collections.abc import Mapping
from typing import Any

from ekslab.kube.api import selectors
from ekslab.kube.api.ports import Lister
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.schema import catalog
from ekslab.kube.api.well_known import DEFINITIONS

Part = Mapping[str, Any]


class ParamsError(Exception):
    """A binding whose parameters cannot be had; the message is upstream's."""


def collect(
    kind: Part | None, ref: Part | None, namespace: str, lister: Lister
) -> list[Object | None]:
    """The parameters that a policy is evaluated with, one evaluation each; `[None]` if it has none,
    an empty list if there are none and that is allowed.

    Raises:
        ParamsError: the kind is not known, or there are none and that is not allowed.
    """
    if kind is None or ref is None:
        return [None]
    resource, namespaced = _resource(kind, lister)
    where = ""
    if namespaced:
        where = ref.get("namespace") or namespace
        if not where:
            raise ParamsError(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped"
                " resources"
            )
    elif ref.get("namespace"):
        raise ParamsError(
            "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
        )
    found: list[Object | None] = []
    if ref.get("name"):
        item = lister.get(resource, ref["name"], where)
        found = [] if item is None else [item.object]
    elif ref.get("selector") is not None:
        selector = selectors.label_selector(ref["selector"])
        found = [
            item.object for item in lister.list(resource, where) if selector.matches(item.labels)
        ]
    if not found and ref.get("parameterNotFoundAction") == "Deny":
        raise ParamsError("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def _resource(kind: Part, lister: Lister) -> tuple[Resource, bool]:
    """The resource of a kind, built in or of a definition, and whether it is namespaced."""
    version, name = kind.get("apiVersion", ""), kind.get("kind", "")
    info = catalog.load().by_kind.get((version, name))
    if info is not None:
        return info.resource, info.namespaced
    group, _, version = version.rpartition("/")
    for item in lister.list(DEFINITIONS):
        spec = item.object["spec"]
        if spec["group"] == group and spec["names"]["kind"] == name:
            resource = Resource(group, version, spec["names"]["plural"])
            return resource, spec["scope"] == "Namespaced"
    shown = f"&ParamKind{{APIVersion:{kind.get('apiVersion', '')},Kind:{name},}}"
    raise ParamsError(f"paramKind kind `{shown}` not known")
