"""Bodies that come again are handled faster and no differently."""

import asyncio

from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api.well_known import PODS
from tests.apiserver.world import World, pod


def template(**spec):
    obj = pod(**spec)
    obj["metadata"] = {"generateName": "web-", "namespace": "default", "labels": {"app": "web"}}
    return obj


def test_pods_of_one_template_differ_in_what_is_theirs_and_in_nothing_else():
    loop = VirtualLoop()

    async def scenario():
        world = World(asyncio.get_running_loop())
        made = []
        for _ in range(3):
            answer = await world.ask("create", PODS, body=template())
            made.append(answer.item.object)
            await asyncio.sleep(10)
        return made

    made = loop.run_until_complete(scenario())
    loop.close()
    assert len({obj["metadata"]["name"] for obj in made}) == 3
    assert len({obj["metadata"]["uid"] for obj in made}) == 3
    assert [obj["metadata"]["managedFields"][0]["time"][-3:] for obj in made] == [
        "20Z",
        "30Z",
        "40Z",
    ]
    for obj in made:
        for field in ("name", "uid", "creationTimestamp", "resourceVersion"):
            del obj["metadata"][field]
        del obj["metadata"]["managedFields"][0]["time"]
    assert made[0] == made[1] == made[2]


async def test_a_bad_template_is_refused_every_time(world: World):
    for _ in range(3):
        error = await world.refusal("create", PODS, body=template(restartPolicy="Sometimes"))
        assert error.code == 422
        assert "spec.restartPolicy" in error.message


async def test_a_template_is_warned_of_every_time(world: World):
    for _ in range(3):
        await world.ask("create", PODS, body=template(colour="red"))
        assert 'unknown field "spec.colour"' in world.warnings


async def test_strict_and_lax_readers_of_one_template_do_not_meet(world: World):
    await world.ask("create", PODS, body=template(colour="red"))
    error = await world.refusal(
        "create", PODS, body=template(colour="red"), options={"fieldValidation": "Strict"}
    )
    assert error.code == 400
