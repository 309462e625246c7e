"""Limit ranges and priority classes as objects; placement and preemption on virtual time."""

import pytest

from tests.conformance.api import MERGE_PATCH, STRATEGIC_PATCH, Api, Object, refused
from tests.conformance.objects import pod
from tests.conformance.verbs import changed, labelled

conformance = pytest.mark.conformance

SCHEDULING = "scheduling.k8s.io/v1"


def limit_range(name: str, labels: dict[str, str] | None = None, **limits: Object) -> Object:
    item = {"type": "Container", **limits}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"limits": [item]}}


def sized(name: str, **resources: Object) -> Object:
    body = pod(name)
    body["spec"]["containers"][0]["resources"] = resources
    return body


@conformance("limitrange-defaults")
def test_a_limit_range_fills_in_and_refuses(api: Api, namespace: str) -> None:
    ranges, pods = api.at("v1", "limitranges", namespace), api.at("v1", "pods", namespace)
    bounds = {
        "min": {"cpu": "50m", "memory": "100Mi"},
        "max": {"cpu": "500m", "memory": "500Mi"},
        "default": {"cpu": "300m", "memory": "300Mi"},
        "defaultRequest": {"cpu": "100m", "memory": "200Mi"},
    }
    with ranges.watch() as watch:
        made = ranges.create(limit_range("bounds", **bounds))
        assert watch.next() == ("ADDED", made)
    assert ranges.get("bounds")["spec"]["limits"][0] == {"type": "Container", **bounds}

    def resources(body: Object) -> Object:
        found: Object = pods.create(body)["spec"]["containers"][0]["resources"]
        return found

    assert resources(sized("silent")) == {
        "limits": {"cpu": "300m", "memory": "300Mi"},
        "requests": {"cpu": "100m", "memory": "200Mi"},
    }
    # A limit is the request too where none is given: that default comes before the range's.
    partly = sized("partly", requests={"cpu": "150m"}, limits={"memory": "250Mi"})
    assert resources(partly) == {
        "limits": {"cpu": "300m", "memory": "250Mi"},
        "requests": {"cpu": "150m", "memory": "250Mi"},
    }
    for body in (sized("low", requests={"cpu": "10m"}), sized("high", limits={"memory": "600Mi"})):
        status = refused(lambda body=body: pods.create(body))
        assert (status["code"], status["reason"]) == (403, "Forbidden")

    changed(ranges, "bounds", {"spec": {"limits": [{"type": "Container", **bounds,
            "min": {"cpu": "5m", "memory": "10Mi"}}]}})  # fmt: skip
    assert resources(sized("low", requests={"cpu": "10m"}))["requests"]["cpu"] == "10m"
    ranges.delete("bounds")
    assert resources(sized("high", limits={"memory": "600Mi"}))["limits"]["memory"] == "600Mi"


@conformance("limitrange-collection")
def test_limit_ranges_are_found_everywhere_and_deleted_in_one_place(
    api: Api, namespace: str
) -> None:
    api.at("v1", "namespaces").create({"metadata": {"name": f"{namespace}-2"}})
    here = api.at("v1", "limitranges", namespace)
    there = api.at("v1", "limitranges", f"{namespace}-2")
    labels = {"show": "collection"}
    for ranges in (here, there):
        ranges.create(limit_range("bounds", labels, max={"cpu": "500m"}))
    assert here.everywhere().names(labelSelector="show=collection") == ["bounds", "bounds"]
    limits = [{"type": "Container", "max": {"cpu": "2"}}]
    body = {**labelled(patched="yes"), "spec": {"limits": limits}}
    here.patch("bounds", body, content_type=STRATEGIC_PATCH)
    assert here.list(labelSelector="patched=yes")["items"][0]["spec"]["limits"][0]["max"] == {
        "cpu": "2"
    }
    here.delete_all(labelSelector="patched=yes")
    (left,) = here.everywhere().list(labelSelector="show=collection")["items"]
    assert left["metadata"]["namespace"] == f"{namespace}-2"


@conformance("priorityclass-endpoints")
def test_the_value_of_a_priority_class_cannot_change_but_its_description(api: Api) -> None:
    classes = api.at(SCHEDULING, "priorityclasses")
    labels = {"show": "priority"}
    for name, value in (("shown-1", 1), ("shown-2", 2)):
        body = {"metadata": {"name": name, "labels": labels}, "value": value}
        classes.create({**body, "description": "first"})
    found = classes.list(labelSelector="show=priority")["items"]
    assert [one["value"] for one in found] == [1, 2]
    answer = classes.patch("shown-1", {"description": "patched"})
    assert answer["description"] == "patched"
    assert changed(classes, "shown-2", {"description": "put"})["description"] == "put"
    calls = (
        lambda: classes.patch("shown-1", {"value": 10}, content_type=MERGE_PATCH),
        lambda: changed(classes, "shown-2", {"value": 20}),
    )
    for call in calls:
        status = refused(call)
        assert (status["code"], status["reason"]) == (422, "Invalid")
        assert status["details"]["causes"][0]["field"] == "value"
    found = classes.list(labelSelector="show=priority")["items"]
    assert [(one["value"], one["description"]) for one in found] == [(1, "patched"), (2, "put")]
    classes.delete_all(labelSelector="show=priority")
