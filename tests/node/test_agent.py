"""Simulated nodes against an API in memory, on virtual time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from ekslab.kit.clock import LoopClock, parse_rfc3339
from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api.errors import ApiError, internal
from ekslab.kube.api.ports import LogOptions, PatchType
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import NODES, PODS
from ekslab.kube.node.ports import NoAddressError
from ekslab.kube.node.simulated.agent import NodeSpec, SimulatedNodes
from ekslab.kube.node.standalone import node_specs
from tests.fakes.memory_api import MemoryApi
from tests.node.test_lifecycle import container, pod


class Pool:
    """Addresses 10.9.0.1, .2, ...; none while `empty`."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        self.empty = False
        self._next = 0

    async def allocate(self, namespace: str, pod: str, uid: str) -> str:  # noqa: ARG002 - the port
        if self.empty:
            raise NoAddressError('plugin type="test" failed (add): no address')
        if uid not in self.owners:
            self._next += 1
            self.owners[uid] = f"10.9.0.{self._next}"
        return self.owners[uid]

    def adopt(self, uid: str, address: str) -> None:
        self.owners[uid] = address

    def release(self, uid: str) -> None:
        self.owners.pop(uid, None)


class Lab:
    def __init__(self, loop: asyncio.AbstractEventLoop, *, shared_watch: bool = True) -> None:
        self.clock = LoopClock(loop, epoch_s=1_800_000_000)
        self.api = MemoryApi(self.clock)
        self.user = self.api.client("user")
        self.pool = Pool()
        self.shared = shared_watch
        self.nodes = self.new_nodes()

    def new_nodes(self) -> SimulatedNodes:
        fleet = self.api.client("fleet") if self.shared else None
        return SimulatedNodes(clock=self.clock, fleet=fleet)

    def boot(self, *names: str, **spec: Any) -> None:
        for template, name in zip(node_specs(len(names), address=lambda _n: "10.0.0.2"), names,
                                  strict=True):  # fmt: skip
            fields = {field: getattr(template, field) for field in NodeSpec.__dataclass_fields__}
            self.nodes.add(
                NodeSpec(**{**fields, "name": name, **spec}),
                self.api.client(f"system:node:{name}"),
                self.pool,
            )

    async def pod(self, obj: Object, *, on: str = "n1", name: str = "web") -> None:
        obj["metadata"]["name"] = name
        obj["spec"]["nodeName"] = on
        await self.user.create(PODS, obj)

    def object(self, name: str = "web") -> Object:
        return self.api.items["pods", "default", name].object

    def phase(self, name: str = "web") -> str:
        if ("pods", "default", name) not in self.api.items:
            return "gone"
        return self.object(name)["status"]["phase"]

    def node(self, name: str = "n1") -> Object:
        return self.api.items["nodes", "", name].object

    def ready(self, name: str = "n1") -> str:
        rows = self.node(name)["status"]["conditions"]
        return next(row["status"] for row in rows if row["type"] == "Ready")

    def lease(self, name: str = "n1") -> float:
        lease = self.api.items["leases.coordination.k8s.io", "kube-node-lease", name].object
        return parse_rfc3339(lease["spec"]["renewTime"])

    def events(self) -> Counter[str]:
        found = [item.object for key, item in self.api.items.items() if key[0] == "events"]
        return Counter(one["reason"] for one in found if one["involvedObject"]["kind"] == "Pod")

    async def logs(self, name: str = "web", **options: Any) -> list[str]:
        connection = self.nodes.connect(self.object(name)["spec"]["nodeName"])
        pieces = [piece async for piece in connection.logs("default", name, LogOptions(**options))]
        return b"".join(pieces).decode().splitlines()


Story = Callable[[Lab], Awaitable[None]]
Tell = Callable[..., None]


