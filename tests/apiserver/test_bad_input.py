"""Bad input: code, reason and words of a real API server, and nothing written."""

import pytest

from ekslab.kube.api.well_known import CONFIG_MAPS, DEPLOYMENTS, PODS
from tests.apiserver.test_objects import deployment
from tests.apiserver.world import World, pod


def changed(path: str, value):
    obj = pod()
    *parents, last = path.split(".")
    place = obj
    for name in parents:
        place = place[name]
    place[last] = value
    return obj


POD_CASES = [
    pytest.param(
        changed("metadata.name", "Web_1"),
        422,
        "Invalid",
        'Pod "Web_1" is invalid: metadata.name: Invalid value: "Web_1": a lowercase RFC 1123'
        " subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
        " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
        r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        id="name",
    ),
    pytest.param(
        changed("metadata.name", ""),
        422,
        "Invalid",
        'Pod "" is invalid: metadata.name: Required value: name or generateName is required',
        id="no name",
    ),
    pytest.param(
        changed("spec.containers", []),
        422,
        "Invalid",
        'Pod "web" is invalid: spec.containers: Required value',
        id="no containers",
    ),
    pytest.param(
        changed("spec.containers", "nginx"),
        400,
        "BadRequest",
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go'
        " struct field PodSpec.spec.containers of type []v1.Container",
        id="wrong type",
    ),
    pytest.param(
        changed("metadata.namespace", "other"),
        400,
        "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request",
        id="another namespace",
    ),
    pytest.param(
        changed("kind", "Service"),
        400,
        "BadRequest",
        'Service in version "v1" cannot be handled as a Pod: converting (Service) to (Pod):'
        " unknown conversion",
        id="another kind",
    ),
    pytest.param(
        changed("apiVersion", "v9"),
        400,
        "BadRequest",
        'Pod in version "v9" cannot be handled as a Pod: no kind "Pod" is registered for version'
        ' "v9" in scheme "pkg/api/legacyscheme/scheme.go:30"',
        id="unknown version",
    ),
    pytest.param(
        changed("metadata.resourceVersion", "5"),
        400,
        "BadRequest",
        "resourceVersion should not be set on objects to be created",
        id="resourceVersion",
    ),
]


@pytest.mark.parametrize(("body", "code", "reason", "message"), POD_CASES)
async def test_a_bad_pod_is_refused(world: World, body, code, reason, message):
    error = await world.refusal("create", PODS, body=body)
    assert (error.code, error.reason, error.message) == (code, reason, message)
    assert world.store.revision == 1


@pytest.mark.parametrize(
    ("mode", "code", "warnings"),
    [
        pytest.param("Ignore", 201, [], id="ignored"),
        pytest.param("Warn", 201, ['unknown field "spec.foo"', 'unknown field "bar"'], id="warned"),
        pytest.param("Strict", 400, [], id="refused"),
    ],
)
async def test_unknown_fields_in_each_mode(world: World, mode, code, warnings):
    body = changed("spec.foo", 1) | {"bar": 2}
    options = {"fieldValidation": mode}
    if code == 400:
        error = await world.refusal("create", PODS, body=body, options=options)
        assert error.message.startswith(
            'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field'
        )
        return
    answer = await world.ask("create", PODS, body=body, options=options)
    assert sorted(world.warnings) == sorted(warnings)
    assert answer.item is not None
    assert "foo" not in answer.item.object["spec"]
    assert "bar" not in answer.item.object


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"dryRun": "Some"},
            'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: "Some": supported'
            ' values: "All"',
            id="dryRun",
        ),
        pytest.param(
            {"fieldValidation": "Maybe"},
            'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Maybe":'
            ' supported values: "", "Ignore", "Strict", "Warn"',
            id="fieldValidation",
        ),
        pytest.param(
            {"fieldManager": "x" * 129},
            'CreateOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than'
            " 128 bytes",
            id="fieldManager",
        ),
    ],
)
async def test_bad_options_are_refused(world: World, options, message):
    error = await world.refusal("create", PODS, body=pod(), options=options)
    assert (error.code, error.message) == (422, message)
    assert world.store.revision == 1


async def test_a_selector_cannot_be_changed(world: World):
    created = await world.client().create(DEPLOYMENTS, deployment())
    spec = created["spec"] | {"selector": {"matchLabels": {"app": "other"}}}
    spec["template"] = {**spec["template"], "metadata": {"labels": {"app": "other"}}}
    error = await world.refusal("update", DEPLOYMENTS, name="web", body={**created, "spec": spec})
    assert error.code == 422
    assert "spec.selector" in error.message
    assert error.message.endswith("field is immutable")


@pytest.mark.parametrize(
    ("content_type", "body", "code", "message"),
    [
        pytest.param(
            "text/csv",
            b"a,b",
            415,
            "the body of the request was in an unknown format - accepted media types include:"
            " application/json-patch+json, application/merge-patch+json,"
            " application/strategic-merge-patch+json, application/apply-patch+yaml",
            id="unknown type",
        ),
        pytest.param(
            "application/json-patch+json",
            b'[{"op":"remove","path":"/data/none"}]',
            422,
            "the server rejected our request due to an error in our request",
            id="no such path",
        ),
    ],
)
async def test_bad_patches_are_refused(world: World, content_type, body, code, message):
    await world.ask("create", CONFIG_MAPS, body={"metadata": {"name": "c"}, "data": {"a": "b"}})
    revision = world.store.revision
    error = await world.refusal(
        "patch", CONFIG_MAPS, name="c", body=body, content_type=content_type
    )
    assert (error.code, error.message) == (code, message)
    assert world.store.revision == revision


async def test_an_unknown_verb_of_a_subresource_is_not_allowed(world: World):
    error = await world.refusal("delete", PODS, name="web", subresource="status")
    assert error.code == 405
    assert (await world.refusal("get", PODS, name="web", subresource="nothing")).code == 404


async def test_an_object_too_large_for_etcd_is_refused_and_changes_nothing(world: World) -> None:
    before = (await world.ask("create", DEPLOYMENTS, body=deployment())).item
    assert before is not None
    large = deployment()
    large["spec"]["template"]["spec"]["containers"][0]["args"] = ["x" * 1_000] * 1_600
    refused = await world.refusal("update", DEPLOYMENTS, name=before.name, body=large)
    assert (refused.code, refused.message) == (413, "etcdserver: request is too large")
    assert (await world.ask("get", DEPLOYMENTS, name=before.name)).item is before
    large["metadata"]["name"] = "large"
    assert (await world.refusal("create", DEPLOYMENTS, body=large)).code == 413
    assert (await world.refusal("get", DEPLOYMENTS, name="large")).code == 404


async def test_a_body_full_of_errors_is_answered_with_a_thousand_of_them(world: World) -> None:
    labels = {f"-bad {number}": "x" for number in range(3_000)}
    for metadata in ({"labels": labels}, {"annotations": labels}, {"finalizers": [*labels]}):
        obj = pod()
        obj["metadata"].update(metadata)
        refused = await world.refusal("create", PODS, body=obj)
        assert (refused.code, refused.reason) == (422, "Invalid")
        assert len((refused.details or {})["causes"]) == 1_000
