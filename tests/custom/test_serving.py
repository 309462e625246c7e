"""A definition is established, and its objects are served like any others."""

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


async def test_a_definition_is_established_and_served(shop: Shop):
    made = await shop.define(definition("Widget", version(spec=obj(size=integer(), color=text()))))
    assert made["status"]["acceptedNames"] == {
        "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"
    }  # fmt: skip
    assert made["status"]["storedVersions"] == ["v1"]
    told = [(each["type"], each["status"], each["reason"]) for each in made["status"]["conditions"]]
    assert told == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]
    created = await shop.create(widget(spec={"size": 3, "unknown": True}))
    assert created["spec"] == {"size": 3}
    assert created["metadata"]["generation"] == 1
    assert shop.warnings == ['unknown field "spec.unknown"']
    patched = await shop.patch("w", {"spec": {"size": 4}})
    assert patched["metadata"]["generation"] == 2
    page = (await shop.ask("list", WIDGETS)).page
    assert [item.name for item in page.items] == ["w"]


async def test_deleting_a_definition_deletes_its_objects(shop: Shop):
    await shop.define(definition("Widget", version(spec=obj(size=integer()))))
    await shop.create(widget())
    name = f"widgets.{GROUP}"
    answer = await shop.ask("delete", DEFINITIONS, namespace="", name=name)
    ending = answer.item.object
    assert ending["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    while shop.lister.get(DEFINITIONS, name) is not None:
        await shop.clock.sleep(0.1)
    await shop.settled()
    assert (await shop.refusal("get", WIDGETS, name="w")).code == 404
    assert shop.store.published_all(WIDGETS.qualified) == []
