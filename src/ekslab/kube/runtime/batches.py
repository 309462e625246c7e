"""Many writes at once, carefully (upstream: `replica_set.go` slowStartBatch)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ekslab.kube.api.errors import ApiError


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many of the calls succeeded, failed, and were never made; the first error."""

    succeeded: int
    failed: int
    skipped: int
    error: ApiError | None


async def slow_start(count: int, call: Callable[[], Awaitable[object]]) -> Outcome:
    """Make `count` calls in batches of 1, 2, 4, 8, ...; stop after the first batch with an error.

    So a quota that refuses everything is asked once, and not `count` times.
    """
    done, size = 0, 1
    while done < count:
        batch = min(size, count - done)
        error, failed = await _together([call() for _ in range(batch)])
        if error is not None:
            return Outcome(done + batch - failed, failed, count - done - batch, error)
        done += batch
        size = 2 * batch
    return Outcome(count, 0, 0, None)


async def all_of(calls: Sequence[Awaitable[object]]) -> Outcome:
    """Make all calls at the same time."""
    error, failed = await _together(calls)
    return Outcome(len(calls) - failed, failed, 0, error)


async def _together(calls: Sequence[Awaitable[object]]) -> tuple[ApiError | None, int]:
    results = await asyncio.gather(*calls, return_exceptions=True)
    errors: list[ApiError] = []
    for result in results:
        if isinstance(result, ApiError):
            errors.append(result)
        elif isinstance(result, BaseException):
            raise result
    return (errors[0] if errors else None), len(errors)
