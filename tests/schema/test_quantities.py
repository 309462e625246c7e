"""Quantities against upstream's documented rules, and against exact fractions."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ekslab.kube.api.quantity import (
    FORMAT_WRONG,
    NUMBER_WRONG,
    SUFFIX_WRONG,
    QuantityError,
    add,
    canonical,
    compare,
    milli,
    of_milli,
    of_value,
    parse,
    subtract,
    value,
)

EXPONENTS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
POWERS = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0", "0", id="zero"),
        pytest.param("0Gi", "0", id="zero-of-something"),
        pytest.param("1000m", "1", id="millis-to-whole"),
        pytest.param("0.1", "100m", id="fraction-to-millis"),
        pytest.param("1500m", "1500m", id="millis-that-stay"),
        pytest.param("1.5", "1500m", id="one-and-a-half"),
        pytest.param("1000", "1k", id="thousand"),
        pytest.param("1024", "1024", id="decimal-1024-stays"),
        pytest.param("0.5Gi", "512Mi", id="half-a-gibi"),
        pytest.param("1024Mi", "1Gi", id="1024-mebi"),
        pytest.param("1.5Gi", "1536Mi", id="gibi-and-a-half"),
        pytest.param("0.1Mi", "104857600m", id="binary-that-is-no-whole-number"),
        pytest.param("1e3", "1e3", id="exponent-stays"),
        pytest.param("12E6", "12e6", id="capital-exponent"),
        pytest.param("1e-3", "1e-3", id="negative-exponent"),
        pytest.param("+5", "5", id="plus"),
        pytest.param("-1.5", "-1500m", id="minus"),
        pytest.param("12E", "12E", id="exa-is-no-exponent"),
        pytest.param("0.0000000001", "1n", id="rounded-up-to-nano"),
        pytest.param("16Ei", "9223372036854775807", id="capped"),
        pytest.param("  1 ".strip(), "1", id="plain"),
        pytest.param("5.", "5", id="dot-at-the-end"),
        pytest.param(".5", "500m", id="dot-at-the-start"),
    ],
)
def test_canonical_form(text, expected):
    assert canonical(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", FORMAT_WRONG, id="empty"),
        pytest.param("abc", FORMAT_WRONG, id="word"),
        pytest.param("1 Gi", FORMAT_WRONG, id="space-inside"),
        pytest.param("1.2.3", FORMAT_WRONG, id="two-dots"),
        pytest.param("1GiB", FORMAT_WRONG, id="bytes"),
        pytest.param("1mi", SUFFIX_WRONG, id="no-such-suffix"),
        pytest.param("1e", SUFFIX_WRONG, id="exponent-without-digits"),
        pytest.param("1e99999", SUFFIX_WRONG, id="absurd-exponent"),
        pytest.param("1" * 5_000, NUMBER_WRONG, id="endless"),
        pytest.param("0" * 5_000, NUMBER_WRONG, id="endless-zeros"),
        pytest.param("1" + " " * 5_000, NUMBER_WRONG, id="endless-spaces"),
        pytest.param("\N{ARABIC-INDIC DIGIT ONE}", FORMAT_WRONG, id="other-digits"),
    ],
)
def test_what_is_no_quantity_is_refused_in_upstreams_words(text, message):
    with pytest.raises(QuantityError) as error:
        canonical(text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("text", "millis", "whole"),
    [
        pytest.param("100m", 100, 1, id="rounded-up"),
        pytest.param("2", 2000, 2, id="whole"),
        pytest.param("1Ki", 1024000, 1024, id="kibi"),
        pytest.param("1u", 1, 1, id="tiny"),
        pytest.param("0", 0, 0, id="zero"),
    ],
)
def test_values_for_the_scheduler(text, millis, whole):
    assert (milli(text), value(text)) == (millis, whole)


decimals = st.builds(
    lambda number, places, suffix: (f"{number // 10**places}.{number % 10**places:0{places}d}"
                                    if places else str(number)) + suffix,
    st.integers(0, 10**12),
    st.integers(0, 6),
    st.sampled_from([*EXPONENTS, *POWERS]),
)  # fmt: skip


def exact(text: str) -> Fraction:
    number = text.rstrip("numkKMGTPEi")
    suffix = text[len(number) :]
    if suffix in POWERS:
        return Fraction(number) * 1024 ** POWERS[suffix]
    return Fraction(number) * Fraction(10) ** EXPONENTS[suffix]


@given(decimals)
def test_no_value_is_lost_but_below_a_billionth(text):
    truth = exact(text)
    nanos = parse(text).nanos
    if truth <= 2**63 - 1:
        assert 0 <= Fraction(nanos, 10**9) - truth < Fraction(1, 10**9)


@given(decimals)
def test_canonical_form_is_stable_and_of_equal_value(text):
    once = canonical(text)
    assert canonical(once) == once
    assert compare(once, text) == 0


@given(decimals, decimals)
def test_sums_and_differences_are_exact(left, right):
    exact = parse(left).nanos + parse(right).nanos
    assume(exact < (2**63 - 1) * 10**9)  # upstream caps what it reads there
    total = parse(add(left, right))
    assert total.nanos == exact
    assert compare(subtract(add(left, right), right), left) == 0
    assert (compare(left, right) < 0) == (parse(left) < parse(right))


def test_sums_keep_the_format_of_the_left_side():
    assert add("1Gi", "1Gi") == "2Gi"
    assert add("0", "1Gi") == "1Gi"
    assert str(of_value(1024**3) + of_milli(500)) == "1073741824500m"
