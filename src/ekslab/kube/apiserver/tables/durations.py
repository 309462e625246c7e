"""Ages as people read them: upstream's `apimachinery/pkg/util/duration`."""

from typing import Any, Final

from ekslab.kit.clock import parse_rfc3339

_MINUTE: Final = 60
_HOUR: Final = 3600


def human_duration(seconds: float) -> str:
    """`5s`, `3m2s`, `47h`, `5d12h`: two units while the larger one is small.

    Up to two seconds into the future counts as now; further ahead is `<invalid>`.

    >>> human_duration(119), human_duration(182), human_duration(5 * 86400 + 12 * 3600)
    ('119s', '3m2s', '5d12h')
    """
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 2 * _MINUTE:
        return f"{max(0, whole)}s"
    minutes, hours = whole // _MINUTE, whole // _HOUR
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"


def since(timestamp: str | None, now: float) -> str:
    """The age of an RFC 3339 time, `<unknown>` if there is none."""
    return human_duration(now - parse_rfc3339(timestamp)) if timestamp else "<unknown>"


def until(timestamp: str | None, now: float) -> str:
    """How far an RFC 3339 time is ahead, `<unknown>` if there is none."""
    return human_duration(parse_rfc3339(timestamp) - now) if timestamp else "<unknown>"


def age(obj: dict[str, Any], now: float) -> str:
    """The age of an object."""
    return since(obj["metadata"].get("creationTimestamp"), now)
