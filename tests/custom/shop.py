"""An API server with definitions, and short ways to make them and their objects."""

import asyncio
from typing import Any

from ekslab.kube.api.ports import Answer
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import DEFINITIONS
from tests.apiserver.world import World

Object = dict[str, Any]
GROUP = "shop.example.com"
WIDGETS = Resource(GROUP, "v1", "widgets")


def version(name: str = "v1", *, storage: bool = True, **more: Any) -> Object:
    """A version of a definition; `spec` and `status` are properties of its schema."""
    properties = {part: more.pop(part) for part in ("spec", "status") if part in more}
    schema = {"type": "object", "properties": properties, **more.pop("schema", {})}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        **more,
    }


def definition(kind: str = "Widget", *versions: Object, scope: str = "Namespaced") -> Object:
    """A CustomResourceDefinition."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {"plural": plural, "kind": kind},
            "versions": list(versions),
        },
    }


def text(**more: Any) -> Object:
    return {"type": "string", **more}


def integer(**more: Any) -> Object:
    return {"type": "integer", **more}


def obj(**properties: Any) -> Object:
    """An object with these properties; those with a capital letter are keywords of its own."""
    return {"type": "object", "properties": properties}


def widget(name: str = "w", *, api: str = "v1", **parts: Any) -> Object:
    """A custom object."""
    return {
        "apiVersion": f"{GROUP}/{api}",
        "kind": "Widget",
        "metadata": {"name": name, "namespace": "default"},
        **parts,
    }


class Shop(World):
    """A world of definitions."""

    async def define(self, made: Object) -> Object:
        """Create a definition, or replace it, and wait until it is served as it says."""
        name = made["metadata"]["name"]
        if self.lister.get(DEFINITIONS, name) is None:
            await self.ask("create", DEFINITIONS, namespace="", body=made)
        else:
            live = await self.client().get(DEFINITIONS, name)
            made["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
            await self.ask("update", DEFINITIONS, namespace="", name=name, body=made)
        return await self.until(name, "Established")

    async def until(self, name: str, kind: str, value: str = "True") -> Object:
        """Wait until a definition has a condition."""
        while True:
            await self.settled()
            found = await self.client().get(DEFINITIONS, name)
            for each in (found.get("status") or {}).get("conditions") or ():
                if (each["type"], each["status"]) == (kind, value):
                    return found

    async def settled(self) -> None:
        """Let what is under way be done."""
        for _ in range(20):
            await asyncio.sleep(0)

    @classmethod
    def over(cls, shop: "Shop") -> "Shop":
        """Another API server over the same store."""
        return cls(asyncio.get_running_loop(), store=shop.store)

    @property
    def lister(self) -> Any:
        return self.server.lister

    async def create(self, body: Object, resource: Resource = WIDGETS, **options: str) -> Object:
        """Create a custom object as HTTP clients do, in JSON; gives what is answered."""
        namespace = body["metadata"].get("namespace", "")
        return _body(
            await self.ask("create", resource, namespace=namespace, body=body, options=options)
        )

    async def get(self, name: str = "w", resource: Resource = WIDGETS, **more: Any) -> Object:
        return _body(await self.ask("get", resource, name=name, **more))

    async def patch(self, name: str, patch: Any, **more: Any) -> Object:
        kind = more.pop("content_type", "application/merge-patch+json")
        return _body(
            await self.ask("patch", WIDGETS, name=name, body=patch, content_type=kind, **more)
        )


def _body(answer: Answer) -> Object:
    found = answer.item.object if answer.item is not None else answer.obj
    assert found is not None
    return found
