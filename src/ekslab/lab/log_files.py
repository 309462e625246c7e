"""The processes' log files: their last lines, and what is written after a place.

Files are bounded (`supervisor`): one is cut to nothing when it grows too long, and goes on.
"""

from pathlib import Path
from typing import Final

PROCESSES: Final = ("supervisor", "cloud", "clusters")
_READ_MOST: Final = 4 << 20


def tail(path: Path, count: int) -> tuple[list[str], int]:
    """The last `count` whole lines (of the last 4 MiB), and the place behind them."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return [], 0
    lines, end = since(path, max(0, size - _READ_MOST))
    return lines[-count:] if count else [], end


def since(path: Path, place: int) -> tuple[list[str], int]:
    """Whole lines from a place on, at most 4 MiB of them, and the place behind them."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size < place:
                place = 0  # it was cut
            file.seek(place)
            text = file.read(_READ_MOST)
    except FileNotFoundError:
        return [], 0
    end = text.rfind(b"\n") + 1 or (len(text) if len(text) == _READ_MOST else 0)
    return text[:end].decode(errors="replace").splitlines(), place + end
