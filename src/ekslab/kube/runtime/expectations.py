"""What a controller has asked for and not yet seen in its informers.

An informer lags behind the controller's own writes. A controller that counted pods right after
creating some would create them twice; so it notes what it expects to see and does nothing to that
object's pods until it has seen it, or until five minutes have passed (upstream:
`controller_utils.go` ControllerExpectations and UIDTrackingControllerExpectations).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ekslab.kit.clock import Clock

_TIMEOUT_S: Final = 300.0


@dataclass(slots=True)
class _Expected:
    since_s: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """Expected creations (a count) and deletions (uids) by owner key."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._expected: dict[tuple[str, str], _Expected] = {}

    def expect(
        self, owner: tuple[str, str], *, creations: int = 0, deletions: Iterable[str] = ()
    ) -> None:
        """Replace what is expected for `owner`."""
        self._expected[owner] = _Expected(self._clock.now(), creations, set(deletions))

    def creation_observed(self, owner: tuple[str, str], *, count: int = 1) -> bool:
        """A creation was seen, or will never be. True if that was the last thing missing."""
        expected = self._expected.get(owner)
        if expected is None or expected.creations <= 0:
            return False
        expected.creations -= count
        return self._fulfilled(owner, expected)

    def deletion_observed(self, owner: tuple[str, str], uid: str) -> bool:
        """A deletion was seen, or will never be. True if that was the last thing missing."""
        expected = self._expected.get(owner)
        if expected is None or uid not in expected.deletions:
            return False
        expected.deletions.remove(uid)
        return self._fulfilled(owner, expected)

    def satisfied(self, owner: tuple[str, str]) -> bool:
        """Whether everything asked for has been seen, or waited for long enough."""
        expected = self._expected.get(owner)
        if expected is None:
            return True
        return self._clock.now() - expected.since_s > _TIMEOUT_S

    def forget(self, owner: tuple[str, str]) -> None:
        """The owner is gone."""
        self._expected.pop(owner, None)

    def _fulfilled(self, owner: tuple[str, str], expected: _Expected) -> bool:
        if expected.creations > 0 or expected.deletions:
            return False
        del self._expected[owner]
        return True
