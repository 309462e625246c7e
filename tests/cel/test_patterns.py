"""Patterns mean what they mean in RE2, and none takes forever."""

import re

import pytest

from ekslab.kube.api.cel.failures import CelError
from ekslab.kube.api.cel.library import linear, patterns

PATTERNS = [
    "(a+)+", "(a|b)*c", "(?:a|ab)*?c", "((a*)*)*b", "(x?y?)*z", "(ab?)+$", "^(a|aa)+b",
    "(a{1,3})+b", r"(\w+\s?)*!", r"([^a]+b?)*c", r"(?i)(A+)+b", r"(?s)(.+)+c", r"\b(\w+)+\b",
    "(a|b|)*c", "(a*b*)*?",
]  # fmt: skip
TEXTS = [
    "", "a", "b", "ab", "aab", "abab c", "aaab", "xyz", "hello world!", "c", "AAb", "a\nc", "zz",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("text", TEXTS)
def test_the_linear_engine_finds_what_pythons_finds(pattern, text):
    ours, theirs = linear.Pattern(pattern), re.compile(pattern, re.ASCII)
    found, wanted = ours.search(text), theirs.search(text)
    assert (found and (found.start, found.end)) == (wanted and wanted.span())


def test_a_pattern_that_pythons_engine_would_not_finish_is_answered():
    text = "a" * 5000 + "b"
    assert patterns.compiled("^(a+)+$").search(text) is None
    assert patterns.compiled("^(a|a)*b$").search(text) is not None


@pytest.mark.parametrize("pattern", ["[a-z]+", "^a{1,5}b*$", "(abc)+", "a|b"])
def test_plain_patterns_stay_with_pythons_engine(pattern):
    assert isinstance(patterns.compiled(pattern), re.Pattern)


@pytest.mark.parametrize(
    "pattern", ["(?=a)", "(?!a)", "(?<=a)b", r"(a)\1", "a++", "(", "[", "a**", "(?P=x)", "(?>a)"]
)
def test_what_re2_does_not_know_is_refused(pattern):
    with pytest.raises(CelError, match="error parsing regexp"):
        patterns.compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("a$", "a\n", False),
        ("[[:alpha:]]+", "x1", True),
        (r"\d", "٣", False),
        ("(?<n>a)", "a", True),
    ],
    ids=["the very end", "named class", "digits are ascii", "named group"],
)
def test_spellings_of_re2_are_translated(pattern, text, found):
    assert (patterns.compiled(pattern).search(text) is not None) is found
