"""Sets of completion indexes as Jobs write them: `0,2-5,7`. Pure.

Upstream: `pkg/controller/job/indexed_job_utils.go` (orderedIntervals).
"""

from collections.abc import Iterable, Mapping
from typing import Final

INDEX: Final = "batch.kubernetes.io/job-completion-index"


def parse(text: str, *, below: int) -> frozenset[int]:
    """The indexes of a text, those below a bound; what cannot be read is left out.

    >>> sorted(parse("0,2-4,9", below=5))
    [0, 2, 3, 4]
    """
    found: set[int] = set()
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), min(int(last or first) + 1, below)))
    return frozenset(index for index in found if index < below)


def text(indexes: Iterable[int]) -> str:
    """The text of a set of indexes; two neighbours are named, three are a range.

    >>> text([4, 0, 2, 3, 7, 8])
    '0,2-4,7,8'
    """
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(_run(first, last) for first, last in runs)


def _run(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def of(annotations: Mapping[str, str] | None) -> int | None:
    """The completion index of a pod, None for none."""
    value = (annotations or {}).get(INDEX, "")
    return int(value) if value.isdecimal() else None
