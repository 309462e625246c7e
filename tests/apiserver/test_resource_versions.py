"""Lists and watches by resourceVersion, resourceVersionMatch, limit, continue, sendInitialEvents.

The tables are those of upstream's API concepts page ("Semantics for get and list", "Semantics for
watch", "Streaming lists"); the refusals are those of `ValidateListOptions`.
"""

import asyncio
from typing import Final

import pytest

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import CONFIG_MAPS, EVENTS, NODES, PODS, REPLICA_SETS
from tests.apiserver.world import World, config_map, next_events, pod

WITHOUT_REVISION: Final = "resourceVersionMatch is forbidden unless resourceVersion is provided"
WITH_TOKEN: Final = "resourceVersionMatch is forbidden when continue is provided"
EXACTLY_ZERO: Final = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
TOO_OLD: Final = "The resourceVersion for the provided list is too old."
TOO_LARGE: Final = "Timeout: Too large resource version: 1000, current: 6"
ALL: Final = ["c0", "c1", "c2", "c3", "c4"]


async def a_history(world: World) -> None:
    """Objects c0 to c4 written at revisions 2 to 6, of which 2 and 3 are compacted."""
    for index in range(5):
        await world.client().create(CONFIG_MAPS, config_map(f"c{index}"))
    await world.store.compact(4)


def asked(revision: str = "", match: str = "", **more: str) -> dict[str, str]:
    options = {"resourceVersion": revision, "resourceVersionMatch": match, **more}
    return {name: value for name, value in options.items() if value}


READS: Final = {
    # resourceVersion, resourceVersionMatch: what a list shows, what a page of 2 shows
    ("", ""): (ALL, ["c0", "c1"]),
    ("0", ""): (ALL, ALL),
    ("3", ""): (ALL, 410),
    ("5", ""): (ALL, ["c0", "c1"]),
    ("6", ""): (ALL, ["c0", "c1"]),
    ("1000", ""): (504, 504),
    ("3", "Exact"): (410, 410),
    ("5", "Exact"): (["c0", "c1", "c2", "c3"], ["c0", "c1"]),
    ("6", "Exact"): (ALL, ["c0", "c1"]),
    ("1000", "Exact"): (504, 504),
    ("0", "NotOlderThan"): (ALL, ALL),
    ("3", "NotOlderThan"): (ALL, ["c0", "c1"]),
    ("5", "NotOlderThan"): (ALL, ["c0", "c1"]),
    ("6", "NotOlderThan"): (ALL, ["c0", "c1"]),
    ("1000", "NotOlderThan"): (504, 504),
}
WORDS: Final = {410: TOO_OLD, 504: TOO_LARGE}


@pytest.mark.parametrize(("revision", "match"), READS)
@pytest.mark.parametrize("limit", ["", "2"])
async def test_what_a_list_shows(world: World, revision: str, match: str, limit: str):
    await a_history(world)
    expected = READS[revision, match][bool(limit)]
    options = asked(revision, match, limit=limit)
    if isinstance(expected, int):
        error = await world.refusal("list", CONFIG_MAPS, options=options)
        assert (error.code, error.message) == (expected, WORDS[expected])
        return
    page = (await world.ask("list", CONFIG_MAPS, options=options)).page
    assert page is not None
    assert [item.name for item in page.items] == expected
    of_the_past = match == "Exact" or (bool(limit) and not match)
    assert page.revision == (5 if revision == "5" and of_the_past else 6)
    total = 4 if page.revision == 5 else 5
    left = total - len(page.items)
    assert (page.remaining, bool(page.continue_token)) == (left or None, bool(left))


@pytest.mark.parametrize(
    ("options", "causes"),
    [
        pytest.param(asked(match="Exact"), [WITHOUT_REVISION], id="exact without"),
        pytest.param(asked(match="NotOlderThan"), [WITHOUT_REVISION], id="not older without"),
        pytest.param(asked("0", "Exact"), [EXACTLY_ZERO], id="exactly zero"),
        pytest.param(asked("5", "Exact", **{"continue": "t"}), [WITH_TOKEN], id="going on"),
        pytest.param(
            asked(match="Exact", **{"continue": "t"}),
            [WITHOUT_REVISION, WITH_TOKEN],
            id="going on without",
        ),
        pytest.param(
            asked("5", "Newest"),
            ['Unsupported value: "Newest": supported values: "Exact", "NotOlderThan", ""'],
            id="no such rule",
        ),
        pytest.param(
            asked(match="Newest", sendInitialEvents="false"),
            [
                WITHOUT_REVISION,
                'Unsupported value: "Newest": supported values: "Exact", "NotOlderThan", ""',
                "sendInitialEvents is forbidden for list",
            ],
            id="all at once",
        ),
    ],
)
async def test_options_of_a_list_that_do_not_go_together(
    world: World, options: dict[str, str], causes: list[str]
):
    await expect_causes(world, "list", options, causes)


