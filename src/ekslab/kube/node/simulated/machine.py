"""One simulated node and the pods on it, as the agent keeps them. No I/O here.

Admission is kubelet's own (`lifecycle/predicate.go`): a pod the scheduler should not have sent is
refused with `OutOfcpu`, `OutOfmemory`, `OutOfpods`.
"""

import asyncio
from dataclasses import dataclass, field

from ekslab.kube.api.objects import Item
from ekslab.kube.api.placement import Amounts, amounts, node_selection, pod_requests
from ekslab.kube.api.ports import Client
from ekslab.kube.api.requests import Object
from ekslab.kube.node.images import NodeImages
from ekslab.kube.node.lifecycle import PodState, Stage, Step, Surroundings
from ekslab.kube.node.plan import PodPlan
from ekslab.kube.node.ports import PodAddresses
from ekslab.kube.node.simulated.registration import NodeSpec
from ekslab.kube.node.status import HostAddresses, addresses
from ekslab.kube.node.timing import Timing
from ekslab.kube.runtime.events import EventRecorder


@dataclass(slots=True, eq=False)
class PodRun:
    """A pod on its node. `queued` while a worker will look at it, `dirty` if status is to write.

    `written` is the pod as the last write left it, until the watch tells of that write or a later
    one; `followers` are woken when its state changes: readers that follow its logs.
    """

    item: Item
    plan: PodPlan
    state: PodState
    machine: "Machine"
    requests: Amounts
    due_s: float | None = None
    dirty: bool = False
    queued: bool = False
    is_rejected: bool = False
    stops: bool = False
    shown: tuple[object, ...] = ()
    written: Object | None = None
    failures: int = 0
    stopping_s: float = 0.0
    followers: list[asyncio.Event] = field(default_factory=list)
    kept: object | None = None  # files of its containers, once somebody has looked: the shell's

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return self.plan.uid

    def newest(self) -> Object:
        """The pod as it was known last: by the watch, or by what a write gave back."""
        if self.written is not None:
            if int(self.written["metadata"]["resourceVersion"]) > self.item.revision:
                return self.written
            self.written = None
        return self.item.object


@dataclass(slots=True, eq=False)
class Machine:
    """A node: who it is, what it runs, what is left of it."""

    spec: NodeSpec
    client: Client
    pool: PodAddresses
    events: EventRecorder
    host: HostAddresses
    around: Surroundings
    capacity: Amounts
    used: Amounts = field(default_factory=dict)
    pods: dict[str, PodRun] = field(default_factory=dict)
    uid: str = ""
    lease_revision: str = ""
    registered_s: float = 0.0
    ready_s: float = 0.0
    is_alive: bool = True

    @property
    def name(self) -> str:
        """The node's name."""
        return self.spec.name

    def take(self, run: PodRun) -> None:
        """Count what a pod needs."""
        for resource, amount in run.requests.items():
            self.used[resource] = self.used.get(resource, 0) + amount

    def give_back(self, run: PodRun) -> None:
        """The pod needs nothing any more; saying it twice does nothing."""
        for resource, amount in run.requests.items():
            self.used[resource] -= amount
        run.requests = {}


def new_machine(
    spec: NodeSpec, client: Client, pool: PodAddresses, events: EventRecorder, timing: Timing
) -> Machine:
    """A node that runs nothing yet."""
    images = NodeImages(spec.name, timing)
    return Machine(
        spec=spec,
        client=client,
        pool=pool,
        events=events,
        host=addresses(spec.addresses),
        around=Surroundings(timing, images),
        capacity=amounts(spec.allocatable),
    )


def requests_of(pod: Object) -> Amounts:
    """What a pod takes of its node, itself included."""
    return {**pod_requests(pod["spec"]), "pods": 1}


def lacks(machine: Machine, requests: Amounts) -> tuple[str, str] | None:
    """Reason and message if the node has no room for a pod."""
    for resource, amount in requests.items():
        used, capacity = machine.used.get(resource, 0), machine.capacity.get(resource, 0)
        if amount and used + amount > capacity:
            text = (
                f"Node didn't have enough resource: {resource}, requested: {amount},"
                f" used: {used}, capacity: {capacity}"
            )
            return f"OutOf{resource}", text
    return None


def is_selected(pod: Object, labels: dict[str, str], name: str) -> bool:
    """Whether the pod's node selector and required affinity admit this node."""
    return node_selection(pod["spec"]).matches(labels, name)


def visible(state: PodState) -> tuple[object, ...]:
    """What of a state shows in the pod's status: equal tuples, equal status."""
    hidden = (Step.WAITING, Step.PULLING, Step.STARTING)
    return (
        state.stage is Stage.ENDED,
        *(
            (
                Step.WAITING if is_now.step in hidden else is_now.step,
                is_now.ready,
                is_now.started,
                is_now.restarts,
                is_now.pull_failures,
            )
            for is_now in state.containers
        ),
    )
