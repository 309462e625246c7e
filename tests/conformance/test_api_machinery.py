"""Discovery, verbs, field validation, namespaces, quotas."""

import pytest

from tests.conformance.api import JSON_PATCH, Api, Object, refused
from tests.conformance.kubectl import Kubectl
from tests.conformance.verbs import (
    changed,
    discovered,
    keeps_status,
    labelled,
    part_of,
    takes_all_verbs,
)

conformance = pytest.mark.conformance

ADMISSION = "admissionregistration.k8s.io/v1"
EXTENSIONS = "apiextensions.k8s.io/v1"
FLOW = "flowcontrol.apiserver.k8s.io/v1"


# Discovery


@conformance("discovery-group-resources")
def test_every_group_version_has_resources_that_can_be_used(api: Api) -> None:
    for group in api.do("GET", "/apis")["groups"]:
        for version in group["versions"]:
            listed = api.do("GET", f"/apis/{version['groupVersion']}")
            assert listed["kind"] == "APIResourceList"
            assert listed["groupVersion"] == version["groupVersion"]
            assert any(one["verbs"] for one in listed["resources"]), version


@conformance("discovery-preferred-version")
def test_every_group_prefers_one_of_its_own_versions(api: Api) -> None:
    for group in api.do("GET", "/apis")["groups"]:
        assert group["preferredVersion"] in group["versions"]
        assert api.do("GET", f"/apis/{group['name']}")["preferredVersion"] in group["versions"]


@conformance("aggregated-discovery-accept")
@pytest.mark.parametrize("root", ["/api", "/apis"])
def test_one_document_lists_every_resource_of_every_version(api: Api, root: str) -> None:
    wanted = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    reply = api.ask("GET", root, accept=wanted)
    assert reply.code == 200
    assert reply.headers["Content-Type"] == wanted
    assert reply.body["kind"] == "APIGroupDiscoveryList"
    found = set()
    for group in reply.body["items"]:
        for version in group["versions"]:
            prefix = "/".join(filter(None, (group["metadata"].get("name"), version["version"])))
            found |= {(prefix, one["resource"]) for one in version["resources"]}
    assert found == set(plain_discovery(api, root))


def plain_discovery(api: Api, root: str) -> list[tuple[str, str]]:
    """Group version and plural of every resource, read document by document."""
    if root == "/api":
        versions = api.do("GET", "/api")["versions"]
    else:
        groups = api.do("GET", "/apis")["groups"]
        versions = [one["groupVersion"] for group in groups for one in group["versions"]]
    return [
        (version, one["name"])
        for version in versions
        for one in api.do("GET", f"{root}/{version}")["resources"]
        if "/" not in one["name"]
    ]


@conformance("aggregated-discovery-client")
def test_kubectl_finds_every_resource_by_the_aggregated_documents(
    api: Api, kubectl: Kubectl
) -> None:
    told = kubectl("api-resources --no-headers -o name")
    known = {
        f"{plural}.{version.partition('/')[0]}" if "/" in version else plural
        for root in ("/api", "/apis")
        for version, plural in plain_discovery(api, root)
    }
    assert set(told.split()) == known


@conformance("crd-discovery")
def test_custom_resource_definitions_are_in_discovery(api: Api) -> None:
    discovered(api, EXTENSIONS, "customresourcedefinitions", "customresourcedefinitions/status")


@conformance("webhook-discovery")
def test_webhook_configurations_are_in_discovery(api: Api) -> None:
    names = "mutatingwebhookconfigurations", "validatingwebhookconfigurations"
    discovered(api, ADMISSION, *names)


@conformance("server-version")
def test_the_version_is_two_numbers(api: Api) -> None:
    version = api.do("GET", "/version")
    assert int(version["major"]) == 1
    assert int(version["minor"]) >= 34


# Resources that take all verbs


def flow_schema(_: str) -> Object:
    return {"spec": {"matchingPrecedence": 9_000, "priorityLevelConfiguration": {"name": "exempt"}}}


def priority_level(_: str) -> Object:
    limited = {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}
    return {"spec": {"type": "Limited", "limited": limited}}


