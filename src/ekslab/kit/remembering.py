"""Answers of pure functions, remembered for short texts only.

`functools.lru_cache` bounds how many answers are kept, not how long the questions are: a thousand
texts that clients chose may be a thousand times 3 MB. Here a long one is answered and forgotten:

    @remembered(1024, longest=64)
    def parse(text: str) -> Parsed: ...
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_Asked = Callable[Concatenate[str, P], T]


def remembered(most: int, *, longest: int) -> Callable[[_Asked[P, T]], _Asked[P, T]]:
    """Remember the `most` answers that were asked for last, of texts up to `longest`."""

    def remembering(answer: _Asked[P, T]) -> _Asked[P, T]:
        known = lru_cache(maxsize=most)(answer)

        @wraps(answer)
        def ask(text: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
            if len(text) <= longest:
                return known(text, *args, **kwargs)  # type: ignore[arg-type]
            return answer(text, *args, **kwargs)

        return ask

    return remembering
