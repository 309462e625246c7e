"""Policies in CEL, through the server's own pipeline."""

import asyncio

import pytest

from ekslab.kube.api.ports import Decision, Verdict
from ekslab.kube.api.requests import UserInfo
from ekslab.kube.api.resources import Resource
from ekslab.kube.apiserver.admission.policies.plugin import (
    BINDINGS,
    POLICIES,
    ValidatingAdmissionPolicies,
)
from ekslab.kube.apiserver.lister import StoreLister
from tests.apiserver.world import World

CONFIG_MAPS = Resource("", "v1", "configmaps")
NAMESPACES = Resource("", "v1", "namespaces")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
API = "admissionregistration.k8s.io/v1"


class OnlyGets:
    """Allows getting, refuses everything else."""

    def authorize(self, attributes):
        allowed = attributes.verb == "get"
        return Verdict(Decision.ALLOW if allowed else Decision.DENY, "because")


class LateLister:
    """The lister of a server that is made after its plugins."""

    def __init__(self):
        self.lister = None

    def __getattr__(self, name):
        return getattr(self.lister, name)


@pytest.fixture
async def world():
    lister = LateLister()
    plugin = ValidatingAdmissionPolicies(lister, OnlyGets())
    made = World(asyncio.get_running_loop(), admission=[plugin])
    lister.lister = StoreLister(made.store)
    await made.bootstrap()
    return made


def policy(*validations, resources=("configmaps",), name="p", **spec):
    rule = {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "operations": ["*"],
        "resources": list(resources),
    }
    constraints = {"resourceRules": [rule], **spec.pop("constraints", {})}
    return {
        "apiVersion": API,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {"matchConstraints": constraints, "validations": list(validations), **spec},
    }


def binding(*actions, name="b", policy_name="p", **spec):
    return {
        "apiVersion": API,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": policy_name,
            "validationActions": list(actions or ("Deny",)),
            **spec,
        },
    }


def config_map(name="m", labels=None, **data):
    meta = {"name": name, "namespace": "default", **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


async def bind(world, made_policy, made_binding=None):
    await world.ask("create", POLICIES, body=made_policy, namespace="")
    await world.ask("create", BINDINGS, body=made_binding or binding(), namespace="")


async def refused(world, obj, resource=CONFIG_MAPS):
    return await world.refusal("create", resource, body=obj)


async def admitted(world, obj, resource=CONFIG_MAPS):
    return await world.ask("create", resource, body=obj)


async def test_a_bound_policy_refuses_a_deployment_that_breaks_it_and_admits_one_that_holds(world):
    rule = {"expression": "object.spec.replicas > 1", "messageExpression": "'too few replicas'"}
    await bind(world, policy(rule, resources=["deployments"]))

    def deployment(replicas):
        labels = {"app": "web"}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"web-{replicas}", "namespace": "default"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "c", "image": "i"}]},
                },
            },
        }

    error = await refused(world, deployment(1), DEPLOYMENTS)
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.message == (
        "deployments.apps \"web-1\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b'"
        " denied request: too few replicas"
    )
    await admitted(world, deployment(2), DEPLOYMENTS)


async def test_validations_refer_to_variables_that_are_computed_from_the_object(world):
    variables = [
        {"name": "size", "expression": "object.data.size()"},
        {"name": "large", "expression": "variables.size > 1"},
    ]
    await bind(world, policy({"expression": "!variables.large"}, variables=variables))
    await admitted(world, config_map(a="1"))
    error = await refused(world, config_map("n", a="1", b="2"))
    assert error.message.endswith("denied request: failed expression: !variables.large")


