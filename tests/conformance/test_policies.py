"""Policies and conditions in CEL."""

import pytest

from tests.conformance.api import Api, Object, refused
from tests.conformance.objects import workload

conformance = pytest.mark.conformance

ADMISSION = "admissionregistration.k8s.io/v1"


def bind(api: Api, namespace: str, resource: tuple[str, str], **spec: object) -> None:
    """A policy for deployments or the like of one namespace, and its binding."""
    group, plural = resource
    rule = {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": [plural],
    }
    only = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    policy = {
        "metadata": {"name": f"policy-{namespace}"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule], "namespaceSelector": only},
            **spec,
        },
    }
    bound = {
        "metadata": {"name": f"binding-{namespace}"},
        "spec": {"policyName": f"policy-{namespace}", "validationActions": ["Deny"]},
    }
    api.at(ADMISSION, "validatingadmissionpolicies").create(policy)
    api.at(ADMISSION, "validatingadmissionpolicybindings").create(bound)


@conformance("vap-deployment")
def test_a_policy_refuses_a_deployment_that_breaks_its_rule(api: Api, namespace: str) -> None:
    rule = {
        "expression": "object.spec.replicas > 1",
        "messageExpression": "'wants more than ' + string(object.spec.replicas)",
    }
    bind(api, namespace, ("apps", "deployments"), validations=[rule])
    deployments = api.at("apps/v1", "deployments", namespace)
    status = refused(lambda: deployments.create(workload("one", replicas=1)))
    assert status["code"] == 422
    assert status["message"] == (
        f"deployments.apps \"one\" is forbidden: ValidatingAdmissionPolicy 'policy-{namespace}'"
        f" with binding 'binding-{namespace}' denied request: wants more than 1"
    )
    deployments.create(workload("two", replicas=2))


@conformance("vap-variables")
def test_rules_of_a_policy_refer_to_its_variables(api: Api, namespace: str) -> None:
    variables = [
        {"name": "replicas", "expression": "object.spec.replicas"},
        {"name": "isOdd", "expression": "variables.replicas % 2 == 1"},
    ]
    rules = [
        {"expression": "variables.replicas > 1"},
        {"expression": "variables.isOdd", "message": "must be odd"},
    ]
    bind(api, namespace, ("apps", "deployments"), variables=variables, validations=rules)
    deployments = api.at("apps/v1", "deployments", namespace)
    status = refused(lambda: deployments.create(workload("two", replicas=2)))
    assert status["message"].endswith("denied request: must be odd")
    status = refused(lambda: deployments.create(workload("one", replicas=1)))
    assert status["message"].endswith("failed expression: variables.replicas > 1")
    deployments.create(workload("three", replicas=3))


@pytest.mark.parametrize(
    "plural",
    [
        pytest.param(
            "mutatingwebhookconfigurations",
            marks=conformance("webhook-matchcond-invalid-mutating"),
        ),
        pytest.param(
            "validatingwebhookconfigurations",
            marks=conformance("webhook-matchcond-invalid-validating"),
        ),
    ],
)
def test_a_condition_that_does_not_compile_is_refused(api: Api, plural: str) -> None:
    wrong = {"name": "wrong", "expression": "... [] bad expression"}
    hook: Object = {
        "name": "wrong.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [],
        "matchConditions": [wrong],
    }
    made = {"metadata": {"name": "wrong"}, "webhooks": [hook]}
    status = refused(lambda: api.at(ADMISSION, plural).create(made))
    assert status["code"] == 422
    assert "compilation failed" in status["message"]
