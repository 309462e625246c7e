"""Regular expressions: Go's syntax (RE2) on Python's engine.

RE2 has no lookaround, no backreferences and no possessive or atomic groups; patterns that use them
are refused, as RE2 refuses them. What differs in spelling is translated. RE2's time is that of the
text's length; patterns on which Python's engine may take longer are run by one of our own
(`linear`). Also here: apiserver `pkg/cel/library/regex.go`.
"""

import re
from functools import lru_cache
from typing import Any, Final

from ekslab.kube.api.cel.failures import CelError
from ekslab.kube.api.cel.functions import matching, member
from ekslab.kube.api.cel.library import linear
from ekslab.kube.api.cel.types import INT, STRING, list_of

_REFUSED: Final = re.compile(
    r"\(\?(?:[=!]|<[=!]|P=|P>|>|\()|(?<!\\)(?:\\\\)*\\[1-9]|(?<!\\)[*+?}]\+"
)
_NAMES: Final = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7F", "blank": r"\t ",
    "cntrl": r"\x00-\x1F\x7F", "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~",
    "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ", "upper": "A-Z", "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_CLASS: Final = re.compile(r"\[:([a-z]+):\]")


def _python(pattern: str) -> str:
    """The pattern in Python's spelling.

    Raises:
        re.error: RE2 would refuse it.
    """
    found = _REFUSED.search(pattern)
    if found is not None:
        what = (
            "invalid or unsupported Perl syntax"
            if "(" in found.group()
            else "invalid escape sequence"
        )
        raise re.error(f"{what}: `{found.group()[:3]}`")
    if "[:" in pattern:
        pattern = _CLASS.sub(lambda match: _NAMES.get(match.group(1), match.group()), pattern)
    return pattern.replace("(?<", "(?P<").replace(r"\z", r"\Z")


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str] | linear.Pattern:
    """The compiled pattern, kept for a while.

    Raises:
        CelError: in Go's words, if it is none.
    """
    try:
        text = _python(pattern)
        # `$` is the very end in RE2; classes like \d and \w are ASCII.
        text = re.sub(r"(?<!\\)((?:\\\\)*)\$(?![^\[]*\])", r"\1\\Z", text)
        found = re.compile(text, re.ASCII)
        return linear.Pattern(text) if linear.is_needed(text) else found
    except (re.error, OverflowError, RecursionError) as error:
        raise CelError(f"error parsing regexp: {_in_go(error, pattern)}") from None


def _in_go(error: Exception, pattern: str) -> str:
    text = getattr(error, "msg", None) or str(error)
    at = getattr(error, "pos", None) or 0
    if text.startswith(("invalid or", "invalid escape")):
        return text
    for start, words, whole in (
        ("missing ), unterminated", "missing closing )", True),
        ("unbalanced parenthesis", "unexpected )", True),
        ("unterminated character set", "missing closing ]", False),
        ("nothing to repeat", "missing argument to repetition operator", False),
        ("multiple repeat", "invalid nested repetition operator", False),
        ("bad escape", "invalid escape sequence", False),
        ("bad character range", "invalid character class range", False),
    ):
        if text.startswith(start):
            return f"{words}: `{pattern if whole else pattern[at:]}`"
    return f"{text}: `{pattern}`"


def _search(pattern: str) -> re.Pattern[str] | linear.Pattern:
    try:
        return compiled(pattern)
    except CelError as error:
        raise CelError(f"Illegal regex: {error}") from None


def _find(text: str, pattern: str) -> str:
    match = _search(pattern).search(text)
    return match.group() if match else ""


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found: list[str] = []
    for match in _search(pattern).finditer(text):
        if 0 <= most <= len(found):
            break
        found.append(match.group())
    return found


_RESULT: Final[Any] = list_of(STRING)
OVERLOADS: Final = [
    member("find", (STRING, STRING), STRING, _find, matching),
    member("findAll", (STRING, STRING), _RESULT, _find_all, matching),
    member("findAll", (STRING, STRING, INT), _RESULT, _find_all, matching),
]