NEEDS_RULE: Final = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
NEEDS_EVENTS: Final = (
    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
)


@pytest.mark.parametrize(
    ("options", "causes"),
    [
        pytest.param(asked(sendInitialEvents="true"), [NEEDS_RULE], id="events without rule"),
        pytest.param(asked(sendInitialEvents="false"), [NEEDS_RULE], id="no events without rule"),
        pytest.param(asked("5", "NotOlderThan"), [NEEDS_EVENTS], id="rule without events"),
        pytest.param(
            asked("5", "Exact"),
            [NEEDS_EVENTS, 'Unsupported value: "Exact": supported values: "NotOlderThan"'],
            id="exact without events",
        ),
        pytest.param(
            asked("5", "Exact", sendInitialEvents="true"),
            [NEEDS_RULE, 'Unsupported value: "Exact": supported values: "NotOlderThan"'],
            id="exact with events",
        ),
        pytest.param(
            asked("5", "NotOlderThan", sendInitialEvents="true", **{"continue": "t"}),
            [WITH_TOKEN],
            id="going on",
        ),
    ],
)
async def test_options_of_a_watch_that_do_not_go_together(
    world: World, options: dict[str, str], causes: list[str]
):
    await expect_causes(world, "watch", options, causes)


async def expect_causes(
    world: World, verb: str, options: dict[str, str], causes: list[str]
) -> None:
    error = await world.refusal(verb, CONFIG_MAPS, options=options)
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.details is not None
    told = [cause["message"].removeprefix("Forbidden: ") for cause in error.details["causes"]]
    assert told == causes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            asked("18446744073709551616"),
            'invalid resource version: resourceVersion: Invalid value: "18446744073709551616":'
            ' strconv.ParseUint: parsing "18446744073709551616": value out of range',
            id="revision of 65 bits",
        ),
        pytest.param(
            asked("-1"),
            'invalid resource version: resourceVersion: Invalid value: "-1":'
            ' strconv.ParseUint: parsing "-1": invalid syntax',
            id="revision below zero",
        ),
        pytest.param(
            asked(limit="1_0"), 'strconv.ParseInt: parsing "1_0": invalid syntax', id="limit"
        ),
        pytest.param(
            asked(timeoutSeconds="9223372036854775808"),
            'strconv.ParseInt: parsing "9223372036854775808": value out of range',
            id="timeout of 65 bits",
        ),
        pytest.param(
            {"limit": ""}, 'strconv.ParseInt: parsing "": invalid syntax', id="empty limit"
        ),
        pytest.param(
            {"continue": "abcde"},
            "invalid continue token: continue key is not valid: illegal base64 data at input byte"
            " 4",
            id="token cut short",
        ),
        pytest.param(
            {"continue": "eyJ2IjoidjAifQ"},
            "invalid continue token: continue key is not valid: server does not recognize this"
            " encoded version v0",
            id="token of another version",
        ),
        pytest.param(
            {"continue": "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ"},
            "invalid continue token: continue key is not valid: incorrect encoded start"
            " resourceVersion (version meta.k8s.io/v1)",
            id="token without revision",
        ),
        pytest.param(
            {"continue": "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Nn0"},
            "invalid continue token: continue key is not valid: encoded start key empty (version"
            " meta.k8s.io/v1)",
            id="token without key",
        ),
        pytest.param(
            {"continue": "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Niwic3RhcnQiOiIuLi9hIn0"},
            "invalid continue token: continue key is not valid: ../a",
            id="token that climbs",
        ),
    ],
)
async def test_options_that_cannot_be_read(world: World, options: dict[str, str], message: str):
    await a_history(world)
    error = await world.refusal("list", CONFIG_MAPS, options=options)
    assert (error.code, error.message) == (400, message)


