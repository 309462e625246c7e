"""Protobuf bodies, written here field by field as kubectl writes them."""

import pytest

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.schema.catalog import load
from ekslab.kube.api.schema.protobuf import protobuf_decoder


def varint(number: int) -> bytes:
    out = b""
    number &= (1 << 64) - 1
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def part(number: int, value: bytes | str | int) -> bytes:
    """One field: a number as varint, anything else with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def enveloped(api_version: str, kind: str, body: bytes) -> bytes:
    said = part(1, api_version) + part(2, kind)
    return b"k8s\x00" + part(1, said) + part(2, body)


def decoded(raw: bytes):
    return protobuf_decoder(load("1.36")).decode(raw, kind="Pod")


def test_maps_times_lists_and_quantities_are_spelled_as_in_json():
    meta = (
        part(1, "web")
        + part(8, b"")
        + part(9, part(1, 1_700_000_000))
        + part(11, part(1, "app") + part(2, "web"))
        + part(14, "a")
        + part(14, "b")
    )
    requests = part(2, part(1, "cpu") + part(2, part(1, "100m")))
    container = part(1, "main") + part(2, "nginx") + part(8, requests)
    raw = enveloped("v1", "Pod", part(1, meta) + part(2, part(2, container)))
    assert decoded(raw) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web",
            "deletionTimestamp": "2023-11-14T22:13:20Z",
            "labels": {"app": "web"},
            "finalizers": ["a", "b"],
        },
        "spec": {
            "containers": [
                {"name": "main", "image": "nginx", "resources": {"requests": {"cpu": "100m"}}}
            ]
        },
    }


def test_fields_of_embedded_structs_belong_to_their_parent():
    volume = part(1, "v") + part(2, part(2, part(1, "Memory")))
    probe = part(1, part(2, part(1, "/x") + part(2, part(1, 0) + part(2, 80)))) + part(2, 3)
    container = part(1, "main") + part(10, probe)
    raw = enveloped("v1", "Pod", part(2, part(1, volume) + part(2, container)))
    spec = decoded(raw)["spec"]
    assert spec["volumes"] == [{"name": "v", "emptyDir": {"medium": "Memory"}}]
    assert spec["containers"][0]["livenessProbe"] == {
        "httpGet": {"path": "/x", "port": 80},
        "initialDelaySeconds": 3,
    }


def test_negative_numbers_bytes_and_options_are_read():
    raw = enveloped("v1", "DeleteOptions", part(1, -1) + part(4, "Orphan"))
    assert decoded(raw)["gracePeriodSeconds"] == -1
    raw = enveloped("v1", "Secret", part(2, part(1, "k") + part(2, b"\x00\xff")))
    assert decoded(raw)["data"] == {"k": "AP8="}


def test_a_kind_nobody_knows_keeps_its_name_for_the_error():
    assert decoded(enveloped("v9", "Thing", b"")) == {"apiVersion": "v9", "kind": "Thing"}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"kind":"Pod"}', id="JSON"),
        pytest.param(b"k8s\x00\xff", id="cut off"),
        pytest.param(enveloped("v1", "Pod", b"\x0a\x7f"), id="longer than the body"),
        pytest.param(enveloped("v1", "Pod", part(1, 7)), id="wrong wire type"),
        pytest.param(enveloped("v1", "Pod", part(1, part(1, b"\xff"))), id="no UTF-8"),
        pytest.param(enveloped("v1", "Pod", b"\x0b"), id="groups"),
    ],
)
def test_bytes_that_are_no_such_object_are_a_bad_request(raw):
    with pytest.raises(ApiError) as error:
        decoded(raw)
    assert error.value.code == 400
    assert error.value.message.startswith(
        "the object provided is unrecognized (must be of type Pod)"
    )
