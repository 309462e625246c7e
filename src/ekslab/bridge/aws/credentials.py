"""Whose keys the bridge signs with: EKS's own service roles, and the roles of instances.

On AWS an instance reads its role's credentials from its metadata service and EKS holds those of
its service-linked roles; here both are asked of the cloud, which renews them before they expire.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from ekslab.cloud.keys import Keys
from ekslab.kit.clock import WallClock

_RENEW_BEFORE_S: Final = 5 * 60.0


@dataclass(frozen=True, slots=True)
class Session:
    """Keys with the wall time at which they expire."""

    keys: Keys
    expires_at: float


class CredentialSource(Protocol):
    """Where temporary credentials come from."""

    async def service_session(self, service: str) -> Session:
        """A session of a service-linked role, by the service's principal
        (`eks-nodegroup.amazonaws.com`).
        """

    async def instance_session(self, instance_id: str) -> Session:
        """A session of the instance's role, named after the instance.

        Raises:
            LookupError: no such instance, or it has no role.
        """


class RenewedKeys:
    """One session, renewed when it is about to expire."""

    def __init__(self, first: Session, *, wall_clock: WallClock) -> None:
        self._session = first
        self._wall_clock = wall_clock

    def current(self) -> Keys:
        """The keys to sign with."""
        return self._session.keys

    def set(self, session: Session) -> None:
        """Take newer keys."""
        self._session = session

    @property
    def due(self) -> bool:
        """Whether it is time for newer keys."""
        return self._wall_clock.now() > self._session.expires_at - _RENEW_BEFORE_S
