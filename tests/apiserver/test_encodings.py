"""What lists and tables must not do to what is stored: keep it twice, or decode it all."""

import asyncio
import json

import pytest

from ekslab.kube.api.objects import Item, encode
from ekslab.kube.api.requests import ApiRequest
from ekslab.kube.api.well_known import CONFIG_MAPS
from ekslab.kube.apiserver.bootstrap import LOOPBACK_USER
from ekslab.kube.apiserver.encoding import Encoder
from tests.apiserver.world import World, config_map

OBJECT = {
    "kind": "ConfigMap",
    "apiVersion": "v1",
    "metadata": {"name": "a", "namespace": "default", "labels": {"x": "y"}},
    "data": {"k": "v"},
}


def item(managed: bytes) -> Item:
    return encode(OBJECT, resource="configmaps", revision=7, managed=managed)


@pytest.mark.parametrize("managed", [b"", b'[{"manager":"me"}]'], ids=["unmanaged", "managed"])
def test_an_object_is_the_same_however_it_is_taken(managed):
    """`pieces` before and after `json` was kept, and `glance` but for the owners."""
    fresh, kept = item(managed), item(managed)
    whole = json.loads(kept.json())
    assert whole["metadata"]["resourceVersion"] == "7"
    assert whole["metadata"].get("managedFields", []) == json.loads(managed or b"[]")
    assert b"".join(fresh.pieces()) == b"".join(kept.pieces()) == kept.json()
    seen = fresh.glance()
    assert seen == OBJECT
    assert fresh.object == whole
    assert fresh.glance() is fresh.object


@pytest.mark.parametrize(
    "accept", ["application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"]
)
async def test_a_list_keeps_nothing_of_what_it_read(accept):
    world = World(asyncio.get_running_loop())
    await world.bootstrap()
    for index in range(3):
        await world.client().create(CONFIG_MAPS, config_map(f"c{index}"))
    for stored in world.server.lister.list(CONFIG_MAPS):
        stored.forget_encodings()
    request = ApiRequest(
        verb="list", user=LOOPBACK_USER, resource=CONFIG_MAPS, namespace="default", accept=accept
    )
    encoder = Encoder(world.server.registry, world.server.clock)
    body = encoder.encode(request, await world.server.handle(request), gzip=False)
    assert body.content is not None
    answer = json.loads(body.content)
    assert len(answer.get("items") or answer["rows"]) >= 3
    assert [stored for stored in world.server.lister.list(CONFIG_MAPS) if stored._json] == []
