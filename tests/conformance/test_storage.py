"""Volumes, claims, storage classes and what drivers write, as objects."""

import pytest

from tests.conformance.api import STRATEGIC_PATCH, Api, Collection, Object, refused
from tests.conformance.objects import config_map, pod
from tests.conformance.verbs import changed, discovered, labelled, part_of, takes_all_verbs

conformance = pytest.mark.conformance

STORAGE = "storage.k8s.io/v1"


def labelled_body(name: str, **more: object) -> Object:
    return {"metadata": {"name": name, "labels": {"show": name}}, **more}


@conformance("csidriver-lifecycle")
def test_drivers_are_listed_labelled_and_deleted(api: Api) -> None:
    drivers = api.at(STORAGE, "csidrivers")
    for name in ("one.example.com", "two.example.com"):
        body = {"metadata": {"name": name, "labels": {"show": "driver"}}}
        drivers.create({**body, "spec": {"attachRequired": True}})
    assert drivers.names(labelSelector="show=driver") == ["one.example.com", "two.example.com"]
    drivers.patch("two.example.com", labelled(patched="yes"), content_type=STRATEGIC_PATCH)
    assert drivers.names(labelSelector="patched=yes") == ["two.example.com"]
    changed(drivers, "two.example.com", labelled(put="yes"))
    assert drivers.names(labelSelector="patched=yes,put=yes") == ["two.example.com"]
    drivers.delete("one.example.com")
    assert drivers.gone("one.example.com")
    drivers.delete_all(labelSelector="put=yes")
    assert drivers.gone("two.example.com")


@conformance("csi-inline-pod-api")
def test_the_inline_volume_of_a_pod_is_kept_as_sent(api: Api, namespace: str) -> None:
    pods = api.at("v1", "pods", namespace)
    source = {
        "driver": "inline.example.com",
        "fsType": "ext4",
        "readOnly": False,
        "volumeAttributes": {"size": "1"},
        "nodePublishSecretRef": {"name": "secret"},
    }
    volumes = [{"name": "inline", "csi": source}]
    made = pods.create(pod("shown", labels={"show": namespace}, volumes=volumes))
    assert made["spec"]["volumes"][0]["csi"] == source
    assert pods.get("shown")["spec"]["volumes"] == made["spec"]["volumes"]
    (found,) = pods.everywhere().list(labelSelector=f"show={namespace}")["items"]
    assert found["spec"]["volumes"] == made["spec"]["volumes"]
    patched = pods.patch("shown", labelled(patched="yes"), content_type=STRATEGIC_PATCH)
    assert patched["metadata"]["labels"]["patched"] == "yes"
    assert patched["spec"]["volumes"] == made["spec"]["volumes"]
    pods.delete("shown", gracePeriodSeconds=0)
    assert pods.gone("shown")


@conformance("csinode-lifecycle")
def test_a_driver_list_of_a_node_lives(api: Api) -> None:
    nodes = api.at(STORAGE, "csinodes")
    drivers = [{"name": "one.example.com", "nodeID": "n-1", "topologyKeys": ["zone"]}]
    made = nodes.create({"metadata": {"name": "csi-1"}, "spec": {"drivers": drivers}})
    assert nodes.get("csi-1") == made
    nodes.patch("csi-1", labelled(show="csi-1"), content_type=STRATEGIC_PATCH)
    assert nodes.names(labelSelector="show=csi-1") == ["csi-1"]
    nodes.delete("csi-1")
    assert nodes.gone("csi-1")
    nodes.create({"metadata": {"name": "csi-2"}, "spec": {"drivers": drivers}})
    assert nodes.get("csi-2")["spec"]["drivers"] == drivers
    changed(nodes, "csi-2", labelled(show="csi-2"))
    nodes.delete_all(labelSelector="show=csi-2")
    assert nodes.gone("csi-2")


@conformance("csistoragecapacity-api")
def test_storage_capacities_take_all_verbs(api: Api, namespace: str) -> None:
    discovered(api, STORAGE, "csistoragecapacities")
    takes_all_verbs(
        api.at(STORAGE, "csistoragecapacities", namespace),
        lambda _: {"storageClassName": "fast", "capacity": "10Gi"},
    )


@pytest.mark.parametrize(
    ("plural", "first", "second"),
    [
        pytest.param("configmaps", "one", "two", marks=conformance("configmap-immutable")),
        pytest.param("secrets", "b25l", "dHdv", marks=conformance("secret-immutable")),
    ],
)
def test_what_is_immutable_stays_so(
    api: Api, namespace: str, plural: str, first: str, second: str
) -> None:
    objects = api.at("v1", plural, namespace)
    objects.create(config_map("fixed", key=first))
    assert changed(objects, "fixed", {"data": {"key": second}})["data"] == {"key": second}
    assert changed(objects, "fixed", {"immutable": True})["immutable"] is True
    for change in ({"data": {"key": first}}, {"immutable": False}, {"immutable": None}):
        for call in (
            lambda change=change: changed(objects, "fixed", change),
            lambda change=change: objects.patch("fixed", change),
        ):
            status = refused(call)
            assert (status["code"], status["reason"]) == (422, "Invalid")
    changed(objects, "fixed", labelled(put="yes"))
    found = objects.get("fixed")
    assert (found["immutable"], found["data"]) == (True, {"key": second})
    assert found["metadata"]["labels"] == {"put": "yes"}
    objects.delete("fixed")
    assert objects.gone("fixed")


def volume(name: str) -> Object:
    return labelled_body(
        name,
        spec={
            "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"],
            "nfs": {"server": "nfs.example.com", "path": "/"},
            "storageClassName": name,
        },
    )


