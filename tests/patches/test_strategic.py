"""Strategic merge patch on real objects."""

from typing import Any

import orjson
import pytest

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.patches import strategic
from tests.patches.shapes import DEPLOYMENT, SERVICE


def deployment(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": list(containers)}}
    return {"metadata": {"name": "web"}, "spec": {**spec, "template": template}}


def patch_containers(*elements: Any, **more: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": list(elements), **more}}}}


def containers_of(obj: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = obj["spec"]["template"]["spec"]["containers"]
    return found


A, B, C = ({"name": name, "image": "1"} for name in "abc")


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        pytest.param(
            patch_containers({"name": "b", "image": "2"}),
            [A, {"name": "b", "image": "2"}, C],
            id="an element is merged where it stands",
        ),
        pytest.param(
            patch_containers({"name": "new", "image": "2"}),
            [{"name": "new", "image": "2"}, A, B, C],
            id="a new element goes first",
        ),
        pytest.param(
            patch_containers({"name": "b"}, {"name": "new"}),
            [A, B, {"name": "new"}, C],
            id="a new element follows its neighbour of the patch",
        ),
        pytest.param(
            patch_containers({"name": "b", "$patch": "delete"}), [A, C], id="an element goes"
        ),
        pytest.param(
            patch_containers({"name": "z", "image": "9"}, {"$patch": "replace"}),
            [{"name": "z", "image": "9"}],
            id="the list is replaced",
        ),
        pytest.param(
            patch_containers(
                {"name": "new"}, **{"$setElementOrder/containers": [
                    {"name": "c"}, {"name": "new"}, {"name": "a"}, {"name": "b"}
                ]}
            ),
            [C, {"name": "new"}, A, B],
            id="the order is given",
        ),
        pytest.param(
            {"spec": {"template": {"spec": {"$setElementOrder/containers": [
                {"name": "c"}, {"name": "a"}
            ]}}}},
            [B, C, A],
            id="only the order is given",
        ),
        pytest.param(
            patch_containers(
                {"name": "b", "$patch": "delete"},
                **{"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]},
            ),
            [C, A],
            id="an element goes and the order is given",
        ),
        pytest.param(
            patch_containers({"name": "a", "image": None, "args": ["x"]}),
            [{"name": "a", "args": ["x"]}, B, C],
            id="null removes a field of an element",
        ),
        pytest.param(
            patch_containers({"$patch": "replace", "name": "gone"}), [],
            id="replaced by nothing",
        ),
    ],
)  # fmt: skip
def test_containers_are_merged_by_name(
    patch: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    obj = deployment(A, B, C)
    before = orjson.dumps([obj, patch])
    assert containers_of(strategic.apply(obj, patch, DEPLOYMENT)) == expected
    assert orjson.dumps([obj, patch]) == before


def test_what_a_patch_does_not_change_is_shared() -> None:
    web, log = {"name": "web", "image": "nginx:1"}, {"name": "log", "image": "fluent:1"}
    obj = deployment(web, log)
    again = patch_containers({"name": "web", "image": "nginx:1"}, {"name": "log", "image": "f"})
    patched = strategic.apply(obj, again, DEPLOYMENT)
    assert containers_of(patched)[0] is web
    assert containers_of(patched)[1] == {"name": "log", "image": "f"}
    assert log == {"name": "log", "image": "fluent:1"}
    assert strategic.apply(obj, patch_containers(web, log), DEPLOYMENT) is obj


def test_lists_without_a_merge_strategy_are_replaced() -> None:
    obj = deployment({"name": "a", "args": ["x", "y"]})
    patched = strategic.apply(obj, patch_containers({"name": "a", "args": ["z"]}), DEPLOYMENT)
    assert containers_of(patched) == [{"name": "a", "args": ["z"]}]


def test_service_ports_are_merged_by_port() -> None:
    obj = {"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443}]}}
    patch = {"spec": {"ports": [{"port": 443, "name": "https"}]}}
    ports = strategic.apply(obj, patch, SERVICE)["spec"]["ports"]
    assert ports == [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}]


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"finalizers": ["c", "a"]}, ["c", "a", "b"]),
        ({"finalizers": ["b", "d"]}, ["a", "b", "d"]),
        ({"$deleteFromPrimitiveList/finalizers": ["a"]}, ["b"]),
        (
            {"$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["b"]},
            ["b"],
        ),
        ({"$setElementOrder/finalizers": ["b", "a"]}, ["b", "a"]),
        ({"finalizers": None}, None),
    ],
)
def test_lists_of_scalars_are_merged(patch: dict[str, Any], expected: list[str] | None) -> None:
    obj = {"metadata": {"name": "x", "finalizers": ["a", "b"]}}
    patched = strategic.apply(obj, {"metadata": patch}, DEPLOYMENT)
    assert patched["metadata"].get("finalizers") == expected


