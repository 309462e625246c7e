"""Webhooks are asked, and what they say is done."""

from ekslab.kube.api.well_known import CONFIG_MAPS
from tests.apiserver.world import World, config_map
from tests.webhooks.hooks import (
    MUTATING,
    VALIDATING,
    HookServer,
    add,
    configuration,
    deny,
    hook,
    patch,
)


async def test_a_validating_webhook_refuses_a_configmap(world: World, hooks: HookServer) -> None:
    client = hooks.at("/deny", deny("it is bad"))
    await world.ask("create", VALIDATING, namespace="", body=configuration(hook(client)))
    error = await world.refusal("create", CONFIG_MAPS, body=config_map())
    assert error.message == 'admission webhook "hook.example.com" denied the request: it is bad'
    assert error.code == 400
    assert (await world.refusal("get", CONFIG_MAPS, name="settings")).code == 404


async def test_a_mutating_webhook_changes_a_configmap(world: World, hooks: HookServer) -> None:
    client = hooks.at("/patch", patch(add("/data/added", "yes")))
    await world.ask("create", MUTATING, namespace="", body=configuration(hook(client)))
    await world.ask("create", CONFIG_MAPS, body=config_map(a="1"))
    made = (await world.ask("get", CONFIG_MAPS, name="settings")).item
    assert made.object["data"] == {"a": "1", "added": "yes"}