async def test_policies_and_bindings_are_defaulted_and_have_all_verbs(world):
    made = (
        await world.ask("create", POLICIES, body=policy({"expression": "true"}), namespace="")
    ).item
    spec = made.object["spec"]
    assert (spec["failurePolicy"], spec["matchConstraints"]["matchPolicy"]) == (
        "Fail",
        "Equivalent",
    )
    assert spec["matchConstraints"]["resourceRules"][0]["scope"] == "*"
    await world.ask("create", BINDINGS, body=binding(), namespace="")
    for resource in (POLICIES, BINDINGS):
        verbs = set(world.server.registry.find(resource).info.verbs)
        assert verbs >= {
            "create", "get", "list", "watch", "update", "patch", "delete", "deletecollection",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("validation", "wanted"),
    [
        ({"expression": "foo"}, "compilation failed: ERROR: <input>:1:1: undeclared reference"),
        ({"expression": "1"}, "must evaluate to bool but got int"),
        ({"expression": ""}, "spec.validations[0].expression: Required value"),
        ({"expression": "params.a"}, "undeclared reference to 'params'"),
        ({"expression": "request.nope == ''"}, "undefined field 'nope'"),
        ({"expression": "true", "messageExpression": "1"}, "must evaluate to string but got int"),
        ({"expression": "true", "reason": "No"}, 'Unsupported value: "No": supported values: '),
        ({"expression": "true", "message": "a\nb"}, "message must not contain line breaks"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_wrong_expression_is_refused_when_the_policy_is_written(world, validation, wanted):
    error = await world.refusal("create", POLICIES, body=policy(validation), namespace="")
    assert error.code == 422
    assert wanted in error.message


async def test_a_warning_admits_and_says_so(world):
    await bind(world, policy({"expression": "false", "message": "never"}), binding("Warn", "Audit"))
    await admitted(world, config_map())
    assert world.warnings == [
        "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': never"
    ]


@pytest.mark.parametrize("failure_policy", ["Fail", "Ignore"])
async def test_an_expression_that_fails_refuses_unless_failures_are_ignored(world, failure_policy):
    broken = policy({"expression": "object.data.nope == 'x'"}, failurePolicy=failure_policy)
    await bind(world, broken)
    if failure_policy == "Ignore":
        await admitted(world, config_map(a="1"))
        return
    error = await refused(world, config_map(a="1"))
    assert error.message.endswith(
        "expression 'object.data.nope == 'x'' resulted in error: no such key: nope"
    )


async def test_match_conditions_and_selectors_say_whom_a_policy_is_about(world):
    never = {"expression": "false"}
    conditions = [{"name": "not-skipped", "expression": "object.metadata.name != 'skip-me'"}]
    selector = {"objectSelector": {"matchLabels": {"checked": "yes"}}}
    await bind(world, policy(never, matchConditions=conditions, constraints=selector))
    labels = {"checked": "yes"}
    await admitted(world, config_map("skip-me", labels=labels))
    await admitted(world, config_map("without-label"))
    await refused(world, config_map("m", labels=labels))


async def test_a_binding_narrows_by_namespace(world):
    where = {"namespaceSelector": {"matchLabels": {"env": "prod"}}}
    await bind(world, policy({"expression": "false"}), binding(matchResources=where))
    await admitted(world, config_map())
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}}
    space["metadata"]["labels"] = {"env": "prod"}
    await world.ask("create", NAMESPACES, body=space, namespace="")
    obj = config_map()
    obj["metadata"]["namespace"] = "prod"
    await world.refusal("create", CONFIG_MAPS, body=obj, namespace="prod")


async def test_parameters_are_seen_and_missing_ones_refuse_if_so_wanted(world):
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    rule = {"expression": "object.data.size() <= int(params.data.most)"}
    conditions = [{"name": "c", "expression": "object.metadata.name != 'limits'"}]
    ref = {"name": "limits", "parameterNotFoundAction": "Deny"}
    made = policy(rule, paramKind=kind, matchConditions=conditions)
    await bind(world, made, binding(paramRef=ref))
    error = await refused(world, config_map(a="1"))
    assert error.message.endswith(
        "failed to configure binding: no params found for policy binding with `Deny`"
        " parameterNotFoundAction"
    )
    await world.ask("delete", BINDINGS, name="b", namespace="")
    await admitted(world, config_map("limits", most="1"))
    await world.ask("create", BINDINGS, body=binding(paramRef=ref), namespace="")
    await admitted(world, config_map("one", a="1"))
    await refused(world, config_map("two", a="1", b="2"))


async def test_expressions_see_the_request_the_namespace_and_the_authorizer(world):
    checks = (
        "request.operation == 'CREATE' && request.userInfo.username == 'jane'",
        "namespaceObject.metadata.name == 'default'",
        "authorizer.group('').resource('pods').namespace('x').check('get').allowed()",
        "!authorizer.requestResource.check('delete').allowed()",
        "oldObject == null && request.resource.resource == 'configmaps'",
    )
    await bind(world, policy(*({"expression": text} for text in checks)))
    jane = UserInfo("jane", ("system:masters",))
    await world.ask("create", CONFIG_MAPS, body=config_map(), user=jane)


async def test_a_reason_decides_the_code(world):
    await bind(world, policy({"expression": "false", "reason": "Forbidden"}))
    error = await refused(world, config_map())
    assert (error.code, error.reason) == (403, "Forbidden")


async def test_policies_are_not_asked_about_policies(world):
    await bind(world, policy({"expression": "false"}, resources=["*"]))
    await world.ask("delete", POLICIES, name="p", namespace="")
    await admitted(world, config_map())


async def test_a_binding_needs_actions_that_make_sense(world):
    error = await world.refusal("create", BINDINGS, body=binding("Deny", "Warn"), namespace="")
    assert "must not contain both Deny and Warn" in error.message


async def test_expressions_that_cost_too_much_refuse(world):
    dear = "object.data.all(k, object.data.all(l, object.data.all(m, k + l + m != '')))"
    await bind(world, policy({"expression": dear}))
    error = await refused(world, config_map(**{f"k{index}": "v" for index in range(60)}))
    assert error.message.endswith("actual cost limit exceeded")


def webhooks(kind, *conditions):
    webhook = {
        "name": "check.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": policy()["spec"]["matchConstraints"]["resourceRules"],
        "matchConditions": list(conditions),
    }
    return {"apiVersion": API, "kind": kind, "metadata": {"name": "w"}, "webhooks": [webhook]}


@pytest.mark.parametrize("kind", ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"])
async def test_a_webhook_with_a_condition_that_does_not_compile_is_refused(world, kind):
    resource = Resource("admissionregistration.k8s.io", "v1", kind.lower() + "s")
    wrong = {"name": "wrong", "expression": "... [] bad expression"}
    error = await world.refusal("create", resource, body=webhooks(kind, wrong), namespace="")
    assert error.code == 422
    assert "webhooks[0].matchConditions[0].expression: Invalid value:" in error.message
    assert "compilation failed" in error.message


@pytest.mark.parametrize("kind", ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"])
async def test_match_conditions_of_webhooks_are_kept_as_sent_and_replaced(world, kind):
    resource = Resource("admissionregistration.k8s.io", "v1", kind.lower() + "s")
    first = {"name": "first", "expression": "object.metadata.namespace == 'a'"}
    second = {"name": "second", "expression": "true"}
    client = world.client()
    made = await client.create(resource, webhooks(kind, first))
    assert made["webhooks"][0]["matchConditions"] == [first]
    await client.update(resource, webhooks(kind, second) | {"metadata": dict(made["metadata"])})
    kept = await client.get(resource, "w")
    assert kept["webhooks"][0]["matchConditions"] == [second]
