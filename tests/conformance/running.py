"""A cluster with controllers, scheduler and simulated nodes on virtual time, told as stories.

    @lived(nodes=2)
    async def test_a_deployment_gets_its_pods(lab: Running) -> None:
        await lab.create(DEPLOYMENTS, workload("web", replicas=3))
        await lab.until(lambda: lab.ready() == 3)

Time jumps whenever everybody waits; what takes an hour is over at once.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from ekslab.kube.api.objects import editable
from ekslab.kube.api.ports import PatchType, Watch
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import NAMESPACES, PODS, SERVICE_ACCOUNTS
from ekslab.testing import TestCluster, run_virtual
from tests.conformance.api import Object
from tests.conformance.verbs import merge

_PATIENCE_S = 600  # of virtual time


class Running:
    """A cluster and its administrator. Everything is of namespace `default` if not said."""

    def __init__(self, cluster: TestCluster) -> None:
        self.cluster = cluster
        self.client = cluster.admin
        self.clock = cluster.clock

    async def create(
        self, resource: Resource, body: Object, *, namespace: str = "default"
    ) -> Object:
        """Create an object."""
        if namespace:
            body = {**body, "metadata": {**body["metadata"], "namespace": namespace}}
        return await self.client.create(resource, body)

    async def create_namespace(self, name: str) -> None:
        """Create a namespace, and wait until pods can be made in it."""
        await self.create(NAMESPACES, {"metadata": {"name": name}}, namespace="")
        await self.until(lambda: self.find(SERVICE_ACCOUNTS, "default", namespace=name))

    async def patch(
        self,
        resource: Resource,
        name: str,
        change: Object,
        subresource: str = "",
        *,
        namespace: str = "default",
    ) -> Object:
        """Change an object by a merge patch."""
        return await self.client.patch(
            resource,
            name,
            namespace,
            patch=change,
            patch_type=PatchType.MERGE,
            subresource=subresource,
        )

    async def put(
        self, resource: Resource, name: str, change: Object, subresource: str = ""
    ) -> Object:
        """Change an object of namespace `default` by a PUT of the whole."""
        obj = editable(await self.client.get(resource, name, "default", subresource=subresource))
        merge(obj, change)
        return await self.client.update(resource, obj, subresource=subresource)

    async def delete(
        self, resource: Resource, name: str, *, namespace: str = "default", **options: Any
    ) -> None:
        """Delete an object."""
        await self.client.delete(resource, name, namespace, **options)

    async def follow(self, resource: Resource, since: Object, selector: str = "") -> "Followed":
        """Watch the objects of a resource in namespace `default` from a state of one on."""
        revision = int(since["metadata"]["resourceVersion"])
        return Followed(
            await self.client.watch(resource, "default", revision=revision, label_selector=selector)
        )

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        await self.cluster.until(condition, patience_s=_PATIENCE_S)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.sleep(seconds)

    def all(self, resource: Resource, namespace: str = "default", **labels: str) -> list[Object]:
        """The objects of a resource that have these labels."""
        wanted = labels.items()
        found = self.cluster.cluster.lister.list(resource, namespace)
        return [item.object for item in found if item.labels.items() >= wanted]

    def names(self, resource: Resource, namespace: str = "default", **labels: str) -> list[str]:
        """The names of `all`."""
        return [obj["metadata"]["name"] for obj in self.all(resource, namespace, **labels)]

    def find(self, resource: Resource, name: str, *, namespace: str = "default") -> Object | None:
        """One object, if it is there."""
        item = self.cluster.cluster.lister.get(resource, name, namespace)
        return None if item is None else item.object

    def one(self, resource: Resource, name: str, *, namespace: str = "default") -> Object:
        """One object, which is there."""
        found = self.find(resource, name, namespace=namespace)
        assert found is not None, f"there is no {resource.plural}/{name}"
        return found

    def ready(self, **labels: str) -> int:
        """How many pods with these labels are Ready."""
        return sum(is_ready(pod) for pod in self.all(PODS, **labels))

    def phase(self, name: str) -> str:
        """The phase of a pod."""
        return str(self.one(PODS, name)["status"]["phase"])


class Followed:
    """The events of one watch."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def until_deleted(self) -> list[tuple[str, Object]]:
        """Types and objects of all events up to the first deletion."""
        told: list[tuple[str, Object]] = []
        async for events in self._watch:
            told += [(event.type, event.item.object) for event in events if event.item is not None]
            if told and told[-1][0] == "DELETED":
                break
        return told


def lived(*, nodes: int = 2) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Make a test of a story: it is told of a fresh cluster with so many nodes."""

    def as_test(story: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        def test(**parameters: Any) -> None:
            run_virtual(lambda cluster: story(Running(cluster), **parameters), nodes=nodes)

        test.__name__, test.__doc__ = story.__name__, story.__doc__
        own = list(inspect.signature(story).parameters.values())[1:]  # those of pytest
        test.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        return test

    return as_test


def is_ready(obj: Object) -> bool:
    """Whether a pod or a node is Ready."""
    return condition(obj, "Ready").get("status") == "True"


def condition(obj: Object, kind: str) -> Object:
    """A condition of an object by its type; empty if it has none."""
    found = (one for one in obj.get("status", {}).get("conditions", ()) if one["type"] == kind)
    return next(found, {})


def image_of(obj: Object) -> str:
    """The image of the first container, of a pod or of what makes pods."""
    spec = obj["spec"].get("template", obj)["spec"]
    return str(spec["containers"][0]["image"])


def owner_of(obj: Object) -> str:
    """The uid of an object's controller; "" if it has none."""
    owners = obj["metadata"].get("ownerReferences", ())
    return next((str(one["uid"]) for one in owners if one.get("controller")), "")
