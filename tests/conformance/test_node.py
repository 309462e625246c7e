"""Pods, nodes, ConfigMaps, Secrets and other objects of the node's world, as objects."""

import pytest

from tests.conformance.api import STRATEGIC_PATCH, Api, Object, refused
from tests.conformance.objects import config_map, pod, template
from tests.conformance.verbs import (
    annotated,
    changed,
    discovered,
    labelled,
    part_of,
    takes_all_verbs,
)

conformance = pytest.mark.conformance

COORDINATION = "coordination.k8s.io/v1"
NODE = "node.k8s.io/v1"


# ConfigMaps and Secrets


@pytest.mark.parametrize(
    "plural",
    [
        pytest.param("configmaps", marks=conformance("configmap-empty-key")),
        pytest.param("secrets", marks=conformance("secret-empty-key")),
    ],
)
def test_an_empty_key_is_refused(api: Api, namespace: str, plural: str) -> None:
    body = {"metadata": {"name": "empty"}, "data": {"": "dmFsdWU="}}
    objects = api.at("v1", plural, namespace)
    status = refused(lambda: objects.create(body))
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "data[]"
    assert objects.gone("empty")


@conformance("configmap-lifecycle")
def test_a_config_map_is_created_patched_found_and_deleted(api: Api, namespace: str) -> None:
    maps = api.at("v1", "configmaps", namespace)
    maps.create(config_map("shown", {"show": namespace}, key="first"))
    maps.create(config_map("other", key="first"))
    body = {"metadata": {"labels": {"patched": "yes"}}, "data": {"key": "second"}}
    assert maps.patch("shown", body)["data"] == {"key": "second"}
    assert maps.get("shown")["data"] == {"key": "second"}
    (found,) = maps.everywhere().list(labelSelector=f"show={namespace},patched=yes")["items"]
    assert (found["metadata"]["namespace"], found["data"]) == (namespace, {"key": "second"})
    maps.delete_all(labelSelector=f"show={namespace}")
    assert maps.everywhere().names(labelSelector=f"show={namespace}") == []
    assert "other" in maps.names()


@conformance("secret-patch")
def test_a_secret_is_listed_patched_and_deleted(api: Api, namespace: str) -> None:
    secrets = api.at("v1", "secrets", namespace)
    body = {"metadata": {"name": "shown", "labels": {"show": namespace}}, "data": {"a": "Zmlyc3Q="}}
    secrets.create({**body, "type": "Opaque"})
    chosen = f"show={namespace}"
    assert secrets.everywhere().names(labelSelector=chosen) == ["shown"]
    change = {"metadata": {"labels": {"patched": "yes"}}, "data": {"a": "c2Vjb25k"}}
    secrets.patch("shown", change, content_type=STRATEGIC_PATCH)
    found = secrets.get("shown")
    assert found["metadata"]["labels"] == {"show": namespace, "patched": "yes"}
    assert found["data"] == {"a": "c2Vjb25k"}
    secrets.delete_all(labelSelector=chosen)
    assert secrets.everywhere().names(labelSelector=chosen) == []


# Leases, nodes, pod templates, runtime classes


@conformance("lease-api")
def test_leases_keep_what_is_written_and_go_by_their_label(api: Api, namespace: str) -> None:
    discovered(api, COORDINATION, "leases")
    leases = api.at(COORDINATION, "leases", namespace)
    spec = {
        "holderIdentity": "first",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-01-01T00:00:00.000001Z",
        "renewTime": "2026-01-01T00:00:05.000001Z",
        "leaseTransitions": 0,
    }
    made = leases.create({"metadata": {"name": "shown"}, "spec": spec})
    assert made["spec"] == leases.get("shown")["spec"] == spec
    spec = {**spec, "holderIdentity": "second", "leaseTransitions": 1}
    made["spec"] = spec
    assert leases.replace(made)["spec"] == leases.get("shown")["spec"] == spec
    leases.patch("shown", {"spec": {"leaseDurationSeconds": 60}})
    assert leases.get("shown")["spec"] == {**spec, "leaseDurationSeconds": 60}
    leases.create({"metadata": {"name": "other", "labels": {"show": "lease"}}, "spec": spec})
    leases.delete_all(labelSelector="show=lease")
    assert leases.names() == ["shown"]
    leases.delete("shown")
    assert refused(lambda: leases.get("shown"))["reason"] == "NotFound"


