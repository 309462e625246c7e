"""The algebra of field sets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekslab.kube.api.ownership.fieldset import BadFieldsError, FieldSet

SET = {
    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
    "f:spec": {
        "f:finalizers": {'v:"a"': {}},
        "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}}},
        "f:replicas": {},
    },
}


def test_paths_are_written_as_messages_write_them() -> None:
    assert list(FieldSet.parse(SET).paths()) == [
        ".metadata.labels",
        ".metadata.labels.app",
        '.spec.finalizers[="a"]',
        '.spec.ports[port=80,protocol="TCP"]',
        '.spec.ports[port=80,protocol="TCP"].name',
        ".spec.replicas",
    ]


def test_the_format_is_canonical() -> None:
    assert FieldSet.parse(SET).format() == SET
    assert FieldSet.parse({"f:b": {".": {}}, "f:a": {}}).format() == {"f:a": {}, "f:b": {}}


@pytest.mark.parametrize("bad", [1, None, [], {"spec": {}}, {"f:a": 1}, {"f:a": {"x:b": {}}}])
def test_what_is_no_set_is_refused(bad: object) -> None:
    with pytest.raises(BadFieldsError):
        FieldSet.parse(bad)


_elements = st.sampled_from(["f:a", "f:b", 'v:"x"', 'k:{"n":1}'])


def _canonical(tree: dict[str, Any]) -> dict[str, Any]:
    return {} if tree == {".": {}} else tree


_trees = st.recursive(
    st.just({}),
    lambda children: st.dictionaries(_elements | st.just("."), children, max_size=4).map(
        lambda tree: _canonical({k: {} if k == "." else v for k, v in tree.items()})
    ),
    max_leaves=12,
)
_sets = st.dictionaries(_elements, _trees, max_size=4).map(FieldSet.parse)


@given(left=_sets, right=_sets)
def test_it_is_the_algebra_of_sets_of_paths(left: FieldSet, right: FieldSet) -> None:
    mine, theirs = set(left.paths()), set(right.paths())
    assert set(left.union(right).paths()) == mine | theirs
    assert set(left.difference(right).paths()) == mine - theirs
    assert set(left.intersection(right).paths()) == mine & theirs
    assert left.union(right) == right.union(left)
    assert left.difference(right).union(left.intersection(right)) == left
    assert FieldSet.parse(left.format()) == left
    assert bool(left) == bool(mine)


@given(left=_sets, right=_sets)
def test_operations_on_canonical_trees_give_canonical_trees(
    left: FieldSet, right: FieldSet
) -> None:
    one, other = FieldSet.canonical(left.tree), FieldSet.canonical(right.tree)
    for result in (one.union(other), one.difference(other), one.intersection(other)):
        assert str(result.tree) == str(FieldSet.parse(result.tree).format())


def test_an_operation_that_changes_nothing_gives_what_it_was_given() -> None:
    whole, part = FieldSet.parse(SET), FieldSet.parse({"f:spec": {"f:replicas": {}}})
    assert whole.union(part) is whole
    assert whole.difference(FieldSet.parse({"f:status": {}})) is whole
    spec = whole.union(FieldSet.parse({"f:metadata": {"f:name": {}}})).tree["f:spec"]
    assert spec is SET["f:spec"]