def claim(name: str) -> Object:
    return labelled_body(
        name,
        spec={
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": name,
        },
    )


@conformance("pv-pvc-status")
def test_statuses_of_volume_and_claim_are_patched_and_put(api: Api, namespace: str) -> None:
    volumes = api.at("v1", "persistentvolumes")
    claims = api.at("v1", "persistentvolumeclaims", namespace)
    volumes.create(volume("shown-status"))
    claims.create(claim("shown-claim"))
    assert volumes.names(labelSelector="show=shown-status") == ["shown-status"]
    assert claims.everywhere().names(labelSelector="show=shown-claim") == ["shown-claim"]
    phases = {"Pending", "Available", "Bound"}
    assert volumes.get("shown-status", "status")["status"]["phase"] in phases
    assert claims.get("shown-claim", "status")["status"]["phase"] in phases

    condition = {"type": "Shown", "status": "True", "reason": "Patched", "message": "here"}
    keeps(claims, "shown-claim", {"conditions": [condition]})
    puts(claims, "shown-claim", {"conditions": [{**condition, "reason": "Put"}]})
    keeps(volumes, "shown-status", {"reason": "Patched", "message": "here"})
    puts(volumes, "shown-status", {"reason": "Put", "message": "there"})


def keeps(collection: Collection, name: str, status: Object) -> None:
    """A PATCH of the status is answered with it and kept."""
    answer = collection.patch(name, {"status": status}, "status")
    assert part_of(status, answer["status"])
    assert part_of(status, collection.get(name, "status")["status"])


def puts(collection: Collection, name: str, status: Object) -> None:
    """A PUT of the status is answered with it and kept."""
    answer = changed(collection, name, {"status": status}, "status")
    assert part_of(status, answer["status"])
    assert part_of(status, collection.get(name, "status")["status"])


@conformance("pv-pvc-lifecycle")
def test_volumes_and_claims_live(api: Api, namespace: str) -> None:
    volumes = api.at("v1", "persistentvolumes")
    claims = api.at("v1", "persistentvolumeclaims", namespace)
    for number, delete_both in enumerate((delete_by_name, delete_by_label)):
        name = f"life-{number}"
        for objects, made in ((volumes, volume(name)), (claims, claim(name))):
            uid = objects.create(made)["metadata"]["uid"]
            assert objects.names(labelSelector=f"show={name}") == [name]
            assert objects.get(name)["metadata"]["uid"] == uid
            objects.patch(name, labelled(patched="yes"), content_type=STRATEGIC_PATCH)
            changed(objects, name, labelled(put="yes"))
            chosen = f"show={name},patched=yes,put=yes"
            assert objects.everywhere().names(labelSelector=chosen) == [name]
        for objects in (claims, volumes):
            with objects.watch(labelSelector=f"show={name}") as watch:
                assert watch.next()[0] == "ADDED"
                delete_both(objects, name)
                watch.until("DELETED")
            assert objects.gone(name)


def delete_by_name(objects: Collection, name: str) -> None:
    objects.delete(name)


def delete_by_label(objects: Collection, name: str) -> None:
    objects.delete_all(labelSelector=f"show={name}")


@conformance("storageclass-lifecycle")
def test_a_storage_class_lives(api: Api) -> None:
    classes = api.at(STORAGE, "storageclasses")
    made = classes.create(labelled_body("class-1", provisioner="example.com/none"))
    assert classes.get("class-1") == made
    classes.patch("class-1", labelled(patched="yes"), content_type=STRATEGIC_PATCH)
    assert classes.names(labelSelector="patched=yes") == ["class-1"]
    classes.delete("class-1")
    assert classes.gone("class-1")
    classes.create(labelled_body("class-2", provisioner="example.com/none"))
    changed(classes, "class-2", labelled(put="yes"))
    assert classes.names(labelSelector="put=yes") == ["class-2"]
    classes.delete_all(labelSelector="put=yes")
    assert classes.gone("class-2")


def attachment(name: str) -> Object:
    source = {"persistentVolumeName": f"volume-of-{name}"}
    spec = {"attacher": "one.example.com", "nodeName": "node-1", "source": source}
    return {"metadata": {"name": name}, "spec": spec}


@conformance("volumeattachment-status")
def test_the_status_of_an_attachment_turns_true_and_false(api: Api) -> None:
    attachments = api.at(STORAGE, "volumeattachments")
    attachments.create(attachment("status"))
    assert attachments.get("status", "status")["status"]["attached"] is False
    answer = attachments.patch("status", {"status": {"attached": True}}, "status")
    assert answer["status"]["attached"] is True
    answer = changed(attachments, "status", {"status": {"attached": False}}, "status")
    assert answer["status"]["attached"] is False
    attachments.patch("status", labelled(show="attachment-status"))
    assert attachments.names(labelSelector="show=attachment-status") == ["status"]
    attachments.delete("status")
    assert attachments.gone("status")


@conformance("volumeattachment-lifecycle")
def test_attachments_live(api: Api) -> None:
    attachments = api.at(STORAGE, "volumeattachments")
    made = attachments.create(attachment("first"))
    assert attachments.get("first") == made
    attachments.patch("first", labelled(show="first"), content_type=STRATEGIC_PATCH)
    assert attachments.names(labelSelector="show=first") == ["first"]
    attachments.delete("first")
    assert attachments.gone("first")
    for name in ("second", "third"):
        attachments.create(attachment(name))
        changed(attachments, name, labelled(show="put"))
    assert attachments.names(labelSelector="show=put") == ["second", "third"]
    attachments.delete_all(labelSelector="show=put")
    assert attachments.names(labelSelector="show=put") == []