@conformance("flowschema-api")
def test_flow_schemas_take_all_verbs(api: Api) -> None:
    discovered(api, FLOW, "flowschemas", "flowschemas/status")
    schemas = api.at(FLOW, "flowschemas")
    takes_all_verbs(schemas, flow_schema)
    schemas.create({"metadata": {"name": "kept"}, **flow_schema("kept")})
    condition = {"type": "Dangling", "status": "False", "reason": "Shown"}
    keeps_status(
        schemas, "kept",
        patched={"conditions": [condition]},
        put={"conditions": [{**condition, "message": "put"}]},
    )  # fmt: skip


@conformance("prioritylevel-api")
def test_priority_levels_take_all_verbs(api: Api) -> None:
    names = "prioritylevelconfigurations", "prioritylevelconfigurations/status"
    discovered(api, FLOW, *names)
    levels = api.at(FLOW, "prioritylevelconfigurations")
    takes_all_verbs(levels, priority_level)
    levels.create({"metadata": {"name": "kept"}, **priority_level("kept")})
    condition = {"type": "Shown", "status": "True", "reason": "Patched"}
    keeps_status(
        levels, "kept",
        patched={"conditions": [condition]},
        put={"conditions": [{**condition, "reason": "Put"}]},
    )  # fmt: skip


def admission_policy(_: str) -> Object:
    rule = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["deployments"],
    }
    return {
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "object.spec.replicas <= 100"}],
        }
    }


@conformance("vap-api")
def test_validating_admission_policies_take_all_verbs(api: Api) -> None:
    names = "validatingadmissionpolicies", "validatingadmissionpolicies/status"
    discovered(api, ADMISSION, *names)
    policies = api.at(ADMISSION, "validatingadmissionpolicies")
    takes_all_verbs(policies, admission_policy)
    policies.create({"metadata": {"name": "kept"}, **admission_policy("kept")})
    condition = {
        "type": "Shown",
        "status": "True",
        "reason": "Patched",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    keeps_status(
        policies, "kept",
        patched={"conditions": [condition]},
        put={"conditions": [{**condition, "reason": "Put"}]},
    )  # fmt: skip
    policies.delete("kept")


@conformance("vap-binding-api")
def test_validating_admission_policy_bindings_take_all_verbs(api: Api) -> None:
    discovered(api, ADMISSION, "validatingadmissionpolicybindings")
    takes_all_verbs(
        api.at(ADMISSION, "validatingadmissionpolicybindings"),
        lambda _: {"spec": {"policyName": "no-such-policy", "validationActions": ["Deny"]}},
    )


# Webhook configurations, as objects


def webhooks(namespace: str, *expressions: str) -> Object:
    """A webhook configuration that matches nothing but the objects of one namespace."""
    conditions = [
        {"name": f"condition-{number}", "expression": expression}
        for number, expression in enumerate(expressions)
    ]
    hook = {
        "name": "hook.example.com",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "failurePolicy": "Ignore",
        "matchConditions": conditions,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["configmaps"],
            }
        ],
    }
    return {"metadata": {"name": "conditional"}, "webhooks": [hook]}


@pytest.mark.parametrize(
    "plural",
    [
        pytest.param(
            "mutatingwebhookconfigurations", marks=conformance("webhook-matchcond-mutating")
        ),
        pytest.param(
            "validatingwebhookconfigurations", marks=conformance("webhook-matchcond-validating")
        ),
    ],
)
def test_match_conditions_are_kept_and_replaced(api: Api, plural: str) -> None:
    configurations = api.at(ADMISSION, plural)
    sent = webhooks("nowhere", "object.metadata.name != 'skip-me'", "request.userInfo != null")
    made = configurations.create(sent)
    wanted = sent["webhooks"][0]["matchConditions"]
    assert made["webhooks"][0]["matchConditions"] == wanted
    assert configurations.get("conditional") == made
    wanted = [{"name": "other", "expression": "request.operation == 'CREATE'"}]
    made["webhooks"][0]["matchConditions"] = wanted
    configurations.replace(made)
    assert configurations.get("conditional")["webhooks"][0]["matchConditions"] == wanted
    configurations.delete("conditional")


