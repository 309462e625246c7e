"""The account's principals: who holds a key, which policies apply to them, which roles exist.

Reads moto's IAM state; no other module outside of `engine` and `subnets` looks into it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ekslab.cloud.engine.engine import Engine
from ekslab.cloud.gateway.faults import DoorFault, Refusal
from ekslab.cloud.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request; attributes as in `sessions.Session`."""

    account: str
    arn: str
    user_id: str
    principal: str
    principal_id: str
    access_key_id: str
    service: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """A role of the account."""

    arn: str
    name: str
    id: str
    trust_policy: str
    duration_s_max: int


class Identities:
    """Keys, callers, roles and their policies."""

    def __init__(self, engine: Engine, sessions: Sessions) -> None:
        self._engine = engine
        self._sessions = sessions

    @property
    def _iam(self) -> Any:
        return self._engine.backend("iam", "aws")

    def secret_of(self, access_key_id: str, *, session_token: str, now_s: float) -> str:
        """The secret that goes with a key.

        Raises:
            DoorFault: no such key, an inactive one, a wrong or expired session token.
        """
        session = self._sessions.find(access_key_id)
        if session is not None:
            if session_token != session.session_token:
                raise DoorFault(Refusal.UNKNOWN_KEY)
            if now_s >= session.expires_s:
                raise DoorFault(Refusal.EXPIRED)
            return session.secret_access_key
        key = self._iam.access_keys.get(access_key_id)
        if key is None or key.status != "Active" or session_token:
            raise DoorFault(Refusal.UNKNOWN_KEY)
        return str(key.secret_access_key)

    def caller_of(self, access_key_id: str) -> Caller:
        """Who holds a key that `secret_of` knows.

        Raises:
            DoorFault: the role or user behind the key is gone, or is another by the same name.
        """
        session = self._sessions.find(access_key_id)
        if session is not None:
            self._check_principal(session.principal, session.principal_id)
            return Caller(
                session.account,
                session.arn,
                session.user_id,
                session.principal,
                session.principal_id,
                access_key_id,
                session.service,
            )
        key = self._iam.access_keys[access_key_id]
        user = self._iam.users.get(key.user_name)
        if user is None:
            raise DoorFault(Refusal.UNKNOWN_KEY)
        return Caller(self._engine.account_id, user.arn, user.id, user.arn, user.id, access_key_id)

    def role(self, arn_or_name: str) -> Role | None:
        """A role by ARN (with its path) or by name."""
        for role in self._iam.roles.values():
            if arn_or_name in {role.arn, role.name}:
                return Role(
                    str(role.arn),
                    role.name,
                    role.id,
                    role.assume_role_policy_document,
                    int(role.max_session_duration or 3600),
                )
        return None

    def principal_id(self, arn: str) -> str | None:
        """The unique id of a user or role by its ARN."""
        for found in (*self._iam.users.values(), *self._iam.roles.values()):
            if found.arn == arn:
                return str(found.id)
        return None

    def instance_role(self, profile_arn_or_name: str) -> Role | None:
        """The role in an instance profile."""
        for profile in self._iam.instance_profiles.values():
            if profile_arn_or_name in {profile.arn, profile.name} and profile.roles:
                return self.role(profile.roles[0].name)
        return None

    def policies_of(self, principal: str) -> Sequence[str]:
        """The identity policies of a user or role, as JSON texts."""
        return list(self._policies_of(principal))

    def all_principals(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Users and roles for the change feed: kind and `{Arn, Id, Name}`."""
        iam = self._iam
        for kind, found in (
            *(("iam:user", user) for user in iam.users.values()),
            *(("iam:role", role) for role in iam.roles.values()),
        ):
            yield kind, {"Arn": str(found.arn), "Id": str(found.id), "Name": str(found.name)}

    def _check_principal(self, arn: str, unique_id: str) -> None:
        if self.principal_id(arn) != unique_id:
            raise DoorFault(Refusal.UNKNOWN_KEY)

    def _policies_of(self, principal: str) -> Iterator[str]:
        iam = self._iam
        holders: list[Any] = []
        for user in iam.users.values():
            if user.arn == principal:
                holders = [user, *(g for g in iam.groups.values() if user in g.users)]
        holders = holders or [role for role in iam.roles.values() if role.arn == principal]
        for holder in holders:
            yield from holder.policies.values()
            for policy in holder.managed_policies.values():
                for version in policy.versions:
                    if version.version_id == policy.default_version_id:
                        yield version.document
