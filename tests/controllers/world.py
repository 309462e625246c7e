"""A small cluster in memory: controllers, and a node that runs whatever is created."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ekslab.kit.clock import LoopClock, rfc3339
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kit.tasks import TaskGroup
from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import EVENTS, PODS, REPLICA_SETS
from ekslab.kube.client.informers import InformerFactory
from ekslab.kube.runtime.controller import Controller, ControllerRunner, Toolbox
from ekslab.kube.runtime.events import EventRecorder
from ekslab.kube.runtime.pods import PodIndex
from tests.fakes.memory_api import MemoryApi

Make = Callable[["World"], Sequence[Controller[Any]]]


class World:
    """Everything a story needs. `start_s` is how long a pod takes to become Ready; pods whose
    image is "broken" never do.
    """

    def __init__(self, *, start_s: float = 1.0) -> None:
        self.start_s = start_s
        self.clock = LoopClock(asyncio.get_running_loop(), epoch_s=1_700_000_000)
        self.api = MemoryApi(self.clock)
        self.client = self.api.client("tester")
        self.informers = InformerFactory(self.api.client("shared"), clock=self.clock)
        self.pods = PodIndex(self.informers.informer(PODS))

    def tools(self, user: str) -> Toolbox:
        client = self.api.client(user)
        return Toolbox(
            client=client,
            informers=self.informers,
            events=EventRecorder(client, component=user, clock=self.clock),
            clock=self.clock,
            rng=Rng(1),
            ids=Ids(Rng(1)),
        )

    def run_pods(self) -> None:
        """Be the node: pods become Ready after a while, and end when they are deleted."""
        self.informers.informer(PODS).on_change(self._pod_changed)

    def _pod_changed(self, old: Item | None, new: Item | None) -> None:
        if new is None:
            return
        if "deletionTimestamp" in new.object["metadata"]:
            self.clock.call_later(self.start_s, lambda: self._end(new))
        elif old is None and new.object["spec"]["containers"][0]["image"] != "broken":
            self.clock.call_later(self.start_s, lambda: self.set_ready(new.name))

    def _end(self, item: Item) -> None:
        key = ("pods", item.namespace, item.name)
        if key in self.api.items:
            self.api.write(PODS, editable(self.api.items[key].object), "DELETED")

    def set_ready(self, name: str, *, ready: bool = True) -> None:
        """Say of a pod whether it is Ready."""
        item = self.api.items.get(("pods", "ns", name))
        if item is None:
            return
        pod = editable(item.object)
        pod["spec"]["nodeName"] = pod["spec"].get("nodeName") or pinned_to(pod)
        pod["status"] = {
            "phase": "Running",
            "podIP": "10.0.0.7",
            "conditions": [{
                "type": "Ready",
                "status": "True" if ready else "False",
                "lastTransitionTime": rfc3339(self.clock.now()),
            }],
        }  # fmt: skip
        self.api.write(PODS, pod, "MODIFIED")

    async def pass_s(self, delay_s: float) -> None:
        """Let time pass."""
        await self.clock.sleep(delay_s)

    def all(self, resource: Resource, namespace: str = "ns") -> list[Object]:
        """Objects of a type in the namespace."""
        return [
            item.object
            for (qualified, ns, _), item in sorted(self.api.items.items())
            if qualified == resource.qualified and ns == namespace
        ]

    def get(self, resource: Resource, name: str, namespace: str = "ns") -> Object | None:
        """One object, or None."""
        item = self.api.items.get((resource.qualified, namespace, name))
        return item.object if item is not None else None

    def the(self, resource: Resource, name: str, namespace: str = "ns") -> Object:
        """One object that must be there."""
        found = self.get(resource, name, namespace)
        assert found is not None, f"{resource.qualified} {name}"
        return found

    async def change(self, resource: Resource, name: str, change: Callable[[Object], None]) -> None:
        """Read, change, write, until nobody interferes."""
        for _ in range(10):
            obj = editable(self.the(resource, name))
            change(obj)
            try:
                await self.client.update(resource, obj)
                return
            except ApiError as error:
                if error.code != 409:
                    raise
        raise AssertionError("too many conflicts")

    def said(self, name: str) -> list[tuple[str, str]]:
        """Reason and message of the events about objects of that name, oldest first."""
        found = [event for event in self.all(EVENTS) if event["involvedObject"]["name"] == name]
        found.sort(key=lambda event: int(event["metadata"]["name"].rsplit(".", 1)[1], 16))
        return [(event["reason"], event["message"]) for event in found]

    def conditions(self, resource: Resource, name: str) -> dict[str, str]:
        """`{type: "status reason"}` of an object."""
        status = self.the(resource, name).get("status", {})
        return {
            entry["type"]: f"{entry['status']} {entry['reason']}"
            for entry in status.get("conditions", [])
        }


def lived(make: Make, story: Callable[[World], Awaitable[None]], *, start_s: float = 1.0) -> None:
    """Run a story in virtual time, with the controllers `make` gives."""

    async def main() -> None:
        world = World(start_s=start_s)
        controllers = make(world)
        world.run_pods()
        async with TaskGroup("world") as group:
            group.start(ControllerRunner(controllers).run(), name="controllers")
            await story(world)
            group.cancel()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def pinned_to(pod: Object) -> str:
    """The node a daemon pod's affinity names; node-1 for others."""
    affinity = pod["spec"].get("affinity")
    if affinity is None:
        return "node-1"
    required = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    (need,) = term["matchFields"]
    assert (need["key"], need["operator"]) == ("metadata.name", "In")
    (name,) = need["values"]
    assert isinstance(name, str)
    return name


def template(image: str = "nginx", **labels: str) -> Object:
    return {
        "metadata": {"labels": labels or {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }


def deployment(*, replicas: int = 3, image: str = "nginx", **spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "ns"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image),
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            **spec,
        },
    }


def replica_set(*, replicas: int = 3, name: str = "set", **spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
            **spec,
        },
    }


def pod(name: str, *, node: str = "", **labels: str) -> Object:
    spec: Object = {"containers": [{"name": "main", "image": "nginx"}]}
    if node:
        spec["nodeName"] = node
    meta = {"name": name, "namespace": "ns", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def pods_of(world: World, set_name: str) -> list[str]:
    return [
        one["metadata"]["name"]
        for one in world.all(PODS)
        if any(o["name"] == set_name for o in one["metadata"].get("ownerReferences", []))
    ]


def sizes(world: World) -> dict[str, int]:
    """Revision -> replicas asked for, of all sets."""
    return {
        one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: one["spec"]["replicas"]
        for one in world.all(REPLICA_SETS)
    }
