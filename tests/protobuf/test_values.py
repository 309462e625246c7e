"""Messages written by hand, byte for byte, and what becomes of them in JSON."""

import struct
from typing import Any

import pytest

from ekslab.kube.api.protobuf.envelope import decode, encode, watch_frame


def field(number: int, content: bytes | int) -> bytes:
    """One field: a varint below 128, or bytes shorter than 128."""
    if isinstance(content, int):
        return bytes((number << 3, content)) if number < 16 else bytes((
            number << 3 & 0x7F | 0x80, number >> 4, content))  # fmt: skip
    tag = number << 3 | 2
    head = bytes((tag,)) if tag < 128 else bytes((tag & 0x7F | 0x80, tag >> 7))
    return head + bytes((len(content),)) + content


def body(api_version: str, kind: str, content: bytes) -> bytes:
    """An object in its envelope; contents of any length."""
    size = len(content)
    length = bytes((size,)) if size < 128 else bytes((size & 0x7F | 0x80, size >> 7))
    type_meta = field(1, api_version.encode()) + field(2, kind.encode())
    return b"k8s\x00" + field(1, type_meta) + b"\x12" + length + content + b"\x1a\x00\x22\x00"


def holds(found: Any, expected: Any) -> bool:
    """Whether objects have all that is expected, and everything else is equal."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return all(key in found and holds(found[key], expected[key]) for key in expected)
    return bool(found == expected)


EMPTY_META = bytes.fromhex("0a00 1200 1a00 2200 2a00 3200 3800 4200")


def test_a_namespace_byte_for_byte():
    meta = EMPTY_META.replace(b"\x0a\x00", b"\x0a\x01a", 1)
    raw = body("v1", "Namespace", field(1, meta) + b"\x12\x00" + b"\x1a\x02\x0a\x00")
    obj = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "a"},
           "spec": {}, "status": {}}  # fmt: skip
    assert decode(raw) == obj
    assert encode(obj) == raw


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        pytest.param(
            "v1 Secret",
            field(2, field(1, b"k") + field(2, b"\xff\x00")) + field(3, b"Opaque"),
            {"data": {"k": "/wA="}, "type": "Opaque"},
            id="bytes",
        ),
        pytest.param(
            "v1 Secret",
            field(2, field(1, b"k")) + field(2, b""),
            {"data": {"k": "", "": ""}},
            id="absent keys and values of a map",
        ),
        pytest.param(
            "v1 ConfigMap", field(1, field(8, field(1, 1) + field(2, 0))),
            {"metadata": {"creationTimestamp": "1970-01-01T00:00:01Z"}}, id="instant",
        ),
        pytest.param(
            "coordination.k8s.io/v1 Lease",
            field(2, field(4, b"\x08\x01\x10\xe8\x07")),
            {"spec": {"renewTime": "1970-01-01T00:00:01.000001Z"}},
            id="microseconds",
        ),
        pytest.param(
            "scheduling.k8s.io/v1 PriorityClass",
            b"\x10" + b"\xff" * 9 + b"\x01",
            {"value": -1},
            id="negative number",
        ),
        pytest.param(
            "scheduling.k8s.io/v1 PriorityClass", b"\x10\xff\xff\xff\xff\x0f", {"value": -1},
            id="negative number in 32 bits",
        ),
        pytest.param(
            "v1 ResourceQuota",
            field(2, field(1, field(1, b"cpu") + field(2, field(1, b"1000m")))),
            {"spec": {"hard": {"cpu": "1"}}, "status": {}},
            id="quantity, made canonical",
        ),
        pytest.param(
            "policy/v1 PodDisruptionBudget",
            field(2, field(1, field(1, 1) + field(3, b"50%")) + field(3, field(2, 3))),
            {"spec": {"minAvailable": "50%", "maxUnavailable": 3}},
            id="int or string",
        ),
        pytest.param(
            "apps/v1 ControllerRevision", field(2, field(1, b'{"spec":{"a":[1,null]}}')),
            {"data": {"spec": {"a": [1, None]}}, "revision": 0}, id="embedded JSON",
        ),
        pytest.param(
            "apps/v1 ControllerRevision",
            field(2, field(1, b"k8s\x00" + field(1, field(1, b"v1") + field(2, b"Binding")))),
            {"data": {"kind": "Binding", "apiVersion": "v1", "metadata": {}, "target": {}},
             "revision": 0},
            id="embedded object in an envelope",
        ),
        pytest.param(
            "authentication.k8s.io/v1 TokenReview",
            field(3, field(2, field(4, field(1, b"k") + field(2, b"\x0a\x01a\x0a\x01b")))),
            {"spec": {}, "status": {"user": {"extra": {"k": ["a", "b"]}}}},
            id="lists in a message of their own",
        ),
        pytest.param(
            "v1 Pod",
            field(2, field(14, field(4, 7) + field(4, b"\x08\x09"))),
            {"spec": {"securityContext": {"supplementalGroups": [7, 8, 9]}}, "status": {}},
            id="numbers, packed and not",
        ),
        pytest.param(
            "v1 Pod",
            field(2, field(10, b"a") + field(14, field(2, 1))) + field(2, field(14, field(5, 2))),
            {"spec": {"nodeName": "a", "securityContext": {"runAsUser": 1, "fsGroup": 2}},
             "status": {}},
            id="a message in two parts is merged",
        ),
        pytest.param(
            "v1 Pod", field(2, field(10, b"a") + field(10, b"b")),
            {"spec": {"nodeName": "b"}, "status": {}}, id="the last of two values stays",
        ),
        pytest.param(
            "v1 Pod",
            field(2, field(1, field(1, b"v") + field(2, field(2, field(1, b"")) ))),
            {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}, "status": {}},
            id="embedded struct",
        ),
        pytest.param(
            "v1 Pod",
            field(2, field(10, b"a") + field(120, b"zz") + b"\xf8\x3f\x01"
                  + b"\xf9\x3f12345678" + b"\xfd\x3f1234" + b"\xfb\x3f\x08\x01\xfc\x3f"),
            {"spec": {"nodeName": "a"}, "status": {}},
            id="unknown fields of all wire types",
        ),
        pytest.param(
            "v1 Pod", field(2, field(10, b"a\xffb\xed\xa0\x80")),
            {"spec": {"nodeName": "a\ufffdb\ufffd\ufffd\ufffd"}, "status": {}},
            id="each byte that is no UTF-8 becomes U+FFFD, as in Go's JSON",
        ),
    ],
)  # fmt: skip
def test_what_a_message_becomes(kind, content, expected):
    api_version, _, name = kind.partition(" ")
    found = decode(body(api_version, name, content))
    assert (found.pop("kind"), found.pop("apiVersion")) == (name, api_version)
    assert holds(found, expected), found


def test_a_zero_instant_is_left_out_or_null():
    raw = body("v1", "Event", field(1, field(8, b"")) + field(15, b""))
    assert decode(raw)["metadata"] == {}
    assert decode(raw)["eventTime"] is None


@pytest.mark.parametrize(
    ("schema", "content"),
    [
        pytest.param({"items": {"type": "a"}}, field(24, field(1, field(5, b"a"))), id="one"),
        pytest.param(
            {"items": [{"type": "a"}, {}]},
            field(24, field(2, field(5, b"a")) + field(2, b"")),
            id="several",
        ),
        pytest.param({"additionalProperties": True}, field(30, field(1, 1)), id="true"),
        pytest.param({"additionalProperties": False}, field(30, field(1, 0)), id="false"),
        pytest.param(
            {"additionalProperties": {"type": "a"}},
            field(30, field(1, 1) + field(2, field(5, b"a"))),
            id="true, with a schema",
        ),
        pytest.param(
            {"dependencies": {"x": ["a", "b"]}},
            field(32, field(1, b"x") + field(2, field(2, b"a") + field(2, b"b"))),
            id="strings",
        ),
        pytest.param({"default": {"a": None}}, field(8, field(1, b'{"a":null}')), id="JSON"),
        pytest.param({"maximum": 1.5}, b"\x49" + struct.pack("<d", 1.5), id="double"),
        pytest.param({"maximum": 2}, b"\x49" + struct.pack("<d", 2.0), id="whole double"),
        pytest.param(
            {"$ref": "r", "x-kubernetes-int-or-string": True},
            field(3, b"r") + field(40, 1),
            id="names that differ from the message's",
        ),
    ],
)
def test_the_types_of_json_schema(schema, content):
    version = field(4, field(1, content))
    found = decode(body("apiextensions.k8s.io/v1", "CustomResourceDefinition",
                        field(2, field(7, version))))  # fmt: skip
    (read,) = found["spec"]["versions"]
    assert read["schema"] == {"openAPIV3Schema": schema}
    again = decode(encode(found))
    assert again == found


def test_a_watch_event_stands_behind_its_length():
    namespace = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "a"}}
    content = field(1, b"ADDED") + field(2, field(1, encode(namespace)))
    assert watch_frame("ADDED", namespace) == len(content).to_bytes(4, "big") + content


def test_what_a_message_has_no_field_for_is_left_out():
    obj = {"kind": "Binding", "apiVersion": "v1", "metadata": {"unknown": 1}, "more": {}}
    assert decode(encode(obj)) == {
        "kind": "Binding", "apiVersion": "v1", "metadata": {}, "target": {},
    }  # fmt: skip
