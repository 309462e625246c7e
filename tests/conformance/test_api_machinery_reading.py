"""Lists in chunks, tables, and what watches see."""

import threading

import pytest

from tests.conformance.api import Api, Collection, Object, refused
from tests.conformance.cluster import ServedCluster
from tests.conformance.objects import config_map
from tests.conformance.verbs import annotated, labelled

conformance = pytest.mark.conformance


# Lists


def pod_template(name: str) -> Object:
    containers = [{"name": "main", "image": "nginx"}]
    return {"metadata": {"name": name}, "template": {"spec": {"containers": containers}}}


@conformance("chunking-list")
def test_a_list_is_read_in_chunks_of_one_moment(api: Api, namespace: str) -> None:
    templates = api.at("v1", "podtemplates", namespace)
    wanted = [f"template-{number:03}" for number in range(40)]
    for name in wanted:
        templates.create(pod_template(name))
    seen: list[str] = []
    page = templates.list(limit=17)
    first = page["metadata"]["resourceVersion"]
    while True:
        names = [item["metadata"]["name"] for item in page["items"]]
        assert len(names) <= 17
        seen += names
        assert page["metadata"]["resourceVersion"] == first
        token = page["metadata"].get("continue")
        assert page["metadata"].get("remainingItemCount", 0) == len(wanted) - len(seen)
        if not token:
            break
        templates.create(pod_template(f"late-{len(seen)}"))  # and no page shows it
        page = templates.list(limit=17, **{"continue": token})
    assert seen == wanted
    whole = templates.list()
    assert len(whole["items"]) == 42
    assert "continue" not in whole["metadata"]


@conformance("chunking-compacted")
def test_an_expired_token_offers_another_that_goes_on(
    api: Api, served: ServedCluster, namespace: str
) -> None:
    templates = api.at("v1", "podtemplates", namespace)
    wanted = [f"template-{number:03}" for number in range(12)]
    for name in wanted:
        templates.create(pod_template(name))
    first = templates.list(limit=5)
    templates.create(pod_template("template-100"))
    served.compact()
    token = first["metadata"]["continue"]
    status = refused(lambda: templates.list(limit=5, **{"continue": token}))
    assert (status["code"], status["reason"]) == (410, "Expired")

    seen, left, versions = wanted[:5], 8, set()
    token = status["metadata"]["continue"]
    while token:
        page = templates.list(limit=5, **{"continue": token})
        names = [item["metadata"]["name"] for item in page["items"]]
        seen, left = seen + names, left - len(names)
        assert len(names) <= 5
        assert page["metadata"].get("remainingItemCount", 0) == left
        versions.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue")
    assert seen == [*wanted, "template-100"]
    assert len(versions) == 1
    assert versions != {first["metadata"]["resourceVersion"]}


@conformance("table-406")
def test_a_resource_without_a_table_answers_406_to_who_wants_nothing_else(api: Api) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    }
    reply = api.ask(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        review,
        accept="application/json;as=Table;v=v1;g=meta.k8s.io",
    )
    assert reply.code == 406
    assert reply.body["reason"] == "NotAcceptable"


# Watches


@conformance("watch-multiple")
def test_each_watch_sees_what_its_selector_chooses(api: Api, namespace: str) -> None:
    maps = api.at("v1", "configmaps", namespace)
    a, b = {"watch": "a"}, {"watch": "b"}
    with (
        maps.watch(labelSelector="watch=a") as of_a,
        maps.watch(labelSelector="watch=b") as of_b,
        maps.watch(labelSelector="watch in (a,b)") as of_both,
    ):
        for labels, own in ((a, of_a), (b, of_b)):
            name = f"map-{labels['watch']}"
            made = maps.create(config_map(name, labels))
            assert own.next() == of_both.next() == ("ADDED", made)
            for number in ("1", "2"):
                changed = maps.patch(name, {"data": {"mutation": number}})
                assert own.next() == of_both.next() == ("MODIFIED", changed)
            maps.delete(name)
            kind, last = own.next()
            assert (kind, last["data"]) == ("DELETED", {"mutation": "2"})
            assert of_both.next() == (kind, last)
        # Had a watch seen more, it would come before this.
        for labels, own in ((a, of_a), (b, of_b)):
            end = maps.create(config_map(f"end-{labels['watch']}", labels))
            assert own.next() == of_both.next() == ("ADDED", end)


