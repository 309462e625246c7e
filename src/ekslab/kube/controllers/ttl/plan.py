"""For how long kubelets may keep what they read, by the number of nodes.

Upstream: `pkg/controller/ttl/ttl_controller.go`. The boundaries overlap, so that a cluster whose
size goes up and down around one of them does not write to all of its nodes each time.

    >>> step_for(0, 101), step_for(1, 95), step_for(1, 89)
    (1, 1, 0)
"""

from collections.abc import Sequence
from typing import Final

ANNOTATION: Final = "node.alpha.kubernetes.io/ttl"
# (fewest nodes, most nodes, seconds) of each step.
_STEPS: Final[Sequence[tuple[int, float, int]]] = (
    (0, 100, 0),
    (90, 500, 15),
    (450, 1000, 30),
    (900, 2000, 60),
    (1800, 10000, 300),
    (9000, float("inf"), 600),
)


def step_for(step: int, nodes: int) -> int:
    """The step of a cluster that stood on `step` and has this many nodes now."""
    while nodes > _STEPS[step][1]:
        step += 1
    while nodes < _STEPS[step][0]:
        step -= 1
    return step


def wanted(step: int) -> str:
    """The annotation's value on a step."""
    return str(_STEPS[step][2])
