"""What is wrong with a configuration is said when it is written."""

import pytest

from tests.apiserver.world import World
from tests.webhooks.hooks import MUTATING, Object, configuration, hook

FORM = "; desired format: https://host[/path]"


def by_service(**more: object) -> Object:
    return {"service": {"name": "hooks", "namespace": "default", **more}}


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ({}, ": Required value: exactly one of url or service is required"),
        (
            {"url": "http://a/"},
            f".url: Invalid value: \"http\": 'https' is the only allowed URL scheme{FORM}",
        ),
        ({"url": "https:///x"}, f'.url: Invalid value: "": host must be specified{FORM}'),
        ({"url": "https://a:99999/"}, ".url: Required value: url must be a valid URL: "),
        (
            {"url": "https://me:pw@a/"},
            '.url: Invalid value: "me:pw": user information is not permitted in the URL',
        ),
        (
            {"url": "https://a/?b=c"},
            '.url: Invalid value: "b=c": query parameters are not permitted in the URL',
        ),
        (
            {"url": "https://a/#b"},
            '.url: Invalid value: "b": fragments are not permitted in the URL',
        ),
        (by_service(name=""), ".service.name: Required value: service name is required"),
        (
            by_service(port=0x10000),
            ".service.port: Invalid value: 65536: port is not valid: must be between 1 and 65535",
        ),
        (by_service(path="x"), ".service.path: Invalid value: \"x\": must start with a '/'"),
        (
            by_service(path="/a//b"),
            '.service.path: Invalid value: "/a//b": segment[1] may not be empty',
        ),
        (by_service(path="/A"), '.service.path: Invalid value: "/A": segment[0]: a lowercase RFC'),
    ],
)
async def test_where_a_webhook_is_must_be_told_well(
    world: World, client: Object, said: str
) -> None:
    error = await world.refusal("create", MUTATING, namespace="", body=configuration(hook(client)))
    assert error.code == 422
    assert f"webhooks[0].clientConfig{said}" in error.message
