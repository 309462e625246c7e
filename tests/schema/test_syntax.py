"""Broken JSON and instants, in Go's words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekslab.kube.api.schema.instants import InstantError, canonical_micro_time, canonical_time
from ekslab.kube.api.schema.syntax import syntax_error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b"", "unexpected end of JSON input", id="empty"),
        pytest.param(b"x", "invalid character 'x' looking for beginning of value", id="word"),
        pytest.param(b'{"a":', "unexpected end of JSON input", id="cut-off"),
        pytest.param(
            b'{"a":1,}',
            "invalid character '}' looking for beginning of object key string",
            id="comma-before-brace",
        ),
        pytest.param(b"[1 2]", "invalid character '2' after array element", id="no-comma"),
        pytest.param(b'{"a" 1}', "invalid character '1' after object key", id="no-colon"),
        pytest.param(
            b'{"a":1 "b"}',
            "invalid character '\"' after object key:value pair",
            id="no-comma-in-object",
        ),
        pytest.param(
            b"nulx", "invalid character 'x' in literal null (expecting 'l')", id="literal"
        ),
        pytest.param(b'"a\nb"', "invalid character '\\n' in string literal", id="line-break"),
        pytest.param(b'"\\q"', "invalid character 'q' in string escape code", id="escape"),
        pytest.param(b"{} x", "invalid character 'x' after top-level value", id="trailing"),
        pytest.param(b"01", "invalid character '1' after top-level value", id="leading-zero"),
        pytest.param(b"-x", "invalid character 'x' in numeric literal", id="minus"),
        pytest.param(b"[" * 10_001, "exceeded max depth", id="too-deep"),
        pytest.param(b' {"a": [1, 2.5e3, {"b": null}], "c": "\\u00e9"} ', None, id="fine"),
    ],
)
def test_broken_json_is_told_in_gos_words(text, message):
    assert syntax_error(text) == message


@given(st.binary(max_size=20) | st.text(alphabet='{}[]":,0123eE.+-truefalsn \\', max_size=20))
def test_the_scanner_agrees_with_a_parser(text):
    raw = text.encode() if isinstance(text, str) else text
    if not raw.isascii():
        return
    try:
        json.loads(raw, parse_constant=lambda _: 1 / 0)
        parses = True
    except (ValueError, ZeroDivisionError):
        parses = False
    assert (syntax_error(raw) is None) == parses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", id="utc"),
        pytest.param("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z", id="zone"),
        pytest.param("2026-01-02T03:04:05.999Z", "2026-01-02T03:04:05Z", id="fraction-dropped"),
        pytest.param("0099-01-02T03:04:05Z", "0099-01-02T03:04:05Z", id="old"),
    ],
)
def test_instants_are_written_in_utc_with_whole_seconds(text, expected):
    assert canonical_time(text) == expected


LAYOUT = '"2006-01-02T15:04:05Z07:00"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("abc", f'as {LAYOUT}: cannot parse "abc" as "2006"', id="word"),
        pytest.param("2026-01-02", f'as {LAYOUT}: cannot parse "" as "T"', id="date"),
        pytest.param(
            "2026-01-02T03:04:05", f'as {LAYOUT}: cannot parse "" as "Z07:00"', id="no-zone"
        ),
    ],
)
def test_bad_instants_are_told_in_gos_words(text, message):
    with pytest.raises(InstantError) as error:
        canonical_time(text)
    assert str(error.value) == f'parsing time "{text}" {message}'


def test_days_that_are_not_are_refused():
    with pytest.raises(InstantError, match="day out of range"):
        canonical_time("2026-02-30T00:00:00Z")
    with pytest.raises(InstantError, match="month out of range"):
        canonical_time("2026-13-01T00:00:00Z")


def test_micro_instants_need_six_digits():
    assert canonical_micro_time("2026-01-02T03:04:05.000001Z") == "2026-01-02T03:04:05.000001Z"
    with pytest.raises(InstantError, match=r'cannot parse "Z" as "\.000000"'):
        canonical_micro_time("2026-01-02T03:04:05Z")
