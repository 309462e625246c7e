"""What many behaviours share: a resource is in discovery, takes the eight verbs, keeps a status."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tests.conformance.api import Api, Collection, Object, RefusedError, refused

Make = Callable[[str], Object]


def discovered(api: Api, group_version: str, *names: str) -> None:
    """The group, its version and its resources stand in the three discovery documents."""
    group, _, version = group_version.partition("/")
    listed = {one["name"]: one for one in api.do("GET", "/apis")["groups"]}
    assert group_version in [one["groupVersion"] for one in listed[group]["versions"]]
    document = api.do("GET", f"/apis/{group}")
    assert version in [one["version"] for one in document["versions"]]
    served = {one["name"] for one in api.do("GET", f"/apis/{group_version}")["resources"]}
    assert served >= set(names)


def takes_all_verbs(collection: Collection, make: Make) -> None:
    """Create, get, list, watch, update, patch, delete and deletecollection of one resource."""
    chosen = f"show={collection.plural}"

    def body(name: str) -> Object:
        made = make(name)
        made.setdefault("metadata", {}).update(name=name, labels={"show": collection.plural})
        return made

    with collection.watch(labelSelector=chosen) as watch:
        made = collection.create(body("one"))
        assert made["metadata"]["uid"]
        assert watch.next() == ("ADDED", made)
        assert collection.get("one") == made
        for name in ("two", "three"):
            another = collection.create(body(name))
            assert watch.until("ADDED") == another
        assert sorted(collection.names(labelSelector=chosen)) == ["one", "three", "two"]
        everywhere = collection.everywhere().names(labelSelector=chosen)
        assert sorted(everywhere) == ["one", "three", "two"]

        patched = collection.patch("one", annotated("patched", "yes"))
        assert patched["metadata"]["annotations"]["patched"] == "yes"
        assert watch.next() == ("MODIFIED", patched)

        changed = deepcopy(patched)
        changed["metadata"]["annotations"]["updated"] = "yes"
        updated = collection.replace(changed)
        assert updated["metadata"]["annotations"] == changed["metadata"]["annotations"]
        assert updated["metadata"]["resourceVersion"] != patched["metadata"]["resourceVersion"]
        assert watch.next() == ("MODIFIED", updated)
        assert refused(lambda: collection.replace(changed))["reason"] == "Conflict"

        collection.delete("one")
        kind, last = watch.next()
        assert (kind, last["metadata"]["uid"]) == ("DELETED", made["metadata"]["uid"])
        assert collection.gone("one")

        collection.delete_all(labelSelector=chosen)
        left = {watch.until("DELETED")["metadata"]["name"] for _ in range(2)}
        assert left == {"two", "three"}
    assert collection.names(labelSelector=chosen) == []


def keeps_status(collection: Collection, name: str, *, patched: Object, put: Object) -> None:
    """Status fields written by PATCH, then by PUT, come back in later reads; the spec stays."""
    before = collection.get(name, "status")
    assert before["metadata"]["name"] == name
    body = {"metadata": {"annotations": {"patched": "status"}}, "status": patched}
    answer = collection.patch(name, body, "status")
    assert answer["metadata"]["annotations"]["patched"] == "status"
    assert part_of(patched, answer["status"])
    assert part_of(patched, collection.get(name, "status")["status"])
    answer = changed(collection, name, {"status": put}, "status")
    assert part_of(put, answer["status"])
    after = collection.get(name)
    assert part_of(put, after["status"])
    assert after.get("spec") == before.get("spec")


def changed(collection: Collection, name: str, change: Object, subresource: str = "") -> Object:
    """Read, change as a merge patch would, PUT; again where somebody else was faster."""
    for _ in range(10):
        obj = collection.get(name, subresource)
        merge(obj, change)
        try:
            return collection.replace(obj, subresource)
        except RefusedError as error:
            if error.reply.code != 409:
                raise
    raise AssertionError(f"{name} is never left alone")


def merge(obj: Object, change: Object) -> None:
    """Change a JSON object in place; None takes a key away."""
    for key, value in change.items():
        if value is None:
            obj.pop(key, None)
        elif isinstance(value, dict):
            merge(obj.setdefault(key, {}), value)
        else:
            obj[key] = value


def annotated(key: str, value: str) -> Object:
    """A merge patch that sets an annotation."""
    return {"metadata": {"annotations": {key: value}}}


def labelled(**labels: str) -> Object:
    """A merge patch that sets labels."""
    return {"metadata": {"labels": labels}}


def part_of(wanted: Any, found: Any) -> bool:
    """Whether everything wanted is found, at any depth; lists have as many elements."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            part_of(value, found.get(key)) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return len(wanted) == len(found) and all(map(part_of, wanted, found))
    return bool(wanted == found)
