"""What can go wrong with an expression: when it is compiled, and when it runs.

The words are cel-go's (`common/errors.go`, `common/types/err.go`), because users read them in the
answers of the API: a compile error points into the text, with a line of dots and a caret.

    ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')
     | foo + 1
     | ^
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NO_OVERLOAD: Final = "no such overload"


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with a text, at a position of it (in characters from its start)."""

    position: int
    message: str


class CompileError(ValueError):
    """A text that does not compile; `str()` shows every issue with the line it is in."""

    def __init__(self, text: str, issues: Iterable[Issue]) -> None:
        super().__init__("\n".join(_shown(text, issue) for issue in issues))


class CelError(Exception):
    """An evaluation that failed. `&&` and `||` may still give an answer."""


class CostExceededError(Exception):
    """An evaluation that used up its budget. No operator can catch it."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


def no_overload(function: str = "") -> CelError:
    """The arguments have no types that the function takes; operators do not give their name."""
    return CelError(f"{NO_OVERLOAD}: {function}" if function else NO_OVERLOAD)


def _shown(text: str, issue: Issue) -> str:
    before = text[: issue.position]
    line = before.count("\n") + 1
    column = issue.position - (before.rfind("\n") + 1)
    lines = text.split("\n")
    shown = lines[line - 1] if line <= len(lines) else ""
    head = f"ERROR: <input>:{line}:{column + 1}: {issue.message}"
    return f"{head}\n | {shown}\n | {'.' * column}^"