@conformance("node-lifecycle")
def test_a_node_is_created_patched_found_updated_and_deleted(api: Api) -> None:
    nodes = api.at("v1", "nodes")
    made = nodes.create({"metadata": {"name": "by-hand"}, "spec": {"unschedulable": True}})
    assert nodes.get("by-hand")["metadata"]["uid"] == made["metadata"]["uid"]
    nodes.patch("by-hand", labelled(show="node"), content_type=STRATEGIC_PATCH)
    assert nodes.names(labelSelector="show=node") == ["by-hand"]
    changed(nodes, "by-hand", labelled(put="yes"))
    found = nodes.get("by-hand")["metadata"]["labels"]
    assert (found["show"], found["put"]) == ("node", "yes")
    nodes.delete_all(labelSelector="show=node")
    assert nodes.gone("by-hand")


def pod_template(name: str, **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": labels}, "template": template(name)}


@conformance("podtemplate-lifecycle")
def test_a_pod_template_is_created_patched_found_and_deleted(api: Api, namespace: str) -> None:
    templates = api.at("v1", "podtemplates", namespace)
    templates.create(pod_template("shown"))
    templates.patch("shown", labelled(show=namespace))
    assert templates.get("shown")["metadata"]["labels"] == {"show": namespace}
    assert templates.everywhere().names(labelSelector=f"show={namespace}") == ["shown"]
    templates.delete("shown")
    assert templates.everywhere().names(labelSelector=f"show={namespace}") == []


@conformance("podtemplate-replace")
def test_a_pod_template_is_put_with_an_annotation(api: Api, namespace: str) -> None:
    templates = api.at("v1", "podtemplates", namespace)
    templates.create(pod_template("put"))
    changed(templates, "put", annotated("put", "yes"))
    assert templates.get("put")["metadata"]["annotations"] == {"put": "yes"}


@conformance("podtemplate-delete-collection")
def test_pod_templates_are_deleted_by_their_label(api: Api, namespace: str) -> None:
    templates = api.at("v1", "podtemplates", namespace)
    for name in ("one", "three", "two"):
        templates.create(pod_template(name, show="collection"))
    templates.create(pod_template("other"))
    assert templates.names(labelSelector="show=collection") == ["one", "three", "two"]
    templates.delete_all(labelSelector="show=collection")
    assert templates.names() == ["other"]


@conformance("runtimeclass-api")
def test_runtime_classes_take_all_verbs(api: Api) -> None:
    discovered(api, NODE, "runtimeclasses")
    takes_all_verbs(api.at(NODE, "runtimeclasses"), lambda _: {"handler": "runc"})


@conformance("runtimeclass-missing")
def test_a_pod_of_a_runtime_class_that_never_was_is_refused(api: Api, namespace: str) -> None:
    pods = api.at("v1", "pods", namespace)
    status = refused(lambda: pods.create(pod("classless", runtimeClassName="never-was")))
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert 'RuntimeClass "never-was" not found' in status["message"]
    assert pods.gone("classless")


@conformance("runtimeclass-deleted")
def test_a_pod_of_a_deleted_runtime_class_is_refused(api: Api, namespace: str) -> None:
    classes, pods = api.at(NODE, "runtimeclasses"), api.at("v1", "pods", namespace)
    classes.create({"metadata": {"name": "short-lived"}, "handler": "runc"})
    pods.create(pod("early", runtimeClassName="short-lived"))
    classes.delete("short-lived")
    status = refused(lambda: pods.create(pod("late", runtimeClassName="short-lived")))
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert pods.gone("late")


# Pods


@conformance("pod-qos-class")
def test_requests_equal_to_limits_make_a_pod_guaranteed(api: Api, namespace: str) -> None:
    pods = api.at("v1", "pods", namespace)
    amounts = {"cpu": "100m", "memory": "100Mi"}
    body = pod("guaranteed")
    body["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    pods.create(body)
    assert pods.get("guaranteed")["status"]["qosClass"] == "Guaranteed"


@conformance("pod-update-label")
def test_a_changed_label_of_a_pod_is_kept_and_found(api: Api, namespace: str) -> None:
    pods = api.at("v1", "pods", namespace)
    pods.create(pod("labelled", labels={"time": "first"}))
    assert pods.names(labelSelector="time=first") == ["labelled"]
    changed(pods, "labelled", labelled(time="second"))
    assert pods.names(labelSelector="time=second") == ["labelled"]
    assert pods.names(labelSelector="time=first") == []


@conformance("pod-delete-collection")
def test_pods_are_deleted_by_their_label(api: Api, namespace: str) -> None:
    pods = api.at("v1", "pods", namespace)
    for name in ("one", "three", "two"):
        pods.create(pod(name, labels={"show": "collection"}))
    pods.create(pod("other"))
    assert pods.names(labelSelector="show=collection") == ["one", "three", "two"]
    with pods.watch(resourceVersion=pods.list()["metadata"]["resourceVersion"]) as watch:
        pods.delete_all(labelSelector="show=collection", gracePeriodSeconds=0)
        assert {watch.until("DELETED")["metadata"]["name"] for _ in range(3)} == {
            "one", "three", "two",
        }  # fmt: skip
    assert pods.names() == ["other"]


@conformance("pod-patch-status")
def test_a_patched_status_of_a_pod_is_kept_and_returned(api: Api, namespace: str) -> None:
    pods = api.at("v1", "pods", namespace)
    pods.create(pod("patched"))
    status = {"message": "patched", "reason": "Shown"}
    answer = pods.patch("patched", {"status": status}, "status")
    assert part_of(status, answer["status"])
    assert part_of(status, pods.get("patched")["status"])


@conformance("pod-lifecycle")
def test_a_pod_is_watched_through_its_life(api: Api, namespace: str) -> None:
    pods = api.at("v1", "pods", namespace)
    with pods.watch(labelSelector=f"show={namespace}") as watch:
        made = pods.create(pod("shown", labels={"show": namespace}))
        assert watch.next() == ("ADDED", made)
        containers = [{"name": "main", "image": "nginx:2"}]
        body = {**labelled(patched="yes"), "spec": {"containers": containers}}
        patched = pods.patch("shown", body, content_type=STRATEGIC_PATCH)
        assert patched["metadata"]["labels"]["patched"] == "yes"
        assert patched["spec"]["containers"][0]["image"] == "nginx:2"
        watch.until("MODIFIED", lambda seen: seen == patched)
        ready = {"type": "Ready", "status": "False", "reason": "Shown"}
        put = changed(pods, "shown", {"status": {"conditions": [ready]}}, "status")
        assert part_of([ready], put["status"]["conditions"])
        watch.until("MODIFIED", lambda seen: seen == put)
        assert pods.get("shown", "status")["metadata"]["uid"] == made["metadata"]["uid"]
        pods.delete("shown", gracePeriodSeconds=1)
        watch.until("DELETED")
    assert pods.gone("shown")


@conformance("sysctl-reject-invalid")
def test_malformed_sysctls_are_refused_by_name(api: Api, namespace: str) -> None:
    names = ["foo-", "kernel.shmmax", "bar.."]
    sysctls = [{"name": name, "value": "1"} for name in names]
    body = pod("tuned", securityContext={"sysctls": sysctls})
    pods = api.at("v1", "pods", namespace)
    status = refused(lambda: pods.create(body))
    assert (status["code"], status["reason"]) == (422, "Invalid")
    fields = [cause["field"] for cause in status["details"]["causes"]]
    assert fields == [f"spec.securityContext.sysctls[{place}].name" for place in (0, 2)]
    assert '"foo-"' in status["message"]
    assert '"bar.."' in status["message"]
    assert "kernel.shmmax" not in status["message"]