@conformance("watch-from-version")
def test_a_watch_replays_what_came_after_its_version(api: Api, namespace: str) -> None:
    maps = api.at("v1", "configmaps", namespace)
    maps.create(config_map("replayed"))
    first = maps.patch("replayed", {"data": {"mutation": "1"}})
    second = maps.patch("replayed", {"data": {"mutation": "2"}})
    maps.delete("replayed")
    with maps.watch(resourceVersion=first["metadata"]["resourceVersion"]) as watch:
        assert watch.next() == ("MODIFIED", second)
        kind, last = watch.next()
        assert (kind, last["metadata"]["uid"]) == ("DELETED", first["metadata"]["uid"])


@conformance("watch-restart")
def test_a_watch_goes_on_where_another_was_closed(api: Api, namespace: str) -> None:
    maps = api.at("v1", "configmaps", namespace)
    with maps.watch() as watch:
        made = maps.create(config_map("restarted"))
        watch.until("ADDED", lambda seen: seen["metadata"]["name"] == "restarted")
        first = maps.patch("restarted", {"data": {"mutation": "1"}})
        assert watch.next() == ("MODIFIED", first)
    second = maps.patch("restarted", {"data": {"mutation": "2"}})
    with maps.watch(resourceVersion=first["metadata"]["resourceVersion"]) as watch:
        assert watch.next() == ("MODIFIED", second)
        maps.delete("restarted")
        kind, last = watch.next()
        assert (kind, last["metadata"]["uid"]) == ("DELETED", made["metadata"]["uid"])


@conformance("watch-selector-leave")
def test_leaving_a_selector_is_a_deletion_to_its_watch(api: Api, namespace: str) -> None:
    maps = api.at("v1", "configmaps", namespace)
    with maps.watch(labelSelector="chosen=yes") as watch:
        made = maps.create(config_map("moving", {"chosen": "yes"}))
        assert watch.next() == ("ADDED", made)
        first = maps.patch("moving", {"data": {"mutation": "1"}})
        assert watch.next() == ("MODIFIED", first)
        left = maps.patch("moving", labelled(chosen="no"))
        kind, last = watch.next()
        assert (kind, last["metadata"]["name"], last["data"]) == (
            "DELETED",
            "moving",
            first["data"],
        )
        assert last["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
        maps.patch("moving", {"data": {"mutation": "2"}})
        back = maps.patch("moving", labelled(chosen="yes"))
        assert watch.next() == ("ADDED", back)
        third = maps.patch("moving", {"data": {"mutation": "3"}})
        assert watch.next() == ("MODIFIED", third)
        maps.delete("moving")
        assert watch.next()[0] == "DELETED"


@conformance("watch-order")
def test_all_watches_see_the_same_order(api: Api, namespace: str) -> None:
    maps = api.at("v1", "configmaps", namespace)
    count = 30

    def write() -> None:
        own = api.with_headers().at("v1", "configmaps", namespace)
        for number in range(count // 3):
            own.create(config_map(f"ordered-{number}", {"show": "order"}))
            own.patch(f"ordered-{number}", annotated("mutation", "1"))
            own.delete(f"ordered-{number}")
        own.api.close()

    version = maps.list()["metadata"]["resourceVersion"]
    writer = threading.Thread(target=write)
    writer.start()
    seen = versions(maps, version, count)
    writer.join()
    assert seen == sorted(seen, key=int)
    assert len(set(seen)) == count
    for number, version in enumerate(seen[:-1]):
        assert versions(maps, version, count - number - 1) == seen[number + 1 :]


def versions(maps: Collection, since: str, count: int) -> list[str]:
    """The resourceVersions of the events that a watch sees after one."""
    with maps.watch(resourceVersion=since, labelSelector="show=order") as watch:
        return [watch.next()[1]["metadata"]["resourceVersion"] for _ in range(count)]
