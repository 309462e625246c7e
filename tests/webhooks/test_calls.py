"""Webhooks are asked, and what they say is done."""

import pytest

from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import CONFIG_MAPS, NAMESPACES, PODS
from tests.apiserver.world import World, config_map, labelled, pod
from tests.webhooks.hooks import (
    MUTATING,
    VALIDATING,
    HookServer,
    Object,
    add,
    allow,
    configuration,
    deny,
    hook,
    patch,
    rule,
)

SCALERS = Resource("autoscaling", "v1", "horizontalpodautoscalers")


async def configure(world: World, kind: Resource, *hooks: Object, name: str = "hooks") -> None:
    await world.ask("create", kind, namespace="", body=configuration(*hooks, name=name))


async def test_a_validating_webhook_refuses_a_configmap(world: World, hooks: HookServer) -> None:
    await configure(world, VALIDATING, hook(hooks.at("/deny", deny("it is bad"))))
    error = await world.refusal("create", CONFIG_MAPS, body=config_map())
    assert error.message == 'admission webhook "hook.example.com" denied the request: it is bad'
    assert error.code == 400
    assert (await world.refusal("get", CONFIG_MAPS, name="settings")).code == 404


async def test_a_mutating_webhook_changes_a_configmap(world: World, hooks: HookServer) -> None:
    await configure(world, MUTATING, hook(hooks.at("/patch", patch(add("/data/added", "yes")))))
    await world.ask("create", CONFIG_MAPS, body=config_map(a="1"))
    made = (await world.ask("get", CONFIG_MAPS, name="settings")).item
    assert made.object["data"] == {"a": "1", "added": "yes"}


async def test_a_webhook_is_told_what_upstream_tells(world: World, hooks: HookServer) -> None:
    every = rule("configmaps", "CREATE", "UPDATE", "DELETE")
    await configure(world, VALIDATING, hook(hooks.at("/ok", allow), every))
    options = {"fieldManager": "me", "fieldValidation": "Strict"}
    await world.ask("create", CONFIG_MAPS, body=config_map(a="1"), options=options)
    await world.ask(
        "patch",
        CONFIG_MAPS,
        name="settings",
        body={"data": {"a": "2"}},
        content_type="application/merge-patch+json",
    )
    await world.ask("delete", CONFIG_MAPS, name="settings", options={"gracePeriodSeconds": "5"})
    made, changed, gone = hooks.asked
    kind = {"group": "", "version": "v1", "kind": "ConfigMap"}
    plural = {"group": "", "version": "v1", "resource": "configmaps"}
    assert made["kind"] == made["requestKind"] == kind
    assert made["resource"] == made["requestResource"] == plural
    assert "subResource" not in made
    assert (made["operation"], made["name"], made["namespace"]) == ("CREATE", "settings", "default")
    assert (made["object"]["data"], made["oldObject"], made["dryRun"]) == ({"a": "1"}, None, False)
    assert made["userInfo"]["username"] == "system:apiserver"
    assert made["options"] == {
        "kind": "CreateOptions",
        "apiVersion": "meta.k8s.io/v1",
        **options,
    }
    assert (changed["operation"], changed["options"]["kind"]) == ("UPDATE", "UpdateOptions")
    assert changed["object"]["data"], changed["oldObject"]["data"] == ({"a": "2"}, {"a": "1"})
    assert (gone["operation"], gone["object"], gone["name"]) == ("DELETE", None, "settings")
    assert gone["oldObject"]["data"] == {"a": "2"}
    assert gone["options"]["kind"] == "DeleteOptions"
    assert gone["options"]["gracePeriodSeconds"] == 5
    assert hooks.paths == ["/ok?timeout=10s"] * 3


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ({"message": "why", "code": 403, "reason": "Forbidden"}, 403, ": why"),
        ({"reason": "Because"}, 400, ": Because"),
        ({"message": "why", "code": 200}, 400, ": why"),
        ({}, 400, " without explanation"),
    ],
)
async def test_a_refusal_has_the_code_and_words_of_the_webhook(
    world: World, hooks: HookServer, status: Object, code: int, message: str
) -> None:
    client = hooks.at("/deny", lambda _: {"allowed": False, "status": status})
    await configure(world, VALIDATING, hook(client))
    error = await world.refusal("create", CONFIG_MAPS, body=config_map())
    assert error.message == f'admission webhook "hook.example.com" denied the request{message}'
    assert (error.code, error.reason) == (code, status.get("reason", ""))


