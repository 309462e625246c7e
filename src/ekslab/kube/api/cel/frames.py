"""Where values stand while an expression runs, and what running costs.

A frame is a list: the budget that is left, then the variables of the environment, then those of
macros.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from ekslab.kube.api.cel.failures import CostExceededError
from ekslab.kube.api.cel.syntax import Node

Frame = list[Any]
Run = Callable[[Frame], Any]
ABSENT: Final = object()
"""Stands in a frame for a variable that has no value."""


class Code(NamedTuple):
    """Something to run, and what it costs whenever it runs, not charged yet. `is_constant` says
    that it has one value, which `run` gives for any frame.
    """

    run: Run
    cost: int
    is_constant: bool = False


class NodeCompiler(Protocol):
    """What the macros need of the compiler."""

    def code(self, node: Node) -> Code:
        """Compile a node."""

    def charged(self, node: Node) -> Run:
        """Compile a node that pays for itself."""

    def variable(self, name: str) -> tuple[int, Callable[[], None]]:
        """A slot for a variable, and what to call at the end of its scope."""


def constant(value: Any) -> Code:
    """A value that is known."""
    return Code(lambda _frame: value, 0, is_constant=True)


def pay(frame: Frame, cost: int) -> None:
    """Take something from the budget.

    Raises:
        CostExceededError: there is not so much.
    """
    frame[0] -= cost
    if frame[0] < 0:
        raise CostExceededError


def paying(run: Run, cost: int) -> Run:
    """The same, paid for."""

    def paid(frame: Frame) -> Any:
        left = frame[0] - cost
        frame[0] = left
        if left < 0:
            raise CostExceededError
        return run(frame)

    return paid