# Custom resource definitions, as objects


def definition(plural: str) -> Object:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    kind = plural.removesuffix("s")
    return {
        "metadata": {"name": f"{plural}.listed.example.com", "labels": {"show": "crd-list"}},
        "spec": {
            "group": "listed.example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind, "kind": kind.title()},
            "versions": [version],
        },
    }


@conformance("crd-list")
def test_labelled_definitions_are_listed_and_deleted_and_no_others(api: Api) -> None:
    definitions = api.at(EXTENSIONS, "customresourcedefinitions")
    other = definition("others")
    other["metadata"]["labels"] = {"show": "nothing"}
    definitions.create(other)
    wanted = {definitions.create(definition(f"kind{n}s"))["metadata"]["name"] for n in range(10)}
    assert set(definitions.names(labelSelector="show=crd-list")) == wanted
    with definitions.watch(labelSelector="show=crd-list", resourceVersion="0") as watch:
        definitions.delete_all(labelSelector="show=crd-list")
        assert {watch.until("DELETED")["metadata"]["name"] for _ in wanted} == wanted
    assert definitions.names(labelSelector="show=crd-list") == []
    assert definitions.names(labelSelector="show=nothing") == ["others.listed.example.com"]


@conformance("crd-status")
def test_the_status_of_a_definition_is_read_patched_and_put(api: Api) -> None:
    definitions = api.at(EXTENSIONS, "customresourcedefinitions")
    name = definitions.create(definition("statuses"))["metadata"]["name"]
    with definitions.watch(fieldSelector=f"metadata.name={name}") as watch:
        _, found = watch.next()
        while "Established" not in conditions(found):
            _, found = watch.next()
    shown = {"type": "Patched", "status": "True", "reason": "Shown", "message": "here"}
    patch = [{"op": "add", "path": "/status/conditions/-", "value": shown}]
    answer = definitions.patch(name, patch, "status", content_type=JSON_PATCH)
    assert part_of(shown, conditions(answer)["Patched"])
    assert part_of(shown, conditions(definitions.get(name, "status"))["Patched"])
    told = [*answer["status"]["conditions"], {**shown, "type": "Put"}]
    answer = changed(definitions, name, {"status": {"conditions": told}}, "status")
    assert part_of({**shown, "type": "Put"}, conditions(answer)["Put"])
    assert {"Patched", "Put", "Established"} <= conditions(definitions.get(name, "status")).keys()


def conditions(obj: Object) -> dict[str, Object]:
    """The conditions of an object by their types."""
    return {one["type"]: one for one in obj.get("status", {}).get("conditions") or ()}


# Field validation


def odd_deployment(**of_meta: str) -> str:
    """A Deployment in JSON with one field unknown and one twice, or with more under metadata."""
    meta = '{"name": "odd"' + "".join(f', "{k}": "{v}"' for k, v in of_meta.items()) + "}"
    spec = '"replicas": 1, "replicas": 2, "unknownNested": true, ' if not of_meta else ""
    return f"""{{
      "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {meta},
      "spec": {{{spec}"selector": {{"matchLabels": {{"app": "odd"}}}},
        "template": {{"metadata": {{"labels": {{"app": "odd"}}}},
          "spec": {{"containers": [{{"name": "main", "image": "nginx"}}]}}}}}}}}"""


@conformance("fieldvalidation-typed")
def test_strict_validation_names_unknown_and_repeated_fields(api: Api, namespace: str) -> None:
    deployments = api.at("apps/v1", "deployments", namespace)
    status = refused(lambda: deployments.create(odd_deployment(), fieldValidation="Strict"))
    assert (status["code"], status["reason"]) == (400, "BadRequest")
    assert 'unknown field "spec.unknownNested"' in status["message"]
    assert 'duplicate field "spec.replicas"' in status["message"]
    assert deployments.gone("odd")


