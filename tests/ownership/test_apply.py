"""Server-side apply: merging, giving up, and conflicts."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ownership import managers
from tests.patches.shapes import DEPLOYMENT, SERVICE

State = tuple[dict[str, Any] | None, list[Any]]


def apply(
    state: State, config: dict[str, Any], *, by: str = "me", force: bool = False, time: str = "t1"
) -> tuple[dict[str, Any], list[Any]]:
    live, managed = state
    full = {"apiVersion": "apps/v1", "kind": "Deployment", **config}
    before = orjson.dumps([live, managed, full])
    result = managers.apply(
        DEPLOYMENT, live, managed, full, manager=by, force=force, api_version="apps/v1", time=time
    )
    assert orjson.dumps([live, managed, full]) == before
    return result


def containers(*elements: dict[str, Any], **spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": list(elements)}}
    return {"metadata": {"name": "web"}, "spec": {**spec, "template": template}}


def names(obj: dict[str, Any]) -> list[str]:
    return [each["name"] for each in obj["spec"]["template"]["spec"]["containers"]]


NOTHING: State = (None, [])


def test_the_first_apply_creates_and_owns_only_what_it_says() -> None:
    obj, managed = apply(NOTHING, containers({"name": "a", "image": "1"}, replicas=2))
    assert obj["spec"]["replicas"] == 2
    assert obj["kind"] == "Deployment"
    assert managed == [
        {
            "manager": "me",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": "t1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:spec": {
                    "f:replicas": {},
                    "f:template": {
                        "f:spec": {
                            "f:containers": {
                                'k:{"name":"a"}': {".": {}, "f:image": {}, "f:name": {}}
                            }
                        }
                    },
                }
            },
        }
    ]


def test_applying_again_changes_nothing_at_all() -> None:
    config = containers({"name": "a", "image": "1"}, replicas=2)
    state = apply(NOTHING, config)
    again = apply(state, config, time="t2")
    assert again[0] is state[0]
    assert again[1] is state[1]


def test_what_is_no_longer_applied_goes() -> None:
    both = containers({"name": "a", "image": "1"}, {"name": "b"}, replicas=2)
    state = apply(NOTHING, both | {"metadata": {"name": "web", "labels": {"x": "1", "y": "2"}}})
    config = containers({"name": "a"})
    config["metadata"]["labels"] = {"y": "2"}
    obj, managed = apply(state, config, time="t2")
    assert obj["spec"]["template"]["spec"]["containers"] == [{"name": "a"}]
    assert "replicas" not in obj["spec"]
    assert obj["metadata"]["labels"] == {"y": "2"}
    assert managed[0]["time"] == "t2"


def test_defaults_go_with_the_element_they_were_filled_into() -> None:
    live, managed = apply(NOTHING, containers({"name": "a"}, {"name": "b"}))
    for each in live["spec"]["template"]["spec"]["containers"]:
        each["image"] = "default"
    obj, _ = apply((live, managed), containers({"name": "a"}))
    assert obj["spec"]["template"]["spec"]["containers"] == [{"name": "a", "image": "default"}]


def test_what_others_own_stays() -> None:
    state = apply(NOTHING, containers({"name": "a"}, {"name": "b"}, replicas=2))
    state = apply(state, containers({"name": "b", "image": "2"}), by="you")
    obj, managed = apply(state, containers({"name": "a"}))
    assert names(obj) == ["a", "b"]
    assert "replicas" not in obj["spec"]
    assert [entry["manager"] for entry in managed] == ["me", "you"]


def test_a_manager_that_applies_nothing_any_more_vanishes() -> None:
    state = apply(NOTHING, containers({"name": "a"}), by="you")
    state = apply(state, {"metadata": {"name": "web"}, "spec": {"replicas": 2}})
    obj, managed = apply(state, {"metadata": {"name": "web"}})
    assert "replicas" not in obj["spec"]
    assert [entry["manager"] for entry in managed] == ["you"]


@pytest.mark.parametrize(
    ("live", "config", "expected"),
    [
        ("abc", "cx", "abcx"),
        ("abc", "ca", "bca"),
        ("ab", "xb", "axb"),
        ("ab", "x", "abx"),
        ("", "ba", "ba"),
    ],
)
def test_the_order_of_merged_lists(live: str, config: str, expected: str) -> None:
    state = apply(NOTHING, containers(*({"name": each} for each in live)), by="you")
    obj, _ = apply(state, containers(*({"name": each} for each in config)))
    assert "".join(names(obj)) == expected


def test_a_conflict_names_the_manager_and_the_field() -> None:
    live = containers({"name": "a", "image": "1"}, replicas=1)
    managed = managers.after_update(
        DEPLOYMENT, None, live, [], manager="kubectl-edit", api_version="v1", time="t0"
    )
    with pytest.raises(ApiError) as caught:
        apply((live, managed), containers(replicas=3))
    error = caught.value
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .spec.replicas'
    )
    assert error.details == {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "kubectl-edit" using v1',
                "field": ".spec.replicas",
            }
        ]
    }
    with pytest.raises(ApiError) as caught:
        apply((live, managed), containers({"name": "a", "image": "2"}, replicas=3))
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "kubectl-edit" using v1:\n'
        "- .spec.replicas\n"
        '- .spec.template.spec.containers[name="a"].image'
    )


def test_a_forced_apply_takes_the_field() -> None:
    state = apply(NOTHING, containers({"name": "a"}, replicas=1), by="you")
    with pytest.raises(ApiError, match=r'conflict with "you": \.spec\.replicas'):
        apply(state, containers(replicas=3))
    obj, managed = apply(state, containers(replicas=3), force=True)
    assert obj["spec"]["replicas"] == 3
    you = next(entry for entry in managed if entry["manager"] == "you")
    assert "f:replicas" not in you["fieldsV1"]["f:spec"]


def test_the_same_value_is_shared_without_conflict() -> None:
    state = apply(NOTHING, containers(replicas=1), by="you")
    _, managed = apply(state, containers(replicas=1))
    assert [entry["manager"] for entry in managed] == ["me", "you"]
    obj, managed = apply((state[0], managed), {"metadata": {"name": "web"}})
    assert obj["spec"]["replicas"] == 1


def test_atomic_values_are_taken_whole() -> None:
    selector = {"matchLabels": {"a": "1"}}
    state = apply(NOTHING, containers({"name": "a", "args": ["x", "y"]}, selector=selector))
    obj, managed = apply(state, containers({"name": "a", "args": ["z"]}, selector={}))
    assert obj["spec"]["template"]["spec"]["containers"][0]["args"] == ["z"]
    assert obj["spec"]["selector"] == {}
    assert managed[0]["fieldsV1"]["f:spec"]["f:selector"] == {}


def test_sets_merge_by_value() -> None:
    meta = {"name": "web", "finalizers": ["a"]}
    state = apply(NOTHING, {"metadata": meta}, by="you")
    state = apply(state, {"metadata": meta | {"finalizers": ["b"]}})
    assert state[0]["metadata"]["finalizers"] == ["a", "b"]
    obj, managed = apply(state, {"metadata": {"name": "web"}})
    assert obj["metadata"]["finalizers"] == ["a"]
    assert managed[0]["fieldsV1"] == {"f:metadata": {"f:finalizers": {'v:"a"': {}}}}


def test_keys_have_defaults() -> None:
    config = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "name": "http"}]}}
    live = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "protocol": "TCP"}]}}
    obj, _ = managers.apply(
        SERVICE, live, [], config, manager="me", force=False, api_version="v1", time="t"
    )
    assert obj["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "name": "http"}]


_PLACE = "failed to create typed patch object (/web; apps/v1, Kind=Deployment): "
_CONTAINERS = ".spec.template.spec.containers: "
_KEYLESS = (
    "element 0: associative list with keys has an element that omits key field"
    ' "name" (and doesn\'t have default value)'
)
_DUPLICATE = 'duplicate entries for key [name="a"]'
_UNDECLARED = ".spec.replica: field not declared in schema"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (containers(replica=1), _PLACE + _UNDECLARED),
        (containers({"name": "a"}, {"name": "a"}), _PLACE + _CONTAINERS + _DUPLICATE),
        (containers({"image": "a"}), _PLACE + _CONTAINERS + _KEYLESS),
        (
            containers({"name": "a"}, {"name": "a"}, replica=1),
            f"{_PLACE}errors:\n  {_UNDECLARED}\n  {_CONTAINERS}{_DUPLICATE}",
        ),
        ({"metadata": {"managedFields": [{}]}}, "metadata.managedFields must be nil"),
    ],
    ids=["undeclared", "duplicate", "keyless", "several", "managedFields"],
)
def test_what_cannot_be_applied_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        apply(NOTHING, config)
    assert (caught.value.code, caught.value.message) == (400, message)


_containers = st.lists(
    st.builds(
        lambda name, image: {"name": name, **({"image": image} if image else {})},
        st.sampled_from("abcd"),
        st.sampled_from(["", "1", "2"]),
    ),
    max_size=4,
    unique_by=lambda each: each["name"],
)
_configs = st.builds(
    lambda elements, labels, replicas: {
        "metadata": {"name": "web", **({"labels": labels} if labels else {})},
        "spec": {
            **({"replicas": replicas} if replicas else {}),
            **({"template": {"spec": {"containers": elements}}} if elements else {}),
        },
    },
    _containers,
    st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12")),
    st.integers(0, 3),
)


@given(steps=st.lists(st.tuples(st.sampled_from(["me", "you"]), _configs), min_size=1, max_size=5))
def test_a_forced_apply_is_what_the_configuration_says_and_applying_twice_is_once(
    steps: list[tuple[str, dict[str, Any]]],
) -> None:
    state: State = NOTHING
    for who, config in steps:
        state = apply(state, config, by=who, force=True)
        obj, managed = state
        assert obj is not None
        for key, value in config["metadata"].get("labels", {}).items():
            assert obj["metadata"]["labels"][key] == value
        found = {
            each["name"]: each
            for each in obj["spec"].get("template", {}).get("spec", {}).get("containers", [])
        }
        for each in config["spec"].get("template", {}).get("spec", {}).get("containers", []):
            assert each.items() <= found[each["name"]].items()
        again, managed_again = apply(state, config, by=who, force=False, time="later")
        assert again == obj
        if managed:  # Else it was there before the first apply, of which nothing is left.
            assert managed_again == managed
