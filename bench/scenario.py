"""What a scenario is, and what it is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from bench.lab import BenchLab
from bench.rows import Row
from bench.target import Target


class Needs(Enum):
    """What must be there before a scenario runs."""

    NOTHING = "it starts what it measures"
    CLUSTER = "any cluster, by kubeconfig"
    LAB = "a lab of this bench"


@dataclass
class Surroundings:
    """What runs for the scenarios; `lab` is None if the load is aimed elsewhere."""

    target: Target | None = None
    lab: BenchLab | None = None

    @property
    def cluster(self) -> Target:
        """The cluster under load."""
        assert self.target is not None, "the scenario says that it needs one"
        return self.target

    @property
    def own_lab(self) -> BenchLab:
        """The lab of this bench."""
        assert self.lab is not None, "the scenario says that it needs one"
        return self.lab


@dataclass(frozen=True, slots=True)
class Scenario:
    """One name on the command line."""

    name: str
    needs: Needs
    run: Callable[[Surroundings], Sequence[Row]]