async def test_a_token_goes_without_a_revision_and_keeps_its_own(world: World):
    await a_history(world)
    first = (await world.ask("list", CONFIG_MAPS, options=asked("5", limit="2"))).page
    assert first is not None
    token = {"continue": first.continue_token}
    rest = (await world.ask("list", CONFIG_MAPS, options=token)).page
    assert rest is not None
    assert ([item.name for item in rest.items], rest.revision) == (["c2", "c3"], 5)
    again = (await world.ask("list", CONFIG_MAPS, options=asked("0", **token))).page
    assert again is not None
    assert again.items == rest.items
    error = await world.refusal("list", CONFIG_MAPS, options=asked("5", **token))
    assert (error.code, error.message) == (
        400,
        "specifying resource version is not allowed when using continue",
    )


STATE: Final = [f"ADDED {name}" for name in ALL]
END: Final = "BOOKMARK end"
LATER: Final = "ADDED later"
WATCHES: Final = {
    # resourceVersion, sendInitialEvents: what a watch that takes bookmarks tells
    ("", ""): [*STATE, END, LATER],
    ("0", ""): [*STATE, END, LATER],
    ("5", ""): ["ADDED c4", LATER],
    ("6", ""): [LATER],
    ("", "true"): [*STATE, END, LATER],
    ("0", "true"): [*STATE, END, LATER],
    ("3", "true"): [*STATE, END, LATER],
    ("6", "true"): [*STATE, END, LATER],
    ("", "false"): [LATER],
    ("5", "false"): ["ADDED c4", LATER],
    ("6", "false"): [LATER],
}


@pytest.mark.parametrize(("revision", "initial"), WATCHES)
@pytest.mark.parametrize("bookmarks", ["", "true"])
async def test_what_a_watch_tells(world: World, revision: str, initial: str, bookmarks: str):
    await a_history(world)
    options = asked(
        revision,
        "NotOlderThan" if initial else "",
        sendInitialEvents=initial,
        allowWatchBookmarks=bookmarks,
    )
    watch = (await world.ask("watch", CONFIG_MAPS, options=options)).watch
    assert watch is not None
    await world.client().create(CONFIG_MAPS, config_map("later"))
    expected = WATCHES[revision, initial]
    if not bookmarks:
        expected = [event for event in expected if event != END]
    told = await next_events(aiter(watch), len(expected))
    watch.close()
    assert [
        f"{event.type} {event.item.name}" if event.item else f"{event.type} end" for event in told
    ] == expected
    assert all(event.initial_events_end for event in told if event.item is None)


@pytest.mark.parametrize("initial", ["", "false"])
async def test_a_watch_of_what_is_forgotten_is_told_so(world: World, initial: str):
    await a_history(world)
    options = asked("2", "NotOlderThan" if initial else "", sendInitialEvents=initial)
    watch = (await world.ask("watch", CONFIG_MAPS, options=options)).watch
    assert watch is not None
    with pytest.raises(ApiError) as gone:
        await anext(aiter(watch))
    assert (gone.value.code, gone.value.reason) == (410, "Expired")
    assert gone.value.message.startswith("too old resource version: 2 (")


async def test_a_streaming_list_of_the_future_is_too_large(world: World):
    await a_history(world)
    options = asked("1000", "NotOlderThan", sendInitialEvents="true")
    error = await world.refusal("watch", CONFIG_MAPS, options=options)
    assert (error.code, error.message) == (504, TOO_LARGE)


async def test_a_watch_from_the_future_waits_for_it(world: World):
    await a_history(world)
    watch = (await world.ask("watch", CONFIG_MAPS, options=asked("7"))).watch
    assert watch is not None
    for name in ("seven", "eight"):
        await world.client().create(CONFIG_MAPS, config_map(name))
    told = await next_events(aiter(watch), 1)
    watch.close()
    assert [event.item.name for event in told if event.item] == ["eight"]


async def test_a_watch_whose_time_is_over_ends(world: World):
    options = asked(timeoutSeconds="-1")
    watch = (await world.ask("watch", CONFIG_MAPS, options=options)).watch
    assert watch is not None
    async with asyncio.timeout(5):
        assert [batch async for batch in watch] == []


