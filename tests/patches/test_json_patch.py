"""JSON Patch: RFC 6902 as the API server carries it out."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.patches import json_patch

DOC = {"a": {"b": [1, 2, 3], "c/d": "x", "e~f": None}, "t": True}


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        pytest.param([], DOC, id="nothing"),
        pytest.param([{"op": "add", "path": "/z", "value": 1}], {**DOC, "z": 1}, id="add a member"),
        pytest.param(
            [{"op": "add", "path": "/a/b/1", "value": 9}],
            {**DOC, "a": {**DOC["a"], "b": [1, 9, 2, 3]}},  # type: ignore[dict-item]
            id="insert",
        ),
        pytest.param(
            [{"op": "add", "path": "/a/b/-", "value": 9}],
            {**DOC, "a": {**DOC["a"], "b": [1, 2, 3, 9]}},  # type: ignore[dict-item]
            id="append",
        ),
        pytest.param(
            [{"op": "replace", "path": "/a/c~1d", "value": "y"}],
            {**DOC, "a": {**DOC["a"], "c/d": "y"}},  # type: ignore[dict-item]
            id="an escaped slash",
        ),
        pytest.param(
            [{"op": "remove", "path": "/a/e~0f"}, {"op": "remove", "path": "/a/b/-1"}],
            {"a": {"b": [1, 2], "c/d": "x"}, "t": True},
            id="an escaped tilde and a negative index",
        ),
        pytest.param(
            [{"op": "move", "from": "/a/b", "path": "/b"}, {"op": "remove", "path": "/a"}],
            {"b": [1, 2, 3], "t": True},
            id="move",
        ),
        pytest.param(
            [
                {"op": "copy", "from": "/a/b", "path": "/b"},
                {"op": "replace", "path": "/b/0", "value": 7},
                {"op": "remove", "path": "/a"},
            ],
            {"b": [7, 2, 3], "t": True},
            id="copy",
        ),
        pytest.param([{"op": "test", "path": "/a/b", "value": [1, 2, 3]}], DOC, id="test holds"),
        pytest.param(
            [{"op": "test", "path": "/none", "value": None}], DOC, id="null tests absence"
        ),
        pytest.param(
            [{"op": "replace", "path": "", "value": {"n": 1}}], {"n": 1}, id="the whole document"
        ),
    ],
)
def test_operations_do_what_the_rfc_says(ops: list[Any], expected: dict[str, Any]) -> None:
    before = orjson.dumps(DOC)
    assert json_patch.apply(DOC, ops) == expected
    assert orjson.dumps(DOC) == before


@pytest.mark.parametrize(
    "op",
    [
        {"op": "test", "path": "/t", "value": 1},
        {"op": "test", "path": "/t"},
        {"op": "remove", "path": "/none"},
        {"op": "remove", "path": "/a/b/3"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "replace", "path": "", "value": 1},
        {"op": "add", "path": "/a/b/5", "value": 1},
        {"op": "add", "path": "/a/b/x", "value": 1},
        {"op": "add", "path": "/t/x", "value": 1},
        {"op": "add", "path": "/x"},
        {"op": "add", "path": "no-slash", "value": 1},
        {"op": "add", "value": 1},
        {"op": "copy", "path": "/x"},
        {"op": "frobnicate", "path": "/x"},
        {},
    ],
    ids=str,
)
def test_what_does_not_fit_is_a_422_that_says_no_more(op: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch.apply(DOC, [op])
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert caught.value.message == (
        "the server rejected our request due to an error in our request"
    )


def test_what_is_no_patch_is_a_400() -> None:
    with pytest.raises(ApiError, match="cannot unmarshal object into Go value of type jsonpatch"):
        json_patch.apply(DOC, {"op": "add"})
    with pytest.raises(ApiError, match=r"string into Go value of type jsonpatch\.Operation"):
        json_patch.apply(DOC, ["add"])


def test_operations_and_copied_bytes_are_bounded() -> None:
    test = {"op": "test", "path": "/t", "value": True}
    with pytest.raises(ApiError) as caught:
        json_patch.apply(DOC, [test] * 10_001)
    assert caught.value.code == 413
    assert "is 10000, got 10001" in caught.value.message
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/{number}"} for number in range(64)]
    with pytest.raises(ApiError) as caught:
        json_patch.apply({"a": {"text": "x" * 1024}}, doubling)
    assert caught.value.code == 422
    nesting = [{"op": "copy", "from": "/a", "path": "/a/x"}] * 300
    with pytest.raises(ApiError) as caught:
        json_patch.apply({"a": {}}, nesting)
    assert caught.value.code == 422
    with pytest.raises(ApiError) as caught:
        json_patch.apply({"a": {}}, [{"op": "add", "path": "/a" * 300, "value": 1}])
    assert caught.value.code == 422


_leaves = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x"])
_documents = st.recursive(
    _leaves,
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from("ab"), children)
    ),
    max_leaves=8,
)
_paths = st.lists(st.sampled_from(["a", "b", "0", "1", "-"]), max_size=3).map(
    lambda tokens: "".join(f"/{token}" for token in tokens)
)
_operations = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": _paths,
        "from": _paths,
        "value": _documents,
    }
)


@given(
    doc=st.dictionaries(st.sampled_from("ab"), _documents), ops=st.lists(_operations, max_size=4)
)
def test_it_agrees_with_a_naive_patcher_and_changes_no_input(
    doc: dict[str, Any], ops: list[dict[str, Any]]
) -> None:
    before = orjson.dumps([doc, ops])
    try:
        result: object = json_patch.apply(doc, ops)
    except ApiError:
        result = None
    assert orjson.dumps([doc, ops]) == before
    assert orjson.dumps(result) == orjson.dumps(_naive(orjson.loads(before)))


def _naive(case: list[Any]) -> Any:
    """Change a private copy in place, by the letter of the RFC."""
    box = {"": case[0]}
    try:
        for op in case[1]:
            _naive_operation(box, op)
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return box.get("") if isinstance(box.get(""), dict) else None


def _naive_operation(box: Any, op: dict[str, Any]) -> None:
    value = op["value"]
    if op["op"] in ("move", "copy"):
        container, key = _naive_find(box, op["from"])
        value = orjson.loads(orjson.dumps(container[key]))
        if op["op"] == "move":
            del container[key]
    container, key = _naive_find(box, op["path"], adding=op["op"] in ("add", "move", "copy"))
    if op["op"] == "test":
        absent = isinstance(container, dict) and key not in container and key != ""
        if not (absent and value is None) and orjson.dumps(
            container[key], option=orjson.OPT_SORT_KEYS
        ) != orjson.dumps(value, option=orjson.OPT_SORT_KEYS):
            raise ValueError
    elif op["op"] == "remove":
        del container[key]
    elif op["op"] == "replace":
        container[key], _ = value, container[key]
    elif isinstance(container, list):
        container.insert(key, value)
    else:
        container[key] = value


def _naive_find(box: Any, pointer: str, *, adding: bool = False) -> tuple[Any, Any]:
    node = box
    tokens = pointer.split("/")
    for at, token in enumerate(tokens):
        key: Any = token
        if isinstance(node, list):
            last = at == len(tokens) - 1
            key = len(node) if token == "-" and last and adding else int(token)
            if not 0 <= key < len(node) + (adding and last):
                raise IndexError
        elif not isinstance(node, dict):
            raise TypeError
        if at == len(tokens) - 1:
            return node, key
        node = node[key]
    raise AssertionError
