"""API priority and fairness: who is of which flow, who sits, who waits and who is sent away."""

import asyncio
from collections import Counter

import pytest

from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api.objects import editable
from ekslab.kube.api.requests import ApiRequest, UserInfo
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import CONFIG_MAPS, NODES, PODS
from ekslab.kube.apiserver.flow_control import defaults
from ekslab.kube.apiserver.flow_control.schemas import FlowSchema
from ekslab.kube.apiserver.flow_control.seats import WAIT_S_MOST, Level, Seats, Shed, _dealt, deal
from ekslab.kube.apiserver.flow_control.statuses import FlowStatuses
from tests.apiserver.world import World

LEASES = Resource("coordination.k8s.io", "v1", "leases")
SCHEMAS = Resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
LEVELS = Resource("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations")


def user(name: str, *groups: str) -> UserInfo:
    return UserInfo(name, (*groups, "system:authenticated"))


ADMIN = user("admin", "system:masters")
JANE = user("jane")
NODE = user("system:node:a", "system:nodes")
ACCOUNT = user("system:serviceaccount:shop:web", "system:serviceaccounts")
SYSTEM_ACCOUNT = user("system:serviceaccount:kube-system:coredns", "system:serviceaccounts")
MANAGER = user("system:kube-controller-manager")


def asks(
    who: UserInfo, verb: str, resource: Resource | None, *, path: str = "", **more: str
) -> ApiRequest:
    return ApiRequest(verb=verb, user=who, resource=resource, path=path, **more)


@pytest.fixture
async def served(world: World) -> World:
    await world.bootstrap()
    return world


@pytest.mark.parametrize(
    ("request_", "schema", "level", "flow"),
    [
        (asks(ADMIN, "list", PODS), "exempt", "exempt", ""),
        (asks(JANE, "get", None, path="/readyz"), "probes", "exempt", ""),
        (asks(JANE, "get", None, path="/version"), "global-default", "global-default", "jane"),
        (asks(JANE, "create", PODS, namespace="a"), "global-default", "global-default", "jane"),
        (asks(NODE, "update", NODES, subresource="status"), "system-node-high", "node-high", NODE),
        (asks(NODE, "update", LEASES, namespace="kube-node-lease"), "system-node-high",
         "node-high", NODE),
        (asks(NODE, "list", PODS), "system-nodes", "system", NODE),
        (asks(ACCOUNT, "list", PODS), "service-accounts", "workload-low", ACCOUNT),
        (asks(ACCOUNT, "update", LEASES, namespace="shop"), "service-accounts",
         "workload-low", ACCOUNT),
        (asks(SYSTEM_ACCOUNT, "update", LEASES, namespace="shop"), "system-leader-election",
         "leader-election", SYSTEM_ACCOUNT),
        (asks(SYSTEM_ACCOUNT, "list", PODS, namespace="shop"), "kube-system-service-accounts",
         "workload-high", "shop"),
        (asks(MANAGER, "get", CONFIG_MAPS, namespace="shop"), "kube-controller-manager",
         "workload-high", "shop"),
        (asks(MANAGER, "get", CONFIG_MAPS, namespace="kube-system"), "system-leader-election",
         "leader-election", MANAGER),
    ],
)  # fmt: skip
async def test_upstreams_schemas_pick_the_level(
    served: World, request_: ApiRequest, schema: str, level: str, flow: str | UserInfo
) -> None:
    place = served.server.flow_control.place(request_)
    assert (place.schema.name, place.level.name) == (schema, level)
    assert place.flow == (flow.name if isinstance(flow, UserInfo) else flow)
    stored = await served.client().get(SCHEMAS, schema)
    assert (
        dict(place.headers)[b"x-kubernetes-pf-flowschema-uid"].decode()
        == (stored["metadata"]["uid"])
    )


async def test_the_mandatory_objects_rule_even_before_anything_is_stored(world: World) -> None:
    control = world.server.flow_control
    assert control.place(asks(ADMIN, "list", PODS)).level.name == "exempt"
    assert control.place(asks(JANE, "list", PODS)).level.name == "catch-all"