NEW_EVENTS: Final = Resource("events.k8s.io", "v1", "events")
JOBS: Final = Resource("batch", "v1", "jobs")
SLICES: Final = Resource("resource.k8s.io", "v1", "resourceslices")
REQUESTS: Final = Resource("certificates.k8s.io", "v1", "certificatesigningrequests")
CONTROLLERS: Final = Resource("", "v1", "replicationcontrollers")
NAMESPACES: Final = Resource("", "v1", "namespaces")
SECRETS: Final = Resource("", "v1", "secrets")
SERVICES: Final = Resource("", "v1", "services")
CLUSTER_ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "clusterroles")
ABOUT: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
PLAIN: Final = '"{}" is not a known field selector: only "metadata.name", "metadata.namespace"'
OWN: Final = "field label not supported: {}"
BOTH: Final = "metadata.name metadata.namespace"

SELECTABLE: Final = [
    # Kind, what it is selectable by, what it is not, and how that is said.
    (CONFIG_MAPS, BOTH, "data spec.host", PLAIN),
    (CLUSTER_ROLES, BOTH, "rules", PLAIN),
    (REPLICA_SETS, BOTH, "status.replicas", PLAIN),
    (
        PODS,
        (
            f"{BOTH} spec.nodeName spec.host spec.restartPolicy spec.schedulerName"
            " spec.serviceAccountName spec.hostNetwork status.phase status.podIP status.podIPs"
            " status.nominatedNodeName"
        ),
        "spec.hostname status.hostIP",
        OWN,
    ),
    (NODES, "metadata.name spec.unschedulable", "metadata.namespace spec.podCIDR", OWN),
    (NAMESPACES, "metadata.name status.phase", "name metadata.namespace", OWN),
    (SECRETS, f"{BOTH} type", "data", OWN),
    (SERVICES, f"{BOTH} spec.clusterIP spec.type", "spec.externalName", OWN),
    (CONTROLLERS, f"{BOTH} status.replicas", "spec.replicas", OWN),
    (JOBS, f"{BOTH} status.successful", "status.failed", 'field label "{}" not supported for Job'),
    (REQUESTS, "metadata.name spec.signerName", "metadata.namespace spec.username", OWN),
    (
        EVENTS,
        f"{BOTH} reason reportingComponent source type "
        + " ".join(f"involvedObject.{field}" for field in ABOUT),
        "regarding.name reportingController message",
        OWN,
    ),
    (
        NEW_EVENTS,
        f"{BOTH} reason reportingController type "
        + " ".join(f"regarding.{field}" for field in ABOUT),
        "involvedObject.name reportingComponent source",
        OWN,
    ),
    (
        SLICES,
        "metadata.name spec.driver spec.nodeName",
        "metadata.namespace spec.pool.name",
        "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}",
    ),
]


@pytest.mark.parametrize(
    ("resource", "known", "unknown", "words"),
    [pytest.param(*row, id=row[0].qualified) for row in SELECTABLE],
)
async def test_what_each_kind_is_selectable_by(
    world: World, resource: Resource, known: str, unknown: str, words: str
):
    for path in known.split():
        options = {"fieldSelector": f"{path}=none-such"}
        page = (await world.ask("list", resource, namespace="", options=options)).page
        assert page is not None
        assert page.items == []
    for verb in ("list", "watch"):
        for path in unknown.split():
            options = {"fieldSelector": f"{path}=x"}
            error = await world.refusal(verb, resource, namespace="", options=options)
            assert (error.code, error.message) == (400, words.format(path)), (verb, path)


async def test_old_and_new_names_of_a_field_select_the_same(world: World):
    await world.client().create(PODS, pod("a", nodeName="n1"))
    await world.client().create(PODS, pod("b", nodeName="n2"))
    for path in ("spec.host", "spec.nodeName"):
        found = await world.client().list(PODS, field_selector=f"{path}=n2")
        assert [item.name for item in found.items] == ["b"]
    event = {
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "a"},
        "reason": "Because",
        "source": {"component": "kubelet"},
        "type": "Normal",
    }
    await world.client().create(EVENTS, event)
    for resource, path in ((EVENTS, "involvedObject"), (NEW_EVENTS, "regarding")):
        found = await world.client().list(resource, field_selector=f"{path}.name=a")
        assert [item.name for item in found.items] == ["e"]
        none = await world.client().list(resource, field_selector=f"{path}.name!=a")
        assert none.items == []