async def test_of_several_refusals_the_first_webhooks_is_given(
    world: World, hooks: HookServer
) -> None:
    await configure(
        world,
        VALIDATING,
        hook(hooks.at("/b", deny("second")), name="b.example.com"),
        name="b",
    )
    await configure(
        world, VALIDATING, hook(hooks.at("/a", deny("first")), name="a.example.com"), name="a"
    )
    error = await world.refusal("create", CONFIG_MAPS, body=config_map())
    assert error.message == 'admission webhook "a.example.com" denied the request: first'
    assert sorted(hooks.paths) == ["/a?timeout=10s", "/b?timeout=10s"]


async def test_warnings_of_a_webhook_reach_the_client(world: World, hooks: HookServer) -> None:
    client = hooks.at("/warn", lambda _: {"allowed": True, "warnings": ["take care", "w" * 5000]})
    await configure(world, VALIDATING, hook(client))
    await world.ask("create", CONFIG_MAPS, body=config_map())
    assert world.warnings == ["take care", "w" * 256]


async def test_a_deletion_can_be_refused(world: World, hooks: HookServer) -> None:
    await world.ask("create", CONFIG_MAPS, body=config_map())
    await configure(
        world, VALIDATING, hook(hooks.at("/deny", deny("kept")), rule("configmaps", "DELETE"))
    )
    assert (await world.refusal("delete", CONFIG_MAPS, name="settings")).code == 400
    assert (await world.refusal("deletecollection", CONFIG_MAPS)).code == 400
    assert (await world.ask("get", CONFIG_MAPS, name="settings")).item is not None


async def test_a_dry_run_asks_only_webhooks_without_side_effects(
    world: World, hooks: HookServer
) -> None:
    seen = hook(hooks.at("/ok", allow), sideEffects="NoneOnDryRun")
    await configure(world, VALIDATING, seen)
    dry = {"dryRun": "All"}
    await world.ask("create", CONFIG_MAPS, body=config_map(), options=dry)
    assert hooks.asked[0]["dryRun"] is True
    assert hooks.asked[0]["options"]["dryRun"] == ["All"]


async def test_an_object_is_shown_in_the_version_a_webhook_knows(
    world: World, hooks: HookServer
) -> None:
    of_v2 = {**rule("horizontalpodautoscalers", group="autoscaling"), "apiVersions": ["v2"]}
    adds = patch(add("/spec/maxReplicas", 7))
    await configure(world, MUTATING, hook(hooks.at("/v2", adds), of_v2))
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "maxReplicas": 3,
        "targetCPUUtilizationPercentage": 50,
    }
    body = {"metadata": {"name": "web"}, "spec": spec}
    made = (await world.ask("create", SCALERS, body=body)).item.object
    assert made["apiVersion"] == "autoscaling/v1"
    assert made["spec"]["maxReplicas"] == 7
    assert made["spec"]["targetCPUUtilizationPercentage"] == 50
    [seen] = hooks.asked
    assert seen["object"]["apiVersion"] == "autoscaling/v2"
    assert seen["kind"]["version"] == seen["resource"]["version"] == "v2"
    assert seen["requestKind"]["version"] == seen["requestResource"]["version"] == "v1"


async def test_an_exact_webhook_is_not_shown_other_versions(
    world: World, hooks: HookServer
) -> None:
    of_v2 = {**rule("horizontalpodautoscalers", group="autoscaling"), "apiVersions": ["v2"]}
    denies = hook(hooks.at("/deny", deny()), of_v2, matchPolicy="Exact")
    await configure(world, VALIDATING, denies)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3}
    await world.ask("create", SCALERS, body={"metadata": {"name": "web"}, "spec": spec})
    assert hooks.asked == []


async def test_an_older_webhook_is_asked_in_its_own_version(
    world: World, hooks: HookServer
) -> None:
    encoded = patch(add("/data/added", "yes"))
    without_type = lambda request: {  # noqa: E731
        key: value for key, value in encoded(request).items() if key != "patchType"
    }
    client = hooks.at("/old", without_type)
    old = hook(client, admissionReviewVersions=["v1beta1"])
    await configure(world, MUTATING, old)
    made = (await world.ask("create", CONFIG_MAPS, body=config_map(a="1"))).item.object
    assert made["data"] == {"a": "1", "added": "yes"}