@pytest.fixture
def tell() -> Iterator[Tell]:
    loop = VirtualLoop()

    async def play(story: Story, lab: Lab) -> None:
        task = loop.create_task(lab.nodes.run())
        try:
            await story(lab)
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def run(story: Story, *, shared_watch: bool = True) -> None:
        loop.run_until_complete(play(story, Lab(loop, shared_watch=shared_watch)))

    yield run
    loop.close()


def test_a_node_registers_not_ready_and_is_ready_a_moment_later(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1", taints=({"key": "k", "value": "v", "effect": "NoSchedule"},))
        await asyncio.sleep(0.5)
        assert lab.ready() == "False"
        assert lab.node()["spec"]["taints"] == [{"key": "k", "value": "v", "effect": "NoSchedule"}]
        assert lab.node()["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"
        await asyncio.sleep(1)
        assert lab.ready() == "True"
        assert {row["reason"] for row in lab.node()["status"]["conditions"]} == {
            "KubeletHasSufficientMemory", "KubeletHasNoDiskPressure", "KubeletHasSufficientPID",
            "KubeletReady",
        }  # fmt: skip

    tell(story)


def test_it_renews_its_lease_every_ten_seconds_and_its_status_every_five_minutes(
    tell: Tell,
) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await asyncio.sleep(3)
        lab.api.calls.clear()
        await asyncio.sleep(600)
        assert lab.clock.now() - lab.lease() <= 10
        calls = Counter(call[2] for call in lab.api.calls)
        assert 60 <= calls["leases.coordination.k8s.io"] <= 75
        assert calls["nodes/status"] == 2

    tell(story)


def test_a_dead_node_is_silent_and_its_pods_stay(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await lab.pod(pod())
        await asyncio.sleep(20)
        lab.nodes.stop("n1")
        lab.api.calls.clear()
        await lab.user.delete(PODS, "web", "default")
        await asyncio.sleep(600)
        assert [call for call in lab.api.calls if call[0] == "system:node:n1"] == []
        assert lab.phase() == "Running"
        with pytest.raises(ApiError, match="no route to host"):
            lab.nodes.connect("n1")

    tell(story)


def test_a_node_that_shuts_down_says_so(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await asyncio.sleep(5)
        await lab.nodes.shut_down("n1")
        assert lab.ready() == "False"
        assert lab.node()["status"]["conditions"][-1]["message"] == "node is shutting down"
        with pytest.raises(ApiError, match='nodes "n1" not found'):
            lab.nodes.connect("n1")

    tell(story)


def test_a_node_object_that_is_there_is_adopted(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        await lab.user.create(NODES, {"apiVersion": "v1", "kind": "Node",
                                      "metadata": {"name": "n1"}, "spec": {}})  # fmt: skip
        lab.boot("n1")
        await asyncio.sleep(5)
        assert lab.ready() == "True"

    tell(story)


@pytest.mark.parametrize("shared_watch", [True, False], ids=["one watch", "a watch per node"])
def test_a_pod_runs_and_goes(tell: Tell, shared_watch: bool) -> None:  # noqa: FBT001 - a table
    async def story(lab: Lab) -> None:
        lab.boot("n1", "n2")
        await lab.pod(pod())
        await asyncio.sleep(5)
        status = lab.object()["status"]
        assert (status["phase"], status["podIP"]) == ("Running", "10.9.0.1")
        writes = [call for call in lab.api.calls if call[2:] == ("pods/status", "web")]
        assert {call[0] for call in writes} == {"system:node:n1"}
        assert len(writes) <= 3
        await lab.user.delete(PODS, "web", "default")
        await asyncio.sleep(5)
        assert lab.phase() == "gone"
        assert lab.pool.owners == {}
        assert set(lab.events()) == {"Pulling", "Pulled", "Created", "Started", "Killing"}

    tell(story, shared_watch=shared_watch)


def test_a_job_pod_ends_and_gives_its_room_back(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1", allocatable={"cpu": "1", "pods": "10"})
        big = container(resources={"requests": {"cpu": "1"}})
        await lab.pod(pod(big, restartPolicy="Never"), name="job")
        await asyncio.sleep(10)
        assert lab.phase("job") == "Succeeded"
        assert lab.pool.owners == {}
        await lab.pod(pod(big, restartPolicy="Never"), name="next")
        await asyncio.sleep(10)
        assert lab.phase("next") == "Succeeded"
        await lab.user.delete(PODS, "job", "default")
        await asyncio.sleep(1)
        assert lab.phase("job") == "gone"

    tell(story)


def test_pods_that_do_not_fit_are_refused(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1", allocatable={"cpu": "1", "pods": "10"})
        big = container(resources={"requests": {"cpu": "800m"}})
        await lab.pod(pod(big), name="one")
        await lab.pod(pod(big), name="two")
        await asyncio.sleep(3)
        status = lab.object("two")["status"]
        assert (status["phase"], status["reason"]) == ("Failed", "OutOfcpu")
        assert status["message"] == (
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 800, used: 800,"
            " capacity: 1000"
        )
        await lab.user.delete(PODS, "two", "default")
        await asyncio.sleep(1)
        assert lab.phase("two") == "gone"

    tell(story)


def test_a_node_selector_counts_what_the_node_is_labelled_with_now(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await asyncio.sleep(2)
        await lab.pod(pod(nodeSelector={"disk": "ssd"}), name="early")
        await asyncio.sleep(3)
        assert lab.object("early")["status"]["reason"] == "NodeAffinity"
        await lab.user.patch(NODES, "n1", patch={"metadata": {"labels": {"disk": "ssd"}}})
        await lab.pod(pod(nodeSelector={"disk": "ssd"}), name="late")
        await asyncio.sleep(3)
        assert lab.phase("late") == "Running"

    tell(story)


def test_without_an_address_a_pod_waits_and_says_why(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1")
        lab.pool.empty = True
        await lab.pod(pod())
        await asyncio.sleep(5)
        assert lab.phase() == "Pending"
        text = [item.object["message"] for item in lab.api.items.values()
                if item.object.get("reason") == "FailedCreatePodSandBox"]  # fmt: skip
        assert text[0].endswith('": plugin type="test" failed (add): no address')
        lab.pool.empty = False
        await asyncio.sleep(20)
        assert lab.phase() == "Running"

    tell(story)


def test_host_network_pods_have_the_address_of_their_node(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await lab.pod(pod(hostNetwork=True))
        await asyncio.sleep(5)
        assert lab.object()["status"]["podIP"] == "10.0.0.2"
        assert lab.pool.owners == {}

    tell(story)


def test_a_status_the_server_refuses_is_written_later(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await asyncio.sleep(3)

        def refuse(_user: str, verb: str, resource: Resource) -> None:
            if (verb, resource) == ("patch", PODS):
                raise internal("disk full")

        lab.api.refuse = refuse
        await lab.pod(pod())
        await asyncio.sleep(30)
        assert lab.phase() == "Pending"
        lab.api.refuse = lambda _user, _verb, _resource: None
        await asyncio.sleep(31)
        assert lab.phase() == "Running"

    tell(story)


def test_new_agents_take_up_running_pods_and_touch_nothing(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await lab.pod(pod())
        await asyncio.sleep(10)
        lab.nodes.stop("n1")
        before, lab.pool = lab.object(), Pool()
        lab.nodes = lab.new_nodes()
        lab.boot("n1")
        task = asyncio.get_running_loop().create_task(lab.nodes.run())
        await asyncio.sleep(10)
        assert lab.object()["status"] == before["status"]
        assert list(lab.pool.owners.values()) == [before["status"]["podIP"]]
        await lab.user.delete(PODS, "web", "default")
        await asyncio.sleep(5)
        assert lab.phase() == "gone"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    tell(story)


def test_readiness_taken_away_while_the_node_was_not_ready_comes_back(tell: Tell) -> None:
    async def take_away(lab: Lab) -> None:
        row = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
        status = {"conditions": [row]}
        await lab.user.patch(
            PODS,
            "web",
            "default",
            patch={"status": status},
            patch_type=PatchType.STRATEGIC,
            subresource="status",
        )

    def condition(lab: Lab) -> tuple[str, Any]:
        rows = lab.object()["status"]["conditions"]
        return next((row["status"], row.get("reason")) for row in rows if row["type"] == "Ready")

    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await lab.pod(pod())
        await asyncio.sleep(10)
        await take_away(lab)
        await asyncio.sleep(1)
        assert condition(lab) == ("True", None)
        lost = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
        await lab.user.patch(
            NODES,
            "n1",
            patch={"status": {"conditions": [lost]}},
            patch_type=PatchType.STRATEGIC,
            subresource="status",
        )
        lab.boot("n1")  # an agent that starts again after its node was lost
        await asyncio.sleep(0.1)
        await take_away(lab)
        await asyncio.sleep(0.1)
        assert condition(lab) == ("False", "NodeNotReady")
        await asyncio.sleep(5)
        assert condition(lab) == ("True", None)

    tell(story)


def test_a_node_stays_ready_when_only_its_agent_begins_anew(tell: Tell) -> None:
    async def ready(lab: Lab) -> Any:
        node = await lab.user.get(NODES, "n1")
        return next(row for row in node["status"]["conditions"] if row["type"] == "Ready")

    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await asyncio.sleep(10)
        before = await ready(lab)
        assert before["status"] == "True"
        lab.boot("n1")
        for _ in range(20):
            await asyncio.sleep(0.1)
            now = await ready(lab)
            assert (now["status"], now["lastTransitionTime"]) == (
                "True",
                before["lastTransitionTime"],
            )

    tell(story)


def test_logs_say_that_they_are_simulated(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await lab.pod(pod(container(command=["nginx", "-g"])))
        await asyncio.sleep(5)
        lines = await lab.logs()
        assert lines[0] == "simulated by ekslab: container web of image nginx started"
        assert lines[1] == "simulated by ekslab: it would run: nginx -g"
        assert await lab.logs(tail_lines=1) == lines[-1:]
        assert await lab.logs(tail_lines=0) == []
        assert await lab.logs(limit_bytes=9) == ["simulated"]
        assert (await lab.logs(timestamps=True))[0].startswith("2027-01-15T08:00:0")
        assert await lab.logs(since_s=1) == []

    tell(story)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {}, "a container name must be specified for pod web, choose one of: [a b]", id="which"
        ),
        pytest.param({"container": "c"}, "container c is not valid for pod web", id="none such"),
        pytest.param(
            {"container": "a"},
            'container "a" in pod "web" is waiting to start: ContainerCreating',
            id="waiting",
        ),
        pytest.param(
            {"container": "a", "previous": True},
            'previous terminated container "a" in pod "web" not found',
            id="no previous",
        ),
    ],
)
def test_logs_are_refused_in_upstreams_words(
    tell: Tell, options: dict[str, Any], message: str
) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await asyncio.sleep(2)
        await lab.pod(pod(container("a"), container("b")))
        await asyncio.sleep(0.1)
        with pytest.raises(ApiError) as caught:
            await lab.logs(**options)
        assert (caught.value.code, caught.value.message) == (400, message)

    tell(story)


def test_followed_logs_end_with_their_container(tell: Tell) -> None:
    async def story(lab: Lab) -> None:
        lab.boot("n1")
        await lab.pod(pod(restartPolicy="Never", notes={"duration": "50s"}))
        await asyncio.sleep(5)
        lines = await lab.logs(follow=True)
        assert lines[-1] == "simulated by ekslab: ended with exit code 0 (Completed)"
        assert lab.clock.now() > 1_800_000_050

    tell(story)
