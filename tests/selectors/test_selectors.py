"""Selectors: what they match, and what they say about bad text."""

import pytest

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.selectors import label_selector, parse_fields, parse_labels

LABELS = {"app": "web", "tier": "front", "weight": "7", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app = web , tier = front", True),
        ("app=db", False),
        ("app!=db", True),
        ("none!=db", True),
        ("app in (db, web)", True),
        ("app notin (db,web)", False),
        ("none notin (db,web)", True),
        ("app", True),
        ("none", False),
        ("!none", True),
        ("!app", False),
        ("weight>6", True),
        ("weight<7", False),
        ("app>1", False),
        ("empty=", True),
        ("empty in ()", True),
        ("empty in (,a)", True),
        ("app=", False),
        ("in in (in),notin", False),
    ],
)
def test_label_selectors_match_as_upstream(text: str, *, expected: bool) -> None:
    assert parse_labels(text).matches(LABELS) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b=", "unable to parse requirement: found '=', expected: ',' or ')'"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
    ],
)
def test_bad_label_selectors_say_what_upstream_says(text: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_labels(text)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_greater_and_less_need_an_integer() -> None:
    with pytest.raises(ApiError) as caught:
        parse_labels("a>x")
    assert caught.value.message == (
        'unable to parse requirement: values[0]: Invalid value: "x": '
        "for 'Gt', 'Lt' operators, the value must be an integer"
    )


def test_a_bad_key_and_a_bad_value_name_their_place() -> None:
    with pytest.raises(ApiError, match=r'^unable to parse requirement: <nil>: .*"-a": name part'):
        parse_labels("-a=b")
    with pytest.raises(
        ApiError, match=r'^unable to parse requirement: values\[0\]\[a\]: .*"b-": a valid label'
    ):
        parse_labels("a=b-")


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({}, ""),
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        (
            {"matchExpressions": [{"key": "k", "operator": "In", "values": ["z", "a"]}]},
            "k in (a,z)",
        ),
        (
            {
                "matchExpressions": [
                    {"key": "x", "operator": "Exists"},
                    {"key": "d", "operator": "DoesNotExist"},
                    {"key": "n", "operator": "NotIn", "values": ["v"]},
                ]
            },
            "!d,n notin (v),x",
        ),
    ],
)
def test_selector_objects_have_a_canonical_text(selector: dict[str, object], text: str) -> None:
    assert str(label_selector(selector)) == text
    assert str(parse_labels(text)) == text


def test_no_selector_object_selects_nothing_and_an_empty_one_everything() -> None:
    assert not label_selector(None).matches(LABELS)
    assert label_selector({}).matches({})
    assert label_selector({}).empty


def test_an_unknown_operator_is_named() -> None:
    expression = {"key": "a", "operator": "Gt", "values": ["1"]}
    with pytest.raises(ApiError, match=r'^"Gt" is not a valid label selector operator$'):
        label_selector({"matchExpressions": [expression]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("spec.nodeName=n1", True),
        ("spec.nodeName==n1,status.phase!=Running", True),
        ("spec.nodeName!=n1", False),
        ("spec.host=", True),
        ("spec.host!=", False),
        (r"metadata.name=a\,b\=c\\", True),
    ],
)
def test_field_selectors_match_as_upstream(text: str, *, expected: bool) -> None:
    fields = {"spec.nodeName": "n1", "status.phase": "Pending", "metadata.name": "a,b=c\\"}
    selector = parse_fields(text)
    assert selector.matches(fields) is expected
    assert parse_fields(str(selector)).matches(fields) is expected


def test_a_field_selector_names_the_value_it_demands() -> None:
    selector = parse_fields("spec.nodeName=n1,metadata.name!=x")
    assert selector.exact("spec.nodeName") == "n1"
    assert selector.exact("metadata.name") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "invalid selector: 'foo'; can't understand 'foo'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        (r"a=b\c", r"invalid field selector: invalid escape sequence: \c"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_bad_field_selectors_say_what_upstream_says(text: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_fields(text)
    assert (caught.value.code, caught.value.message) == (400, message)
