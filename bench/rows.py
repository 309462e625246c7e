"""What a scenario measured, beside its budget, and the table of it all."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Budget:
    """A number to stay below or, with `least`, to reach; `text` is what the table shows."""

    value: float
    text: str
    least: bool = False

    def verdict(self, measured: float) -> str:
        """`met`, or how many times too slow, too big or too few."""
        if self.least:
            measured, allowed = self.value, measured
        else:
            allowed = self.value
        if measured <= allowed:
            return "met"
        return f"missed {measured / allowed:.1f}x" if allowed else "missed"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `server_us` is CPU of the server per operation, in microseconds."""

    what: str
    measured: str
    budget: str = ""
    verdict: str = ""
    client_cpu: str = ""
    server_us: str = ""


def judged(
    what: str,
    value: float,
    shown: str,
    budget: Budget,
    *,
    client_cpu: str = "",
    server_us: str = "",
) -> Row:
    """A row with its verdict."""
    return Row(what, shown, budget.text, budget.verdict(value), client_cpu, server_us)


def middle(values: Sequence[float]) -> float:
    """The median."""
    return float(median(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


_HEADINGS = ("what", "measured", "first budget", "verdict", "client CPU", "server us/op")


def table(rows: Sequence[Row]) -> str:
    """The rows in columns, as Markdown."""
    cells = [_HEADINGS] + [
        (row.what, row.measured, row.budget, row.verdict, row.client_cpu, row.server_us)
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    lines = [
        "| "
        + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        + " |"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
