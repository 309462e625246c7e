"""Webhooks that cannot be called, or answer nonsense, and what their failure policy makes of it."""

import base64
import json
from typing import Any

import pytest

from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import CONFIG_MAPS, ENDPOINT_SLICES, SERVICES
from ekslab.kube.apiserver.admission.webhooks.services import resolve
from tests.apiserver.world import World, config_map
from tests.fakes.lister import FakeLister
from tests.webhooks.hooks import (
    HANGS,
    MUTATING,
    VALIDATING,
    HookServer,
    Object,
    add,
    allow,
    configuration,
    hook,
    patch,
    rule,
)

NAME = "hook.example.com"
FAILED = f'Internal error occurred: failed calling webhook "{NAME}": '


async def failure(world: World, one: Object, kind: Resource = VALIDATING) -> str:
    """What a create says that a webhook fails, behind `failed calling webhook "...": `."""
    await world.ask("create", kind, namespace="", body=configuration(one))
    error = await world.refusal("create", CONFIG_MAPS, body=config_map())
    assert (error.code, error.reason) == (500, "InternalError")
    assert error.message.startswith(FAILED), error.message
    return error.message.removeprefix(FAILED)


async def test_nobody_listens(world: World, hooks: HookServer) -> None:
    client = {"url": "https://127.0.0.1:1/x", "caBundle": hooks.bundle}
    assert await failure(world, hook(client)) == (
        'failed to call webhook: Post "https://127.0.0.1:1/x?timeout=10s": dial tcp 127.0.0.1:1:'
        " connect: connection refused"
    )


async def test_it_takes_too_long(world: World, hooks: HookServer) -> None:
    one = hook(hooks.at("/x", HANGS), timeoutSeconds=1)
    assert await failure(world, one) == (
        f'failed to call webhook: Post "https://127.0.0.1:{hooks.port}/x?timeout=1s":'
        " context deadline exceeded"
    )


async def test_its_certificate_is_of_nobody_we_trust(world: World, hooks: HookServer) -> None:
    client = hooks.at("/x", allow)
    del client["caBundle"]
    assert (await failure(world, hook(client))).endswith(
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )


async def test_the_bundle_holds_no_certificate(world: World, hooks: HookServer) -> None:
    client = {**hooks.at("/x", allow), "caBundle": base64.b64encode(b"nothing").decode()}
    assert await failure(world, hook(client)) == (
        "could not get REST client: unable to load root certificates: unable to parse bytes as PEM"
        " block"
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (404, "the server could not find the requested resource"),
        (503, "the server is currently unable to handle the request"),
        (500, 'an error on the server ("no") has prevented the request from succeeding'),
    ],
)
async def test_it_answers_with_an_error(
    world: World, hooks: HookServer, code: int, said: str
) -> None:
    one = hook(hooks.at("/x", code))
    assert await failure(world, one) == f"failed to call webhook: {said}"


def review(**response: Any) -> bytes:
    return json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
    ).encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"{}", "webhook response was absent"),
        (b"[]", "json parse error"),
        (b"<html>", "json parse error"),
        (review(uid="other", allowed=True), 'expected response.uid="'),
        (b'{"response": {"allowed": true}}', 'expected response.uid="'),
    ],
)
async def test_its_answer_is_no_review(
    world: World, hooks: HookServer, answer: bytes, said: str
) -> None:
    message = await failure(world, hook(hooks.at("/x", answer)))
    assert message.startswith("received invalid webhook response: ")
    assert said in message


@pytest.mark.parametrize(
    ("kind", "response", "said"),
    [
        (
            VALIDATING,
            {"allowed": True, "patch": "W10=", "patchType": "JSONPatch"},
            "validating webhook may not return response.patch",
        ),
        (
            MUTATING,
            {"allowed": True, "patch": "W10="},
            "webhook returned response.patch but not response.patchType",
        ),
        (
            MUTATING,
            {"allowed": True, "patchType": "JSONPatch"},
            "webhook returned response.patchType but not response.patch",
        ),
    ],
)
async def test_its_answer_has_a_patch_it_must_not_have(
    world: World, hooks: HookServer, kind: Resource, response: Object, said: str
) -> None:
    one = hook(hooks.at("/x", lambda _: response))
    assert await failure(world, one, kind) == f"received invalid webhook response: {said}"


