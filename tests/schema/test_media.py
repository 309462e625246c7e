"""Media types: which serializer and which representation a client gets."""

import pytest

from ekslab.kube.api import media
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.media import DISCOVERY, JSON, PROTOBUF, YAML, Transform, negotiate

KUBECTL = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,"
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("accept", "media_type", "transform"),
    [
        pytest.param("", JSON, None, id="nothing"),
        pytest.param("*/*", JSON, None, id="anything"),
        pytest.param("application/*", JSON, None, id="any-application"),
        pytest.param(KUBECTL, JSON, Transform("Table", "meta.k8s.io", "v1"), id="kubectl"),
        pytest.param(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            JSON,
            Transform("PartialObjectMetadataList", "meta.k8s.io", "v1"),
            id="metadata-only",
        ),
        pytest.param("application/yaml", YAML, None, id="yaml"),
        pytest.param(
            "application/vnd.kubernetes.protobuf,application/json", JSON, None, id="protobuf-first"
        ),
        pytest.param("application/json;as=Nothing;v=v1;g=a.b,*/*;q=0.1", JSON, None, id="unknown"),
        pytest.param("application/json;q=0.5, application/yaml", YAML, None, id="quality"),
        pytest.param("application/json;q=x", JSON, None, id="bad-quality"),
    ],
)
def test_the_best_clause_that_can_be_met_wins(accept, media_type, transform):
    choice = negotiate(accept)
    assert (choice.media_type, choice.transform) == (media_type, transform)


@pytest.mark.parametrize(
    "accept", ["application/vnd.kubernetes.protobuf", "text/html", "application/json;q=0"]
)
def test_nothing_acceptable_is_406(accept):
    with pytest.raises(ApiError) as error:
        negotiate(accept)
    assert error.value.code == 406
    assert error.value.message == (
        "only the following media types are accepted: application/json, application/yaml,"
        " application/vnd.kubernetes.protobuf"
    )


def test_protobuf_is_for_what_has_messages():
    accept = "application/vnd.kubernetes.protobuf,application/json"
    assert negotiate(accept, protobuf=True).media_type == PROTOBUF
    assert negotiate(accept, protobuf=False).media_type == JSON


def test_streams_are_understood():
    assert negotiate("application/json;stream=watch").stream


def test_discovery_names_its_parameters_in_the_content_type():
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    choice = negotiate(accept, transforms=(DISCOVERY,))
    assert choice.content_type == (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    assert negotiate(accept).transform is None


def test_bodies_of_other_types_are_415():
    with pytest.raises(ApiError) as error:
        media.decode(b"", "text/plain")
    assert error.value.code == 415
    assert media.decode(b'{"a":1}', "application/json; charset=utf-8") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: 2020-01-01", "2020-01-01", id="dates-stay-strings"),
        pytest.param("a: 1e3", 1000.0, id="exponents-are-numbers"),
        pytest.param("a: 1:30", "1:30", id="no-base-60"),
        pytest.param("a: 0644", 420, id="octal"),
        pytest.param("a: 'yes'", "yes", id="quoted"),
        pytest.param("a: [yes, y, off]", [True, True, False], id="words-for-true-and-false"),
        pytest.param("a: ~", None, id="null"),
        pytest.param("a: {1: x, true: z}", {"1": "x", "true": "z"}, id="keys-become-strings"),
        pytest.param("a: {<<: {x: 1, z: 2}, x: 3}", {"x": 3, "z": 2}, id="merge"),
        pytest.param("a: &b [1]\n---\nc: 1", [1], id="first-document"),
    ],
)
def test_yaml_is_read_as_upstream_reads_it(text, expected):
    assert media.decode(text.encode(), YAML)["a"] == expected


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "\n".join(
    f"{name}: &{name} [{','.join([f'*{below}'] * 10)}]"
    for below, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: b: c", id="two-colons"),
        pytest.param("a: &a [*a]", id="alias-in-itself"),
        pytest.param(BOMB, id="aliases-without-end"),
        pytest.param("[" * 3_000, id="deep"),
        pytest.param("\x00", id="control"),
        pytest.param("- a", id="list"),
        pytest.param("*x", id="unknown-alias"),
    ],
)
@pytest.mark.parametrize("content_type", [YAML, JSON])
def test_bad_bodies_are_400(text, content_type):
    with pytest.raises(ApiError) as error:
        media.decode(text.encode(), content_type)
    assert error.value.code == 400


def test_yaml_is_written_with_sorted_keys():
    assert media.encode({"b": 1, "a": [{"x": "y"}]}, YAML) == b"a:\n- x: y\nb: 1\n"