@conformance("fieldvalidation-typed-metadata")
def test_strict_validation_looks_into_metadata(api: Api, namespace: str) -> None:
    deployments = api.at("apps/v1", "deployments", namespace)
    body = odd_deployment(unknownMeta="x")
    status = refused(lambda: deployments.create(body, fieldValidation="Strict"))
    assert (status["code"], status["reason"]) == (400, "BadRequest")
    assert 'unknown field "metadata.unknownMeta"' in status["message"]
    assert deployments.gone("odd")


# Namespaces


@conformance("namespace-finalizer")
def test_a_finalizer_of_a_namespace_is_added_and_taken_off(api: Api, namespace: str) -> None:
    namespaces = api.at("v1", "namespaces")
    found = namespaces.get(namespace)
    before = found["spec"]["finalizers"]
    found["spec"]["finalizers"] = [*before, "example.com/shown"]
    namespaces.replace(found, "finalize")
    found = namespaces.get(namespace)
    assert found["spec"]["finalizers"] == [*before, "example.com/shown"]
    found["spec"]["finalizers"] = before
    namespaces.replace(found, "finalize")
    assert namespaces.get(namespace)["spec"]["finalizers"] == before


@conformance("namespace-update")
def test_a_namespace_is_put_with_other_metadata(api: Api, namespace: str) -> None:
    namespaces = api.at("v1", "namespaces")
    found = namespaces.get(namespace)
    found["metadata"].setdefault("labels", {})["updated"] = "yes"
    assert namespaces.replace(found)["metadata"]["labels"]["updated"] == "yes"
    assert namespaces.get(namespace)["metadata"]["labels"]["updated"] == "yes"


@conformance("namespace-patch")
def test_a_namespace_is_patched_with_a_label(api: Api, namespace: str) -> None:
    namespaces = api.at("v1", "namespaces")
    namespaces.patch(namespace, labelled(patched="yes"))
    assert namespaces.get(namespace)["metadata"]["labels"]["patched"] == "yes"


@conformance("namespace-status")
def test_the_status_of_a_namespace_is_read_patched_and_put(api: Api, namespace: str) -> None:
    namespaces = api.at("v1", "namespaces")
    assert namespaces.get(namespace, "status")["status"]["phase"] == "Active"
    condition = {"type": "Patched", "status": "True", "reason": "Shown", "message": "here"}
    keeps_status(
        namespaces, namespace,
        patched={"conditions": [condition]},
        put={"conditions": [condition, {**condition, "type": "Put"}]},
    )  # fmt: skip
    assert namespaces.get(namespace)["status"]["phase"] == "Active"


# Quotas


def quota(name: str, **hard: str) -> Object:
    return {"metadata": {"name": name, "labels": {"show": name}}, "spec": {"hard": hard}}


@conformance("quota-update-delete")
def test_the_limits_of_a_quota_are_raised_and_the_quota_deleted(api: Api, namespace: str) -> None:
    quotas = api.at("v1", "resourcequotas", namespace)
    made = quotas.create(quota("compute", cpu="1", memory="500Mi"))
    assert made["spec"]["hard"] == {"cpu": "1", "memory": "500Mi"}
    raised = changed(quotas, "compute", {"spec": {"hard": {"cpu": "2", "memory": "1Gi"}}})
    assert raised["spec"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    assert quotas.get("compute")["spec"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    quotas.delete("compute")
    assert quotas.gone("compute")


@conformance("quota-lifecycle")
def test_a_quota_is_found_patched_and_deleted_by_its_label(api: Api, namespace: str) -> None:
    quotas = api.at("v1", "resourcequotas", namespace)
    quotas.create(quota("lifecycle", cpu="1"))
    everywhere = quotas.everywhere()
    assert everywhere.names(labelSelector="show=lifecycle") == ["lifecycle"]
    body = {**labelled(show="patched"), "spec": {"hard": {"cpu": "2"}}}
    quotas.patch("lifecycle", body)
    (found,) = everywhere.list(labelSelector="show=patched")["items"]
    assert found["spec"]["hard"] == {"cpu": "2"}
    quotas.delete_all(labelSelector="show=patched")
    assert everywhere.names(labelSelector="show=patched") == []
