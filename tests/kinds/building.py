"""Strategies of the default version, and objects with only the interesting fields."""

import copy
from typing import Any

from ekslab.kube.api.errors import Cause
from ekslab.kube.api.schema import catalog
from ekslab.kube.apiserver.kinds import Strategy, strategy_for

Object = dict[str, Any]

CATALOG = catalog.load(catalog.DEFAULT_VERSION)


def strategy(api_version: str, kind: str) -> Strategy:
    info = CATALOG.by_kind[api_version, kind]
    return strategy_for(info, CATALOG.schema_of(info))


def created(obj: Object) -> Object:
    """The object as it is after defaulting and creation."""
    obj = copy.deepcopy(obj)
    known = strategy(obj["apiVersion"], obj["kind"])
    known.default(obj)
    known.prepare_create(obj)
    return obj


def texts(causes: list[Cause]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in causes]


def wrong(obj: Object) -> list[str]:
    """What validation says of the new object."""
    return texts(strategy(obj["apiVersion"], obj["kind"]).validate(created(obj)))


def wrong_change(old: Object, new: Object) -> list[str]:
    """What validation says of the change between two objects, both given as a client writes."""
    known = strategy(new["apiVersion"], new["kind"])
    before, after = created(old), copy.deepcopy(new)
    known.default(after)
    known.prepare_update(after, before)
    return texts(known.validate_update(after, before))


def changed(obj: Object, path: str, value: Any) -> Object:
    """A copy with one value set; `spec.containers.0.image` names it; None takes it away."""
    obj = copy.deepcopy(obj)
    *parents, last = path.split(".")
    at: Any = obj
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
    if isinstance(at, list):
        at[int(last)] = value
    elif value is None:
        at.pop(last, None)
    else:
        at[last] = value
    return obj


def meta(name: str, **more: Any) -> Object:
    return {"name": name, "namespace": "default", **more}


def pod(**spec: Any) -> Object:
    containers = [{"name": "web", "image": "nginx"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta("web"),
        "spec": {"containers": containers, **spec},
    }


def workload(kind: str, **spec: Any) -> Object:
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": meta("web"),
        "spec": {"selector": {"matchLabels": dict(labels)}, "template": template, **spec},
    }


def service(**spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta("web"),
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}], **spec},
    }
