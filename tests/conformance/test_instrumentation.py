"""Events, in their own group and in the core one."""

import pytest

from tests.conformance.api import Api, Object
from tests.conformance.verbs import changed

conformance = pytest.mark.conformance

EVENTS = "events.k8s.io/v1"


def new_event(name: str, namespace: str) -> Object:
    return {
        "metadata": {"name": name, "labels": {"show": namespace}},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/shower",
        "reportingInstance": "shower-1",
        "action": "Show",
        "reason": "Shown",
        "type": "Normal",
        "note": "first",
        "regarding": {"kind": "Pod", "name": "web", "namespace": namespace},
    }


def core_event(name: str, namespace: str) -> Object:
    return {
        "metadata": {"name": name, "labels": {"show": namespace}},
        "involvedObject": {"kind": "Pod", "name": "web", "namespace": namespace},
        "message": "first",
        "reason": "Shown",
        "source": {"component": "shower"},
        "type": "Normal",
    }


@conformance("events-v1-lifecycle")
def test_an_event_is_created_patched_put_and_deleted(api: Api, namespace: str) -> None:
    events = api.at(EVENTS, "events", namespace)
    made = events.create(new_event("shown", namespace))
    chosen = f"show={namespace}"
    assert events.everywhere().list(labelSelector=chosen)["items"][0]["note"] == "first"
    patched = events.patch("shown", {"note": "second"})
    assert (patched["note"], patched["metadata"]["uid"]) == ("second", made["metadata"]["uid"])
    series = {"count": 100, "lastObservedTime": "2026-02-03T04:05:06.789000Z"}
    assert changed(events, "shown", {"series": series})["series"] == series
    assert events.get("shown")["series"] == series
    # The core group shows the same object in its own words.
    core = api.at("v1", "events", namespace).get("shown")
    assert (core["message"], core["series"]["count"]) == ("second", 100)
    events.delete("shown")
    assert events.names(labelSelector=chosen) == []
    assert events.everywhere().names(labelSelector=chosen) == []


@conformance("core-events-lifecycle")
def test_a_core_event_is_created_patched_put_and_deleted(api: Api, namespace: str) -> None:
    events = api.at("v1", "events", namespace)
    events.create(core_event("shown", namespace))
    chosen = f"show={namespace}"
    (found,) = events.everywhere().list(labelSelector=chosen)["items"]
    assert found["message"] == "first"
    events.patch("shown", {"message": "second"})
    assert events.get("shown")["message"] == "second"
    series = {"count": 100, "lastObservedTime": "2026-02-03T04:05:06.789000Z"}
    more = {"series": series, "reportingComponent": "example.com/shower"}
    changed(events, "shown", {**more, "reportingInstance": "shower-1", "action": "Show"})
    assert events.get("shown")["series"] == series
    events.delete("shown")
    assert events.everywhere().names(labelSelector=chosen) == []


@pytest.mark.parametrize(
    ("group_version", "make"),
    [
        pytest.param(EVENTS, new_event, marks=conformance("events-v1-delete-collection")),
        pytest.param("v1", core_event, marks=conformance("core-events-delete-collection")),
    ],
)
def test_events_are_found_and_deleted_by_their_label(
    api: Api, namespace: str, group_version: str, make
) -> None:
    events = api.at(group_version, "events", namespace)
    names = [f"shown-{number}" for number in range(3)]
    for name in names:
        events.create(make(name, namespace))
    events.create({**make("other", namespace), "metadata": {"name": "other"}})
    chosen = f"show={namespace}"
    assert events.names(labelSelector=chosen) == names
    assert events.everywhere().names(labelSelector=chosen) == names
    events.delete_all(labelSelector=chosen)
    assert events.names() == ["other"]
