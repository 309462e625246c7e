"""Definitions of custom resources, and the objects of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conformance.api import Api, Collection, Object

GROUP_VERSION = "apiextensions.k8s.io/v1"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def version(name: str = "v1", schema: Object | None = None, **more: Any) -> Object:
    """A served version, stored unless told otherwise; without a schema anything goes."""
    schema = OPEN if schema is None else schema
    wire = {"openAPIV3Schema": schema}
    return {"name": name, "served": True, "storage": True, "schema": wire, **more}


def definition(group: str, kind: str, *versions: Object, scope: str = "Namespaced") -> Object:
    """A CustomResourceDefinition."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": GROUP_VERSION,
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "kind": kind},
            "versions": list(versions or (version(),)),
        },
    }


def definitions(api: Api) -> Collection:
    """All definitions."""
    return api.at(GROUP_VERSION, "customresourcedefinitions")


def is_established(obj: Object) -> bool:
    """Whether a definition's objects are served."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any((each["type"], each["status"]) == ("Established", "True") for each in conditions)


@contextmanager
def defined(api: Api, *made: Object) -> Iterator[None]:
    """Definitions that are served within the block and gone after it."""
    for each in made:
        start = definitions(api).create(each)
        name = each["metadata"]["name"]
        since = start["metadata"]["resourceVersion"]
        with definitions(api).watch(
            fieldSelector=f"metadata.name={name}", resourceVersion=since
        ) as watch:
            watch.until("MODIFIED", is_established)
    try:
        yield
    finally:
        for each in made:
            name = each["metadata"]["name"]
            with definitions(api).watch(fieldSelector=f"metadata.name={name}") as watch:
                definitions(api).delete(name)
                watch.until("DELETED")
