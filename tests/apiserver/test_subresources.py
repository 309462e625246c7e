"""The doors beside the front door: scale, binding, eviction, logs, tokens, reviews."""

import asyncio

import pytest

from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kube.api.requests import UserInfo
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICE_ACCOUNTS,
)
from ekslab.kube.apiserver.admission import default_plugins
from ekslab.kube.auth.authorizers import MastersAuthorizer
from tests.apiserver.test_objects import deployment
from tests.apiserver.world import World, labelled, pod

JANE = UserInfo("jane", ("developers", "system:authenticated"), extra={"a": ("b",)})


async def test_a_scale_shows_and_sets_the_replicas(world: World):
    client = world.client()
    created = await client.create(DEPLOYMENTS, deployment())
    scale = await client.get(DEPLOYMENTS, "web", "default", subresource="scale")
    assert scale["kind"] == "Scale"
    assert scale["spec"] == {"replicas": 1}
    assert scale["status"] == {"replicas": 0, "selector": "app=web"}
    assert scale["metadata"]["uid"] == created["metadata"]["uid"]
    scaled = await client.update(
        DEPLOYMENTS, {**scale, "spec": {"replicas": 4}}, subresource="scale"
    )
    assert scaled["spec"] == {"replicas": 4}
    patched = await client.patch(
        DEPLOYMENTS, "web", "default", patch={"spec": {"replicas": 0}}, subresource="scale"
    )
    assert patched["spec"] == {}
    assert (await client.get(DEPLOYMENTS, "web", "default"))["metadata"]["generation"] == 3
    error = await world.refusal(
        "update", DEPLOYMENTS, name="web", subresource="scale",
        body={"metadata": {"name": "web"}, "spec": {"replicas": -1}},
    )  # fmt: skip
    assert (error.code, error.message) == (
        422,
        (
            'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater'
            " than or equal to 0"
        ),
    )


async def bind(world: World, **target: str):
    body = {"metadata": {"name": "web"}, "target": {"kind": "Node", **target}}
    return await world.ask("create", PODS, name="web", subresource="binding", body=body)


async def test_a_pod_is_bound_once(world: World):
    client = world.client()
    await client.create(PODS, pod())
    answer = await bind(world, name="n1")
    assert (answer.code, answer.obj["status"]) == (201, "Success")
    bound = await client.get(PODS, "web", "default")
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][-1]["type"] == "PodScheduled"
    on_n1 = await client.list(PODS, field_selector="spec.nodeName=n1")
    assert len(on_n1.items) == 1
    again = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n2"}}
    error = await world.refusal("create", PODS, name="web", subresource="binding", body=again)
    assert (error.code, error.message) == (
        409,
        (
            'Operation cannot be fulfilled on pods/binding "web": pod web is already assigned to'
            ' node "n1"'
        ),
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        pytest.param({}, 'Binding "web" is invalid: target.name: Required value', id="no name"),
        pytest.param(
            {"kind": "Zone", "name": "z"},
            'Binding "web" is invalid: target.kind: Unsupported value: "Zone": supported values:'
            ' "Node", "<empty>"',
            id="kind",
        ),
    ],
)
async def test_a_binding_needs_a_node(world: World, target, message):
    await world.client().create(PODS, pod())
    body = {"metadata": {"name": "web"}, "target": {"kind": "Node", **target}}
    error = await world.refusal("create", PODS, name="web", subresource="binding", body=body)
    assert (error.code, error.message) == (422, message)


async def evict(world: World):
    return await world.ask(
        "create", PODS, name="web", subresource="eviction", body={"metadata": {"name": "web"}}
    )


async def budget(world: World, allowed: int):
    obj = {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    client = world.client()
    created = await client.create(POD_DISRUPTION_BUDGETS, obj)
    status = {
        "disruptionsAllowed": allowed,
        "observedGeneration": created["metadata"].get("generation", 0),
        "currentHealthy": 1,
        "desiredHealthy": 1,
        "expectedPods": 1,
    }
    await client.update(POD_DISRUPTION_BUDGETS, {**created, "status": status}, subresource="status")


async def running_pod(world: World):
    client = world.client()
    created = await client.create(PODS, labelled(pod(nodeName="n1"), app="web"))
    conditions = [{"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "conditions": conditions}
    await client.update(PODS, {**created, "status": status}, subresource="status")


async def test_an_eviction_takes_a_disruption_from_the_budget(world: World):
    await running_pod(world)
    await budget(world, 1)
    answer = await evict(world)
    assert answer.code == 201
    left = await world.client().get(POD_DISRUPTION_BUDGETS, "b", "default")
    assert left["status"]["disruptionsAllowed"] == 0
    assert list(left["status"]["disruptedPods"]) == ["web"]
    going = await world.client().get(PODS, "web", "default")
    assert going["metadata"]["deletionGracePeriodSeconds"] == 30
    assert going["status"]["conditions"][-1]["reason"] == "EvictionByEvictionAPI"


async def test_an_eviction_over_the_budget_has_to_wait(world: World):
    await running_pod(world)
    await budget(world, 0)
    error = await world.refusal(
        "create", PODS, name="web", subresource="eviction", body={"metadata": {"name": "web"}}
    )
    assert (error.code, error.reason) == (429, "TooManyRequests")
    assert error.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert error.details is not None
    assert error.details["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget b needs 1 healthy pods and has 1 currently",
        }
    ]
    assert "deletionTimestamp" not in (await world.client().get(PODS, "web", "default"))["metadata"]


async def test_logs_come_from_the_node(world: World):
    await world.client().create(PODS, pod(nodeName="n1"))
    answer = await world.ask(
        "get", PODS, name="web", subresource="log", options={"tailLines": "5", "follow": "true"}
    )
    assert answer.stream is not None
    assert [piece async for piece in answer.stream] == [b"one\n", b"two\n"]
    asked = world.nodes.asked[0]
    assert (asked.container, asked.tail_lines, asked.follow) == ("main", 5, True)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        pytest.param(
            {},
            400,
            "a container name must be specified for pod web, choose one of: [a b] or one of the"
            " init containers: [i]",
            id="which",
        ),
        pytest.param({"container": "x"}, 400, "container x is not valid for pod web", id="unknown"),
        pytest.param(
            {"container": "a", "tailLines": "-1"},
            422,
            'PodLogOptions "web" is invalid: tailLines: Invalid value: -1: must be greater than or'
            " equal to 0",
            id="tail",
        ),
    ],
)
async def test_bad_log_requests_are_refused(world: World, options, code, message):
    containers = [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]
    obj = pod(nodeName="n1", initContainers=[{"name": "i", "image": "x"}])
    obj["spec"]["containers"] = containers
    await world.client().create(PODS, obj)
    error = await world.refusal("get", PODS, name="web", subresource="log", options=options)
    assert (error.code, error.message) == (code, message)


