"""List and watch: revisions, pages, selectors, bookmarks, initial events, and what is too old."""

import asyncio

import pytest

from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import CONFIG_MAPS, EVENTS, PODS
from tests.apiserver.world import World, config_map, labelled, next_events, pod


async def fill(world: World, count: int) -> None:
    for index in range(count):
        await world.client().create(
            CONFIG_MAPS, labelled(config_map(f"c{index:02}"), odd=str(index % 2))
        )


async def listed(world: World, **options: str):
    return (await world.ask("list", CONFIG_MAPS, options=options)).page


async def test_pages_show_one_revision_whatever_is_written_meanwhile(world: World):
    await fill(world, 5)
    first = await listed(world, limit="2")
    assert first.remaining == 3
    await world.client().delete(CONFIG_MAPS, "c03", "default")
    await world.client().create(CONFIG_MAPS, config_map("c99"))
    names, token = [item.name for item in first.items], first.continue_token
    while token:
        page = await listed(world, limit="2", **{"continue": token})
        assert page.revision == first.revision
        names += [item.name for item in page.items]
        token = page.continue_token
    assert names == ["c00", "c01", "c02", "c03", "c04"]


async def test_pages_of_a_selection_are_full_and_do_not_count_what_remains(world: World):
    await fill(world, 9)
    first = await listed(world, limit="2", labelSelector="odd=1")
    assert [item.name for item in first.items] == ["c01", "c03"]
    assert first.remaining is None
    rest = await listed(
        world, limit="9", labelSelector="odd=1", **{"continue": first.continue_token}
    )
    assert [item.name for item in rest.items] == ["c05", "c07"]
    assert rest.continue_token == ""


async def test_a_page_of_a_compacted_revision_is_gone_and_offers_to_go_on(world: World):
    await fill(world, 4)
    first = await listed(world, limit="2")
    await fill_more(world)
    await world.store.compact(world.store.revision)
    error = await world.refusal(
        "list", CONFIG_MAPS, options={"limit": "2", "continue": first.continue_token}
    )
    assert (error.code, error.reason) == (410, "Expired")
    assert error.message.startswith(
        "The provided continue parameter is too old to display a consistent list result."
    )
    token = error.status()["metadata"]["continue"]
    page = await listed(world, limit="9", **{"continue": token})
    assert [item.name for item in page.items] == ["c02", "c03", "x"]


async def fill_more(world: World) -> None:
    await world.client().create(CONFIG_MAPS, config_map("x"))


async def test_an_exact_revision_shows_the_past(world: World):
    await fill(world, 2)
    then = world.store.revision
    await fill_more(world)
    exact = await listed(world, resourceVersion=str(then), resourceVersionMatch="Exact")
    assert [item.name for item in exact.items] == ["c00", "c01"]
    assert exact.revision == then
    newer = await listed(world, resourceVersion=str(then), resourceVersionMatch="NotOlderThan")
    assert len(newer.items) == 3
    await world.store.compact(world.store.revision)
    error = await world.refusal(
        "list",
        CONFIG_MAPS,
        options={"resourceVersion": str(then), "resourceVersionMatch": "Exact"},
    )
    assert (error.code, error.message) == (
        410,
        "The resourceVersion for the provided list is too old.",
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        pytest.param(
            {"resourceVersion": "x"},
            400,
            'invalid resource version: resourceVersion: Invalid value: "x": strconv.ParseUint:'
            ' parsing "x": invalid syntax',
            id="no number",
        ),
        pytest.param(
            {"resourceVersionMatch": "Exact"},
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden:'
            " resourceVersionMatch is forbidden unless resourceVersion is provided",
            id="match without revision",
        ),
        pytest.param(
            {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden:'
            ' resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
            id="exactly zero",
        ),
        pytest.param(
            {"resourceVersionMatch": "Newest", "resourceVersion": "1"},
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Unsupported value:'
            ' "Newest": supported values: "Exact", "NotOlderThan", ""',
            id="unknown match",
        ),
        pytest.param(
            {"sendInitialEvents": "true"},
            422,
            'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden:'
            " sendInitialEvents is forbidden for list",
            id="initial events of a list",
        ),
        pytest.param(
            {"continue": "!!"},
            400,
            "invalid continue token: continue key is not valid: illegal base64 data at input byte"
            " 0",
            id="bad token",
        ),
        pytest.param(
            {"fieldSelector": "data.color=red"},
            400,
            '"data.color" is not a known field selector: only "metadata.name",'
            ' "metadata.namespace"',
            id="unknown field",
        ),
    ],
)
async def test_bad_list_options_are_refused_in_upstreams_words(
    world: World, options, code, message
):
    error = await world.refusal("list", CONFIG_MAPS, options=options)
    assert (error.code, error.message) == (code, message)