async def test_selectors_choose_by_labels_of_object_and_namespace(
    world: World, hooks: HookServer
) -> None:
    client = hooks.at("/deny", deny())
    by_object = hook(client, objectSelector={"matchLabels": {"app": "web"}})
    by_namespace = hook(
        client, name="n.example.com", namespaceSelector={"matchLabels": {"guarded": "yes"}}
    )
    await configure(world, VALIDATING, by_object, by_namespace)
    await world.ask("create", CONFIG_MAPS, body=config_map("free"))
    assert (
        await world.refusal("create", CONFIG_MAPS, body=labelled(config_map("web"), app="web"))
    ).code == 400
    guarded = {"metadata": {"name": "guarded", "labels": {"guarded": "yes"}}}
    await world.ask("create", NAMESPACES, namespace="", body=guarded)
    body = config_map("any", namespace="guarded")
    error = await world.refusal("create", CONFIG_MAPS, namespace="guarded", body=body)
    assert '"n.example.com"' in error.message


async def test_a_namespace_is_chosen_by_its_own_labels(world: World, hooks: HookServer) -> None:
    of_namespaces = rule("namespaces", scope="Cluster")
    one = hook(
        hooks.at("/deny", deny()),
        of_namespaces,
        namespaceSelector={"matchLabels": {"guarded": "yes"}},
    )
    await configure(world, VALIDATING, one)
    await world.ask("create", NAMESPACES, namespace="", body={"metadata": {"name": "free"}})
    guarded = {"metadata": {"name": "guarded", "labels": {"guarded": "yes"}}}
    assert (await world.refusal("create", NAMESPACES, namespace="", body=guarded)).code == 400


@pytest.mark.parametrize(
    ("resources", "scope", "is_asked"),
    [
        ("pods/status", "*", True),
        ("pods/*", "Namespaced", True),
        ("*/*", "*", True),
        ("pods", "*", False),
        ("*", "*", False),
        ("pods/status", "Cluster", False),
    ],
)
async def test_rules_name_subresources_and_scopes(
    world: World,
    hooks: HookServer,
    resources: str,
    scope: str,
    is_asked: bool,  # noqa: FBT001
) -> None:
    await world.ask("create", PODS, body=pod())
    one = hook(hooks.at("/ok", allow), rule(resources, "UPDATE", scope=scope))
    await configure(world, VALIDATING, one)
    await world.ask(
        "patch",
        PODS,
        name="web",
        subresource="status",
        body={"status": {"phase": "Running"}},
        content_type="application/merge-patch+json",
    )
    assert [each["subResource"] for each in hooks.asked] == ["status"] * is_asked


async def test_what_the_server_gave_an_object_no_webhook_takes(
    world: World, hooks: HookServer
) -> None:
    adds = patch(add("/metadata/uid", "mine"), add("/metadata/creationTimestamp", None))
    await configure(world, MUTATING, hook(hooks.at("/patch", adds)))
    made = (await world.ask("create", CONFIG_MAPS, body=config_map())).item.object
    assert made["metadata"]["uid"] == hooks.asked[0]["object"]["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"]


async def test_a_webhook_is_called_as_soon_as_it_is_configured_and_no_longer(
    world: World, hooks: HookServer
) -> None:
    await world.ask("create", CONFIG_MAPS, body=config_map("before"))
    await configure(world, VALIDATING, hook(hooks.at("/deny", deny())))
    assert (await world.refusal("create", CONFIG_MAPS, body=config_map("during"))).code == 400
    await world.ask("delete", VALIDATING, namespace="", name="hooks")
    await world.ask("create", CONFIG_MAPS, body=config_map("after"))


async def test_a_webhook_sees_what_was_changed_after_it_if_it_wants_to(
    world: World, hooks: HookServer
) -> None:
    def count(request: Object) -> Object:
        seen = request["object"]["data"]
        return patch(add("/data/calls", str(int(seen.get("calls", "0")) + 1)))(request)

    first = hook(hooks.at("/1", count), name="a.example.com", reinvocationPolicy="IfNeeded")
    second = hook(hooks.at("/2", patch(add("/data/second", "yes"))), name="b.example.com")
    await configure(world, MUTATING, first, second)
    made = (await world.ask("create", CONFIG_MAPS, body=config_map(a="1"))).item.object
    assert made["data"] == {"a": "1", "calls": "2", "second": "yes"}
    assert hooks.paths == ["/1?timeout=10s", "/2?timeout=10s", "/1?timeout=10s"]
    assert hooks.asked[2]["object"]["data"]["second"] == "yes"


async def test_a_webhook_that_does_not_want_to_is_called_once(
    world: World, hooks: HookServer
) -> None:
    first = hook(hooks.at("/1", allow), name="a.example.com")
    second = hook(hooks.at("/2", patch(add("/data/second", "yes"))), name="b.example.com")
    await configure(world, MUTATING, first, second)
    await world.ask("create", CONFIG_MAPS, body=config_map(a="1"))
    assert hooks.paths == ["/1?timeout=10s", "/2?timeout=10s"]
