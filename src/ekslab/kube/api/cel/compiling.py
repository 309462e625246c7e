"""The public face: text in, program out.

program = compile_text("self.replicas <= 5", Environment({"self": DYN}))
program.evaluate([{"replicas": 3}])        True
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ekslab.kube.api.cel.checking import check, children
from ekslab.kube.api.cel.costing import Estimate, estimate
from ekslab.kube.api.cel.environments import Environment
from ekslab.kube.api.cel.evaluating import Compiler
from ekslab.kube.api.cel.failures import CelError, CompileError, Issue, no_overload
from ekslab.kube.api.cel.frames import Run
from ekslab.kube.api.cel.parsing import parse
from ekslab.kube.api.cel.syntax import Ident, Node

CALL_LIMIT: Final = 1_000_000
"""The cost one evaluation may have (upstream: PerCallLimit)."""
BUDGET: Final = 10_000_000
"""The cost all rules may have for one object, or one binding of a policy."""
CONDITIONS_BUDGET: Final = 2_500_000
"""The cost all match conditions of one webhook or policy may have."""


class InstantiationError(ValueError):
    """An expression of right types that cannot be made to run (`int('x')`)."""


@dataclass(slots=True)
class Budget:
    """What a series of evaluations may still cost."""

    left: int = BUDGET


class Program:
    """A compiled expression.

    Attributes:
        text: what it was compiled from.
        type: the type of its value.
        cost: the least and most an evaluation may cost, by what is known of the values' sizes.
        names: the variables of the environment that it uses.
    """

    __slots__ = ("_frame", "_run", "cost", "names", "text", "type")

    def __init__(self, text: str, node: Node, run: Run, frame_size: int, cost: Estimate) -> None:
        assert node.type is not None
        self.text = text
        self.type = node.type
        self.cost = cost
        self.names = _names(node)
        self._run = run
        self._frame: list[Any] = [None] * frame_size

    def evaluate(self, values: Sequence[Any], budget: Budget | None = None) -> Any:
        """The value for these variables, in the order of the environment; ABSENT for none.

        Raises:
            CelError: it has none, in cel-go's words.
            CostExceededError: it cost more than one evaluation may.
        """
        frame = self._frame.copy()
        frame[0] = CALL_LIMIT
        frame[1 : len(values) + 1] = values
        try:
            return self._run(frame)
        except RecursionError:
            raise CelError("expression is nested too deeply") from None
        except (TypeError, AttributeError):  # a value is not of the type its schema says
            raise no_overload() from None
        finally:
            if budget is not None:
                budget.left -= CALL_LIMIT - frame[0]

    def __repr__(self) -> str:
        return f"<Program {self.text}>"


def compile_text(text: str, environment: Environment) -> Program:
    """Compile an expression.

    Raises:
        CompileError: it is wrong; `str()` of it has cel-go's words.
        InstantiationError: a constant part of it has no value.
    """
    try:
        node = check(parse(text), environment, text)
        compiler = Compiler(environment.slots)
        run = compiler.whole(node)
        return Program(text, node, run, compiler.frame_size, estimate(node, environment.root))
    except CelError as error:
        raise InstantiationError(str(error)) from None
    except RecursionError:
        raise CompileError(text, [Issue(0, "expression is nested too deeply")]) from None


def _names(node: Node) -> frozenset[str]:
    found = {node.name} if isinstance(node, Ident) else set()
    return frozenset(found).union(*(_names(child) for child in children(node)))
