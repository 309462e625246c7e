"""Bodies that are no object: 400 in upstream's words, whatever the bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.protobuf.envelope import decode, encode
from tests.protobuf.test_values import body, field

POD = encode({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "labels": {"b": "c"}},
              "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]},
              "status": {"startTime": "2026-01-02T03:04:05Z"}})  # fmt: skip
HANDLED = 'Pod in version "v1" cannot be handled as a Pod: '
UNRECOGNIZED = "the object provided is unrecognized (must be of type Pod): "


def nested(depth: int) -> bytes:
    """A CustomResourceDefinition's schema that lies as deep in itself."""
    content = b""
    for _ in range(depth):
        size = len(content)
        length = bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14))
        content = b"\xe2\x01" + length + content  # `not`
    return content


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(b"", UNRECOGNIZED + "empty data (<empty>)", id="nothing"),
        pytest.param(
            b'{"kind":"Pod"}',
            UNRECOGNIZED + "provided data does not appear to be a protobuf message, expected prefix"
            " [107 56 115 0] (7b226b696e64223a22506f64227d)",
            id="JSON",
        ),
        pytest.param(b"k8s\0", UNRECOGNIZED + "empty body (6b387300)", id="only the prefix"),
        pytest.param(
            POD[:-100], UNRECOGNIZED + f"unexpected EOF ({POD[:30].hex()} ...)", id="truncated"
        ),
        pytest.param(
            body("v1", "Pod", b"\x0a\x7f"), HANDLED + "unexpected EOF", id="length beyond the end"
        ),
        pytest.param(
            body("v1", "Pod", b"\x0a" + b"\xff" * 9 + b"\x01"),
            HANDLED + "proto: negative length found during unmarshaling",
            id="negative length",
        ),
        pytest.param(
            body("v1", "Pod", field(1, 7)),
            HANDLED + "proto: wrong wireType = 0 for field Metadata",
            id="wrong wire type",
        ),
        pytest.param(
            body("v1", "Pod", b"\x08" + b"\xff" * 11),
            HANDLED + "proto: wrong wireType = 0 for field Metadata",
            id="wrong wire type before an endless number",
        ),
        pytest.param(
            body("v1", "Pod", b"\xff" * 11), HANDLED + "proto: integer overflow", id="endless tag"
        ),
        pytest.param(
            body("v1", "Pod", b"\x00\x01"),
            HANDLED + "proto: Pod: illegal tag 0 (wire type 0)",
            id="field 0",
        ),
        pytest.param(
            body("v1", "Pod", b"\xfc\x3f"),
            HANDLED + "proto: Pod: wiretype end group for non-group",
            id="end of no group",
        ),
        pytest.param(
            body("v1", "Pod", b"\xfb\x3f" * 200),
            HANDLED + "proto: exceeded max recursion depth",
            id="groups in groups",
        ),
        pytest.param(
            body("v1", "Pod", b"\xfe\x3f"), HANDLED + "proto: illegal wireType 6", id="wire type 6"
        ),
        pytest.param(
            body("v1", "Pod", field(2, field(32, field(1, b"cpu") + field(2, field(1, b"x"))))),
            HANDLED + "quantities must match the regular expression"
            " '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            id="no quantity",
        ),
        pytest.param(
            body("v1", "Pod", field(1, field(8, b"\x08" + b"\xff" * 8 + b"\x7f"))),
            HANDLED + "Time.MarshalJSON: year outside of range [0,9999]",
            id="an instant beyond all years",
        ),
        pytest.param(
            body("v1", "Nobody", b""),
            'Nobody in version "v1" cannot be handled as a Pod: no kind "Nobody" is registered for'
            ' version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30"',
            id="a kind nobody knows",
        ),
    ],
)
def test_a_malformed_body_is_refused(raw, message):
    with pytest.raises(ApiError) as caught:
        decode(raw, kind="Pod")
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("depth", "accepted"),
    [pytest.param(90, True, id="deep"), pytest.param(3_000, False, id="too deep")],
)
def test_messages_lie_in_each_other_to_a_bound(depth, accepted):
    schema = nested(depth)
    size = len(schema)
    openapi = b"\x0a" + bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14)) + schema
    for tag in (b"\x22", b"\x3a", b"\x12"):
        size = len(openapi)
        length = bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14))
        openapi = tag + length + openapi
    raw = body("apiextensions.k8s.io/v1", "CustomResourceDefinition", b"")
    size = len(openapi)
    raw = raw.replace(
        b"\x12\x00\x1a\x00\x22\x00",
        b"\x12" + bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14)) + openapi,
    )
    if accepted:
        assert decode(raw)["kind"] == "CustomResourceDefinition"
        return
    with pytest.raises(ApiError) as caught:
        decode(raw, kind="CustomResourceDefinition")
    assert caught.value.message.endswith("proto: exceeded max recursion depth")


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.integers(4, len(POD) - 1), st.binary(min_size=1, max_size=4), st.booleans())
def test_a_damaged_body_is_an_object_or_refused(position, damage, cut):
    raw = POD[:position] + damage + (b"" if cut else POD[position + len(damage) :])
    try:
        assert decode(raw, kind="Pod")["kind"]
    except ApiError as error:
        assert error.code == 400  # noqa: PT017 - either outcome is right


def test_a_kind_without_a_message_cannot_be_written():
    with pytest.raises(ApiError) as caught:
        encode({"kind": "Widget", "apiVersion": "example.com/v1"})
    assert caught.value.code == 406
