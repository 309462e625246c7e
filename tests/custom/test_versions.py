"""Versions of a definition, changes of it, and what was stored before them."""

import pytest

from ekslab.kube.api.resources import Resource
from tests.apiserver.world import next_events
from tests.custom.shop import (
    DEFINITIONS,
    GROUP,
    WIDGETS,
    Shop,
    definition,
    integer,
    obj,
    text,
    version,
    widget,
)

NEWER = Resource(GROUP, "v2", "widgets")
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


async def test_an_object_is_read_in_every_served_version(shop: Shop):
    both = definition(
        "Widget",
        version("v1", spec=obj(a=text(), b=text())),
        version("v2", spec=obj(a=text()), storage=False),
    )
    await shop.define(both)
    await shop.create(widget(spec={"a": "1", "b": "2"}))
    newer = await shop.get(resource=NEWER)
    assert (newer["apiVersion"], newer["spec"]) == (f"{GROUP}/v2", {"a": "1"})
    older = await shop.get()
    assert (older["apiVersion"], older["spec"]) == (f"{GROUP}/v1", {"a": "1", "b": "2"})


async def test_writing_again_brings_an_object_into_the_new_storage_version(shop: Shop):
    first, second = version("v1", spec=obj(a=text())), version("v2", spec=obj(a=text()))
    await shop.define(definition("Widget", first, {**second, "storage": False}))
    await shop.create(widget(spec={"a": "1"}))
    await shop.define(definition("Widget", {**first, "storage": False}, second))
    await shop.settled()
    (stored,) = shop.store.published_all(WIDGETS.qualified)
    assert stored.object["apiVersion"] == f"{GROUP}/v1"
    live = await shop.get()
    await shop.ask("update", WIDGETS, name="w", body={**live})
    (stored,) = shop.store.published_all(WIDGETS.qualified)
    assert stored.object["apiVersion"] == f"{GROUP}/v2"
    found = await shop.client().get(DEFINITIONS, f"widgets.{GROUP}")
    assert found["status"]["storedVersions"] == ["v1", "v2"]


async def test_a_version_that_is_no_longer_served_is_not_found(shop: Shop):
    first, second = version("v1"), version("v2", storage=False)
    await shop.define(definition("Widget", first, second))
    await shop.define(definition("Widget", first, {**second, "served": False}))
    await shop.settled()
    assert (await shop.refusal("list", NEWER)).code == 404
    assert (await shop.ask("list", WIDGETS)).page is not None


async def test_deprecated_versions_warn(shop: Shop):
    old = version("v1beta1", storage=False, deprecated=True)
    await shop.define(definition("Widget", old, version("v1")))
    await shop.ask("list", Resource(GROUP, "v1beta1", "widgets"))
    assert shop.warnings == [
        "shop.example.com/v1beta1 Widget is deprecated; use shop.example.com/v1 Widget"
    ]


async def test_nulls_make_room_for_defaults(shop: Shop):
    spec = obj(a=text(default="x"), b=text(), c=text(nullable=True, default="y"))
    await shop.define(definition("Widget", version(spec=spec)))
    made = await shop.create(widget(spec={"a": None, "b": None, "c": None}))
    assert made["spec"] == {"a": "x", "c": None}


async def test_defaults_reach_into_lists_and_maps(shop: Shop):
    part = obj(protocol=text(default="TCP"))
    spec = obj(
        ports={"type": "array", "items": part},
        named={"type": "object", "additionalProperties": part},
        nested={**obj(size=integer(default=1)), "default": {}},
    )
    await shop.define(definition("Widget", version(spec=spec)))
    made = await shop.create(widget(spec={"ports": [{}], "named": {"a": {}}}))
    assert made["spec"] == {
        "ports": [{"protocol": "TCP"}],
        "named": {"a": {"protocol": "TCP"}},
        "nested": {"size": 1},
    }


async def test_pruning_stops_where_unknown_fields_are_preserved(shop: Shop):
    free = {**obj(known=obj(a=text())), "x-kubernetes-preserve-unknown-fields": True}
    await shop.define(definition("Widget", version(spec=obj(free=free))))
    spec = {"free": {"any": {"b": 1}, "known": {"a": "1", "b": 2}}, "odd": 1}
    made = await shop.create(widget(spec=spec))
    assert made["spec"] == {"free": {"any": {"b": 1}, "known": {"a": "1"}}}


async def test_the_status_has_a_door_of_its_own(shop: Shop):
    parts = version(spec=obj(a=text()), status=obj(b=text()), subresources={"status": {}})
    await shop.define(definition("Widget", parts))
    made = await shop.create(widget(spec={"a": "1"}, status={"b": "1"}))
    assert "status" not in made
    patch = {"status": {"b": "2"}, "spec": {"a": "2"}, "metadata": {"labels": {"x": "y"}}}
    changed = await shop.patch("w", patch, subresource="status")
    assert (changed["spec"], changed["status"]) == ({"a": "1"}, {"b": "2"})
    assert "labels" not in changed["metadata"]
    assert changed["metadata"]["generation"] == 1


