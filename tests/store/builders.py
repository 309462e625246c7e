"""Small objects for the store, and the moves of a writer."""

from collections.abc import Callable, Mapping
from typing import Any

from ekslab.kube.api.objects import Item, encode
from ekslab.kube.store.port import Key, Store


def key(name: str, *, namespace: str = "default", resource: str = "configmaps") -> Key:
    return Key(resource, namespace, name)


def item_of(
    where: Key, value: object, fields: Mapping[str, str] | None = None
) -> Callable[[int], Item]:
    obj: dict[str, Any] = {
        "kind": "Thing",
        "metadata": {"name": where.name, "namespace": where.namespace, "labels": {"v": str(value)}},
        "data": {"value": value},
    }

    def make(revision: int) -> Item:
        return encode(obj, resource=where.resource, revision=revision, fields=fields or {})

    return make


def value_of(item: Item) -> Any:
    return item.object["data"]["value"]


async def put(store: Store, where: Key, value: object, *, node: str = "") -> Item:
    """Write whatever the key holds now."""
    current = await store.get_latest(where)
    fields = {"spec.nodeName": node} if node else {}
    expect = current.revision if current else 0
    return await store.put(where, item_of(where, value, fields), expect=expect)


async def delete(store: Store, where: Key) -> Item:
    current = await store.get_latest(where)
    assert current is not None
    return await store.delete(
        where, item_of(where, value_of(current), current.fields), expect=current.revision
    )