async def test_changed_objects_are_followed_at_once(served: World) -> None:
    control, client = served.server.flow_control, served.client()
    assert control.place(asks(JANE, "list", PODS)).schema.name == "global-default"
    made = editable(next(o for o in defaults.schemas() if o["metadata"]["name"] == "system-nodes"))
    made["metadata"] = {"name": "jane-first"}
    made["spec"]["rules"][0]["subjects"] = [{"kind": "User", "user": {"name": "jane"}}]
    await client.create(SCHEMAS, made)
    assert control.place(asks(JANE, "list", PODS)).schema.name == "jane-first"
    await client.delete(LEVELS, "system")
    assert control.place(asks(JANE, "list", PODS)).schema.name == "global-default", "it dangles"


def test_the_shares_of_600_seats_are_upstreams() -> None:
    loop = VirtualLoop()
    seats = Seats(World(loop).clock)
    seats.configure({o["metadata"]["name"]: (o["spec"], "") for o in defaults.levels()})
    nominal = {name: level.nominal for name, level in seats.levels.items()}
    assert nominal == {
        "exempt": 0, "catch-all": 13, "system": 74, "node-high": 98, "leader-election": 25,
        "workload-high": 98, "workload-low": 245, "global-default": 49,
    }  # fmt: skip
    assert seats.levels["workload-low"].least == 25
    loop.close()


class Crowd:
    """A level of few seats, and requests that sit until they are told to go."""

    def __init__(self, *, seats: int, queues: int = 1, length: int = 2, clock=None) -> None:
        self.seats = Seats(clock or World(asyncio.get_running_loop()).clock)
        response = {"type": "Reject"}
        if queues:
            queuing = {"queues": queues, "handSize": 1, "queueLengthLimit": length}
            response = {"type": "Queue", "queuing": queuing}
        # All shares but those that make `seats` belong to a level that lends none.
        limited = {"nominalConcurrencyShares": seats, "limitResponse": response}
        others = {"nominalConcurrencyShares": 600 - seats}
        self.seats.configure(
            {
                "few": ({"type": "Limited", "limited": limited}, ""),
                "others": ({"type": "Limited", "limited": others}, ""),
            }
        )
        self.level: Level = self.seats.levels["few"]
        self.schema = FlowSchema("schema")
        self.order: list[str] = []

    async def come(self, flow: str) -> None:
        await self.seats.take(self.level, self.schema, flow)
        self.order.append(flow)

    def go(self) -> None:
        self.seats.release(self.level, self.schema)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_finds_no_seat_waits_for_one() -> None:
    crowd = Crowd(seats=1)
    await crowd.come("a")
    async with asyncio.TaskGroup() as group:
        group.create_task(crowd.come("b"))
        await settle()
        assert (crowd.order, crowd.level.waiting, crowd.schema.waiting) == (["a"], 1, 1)
        crowd.go()
    assert crowd.order == ["a", "b"]
    assert (crowd.level.executing, crowd.level.waiting) == (1, 0)


async def test_a_full_queue_sheds_with_upstreams_words() -> None:
    crowd = Crowd(seats=1, length=1)
    await crowd.come("a")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(crowd.come("b"))
        await settle()
        with pytest.raises(Shed, match=r"^Too many requests, please try again later\.$") as caught:
            await crowd.come("c")
        assert (caught.value.code, caught.value.headers) == (429, {"Retry-After": "1"})
        assert crowd.schema.rejected == {"queue-full": 1}
        crowd.go()
        await waiting


async def test_a_level_without_queues_refuses_at_once() -> None:
    crowd = Crowd(seats=1, queues=0)
    await crowd.come("a")
    with pytest.raises(Shed):
        await crowd.come("b")
    assert crowd.schema.rejected == {"concurrency-limit": 1}


def test_who_waits_too_long_is_sent_away() -> None:
    loop = VirtualLoop()

    async def scene() -> None:
        clock = World(loop).clock
        crowd = Crowd(seats=1, clock=clock)
        await crowd.come("a")
        before = clock.now()
        with pytest.raises(Shed):
            await crowd.come("b")
        assert clock.now() - before == pytest.approx(WAIT_S_MOST)
        assert (crowd.level.waiting, crowd.schema.rejected) == (0, {"time-out": 1})
        crowd.go()
        await crowd.come("c")

    loop.run_until_complete(scene())
    loop.close()