async def test_a_revision_of_the_future_is_too_large(world: World):
    error = await world.refusal("list", CONFIG_MAPS, options={"resourceVersion": "1000"})
    assert error.code == 504
    assert error.message == "Timeout: Too large resource version: 1000, current: 1"
    assert error.details is not None
    assert error.details["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_fields_select(world: World):
    client = world.client()
    await client.create(PODS, pod("a", nodeName="n1"))
    await client.create(PODS, pod("b", nodeName="n2"))
    on_n1 = await client.list(PODS, field_selector="spec.nodeName=n1")
    assert [item.name for item in on_n1.items] == ["a"]
    by_name = await client.list(PODS, "default", field_selector="metadata.name=b")
    assert [item.name for item in by_name.items] == ["b"]
    others = await client.list(PODS, field_selector="metadata.name!=b,status.phase=Pending")
    assert [item.name for item in others.items] == ["a"]
    error = await world.refusal("list", PODS, options={"fieldSelector": "spec.colour=red"})
    assert (error.code, error.message) == (400, "field label not supported: spec.colour")


async def opened(world: World, **options: str):
    answer = await world.ask("watch", CONFIG_MAPS, options=options)
    assert answer.watch is not None
    return answer.watch, aiter(answer.watch)


async def test_a_watch_tells_every_change_in_order(world: World):
    client = world.client()
    start = str(world.store.revision)
    await client.create(CONFIG_MAPS, config_map(color="red"))
    watch, events = await opened(world, resourceVersion=start)
    await client.patch(CONFIG_MAPS, "settings", "default", patch={"data": {"color": "blue"}})
    await client.delete(CONFIG_MAPS, "settings", "default")
    seen = await next_events(events, 3)
    watch.close()
    assert [event.type for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event.revision for event in seen] == sorted(event.revision for event in seen)
    assert seen[2].item is not None
    assert seen[2].item.revision == world.store.revision


async def test_an_object_enters_and_leaves_a_selection(world: World):
    client = world.client()
    await client.create(CONFIG_MAPS, config_map())
    watch, events = await opened(
        world, resourceVersion=str(world.store.revision), labelSelector="in=yes"
    )
    for value in ("yes", "yes", "no"):
        await client.patch(
            CONFIG_MAPS,
            "settings",
            "default",
            patch={"metadata": {"labels": {"in": value, "n": str(world.store.revision)}}},
        )
    seen = await next_events(events, 3)
    watch.close()
    assert [event.type for event in seen] == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_watch_without_revision_begins_with_what_is_there(world: World):
    await fill(world, 3)
    watch, events = await opened(world)
    seen = await next_events(events, 3)
    assert [event.type for event in seen] == ["ADDED"] * 3
    await fill_more(world)
    (more,) = await next_events(events, 1)
    watch.close()
    assert more.item is not None
    assert more.item.name == "x"


async def test_a_streaming_list_ends_its_initial_events_with_a_bookmark(world: World):
    await fill(world, 2)
    watch, events = await opened(
        world,
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        allowWatchBookmarks="true",
    )
    seen = await next_events(events, 3)
    watch.close()
    assert [event.type for event in seen] == ["ADDED", "ADDED", "BOOKMARK"]
    assert seen[2].initial_events_end
    assert seen[2].revision == world.store.revision


async def test_a_watch_from_a_forgotten_revision_is_told_so_in_the_stream(world: World):
    await fill(world, 3)
    await world.store.compact(world.store.revision)
    _, events = await opened(world, resourceVersion="1")
    with pytest.raises(ApiError) as gone:
        await anext(events)
    assert (gone.value.code, gone.value.reason) == (410, "Expired")
    assert gone.value.message.startswith("too old resource version: 1 (")


def test_an_idle_watch_gets_bookmarks_and_ends_when_its_time_is_up():
    loop = VirtualLoop()

    async def scenario() -> list[tuple[str, int, float]]:
        world = World(asyncio.get_running_loop())
        _, events = await opened(
            world, resourceVersion="1", allowWatchBookmarks="true", timeoutSeconds="150"
        )
        await world.client().create(PODS, pod())
        return [
            (event.type, event.revision, loop.time()) async for batch in events for event in batch
        ]

    seen = loop.run_until_complete(scenario())
    loop.close()
    assert seen == [("BOOKMARK", 2, 60.0), ("BOOKMARK", 2, 120.0)]
    assert loop.time() == 150.0


async def test_events_of_both_groups_are_one(world: World):
    new_events = Resource("events.k8s.io", "v1", "events")
    event = {
        "metadata": {"name": "e", "namespace": "default"},
        "eventTime": "2023-11-14T22:13:20.000000Z",
        "reportingController": "tester",
        "reportingInstance": "tester-1",
        "action": "Testing",
        "reason": "Because",
        "type": "Normal",
        "note": "hello",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "web"},
    }
    await world.client().create(new_events, event)
    core = await world.client().get(EVENTS, "e", "default")
    assert core["message"] == "hello"
    assert core["involvedObject"]["name"] == "web"
    assert core["reportingComponent"] == "tester"
    back = await world.client().get(new_events, "e", "default")
    assert back["note"] == "hello"
    assert back["apiVersion"] == "events.k8s.io/v1"
    found = await world.client().list(EVENTS, field_selector="involvedObject.name=web")
    assert [item.name for item in found.items] == ["e"]