def test_maps_merge_replace_and_empty() -> None:
    obj = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"replicas": 1}}
    labels = {
        "merge": ({"a": None, "c": "3"}, {"b": "2", "c": "3"}),
        "replace": ({"$patch": "replace", "c": "3"}, {"c": "3"}),
        "delete": ({"$patch": "delete"}, {}),
    }
    for name, (patch, expected) in labels.items():
        patched = strategic.apply(obj, {"metadata": {"labels": patch}}, DEPLOYMENT)
        assert patched["metadata"]["labels"] == expected, name
        assert patched["spec"] is obj["spec"], "what is not touched is shared"


def test_retain_keys_clears_the_other_half_of_a_union() -> None:
    obj = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic.apply(obj, patch, DEPLOYMENT)["spec"]["strategy"] == {"type": "Recreate"}


def test_what_is_new_comes_without_nulls_and_directives() -> None:
    patch = {
        "metadata": {
            "$setElementOrder/finalizers": ["a"],
            "finalizers": ["a"],
            "annotations": {"x": None, "y": "1"},
        },
        "spec": {
            "template": {
                "spec": {
                    "$setElementOrder/containers": [{"name": "a"}],
                    "containers": [{"name": "a", "image": None}, {"name": "b", "$patch": "delete"}],
                }
            }
        },
    }
    assert strategic.apply({}, patch, DEPLOYMENT) == {
        "metadata": {"finalizers": ["a"], "annotations": {"y": "1"}},
        "spec": {"template": {"spec": {"containers": [{"name": "a"}]}}},
    }


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ([], 400, "json: cannot unmarshal array"),
        ({"spec": {"$patch": "merge"}}, 422, "the server rejected our request"),
        ({"spec": {"strategy": {"$retainKeys": ["type"], "x": 1}}}, 400, "format of retainKeys"),
        ({"spec": {"strategy": {"$retainKeys": 1}}}, 400, "invalid patch format of retainKeys"),
        (
            {"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}},
            400,
            "invalid patch format of primitive list",
        ),
        ({"metadata": {"$setElementOrder/finalizers": "a"}}, 400, "format of setElementOrder"),
        (
            {"metadata": {"$setElementOrder/finalizers": ["a"], "finalizers": ["b"]}},
            400,
            "doesn't match",
        ),
        (
            patch_containers({"image": "2"}),
            400,
            r"^map: map\[image:2\] does not contain declared merge key: name$",
        ),
        (patch_containers({"name": "a", "$patch": "merge"}), 400, "cannot yet be specified"),
        (patch_containers({"name": "a", "$patch": "?"}), 422, "rejected our request"),
    ],
)
def test_bad_patches_are_refused_in_upstreams_words(patch: Any, code: int, message: str) -> None:
    obj = deployment(A, strategy={"type": "Recreate"})
    with pytest.raises(ApiError, match=message) as caught:
        strategic.apply(obj, patch, DEPLOYMENT)
    assert caught.value.code == code