async def test_who_goes_while_waiting_leaves_no_trace() -> None:
    crowd = Crowd(seats=1)
    await crowd.come("a")
    gone = asyncio.ensure_future(crowd.come("b"))  # noqa: TID251 - a client that leaves
    await settle()
    gone.cancel()
    await asyncio.wait([gone])
    assert (crowd.level.waiting, crowd.level.executing) == (0, 1)
    seated = asyncio.ensure_future(crowd.come("c"))  # noqa: TID251
    await settle()
    crowd.go()
    seated.cancel()  # seated in the same turn
    await asyncio.wait([seated])
    assert (crowd.level.waiting, crowd.level.executing) == (0, 0)


async def test_a_flow_that_floods_does_not_keep_others_waiting() -> None:
    crowd = Crowd(seats=1, queues=64, length=50)
    await crowd.come("first")
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(crowd.come("flood"))
        await settle()
        group.create_task(crowd.come("other"))
        await settle()
        for _ in range(21):
            crowd.go()
            await settle()
    assert crowd.order.index("other") <= 2


async def test_lent_seats_are_borrowed_and_guaranteed_ones_are_not() -> None:
    seats = Seats(World(asyncio.get_running_loop()).clock)
    lender = {"nominalConcurrencyShares": 599, "lendablePercent": 50}
    borrower = {"nominalConcurrencyShares": 1}
    seats.configure(
        {
            "lender": ({"type": "Limited", "limited": lender}, ""),
            "borrower": ({"type": "Limited", "limited": borrower}, ""),
        }
    )
    schema = FlowSchema("schema")
    few, many = seats.levels["borrower"], seats.levels["lender"]
    taken = sum(seats.take_nowait(few, schema) for _ in range(600))
    assert taken == 1 + 300
    assert sum(seats.take_nowait(many, schema) for _ in range(600)) == 299
    seats.release(few, schema)
    assert seats.take_nowait(many, schema), "what is given back goes to whoever asks"


def test_a_hand_has_different_queues_and_hands_are_spread() -> None:
    assert _dealt(29, 4, 2) == [1, 2]
    counts: Counter[int] = Counter()
    for number in range(500):
        hand = deal(f"flow-{number}", 16, 4)
        assert len(set(hand)) == 4
        counts.update(hand)
    assert set(counts) == set(range(16))
    assert max(counts.values()) < 2 * min(counts.values())


async def test_a_schema_says_whether_its_level_is_there(served: World) -> None:
    client = served.client()
    statuses = FlowStatuses(served.server.handle, store=served.store, clock=served.clock)

    async def dangling(name: str) -> tuple[str, str, str]:
        await statuses.correct()
        (condition,) = (await client.get(SCHEMAS, name))["status"]["conditions"]
        return condition["status"], condition["reason"], condition["message"]

    text = 'This FlowSchema references the PriorityLevelConfiguration object named "system"'
    assert await dangling("system-nodes") == ("False", "Found", f"{text} and it exists")
    revision = served.store.revision
    await statuses.correct()
    assert served.store.revision == revision, "what is true is not written again"
    await client.delete(LEVELS, "system")
    missing = f"{text} but there is no such object"
    assert await dangling("system-nodes") == ("True", "NotFound", missing)


@pytest.mark.parametrize(
    ("limited", "says"),
    [
        ({"nominalConcurrencyShares": -1}, "must be a non-negative integer"),
        ({"lendablePercent": 101}, "must be between 0 and 100, inclusive"),
        (
            {"limitResponse": {"type": "Queue", "queuing": {"queues": -1}}},
            "spec.limited.limitResponse.queuing.queues: Invalid value: -1: must be positive",
        ),
        (
            {"limitResponse": {"type": "Queue", "queuing": {"queues": 2, "handSize": 3}}},
            "should not be greater than queues (2)",
        ),
    ],
)
async def test_a_level_that_cannot_be_is_refused(world: World, limited: dict, says: str) -> None:
    body = {
        "apiVersion": LEVELS.api_version,
        "kind": "PriorityLevelConfiguration",
        "metadata": {"name": "odd"},
        "spec": {"type": "Limited", "limited": limited},
    }
    error = await world.refusal("create", LEVELS, namespace="", body=body)
    assert error.code == 422
    assert says in error.message