@pytest.mark.parametrize(
    "operations",
    [
        [add("/nowhere/at/all", 1)],
        [{"op": "fly", "path": "/data"}],
        [add("/data", "no map")],
        ["no operation"],
    ],
)
async def test_a_patch_that_does_not_fit_is_an_error(
    world: World, hooks: HookServer, operations: list[Any]
) -> None:
    one = hook(hooks.at("/x", patch(*operations)), failurePolicy="Ignore")
    await world.ask("create", MUTATING, namespace="", body=configuration(one))
    error = await world.refusal("create", CONFIG_MAPS, body=config_map())
    assert (error.code, error.reason) == (500, "InternalError")
    assert (await world.refusal("get", CONFIG_MAPS, name="settings")).code == 404


async def test_a_deletion_cannot_be_patched(world: World, hooks: HookServer) -> None:
    await world.ask("create", CONFIG_MAPS, body=config_map())
    one = hook(hooks.at("/x", patch(add("/data", {}))), rule("configmaps", "DELETE"))
    await world.ask("create", MUTATING, namespace="", body=configuration(one))
    error = await world.refusal("delete", CONFIG_MAPS, name="settings")
    assert error.message == (
        f'Internal error occurred: admission webhook "{NAME}" attempted to modify the object,'
        " which is not supported for this operation"
    )


@pytest.mark.parametrize("kind", [MUTATING, VALIDATING])
async def test_who_ignores_failures_lets_requests_through(
    world: World, hooks: HookServer, kind: Resource
) -> None:
    client = {"url": "https://127.0.0.1:1/x", "caBundle": hooks.bundle}
    one = hook(client, failurePolicy="Ignore")
    await world.ask("create", kind, namespace="", body=configuration(one))
    await world.ask("create", CONFIG_MAPS, body=config_map())


# References to Services


def service(**more: Any) -> Object:
    spec = {"ports": [{"port": 443, "targetPort": 8443}], **more}
    return {"metadata": {"name": "hooks", "namespace": "default"}, "spec": spec}


def slice_of(address: str, port: int, **labels: str) -> Object:
    return {
        "metadata": {
            "name": "hooks-1",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "hooks", **labels},
        },
        "addressType": "IPv4",
        "ports": [{"port": port}],
        "endpoints": [{"addresses": [address]}],
    }


def by_service(hooks: HookServer, **more: Any) -> Object:
    reference = {"name": "hooks", "namespace": "default", "path": "/x", **more}
    return {"service": reference, "caBundle": hooks.bundle}


POST = 'failed to call webhook: Post "https://hooks.default.svc:443/x?timeout=10s": '


async def test_the_service_is_not_there(world: World, hooks: HookServer) -> None:
    one = hook(by_service(hooks))
    assert await failure(world, one) == POST + 'service "hooks" not found'


async def test_the_service_has_no_such_port(world: World, hooks: HookServer) -> None:
    await world.ask("create", SERVICES, body=service(ports=[{"port": 80}]))
    one = hook(by_service(hooks))
    assert await failure(world, one) == POST + 'no service port 443 found for service "hooks"'


async def test_nobody_is_behind_the_service(world: World, hooks: HookServer) -> None:
    await world.ask("create", SERVICES, body=service())
    one = hook(by_service(hooks))
    assert await failure(world, one) == POST + 'no endpoints available for service "hooks"'


async def test_a_simulated_pod_is_behind_the_service(world: World, hooks: HookServer) -> None:
    await world.ask("create", SERVICES, body=service())
    made_by = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    await world.ask("create", ENDPOINT_SLICES, body=slice_of("10.128.0.7", 8443, **made_by))
    one = hook(by_service(hooks))
    assert await failure(world, one) == (
        POST + "dial tcp 10.128.0.7:8443: connect: no route to host"
    )


def test_a_program_on_this_machine_is_behind_the_service() -> None:
    """Written by hand or not: an address of this machine is called."""
    made_by = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    for labels in {}, made_by:
        there = slice_of("127.0.0.1", 8443, **labels)
        lister = FakeLister({"kind": "Service", **service()}, {"kind": "EndpointSlice", **there})
        assert resolve(lister, "default", "hooks", 443) == ("127.0.0.1", 8443)


async def test_the_service_stands_for_a_name_of_this_machine(
    world: World, hooks: HookServer
) -> None:
    hooks.at("/x", allow)
    external = {"type": "ExternalName", "externalName": "localhost", "ports": []}
    await world.ask("create", SERVICES, body=service(**external))
    body = configuration(hook(by_service(hooks, port=hooks.port)))
    await world.ask("create", VALIDATING, namespace="", body=body)
    await world.ask("create", CONFIG_MAPS, body=config_map())
    assert hooks.paths == ["/x?timeout=10s"]