async def test_a_token_is_issued_by_whoever_signs(world: World):
    body = {"spec": {"audiences": ["x"]}}
    answer = await world.ask(
        "create", SERVICE_ACCOUNTS, name="default", subresource="token", body=body
    )
    assert answer.obj["status"]["token"] == "default/default"


def review(plural: str, group: str = "authorization.k8s.io") -> Resource:
    return Resource(group, "v1", plural)


async def test_access_reviews_say_what_the_authorizer_says(world: World):
    await world.bootstrap()
    spec = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
    mine = await world.ask(
        "create", review("selfsubjectaccessreviews"), namespace="", body={"spec": spec}, user=JANE
    )
    assert mine.obj["status"]["allowed"] is False
    body = {"spec": {**spec, "user": "root", "groups": ["system:masters"]}}
    other = await world.ask("create", review("subjectaccessreviews"), namespace="", body=body)
    assert other.obj["status"]["allowed"] is True
    rules = await world.ask(
        "create",
        review("selfsubjectrulesreviews"),
        namespace="",
        body={"spec": {"namespace": "default"}},
        user=JANE,
    )
    paths = [url for rule in rules.obj["status"]["nonResourceRules"]
             for url in rule["nonResourceURLs"]]  # fmt: skip
    assert "/version" in paths


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"resourceAttributes": {}},
            'SubjectAccessReview.authorization.k8s.io "" is invalid: spec.user: Invalid value: "":'
            " at least one of user or group must be specified",
            id="nobody",
        ),
        pytest.param(
            {"user": "u"},
            'SubjectAccessReview.authorization.k8s.io "" is invalid: spec.resourceAttributes:'
            " Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must"
            " be specified",
            id="nothing",
        ),
    ],
)
async def test_bad_access_reviews_are_refused(world: World, spec, message):
    error = await world.refusal(
        "create", review("subjectaccessreviews"), namespace="", body={"spec": spec}
    )
    assert (error.code, error.message) == (422, message)


async def test_whoami(world: World):
    await world.bootstrap()
    answer = await world.ask(
        "create",
        review("selfsubjectreviews", "authentication.k8s.io"),
        namespace="",
        body={},
        user=JANE,
    )
    assert answer.obj["status"]["userInfo"] == {
        "username": "jane",
        "groups": ["developers", "system:authenticated"],
        "extra": {"a": ["b"]},
    }


async def test_an_unknown_token_is_reviewed_as_such(world: World):
    answer = await world.ask(
        "create",
        review("tokenreviews", "authentication.k8s.io"),
        namespace="",
        body={"spec": {"token": "nonsense"}},
    )
    assert answer.obj["status"] == {"user": {}, "error": "[invalid bearer token, unknown]"}


async def test_bootstrap_can_be_repeated_and_holds_what_upstream_makes(world: World):
    await world.bootstrap()
    revision = world.store.revision
    await world.bootstrap()
    assert world.store.revision == revision
    client = world.client()
    service = await client.get(Resource("", "v1", "services"), "kubernetes", "default")
    assert service["spec"]["clusterIP"] == "10.100.0.1"
    classes = await client.list(Resource("scheduling.k8s.io", "v1", "priorityclasses"))
    assert [item.name for item in classes.items] == [
        "system-cluster-critical",
        "system-node-critical",
    ]


async def test_the_default_plugins_admit_a_pod_into_a_namespace_that_is_there():
    world = World(asyncio.get_running_loop())
    plugins = default_plugins(
        world.server.lister,
        world.clock,
        Ids(Rng(3)),
        authorizer=MastersAuthorizer(),
        store=world.store,
    )
    admitting = World(asyncio.get_running_loop(), admission=plugins)
    error = await admitting.refusal("create", PODS, body=pod(namespace="nope"), namespace="nope")
    assert (error.code, error.message) == (404, 'namespaces "nope" not found')


@pytest.mark.parametrize("verb", ["get", "create"])
@pytest.mark.parametrize("name", ["exec", "attach", "portforward"])
async def test_doors_into_a_pod_show_nothing_of_it(world: World, name: str, verb: str) -> None:
    """Who may only exec does not read the pod by it."""
    await world.ask("create", PODS, body=pod())
    refused = await world.refusal(verb, PODS, name="web", subresource=name)
    assert refused.code == 400


@pytest.mark.parametrize("name", ["exec", "attach"])
async def test_a_pod_without_a_node_runs_no_commands(world: World, name: str) -> None:
    await world.ask("create", PODS, body=pod())
    refused = await world.refusal("create", PODS, name="web", subresource=name)
    assert (refused.code, refused.reason) == (400, "BadRequest")
    assert refused.message == "pod web does not have a host assigned"
