"""The contract of the `Client` port: fake, in-process and HTTP transport keep it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from ekslab.kit.clock import LoopClock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kit.serving import HttpServer, tcp_listener
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Client, Credentials, PatchType, WatchEvent
from ekslab.kube.api.requests import Object, UserInfo
from ekslab.kube.api.well_known import CONFIG_MAPS, DEPLOYMENTS
from ekslab.kube.apiserver.bootstrap import LOOPBACK_USER
from ekslab.kube.apiserver.http import HttpApp
from ekslab.kube.client.http import HttpClient
from tests.apiserver.world import World
from tests.controllers.world import deployment
from tests.fakes.memory_api import MemoryApi


class Anybody:
    """Lets everybody in who shows a token."""

    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        return LOOPBACK_USER if credentials.bearer_token else None

    def believed(self, credentials: Credentials) -> UserInfo | None:
        return LOOPBACK_USER if credentials.bearer_token else None


@pytest.fixture(params=["fake", "in process", "http"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    loop = asyncio.get_running_loop()
    if request.param == "fake":
        yield MemoryApi(LoopClock(loop, epoch_s=0)).client()
        return
    world = World(loop)
    await world.bootstrap()
    if request.param == "in process":
        yield world.client()
        return
    listener = tcp_listener("127.0.0.1", 0)
    serving = HttpServer(HttpApp(world.server, Anybody(), ids=Ids(Rng(1))), listener)
    await serving.start()
    async with HttpClient(f"http://127.0.0.1:{serving.port}", token="any") as http:
        yield http
    await serving.stop()


def config_map(name: str, **data: str) -> Object:
    meta = {"name": name, "namespace": "default", "labels": {"kind": name[0]}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


async def refusal(call: Callable[[], object]) -> tuple[int, str, str]:
    try:
        await call()  # type: ignore[misc]
    except ApiError as error:
        return error.code, error.reason, error.message
    raise AssertionError("not refused")


async def test_what_is_created_can_be_read_and_has_an_identity(client: Client) -> None:
    created = await client.create(CONFIG_MAPS, config_map("a", k="v"))
    assert created["metadata"]["uid"]
    assert int(created["metadata"]["resourceVersion"]) > 0
    read = await client.get(CONFIG_MAPS, "a", "default")
    assert read == created
    assert (read["apiVersion"], read["kind"], read["data"]) == ("v1", "ConfigMap", {"k": "v"})


async def test_errors_have_upstreams_code_reason_and_words(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map("a"))
    assert await refusal(lambda: client.get(CONFIG_MAPS, "x", "default")) == (
        404, "NotFound", 'configmaps "x" not found',
    )  # fmt: skip
    assert await refusal(lambda: client.create(CONFIG_MAPS, config_map("a"))) == (
        409, "AlreadyExists", 'configmaps "a" already exists',
    )  # fmt: skip
    stale = config_map("a")
    stale["metadata"]["resourceVersion"] = "777777"
    code, reason, message = await refusal(lambda: client.update(CONFIG_MAPS, stale))
    assert (code, reason) == (409, "Conflict")
    assert message.startswith('Operation cannot be fulfilled on configmaps "a": ')
    code, reason, _ = await refusal(
        lambda: client.delete(CONFIG_MAPS, "a", "default", uid="another")
    )
    assert (code, reason) == (409, "Conflict")


async def test_lists_select_and_page_at_one_revision(client: Client) -> None:
    for name in ("a1", "a2", "a3", "b1"):
        await client.create(CONFIG_MAPS, config_map(name))
    chosen = await client.list(CONFIG_MAPS, "default", label_selector="kind=a")
    assert [item.name for item in chosen.items] == ["a1", "a2", "a3"]
    assert chosen.items[0].object["kind"] == "ConfigMap"
    one = await client.list(CONFIG_MAPS, field_selector="metadata.name=a2")
    assert [item.key for item in one.items] == [("default", "a2")]
    seen, token = [], ""
    while True:
        page = await client.list(
            CONFIG_MAPS, "default", label_selector="kind=a", limit=2, continue_token=token
        )
        seen += [item.name for item in page.items]
        token = page.continue_token
        if not token:
            break
    assert seen == ["a1", "a2", "a3"]


async def test_a_watch_tells_each_change_once_in_order_from_its_revision(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map("a0"))
    start = (await client.list(CONFIG_MAPS, "default")).revision
    await client.create(CONFIG_MAPS, config_map("a"))
    await client.create(CONFIG_MAPS, config_map("b"))
    watch = await client.watch(CONFIG_MAPS, "default", revision=start, label_selector="kind=a")
    await client.patch(CONFIG_MAPS, "a", "default", patch={"data": {"x": "1"}})
    await client.patch(CONFIG_MAPS, "a", "default", patch={"metadata": {"labels": {"kind": "c"}}})
    await client.delete(CONFIG_MAPS, "a0", "default")
    seen: list[WatchEvent] = []
    async with asyncio.timeout(10):
        async for events in watch:
            seen += [event for event in events if event.item is not None]
            if len(seen) >= 4:
                break
    watch.close()
    told = [(event.type, event.item.name) for event in seen if event.item is not None]
    assert told == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("DELETED", "a0")]
    revisions = [event.revision for event in seen]
    assert revisions == sorted(set(revisions))


async def test_a_closed_watch_ends(client: Client) -> None:
    start = (await client.list(CONFIG_MAPS)).revision
    watch = await client.watch(CONFIG_MAPS, revision=start)
    asyncio.get_running_loop().call_later(0, watch.close)
    async with asyncio.timeout(10):
        async for _ in watch:
            pass


async def test_status_and_spec_are_written_through_their_own_doors(client: Client) -> None:
    obj = deployment(replicas=2)
    obj["metadata"]["namespace"] = "default"
    created = await client.create(DEPLOYMENTS, obj)
    changed = {**created, "status": {"replicas": 2}, "spec": {**created["spec"], "replicas": 5}}
    after = await client.update(DEPLOYMENTS, changed, subresource="status")
    assert (after["status"], after["spec"]["replicas"]) == ({"replicas": 2}, 2)
    assert after["metadata"]["generation"] == 1
    more = {"spec": {"replicas": 4}, "status": {"replicas": 9}}
    after = await client.patch(
        DEPLOYMENTS, "web", "default", patch=more, patch_type=PatchType.STRATEGIC
    )
    assert (after["status"], after["spec"]["replicas"]) == ({"replicas": 2}, 4)
    assert after["metadata"]["generation"] == 2


async def test_finalizers_hold_a_deleted_object_until_they_are_gone(client: Client) -> None:
    held = config_map("a")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(CONFIG_MAPS, held)
    await client.delete(CONFIG_MAPS, "a", "default")
    assert "deletionTimestamp" in (await client.get(CONFIG_MAPS, "a", "default"))["metadata"]
    await client.patch(CONFIG_MAPS, "a", "default", patch={"metadata": {"finalizers": None}})
    assert (await refusal(lambda: client.get(CONFIG_MAPS, "a", "default")))[0] == 404


async def test_a_collection_is_deleted_by_selector(client: Client) -> None:
    for name in ("a1", "a2", "b1"):
        await client.create(CONFIG_MAPS, config_map(name))
    await client.delete_collection(CONFIG_MAPS, "default", label_selector="kind=a")
    left = await client.list(CONFIG_MAPS, "default", label_selector="kind=b")
    assert [item.name for item in left.items] == ["b1"]
    assert not (await client.list(CONFIG_MAPS, "default", label_selector="kind=a")).items


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    listener = tcp_listener("127.0.0.1", 0)
    port = listener.getsockname()[1]
    listener.close()
    async with HttpClient(f"http://127.0.0.1:{port}") as gone:
        code, reason, _ = await refusal(lambda: gone.get(CONFIG_MAPS, "a", "default"))
    assert (code, reason) == (503, "ServiceUnavailable")
