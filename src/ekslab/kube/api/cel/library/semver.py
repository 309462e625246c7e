"""Semantic versions: apiserver `pkg/cel/library/semverlib.go`, version 1."""

import re
from typing import Any, Final

from ekslab.kube.api.cel.failures import CelError
from ekslab.kube.api.cel.functions import member, plain, traversal
from ekslab.kube.api.cel.types import BOOL, INT, SEMVER, STRING

_IDENTIFIER: Final = re.compile(r"[0-9A-Za-z-]+")
_PARTS: Final = 3
_DIGITS_MOST: Final = 20  # of a uint64


class Version:
    """A semantic version as a value. Build metadata is shown, and does not count."""

    __slots__ = ("numbers", "order", "text")
    type_name: Final = SEMVER.name

    def __init__(self, numbers: tuple[int, ...], pre: list[str], build: list[str]) -> None:
        self.numbers = numbers
        tail = "-" + ".".join(pre) if pre else ""
        self.text = ".".join(map(str, numbers)) + tail + ("+" + ".".join(build) if build else "")
        # Numbers come before words; a release comes after all that go before it.
        keys = [(0, int(each), "") if each.isdigit() else (1, 0, each) for each in pre]
        self.order: Any = (numbers, not pre, keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and bool(self.order == other.order)

    def __hash__(self) -> int:
        return hash(self.text.partition("+")[0])

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> Version:
    """A semantic version.

    Raises:
        CelError: it is none, in the words of the Go package.
    """
    if not text:
        raise CelError("Version string empty")
    parts = text.split(".", _PARTS - 1)
    if len(parts) != _PARTS:
        raise CelError("No Major.Minor.Patch elements found")
    last, plus, build = parts[2].partition("+")
    last, dash, pre = last.partition("-")
    for name, number in zip(("major", "minor", "patch"), (*parts[:2], last), strict=True):
        if not number.isascii() or not number.isdigit() or len(number) > _DIGITS_MOST:
            raise CelError(f'Invalid character(s) found in {name} number "{number}"')
        if len(number) > 1 and number[0] == "0":
            shown = f'"{number}"'
            raise CelError(f"{name.capitalize()} number must not contain leading zeroes {shown}")
    before = _identifiers(pre, "PreRelease", bool(dash))
    after = _identifiers(build, "Build meta data", bool(plus))
    return Version((int(parts[0]), int(parts[1]), int(last)), before, after)


def _identifiers(text: str, what: str, there: bool) -> list[str]:  # noqa: FBT001 - a part is there
    if not there:
        return []
    found = text.split(".")
    for each in found:
        if not each:
            raise CelError("Prerelease is empty" if what == "PreRelease" else f"{what} is empty")
        if not _IDENTIFIER.fullmatch(each):
            raise CelError(f'Invalid character(s) found in {what.lower()} "{each}"')
        if what == "PreRelease" and each.isdigit() and len(each) > _DIGITS_MOST:
            raise CelError(f'Invalid character(s) found in {what.lower()} "{each}"')
        if what == "PreRelease" and each.isdigit() and len(each) > 1 and each[0] == "0":
            raise CelError(f'Numeric PreRelease version must not contain leading zeroes "{each}"')
    return found


def _normalized(text: str, *, normalize: bool) -> Version:
    """As `parse`; `v1.2` is 1.2.0 if that is allowed, `01` is 1."""
    if not normalize:
        return parse(text)
    text = text.removeprefix("v")
    head = re.match(r"[^+-]*", text)
    assert head is not None
    numbers = [part.lstrip("0") or ("0" if part else "") for part in head.group().split(".")]
    numbers += ["0"] * (_PARTS - len(numbers))
    return parse(".".join(numbers) + text[head.end() :])


def _is_semver(text: str, normalize: bool = False) -> bool:  # noqa: FBT001, FBT002 - CEL's parameter
    try:
        _normalized(text, normalize=normalize)
    except CelError:
        return False
    return True


def _compared(left: Version, right: Version) -> int:
    return int(left.order > right.order) - int(left.order < right.order)


_TWO: Final = (SEMVER, SEMVER)
OVERLOADS: Final = [
    plain("semver", (STRING,), SEMVER, parse, traversal),
    plain(
        "semver",
        (STRING, BOOL),
        SEMVER,
        lambda text, normalize: _normalized(text, normalize=normalize),
        traversal,
    ),
    plain("isSemver", (STRING,), BOOL, _is_semver, traversal),
    plain("isSemver", (STRING, BOOL), BOOL, _is_semver, traversal),
    member("isGreaterThan", _TWO, BOOL, lambda a, b: a.order > b.order),
    member("isLessThan", _TWO, BOOL, lambda a, b: a.order < b.order),
    member("compareTo", _TWO, INT, _compared),
    member("major", (SEMVER,), INT, lambda version: version.numbers[0]),
    member("minor", (SEMVER,), INT, lambda version: version.numbers[1]),
    member("patch", (SEMVER,), INT, lambda version: version.numbers[2]),
]
