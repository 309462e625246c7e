"""Admission webhooks, called over TLS, as clients see what they do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.api import JSON_PATCH, Api, Object, refused
from tests.conformance.cluster import ServedCluster
from tests.conformance.objects import config_map, pod
from tests.conformance.webhooks import Hooks, deny_bad
from tests.webhooks.hooks import HANGS, add, configuration, deny, patch, rule

conformance = pytest.mark.conformance
EXTENSIONS = "apiextensions.k8s.io/v1"
GROUP = "hooks.example.com"


@pytest.fixture(scope="module")
def hooks(served: ServedCluster, api: Api, home: Path) -> Iterator[Hooks]:
    made = Hooks(served, api, home)
    yield made
    made.stop()


def definition(plural: str, *versions: Object) -> Object:
    kind = plural[:-1].capitalize()
    return {
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": plural[:-1], "kind": kind},
            "versions": list(versions),
        },
    }


def version(name: str = "v1", *, storage: bool = True, **properties: str) -> Object:
    data = {"type": "object", "properties": {key: {"type": "string"} for key in properties}}
    if not properties:
        data["x-kubernetes-preserve-unknown-fields"] = True
    schema = {"type": "object", "properties": {"data": data}}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
    }


def established(api: Api, body: Object) -> None:
    """Define, and wait until instances can be made."""
    definitions = api.at(EXTENSIONS, "customresourcedefinitions")
    with definitions.watch() as watch:
        definitions.create(body)
        watch.until(
            "MODIFIED",
            lambda obj: (
                obj["metadata"]["name"] == body["metadata"]["name"]
                and any(
                    (one["type"], one["status"]) == ("Established", "True")
                    for one in obj["status"].get("conditions") or ()
                )
            ),
        )


def instance(kind: str, name: str, **data: str) -> Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "data": data,
    }


@conformance("webhook-list-mutating")
def test_a_collection_of_mutating_webhooks_is_listed_and_deleted(
    api: Api, hooks: Hooks, namespace: str
) -> None:
    maps = api.at("v1", "configmaps", namespace)
    for number in range(10):
        one = hooks.one(namespace, f"/{number}", patch(add(f"/data/by-{number}", "yes")))
        body = configuration(one, name=f"many-{number}", test=namespace)
        hooks.mutating.create(body)
    listed = hooks.mutating.names(labelSelector=f"test={namespace}")
    assert listed == [f"many-{number}" for number in range(10)]
    assert len(maps.create(config_map("one", a="1"))["data"]) == 11
    hooks.mutating.delete_all(labelSelector=f"test={namespace}")
    assert hooks.mutating.names(labelSelector=f"test={namespace}") == []
    assert maps.create(config_map("two", a="1"))["data"] == {"a": "1"}


@conformance("webhook-list-validating")
def test_a_collection_of_validating_webhooks_is_listed_and_deleted(
    api: Api, hooks: Hooks, namespace: str
) -> None:
    maps = api.at("v1", "configmaps", namespace)
    for number in range(10):
        one = hooks.one(namespace, f"/{number}", deny_bad)
        hooks.validating.create(configuration(one, name=f"many-{number}", test=namespace))
    listed = hooks.validating.names(labelSelector=f"test={namespace}")
    assert listed == [f"many-{number}" for number in range(10)]
    status = refused(lambda: maps.create(config_map("one", **{"is": "bad"})))
    assert status["message"] == (
        'admission webhook "hook.example.com" denied the request: this is bad'
    )
    hooks.validating.delete_all(labelSelector=f"test={namespace}")
    assert hooks.validating.names(labelSelector=f"test={namespace}") == []
    maps.create(config_map("one", **{"is": "bad"}))


@conformance("webhook-update-mutating")
def test_a_mutating_webhook_is_called_as_its_configuration_says_now(
    api: Api, hooks: Hooks, namespace: str
) -> None:
    maps = api.at("v1", "configmaps", namespace)
    one = hooks.one(namespace, "/", patch(add("/data/added", "yes")))
    with hooks.registered(hooks.mutating, "updated", one) as made:
        assert maps.create(config_map("a", a="1"))["data"]["added"] == "yes"
        made["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
        hooks.mutating.replace(made)
        assert "added" not in maps.create(config_map("b", a="1"))["data"]
        change = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
        hooks.mutating.patch("updated", change, content_type=JSON_PATCH)
        assert maps.create(config_map("c", a="1"))["data"]["added"] == "yes"


@conformance("webhook-update-validating")
def test_a_validating_webhook_is_called_as_its_configuration_says_now(
    api: Api, hooks: Hooks, namespace: str
) -> None:
    maps = api.at("v1", "configmaps", namespace)
    with hooks.registered(hooks.validating, "updated", hooks.one(namespace, "/", deny_bad)) as made:
        refused(lambda: maps.create(config_map("a", **{"is": "bad"})))
        made["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
        hooks.validating.replace(made)
        maps.create(config_map("a", **{"is": "bad"}))
        change = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
        hooks.validating.patch("updated", change, content_type=JSON_PATCH)
        refused(lambda: maps.create(config_map("b", **{"is": "bad"})))


@conformance("webhook-deny-attach")
def test_attaching_to_a_pod_can_be_refused(api: Api, hooks: Hooks, namespace: str) -> None:
    pods = api.at("v1", "pods", namespace)
    pods.create(pod("web"))
    one = hooks.one(namespace, "/", deny("attaching is denied"), rule("pods/attach", "CONNECT"))
    with hooks.registered(hooks.validating, "attach", one):
        status = refused(lambda: api.do("POST", pods.path("web", "attach", stdout="true")))
    assert status["message"].endswith("denied the request: attaching is denied")
    seen = hooks.server.asked[-1]
    assert (seen["operation"], seen["subResource"]) == ("CONNECT", "attach")
    assert seen["object"]["kind"] == seen["kind"]["kind"] == "PodAttachOptions"


@conformance("webhook-deny-custom-resource")
def test_custom_objects_can_be_kept_from_being_made_changed_and_deleted(
    api: Api, hooks: Hooks, namespace: str
) -> None:
    established(api, definition("gates", version()))
    gates = api.at(f"{GROUP}/v1", "gates", namespace)
    gates.create(instance("Gate", "kept", a="1"))
    of_gates = rule("gates", "CREATE", "UPDATE", "DELETE", group=GROUP)
    with hooks.registered(
        hooks.validating, "gates", hooks.one(namespace, "/", deny("no gates"), of_gates)
    ):
        refused(lambda: gates.create(instance("Gate", "new", a="1")))
        refused(lambda: gates.patch("kept", {"data": {"a": "2"}}))
        refused(lambda: gates.delete("kept"))
    assert gates.names() == ["kept"]
    assert gates.get("kept")["data"] == {"a": "1"}


@conformance("webhook-deny-pod-configmap")
def test_bad_pods_and_config_maps_are_refused(api: Api, hooks: Hooks, namespace: str) -> None:
    pods = api.at("v1", "pods", namespace)
    maps = api.at("v1", "configmaps", namespace)
    rules = rule("pods", "CREATE"), rule("configmaps", "CREATE", "UPDATE")
    with hooks.registered(hooks.validating, "bad", hooks.one(namespace, "/", deny_bad, *rules)):
        refused(lambda: pods.create(pod("bad", labels={"is": "bad"})))
        assert pods.gone("bad")
        refused(lambda: maps.create(config_map("bad", **{"is": "bad"})))
        made = maps.create(config_map("good", a="1"))
        refused(lambda: maps.replace({**made, "data": {"is": "bad"}}))
        refused(lambda: maps.patch("good", {"data": {"is": "bad"}}))
        assert maps.get("good") == made
        elsewhere = api.at("v1", "configmaps", "default")
        elsewhere.create(config_map("bad", **{"is": "bad"}))
        elsewhere.delete("bad")
    hangs = hooks.one(namespace, "/hangs", HANGS, rule("pods"), timeoutSeconds=1)
    with hooks.registered(hooks.validating, "hangs", hangs):
        status = refused(lambda: pods.create(pod("late")))
    assert status["code"] == 500
    assert "?timeout=1s" in status["message"]
    assert status["message"].endswith(": context deadline exceeded")
    assert pods.gone("late")


@conformance("webhook-deny-crd")
def test_definitions_of_custom_resources_can_be_refused(api: Api, hooks: Hooks) -> None:
    definitions = api.at(EXTENSIONS, "customresourcedefinitions")
    of_them = {
        **rule("customresourcedefinitions", group="apiextensions.k8s.io"),
        "apiVersions": ["*"],
    }
    one = hooks.one(
        "definitions", "/", deny_bad, of_them, objectSelector={"matchLabels": {"is": "bad"}}
    )
    body = definition("denials", version())
    body["metadata"]["labels"] = {"is": "bad"}
    with hooks.registered(hooks.validating, "definitions", one):
        refused(lambda: definitions.create(body))
    assert definitions.gone(body["metadata"]["name"])


@conformance("webhook-timeout")
def test_a_slow_webhook_is_waited_for_as_long_as_its_configuration_says(
    api: Api, hooks: Hooks, namespace: str
) -> None:
    maps = api.at("v1", "configmaps", namespace)
    hangs = hooks.one(namespace, "/slow", HANGS, timeoutSeconds=1)
    with hooks.registered(hooks.validating, "slow", hangs):
        status = refused(lambda: maps.create(config_map("one")))
        assert "context deadline exceeded" in status["message"]
    with hooks.registered(hooks.validating, "slow", {**hangs, "failurePolicy": "Ignore"}):
        maps.create(config_map("one"))
    patient = hooks.one(namespace, "/slow", 0.5, timeoutSeconds=10)
    with hooks.registered(hooks.validating, "slow", patient):
        maps.create(config_map("two"))
    assert hooks.server.paths[-1].endswith("?timeout=10s")


@conformance("webhook-ordered-mutation")
def test_a_mutating_webhook_sees_what_the_one_before_it_did(
    api: Api, hooks: Hooks, namespace: str
) -> None:
    maps = api.at("v1", "configmaps", namespace)

    def second(request: Object) -> Object:
        seen = request["object"]["data"]
        return patch(add("/data/second", "yes"))(request) if "first" in seen else {"allowed": True}

    one = hooks.one(namespace, "/1", patch(add("/data/first", "yes")))
    two = hooks.one(namespace, "/2", second)
    with (
        hooks.registered(hooks.mutating, "ordered-2", two),
        hooks.registered(hooks.mutating, "ordered-1", one),
    ):
        made = maps.create(config_map("trigger", start="yes"))
    assert made["data"] == {"start": "yes", "first": "yes", "second": "yes"}


@conformance("webhook-mutate-cr")
def test_custom_objects_are_changed_on_their_way_in(api: Api, hooks: Hooks, namespace: str) -> None:
    established(api, definition("turns", version()))
    turns = api.at(f"{GROUP}/v1", "turns", namespace)
    one = hooks.one(namespace, "/", patch(add("/data/added", "yes")), rule("turns", group=GROUP))
    with hooks.registered(hooks.mutating, "turns", one):
        turns.create(instance("Turn", "one", a="1"))
    assert turns.get("one")["data"] == {"a": "1", "added": "yes"}


@conformance("webhook-mutate-cr-storage-version")
def test_an_object_of_an_older_storage_version_is_changed(
    api: Api, hooks: Hooks, namespace: str
) -> None:
    definitions = api.at(EXTENSIONS, "customresourcedefinitions")
    body = definition("moves", version("v1"), version("v2", storage=False))
    established(api, body)
    moves = api.at(f"{GROUP}/v1", "moves", namespace)
    moves.create(instance("Move", "one", a="1"))
    name = body["metadata"]["name"]
    versions = [version("v1", storage=False), version("v2")]
    definitions.patch(name, {"spec": {"versions": versions}})
    of_both = {**rule("moves", "CREATE", "UPDATE", group=GROUP), "apiVersions": ["*"]}
    one = hooks.one(namespace, "/", patch(add("/data/added", "yes")), of_both)
    with hooks.registered(hooks.mutating, "moves", one):
        moves.patch("one", {"data": {"more": "yes"}})
    assert moves.get("one")["data"] == {"a": "1", "more": "yes", "added": "yes"}


@conformance("webhook-mutate-cr-pruning")
def test_what_a_webhook_adds_to_a_custom_object_is_pruned(
    api: Api, hooks: Hooks, namespace: str
) -> None:
    established(api, definition("trees", version(a="", known="")))
    trees = api.at(f"{GROUP}/v1", "trees", namespace)
    adds = patch(add("/data/known", "yes"), add("/data/unknown", "yes"))
    one = hooks.one(namespace, "/", adds, rule("trees", group=GROUP))
    with hooks.registered(hooks.mutating, "trees", one):
        made = trees.create(instance("Tree", "one", a="1"))
    assert made["data"] == trees.get("one")["data"] == {"a": "1", "known": "yes"}


@conformance("webhook-matchcond-skip-me")
def test_a_match_condition_keeps_a_webhook_from_being_called(
    api: Api, hooks: Hooks, namespace: str
) -> None:
    maps = api.at("v1", "configmaps", namespace)
    skip = {"name": "not-skip-me", "expression": "object.metadata.name != 'skip-me'"}
    one = hooks.one(namespace, "/", patch(add("/data/added", "yes")), matchConditions=[skip])
    with hooks.registered(hooks.mutating, "conditional-calls", one):
        assert maps.create(config_map("skip-me", a="1"))["data"] == {"a": "1"}
        assert maps.create(config_map("any", a="1"))["data"] == {"a": "1", "added": "yes"}


@conformance("webhook-mutate-pod-defaults")
def test_what_a_webhook_adds_to_a_pod_gets_defaults(api: Api, hooks: Hooks, namespace: str) -> None:
    pods = api.at("v1", "pods", namespace)
    added = add("/spec/initContainers", [{"name": "added", "image": "busybox:1"}])
    one = hooks.one(namespace, "/", patch(added), rule("pods"))
    with hooks.registered(hooks.mutating, "sidecars", one):
        made = pods.create(pod("web"))
    [container] = made["spec"]["initContainers"]
    assert container["name"] == "added"
    assert container["terminationMessagePolicy"] == "File"
    assert container["imagePullPolicy"] == "IfNotPresent"


@conformance("webhook-not-on-webhook-configs")
def test_no_webhook_is_asked_about_webhook_configurations(hooks: Hooks) -> None:
    everything = {
        **rule("*", "CREATE", "UPDATE", "DELETE", group="admissionregistration.k8s.io"),
        "apiVersions": ["*"],
    }
    denies = hooks.one("configs", "/deny", deny("never"), everything, namespaceSelector={})
    labels = patch(add("/metadata/labels", {"added": "yes"}))
    changes = hooks.one("configs", "/patch", labels, everything, namespaceSelector={})
    with (
        hooks.registered(hooks.validating, "denies-configs", denies),
        hooks.registered(hooks.mutating, "changes-configs", changes),
    ):
        idle = hooks.one("configs", "/deny", deny("never"), rule("nothings"))
        for at in hooks.mutating, hooks.validating:
            made = at.create(configuration(idle, name="untouched"))
            assert "labels" not in made["metadata"]
            at.delete("untouched")


@pytest.mark.parametrize(
    "plural",
    [
        pytest.param("mutating", marks=conformance("webhook-matchcond-invalid-mutating")),
        pytest.param("validating", marks=conformance("webhook-matchcond-invalid-validating")),
    ],
)
def test_match_conditions_that_do_not_compile_are_refused(hooks: Hooks, plural: str) -> None:
    condition = {"name": "bad", "expression": "... [] bad expression"}
    one = hooks.one("nowhere", "/", deny_bad, matchConditions=[condition])
    at = getattr(hooks, plural)
    status = refused(lambda: at.create(configuration(one, name="bad-condition")))
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert "webhooks[0].matchConditions[0].expression" in status["message"]
    assert "compilation failed" in status["message"]


@conformance("webhook-fail-closed")
def test_what_a_webhook_must_see_is_refused_while_it_cannot_be_called(
    api: Api, hooks: Hooks, namespace: str
) -> None:
    maps = api.at("v1", "configmaps", namespace)
    one = hooks.one(namespace, "/", deny_bad)
    del one["clientConfig"]["caBundle"]
    with hooks.registered(hooks.validating, "closed", one):
        status = refused(lambda: maps.create(config_map("one")))
    assert (status["code"], status["reason"]) == (500, "InternalError")
    assert 'failed calling webhook "hook.example.com"' in status["message"]
    assert status["message"].endswith(
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )
    assert maps.gone("one")
