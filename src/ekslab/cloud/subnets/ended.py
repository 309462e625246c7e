"""Instances that have ended: EC2 shows them as `terminated` for an hour, and then no more.

Forgetting is decided by the time of a call alone and happens before each of them, so that a journal
of calls replays to the same state whoever looked in between.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from ekslab.kit.clock import Clock, Timer

SHOWN_S = 3600.0


def remember(instance: Any) -> None:
    """The instance has just ended."""
    from moto.core.utils import unix_time

    backend = instance.ec2_backend
    ended: deque[tuple[float, str]] = backend.__dict__.setdefault("ekslab_ended", deque())
    ended.append((unix_time(), instance.id))


def forget(backend: Any, now_s: float) -> float | None:
    """Drop what ended an hour ago; when the next is due, None if nothing is left to drop."""
    ended: deque[tuple[float, str]] = backend.__dict__.get("ekslab_ended") or deque()
    while ended and ended[0][0] + SHOWN_S <= now_s:
        _drop(backend, ended.popleft()[1])
    return ended[0][0] + SHOWN_S if ended else None


def _drop(backend: Any, instance_id: str) -> None:
    for reservation in list(backend.reservations.values()):
        left = [one for one in reservation.instances if one.id != instance_id]
        if len(left) < len(reservation.instances):
            reservation.instances = left
            if not left:
                del backend.reservations[reservation.id]
            break
    backend.tags.pop(instance_id, None)
    backend.iam_instance_profile_associations.pop(instance_id, None)


class EndedInstances:
    """Forgets on time while nobody calls, so that the change feed tells it."""

    def __init__(
        self, backend: Callable[[], Any], *, clock: Clock, tell: Callable[[], None]
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._tell = tell
        self._timer: Timer | None = None

    def look(self) -> None:
        """Something may have ended: be there when its hour is over."""
        due_s = forget(self._backend(), self._clock.now())
        if due_s is not None and self._timer is None:
            self._timer = self._clock.call_later(due_s - self._clock.now(), self._wake)

    def stop(self) -> None:
        """Forget nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        self.look()
        self._tell()
