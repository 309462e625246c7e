"""JSON Merge Patch: the table of RFC 7386, and its laws."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.patches import merge_patch


@pytest.mark.parametrize(
    ("obj", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": {"b": None, "c": 2}}, {"a": {"c": 2}}),
    ],
)
def test_the_table_of_the_rfc(
    obj: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert merge_patch.apply(obj, patch) == expected


@pytest.mark.parametrize(("patch", "kind"), [([], "array"), ("x", "string"), (1, "number")])
def test_only_objects_are_patches(patch: object, kind: str) -> None:
    with pytest.raises(ApiError, match=f"^error decoding patch: .* unmarshal {kind}") as caught:
        merge_patch.apply({}, patch)
    assert caught.value.code == 400


_values = st.recursive(
    st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda children: st.dictionaries(st.sampled_from("abc"), children, max_size=3),
    max_leaves=10,
)
_objects = st.dictionaries(st.sampled_from("abc"), _values, max_size=3)


@given(obj=_objects, patch=_objects)
def test_applying_twice_is_applying_once_and_inputs_stay(
    obj: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = orjson.dumps([obj, patch])
    once = merge_patch.apply(obj, patch)
    assert merge_patch.apply(once, patch) == once
    assert orjson.dumps([obj, patch]) == before


def test_what_a_patch_does_not_change_is_shared():
    obj = {"metadata": {"uid": "1"}, "spec": {"a": [1], "b": {"c": "d"}}}
    patched = merge_patch.apply(obj, {"metadata": {"uid": "1"}, "spec": {"b": {"c": "e"}}})
    assert patched["metadata"] is obj["metadata"]
    assert patched["spec"]["a"] is obj["spec"]["a"]
    assert patched["spec"]["b"] == {"c": "e"}
    assert obj["spec"]["b"] == {"c": "d"}
    assert merge_patch.apply(obj, {"spec": {"b": {"c": "d", "x": None}}}) is obj