async def test_without_a_door_the_status_counts_like_any_field(shop: Shop):
    await shop.define(definition("Widget", version(status=obj(b=text()))))
    await shop.create(widget(status={"b": "1"}))
    changed = await shop.patch("w", {"status": {"b": "2"}})
    assert changed["metadata"]["generation"] == 2
    assert (await shop.refusal("get", WIDGETS, name="w", subresource="status")).code == 404


async def test_strategic_merge_patches_are_for_built_in_types(shop: Shop):
    await shop.define(definition("Widget", version()))
    await shop.create(widget())
    refused = await shop.refusal("patch", WIDGETS, name="w", body={}, content_type=STRATEGIC)
    assert refused.code == 415


async def test_lists_with_keys_are_owned_by_element(shop: Shop):
    ports = {
        "type": "array",
        "items": {**obj(name=text(), port=integer()), "required": ["name"]},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    await shop.define(definition("Widget", version(spec=obj(ports=ports))))
    for manager, port in (("one", 1), ("two", 2)):
        body = widget(spec={"ports": [{"name": manager, "port": port}]})
        await shop.patch("w", body, content_type=APPLY, options={"fieldManager": manager})
    live = await shop.get()
    assert live["spec"]["ports"] == [{"name": "one", "port": 1}, {"name": "two", "port": 2}]


async def test_fields_can_be_selected_by_also_in_watches(shop: Shop):
    fields = [{"jsonPath": ".spec.color"}]
    made = version(spec=obj(color=text()), selectableFields=fields)
    await shop.define(definition("Widget", made))
    await shop.create(widget("red", spec={"color": "red"}))
    await shop.create(widget("blue", spec={"color": "blue"}))
    options = {"fieldSelector": "spec.color=red"}
    page = (await shop.ask("list", WIDGETS, options=options)).page
    assert [item.name for item in page.items] == ["red"]
    watch = (await shop.ask("watch", WIDGETS, options=options)).watch
    events = aiter(watch)
    (first,) = await next_events(events, 1)
    await shop.patch("blue", {"spec": {"color": "red"}})
    (second,) = await next_events(events, 1)
    await shop.patch("blue", {"spec": {"color": "green"}})
    (third,) = await next_events(events, 1)
    assert [(each.type, each.item.name) for each in (first, second, third)] == [
        ("ADDED", "red"), ("ADDED", "blue"), ("DELETED", "blue")
    ]  # fmt: skip
    watch.close()
    options = {"fieldSelector": "spec.other=red"}
    refused = await shop.refusal("list", WIDGETS, options=options)
    assert refused.message == "field label not supported: spec.other"


async def test_fields_of_what_was_stored_before_can_be_selected_by(shop: Shop):
    plain = version(spec=obj(color=text()))
    await shop.define(definition("Widget", plain))
    await shop.create(widget(spec={"color": "red"}))
    await shop.define(
        definition("Widget", {**plain, "selectableFields": [{"jsonPath": ".spec.color"}]})
    )
    await shop.settled()
    page = (await shop.ask("list", WIDGETS, options={"fieldSelector": "spec.color=red"})).page
    assert [item.name for item in page.items] == ["w"]


@pytest.mark.parametrize("replicas", [-1, 2])
async def test_scale_reads_and_writes_where_the_definition_says(shop: Shop, replicas: int):
    scale = {"specReplicasPath": ".spec.deep.size", "statusReplicasPath": ".status.size"}
    made = version(
        spec=obj(deep=obj(size=integer())),
        status=obj(size=integer()),
        subresources={"status": {}, "scale": scale},
    )
    await shop.define(definition("Widget", made))
    await shop.create(widget())
    body = {"spec": {"replicas": replicas}}
    if replicas < 0:
        refused = await shop.refusal(
            "patch", WIDGETS, name="w", subresource="scale", body=body,
            content_type="application/merge-patch+json",
        )  # fmt: skip
        assert refused.code == 422
        return
    scaled = await shop.patch("w", body, subresource="scale")
    assert (scaled["kind"], scaled["spec"]) == ("Scale", {"replicas": 2})
    assert (await shop.get())["spec"] == {"deep": {"size": 2}}


async def test_established_definitions_are_served_from_the_start(shop: Shop):
    """As after a restart: the registry is made of what the store has."""
    await shop.define(definition("Widget", version(spec=obj(a=text()))))
    again = Shop.over(shop)
    assert again.server.registry.find(WIDGETS) is not None


async def test_versions_that_a_webhook_converts_are_not_passed_off_for_each_other(shop: Shop):
    """Where we do less than upstream, we say so: the stored version works as ever."""
    both = definition("Widget", version("v1"), version("v2", storage=False))
    config = {"url": "https://127.0.0.1:1/convert"}
    webhook = {"clientConfig": config, "conversionReviewVersions": ["v1"]}
    both["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    await shop.define(both)
    await shop.create(widget())
    assert (await shop.get())["apiVersion"] == f"{GROUP}/v1"
    refused = await shop.refusal("get", NEWER, name="w")
    assert refused.code == 500
    assert "conversion webhook for shop.example.com/v1, Kind=Widget failed" in refused.message
